"""Materials by name: a table of ranges per surface, drawn from with the scene's random generator."""

from __future__ import annotations

import colorsys
import random

from .scene import Material
from .texture_bank import TEXTURES

RGB = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
Colour = tuple[float, float, float]

# Hue range, saturation range, value range (display values; squared to linear below).
PALETTES: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    "any": ((0, 1), (0, 0.9), (0.1, 0.95)),
    "vivid": ((0, 1), (0.55, 1), (0.35, 0.95)),
    "pastel": ((0, 1), (0.02, 0.25), (0.65, 0.97)),
    "wall": ((0, 1), (0, 0.14), (0.6, 0.97)),
    "white": ((0.05, 0.18), (0, 0.06), (0.82, 0.98)),
    "grey": ((0, 1), (0, 0.08), (0.2, 0.75)),
    "dark": ((0, 1), (0, 0.4), (0.04, 0.25)),
    "wood": ((0.04, 0.11), (0.3, 0.7), (0.25, 0.85)),
    "earth": ((0.04, 0.12), (0.15, 0.5), (0.25, 0.65)),
    "brick": ((0.0, 0.07), (0.35, 0.7), (0.3, 0.65)),
    "green": ((0.17, 0.36), (0.25, 0.75), (0.15, 0.55)),
    "autumn": ((0.02, 0.17), (0.4, 0.85), (0.25, 0.7)),
    "asphalt": ((0.5, 0.7), (0, 0.08), (0.18, 0.5)),
    "concrete": ((0.05, 0.2), (0, 0.15), (0.4, 0.8)),
    "facade": ((0.02, 0.2), (0.02, 0.4), (0.4, 0.95)),
    "glass": ((0.5, 0.65), (0, 0.4), (0.05, 0.35)),
    "skin": ((0.03, 0.09), (0.25, 0.55), (0.3, 0.9)),
    "carpet": ((0, 1), (0.05, 0.6), (0.12, 0.55)),
    "car": ((0, 1), (0, 0.15), (0.05, 0.95)),
}


def colour(rng: random.Random, palette: str) -> Colour:
    """A linear RGB colour."""
    hue, saturation, value = PALETTES[palette]
    r, g, b = colorsys.hsv_to_rgb(rng.uniform(*hue) % 1.0, rng.uniform(*saturation), rng.uniform(*value))
    return r * r, g * g, b * b


def shade(c: Colour, factor: float) -> Colour:
    return min(c[0] * factor, 1.0), min(c[1] * factor, 1.0), min(c[2] * factor, 1.0)


# name: textures, period range (negative: fitted), palette of colour one; factor ranges or palettes of two and three;
# specular range, gloss, dirt.
SURFACES: dict[str, tuple] = {
    "paint": (("plain", "plaster"), (1.0, 3.0), "wall", (0.85, 1.1), (0.7, 1.0), (0, 0.15), 15, 0.15),
    "plain": (("plain",), (0.5, 1.5), "any", (0.8, 1.2), (0.5, 1.0), (0, 0.5), 40, 0.1),
    "vivid": (("plain",), (0.5, 1.5), "vivid", (0.8, 1.2), (0.5, 1.0), (0, 0.5), 40, 0.1),
    "plastic": (("plain",), (0.5, 1.5), "any", (0.8, 1.2), (0.5, 1.0), (0.2, 0.8), 60, 0.05),
    "white": (("plain",), (0.5, 1.5), "white", (0.9, 1.1), (0.9, 1.0), (0, 0.4), 40, 0.1),
    "dark": (("plain",), (0.5, 1.5), "dark", (0.8, 1.2), (0.5, 1.0), (0, 0.6), 40, 0.1),
    "metal": (("plain", "ripples"), (0.3, 1.0), "grey", (0.8, 1.2), (0.5, 1.5), (0.5, 1.0), 30, 0.1),
    "concrete": (("plaster", "blotches", "speckle"), (1.5, 4.0), "concrete", (0.7, 1.1), (0.6, 1.0), (0, 0.1), 9, 0.6),
    "wood": (("wood",), (0.4, 1.2), "wood", (0.55, 0.9), (0.3, 0.6), (0, 0.4), 30, 0.25),
    "planks": (("planks", "planks", "parquet"), (0.8, 1.6), "wood", (0.5, 0.95), (0.15, 0.4), (0.05, 0.6), 40, 0.3),
    "tiles": (("tiles", "checker"), (0.6, 2.0), "wall", "any", "grey", (0.1, 0.7), 60, 0.3),
    "bricks": (("bricks",), (0.8, 1.8), "brick", (0.5, 1.3), "concrete", (0, 0.05), 10, 0.5),
    "brickpaint": (("bricks", "stones"), (0.8, 1.8), "wall", (0.8, 1.0), "concrete", (0, 0.1), 10, 0.5),
    "stones": (("stones",), (1.0, 3.0), "concrete", (0.4, 1.0), "earth", (0, 0.05), 10, 0.6),
    "gravel": (("gravel", "speckle"), (0.6, 2.0), "concrete", (0.4, 1.1), "earth", (0, 0.02), 10, 0.6),
    "carpet": (("carpet", "speckle", "stripes"), (0.4, 1.6), "carpet", (0.5, 1.6), "carpet", (0, 0), 10, 0.25),
    "rug": (("carpet", "plaid", "stripes", "checker", "poster"), (-1.0, -3.0), "any", "any", "any", (0, 0), 10, 0.3),
    "fabric": (("fabric", "plaid", "stripes", "speckle"), (0.15, 0.7), "carpet", (0.5, 1.5), "any", (0, 0.1), 10, 0.2),
    "cushion": (("fabric", "plaid", "stripes", "carpet"), (0.3, 0.9), "any", "any", "any", (0, 0.1), 10, 0.2),
    "partition": (("fabric", "speckle"), (0.2, 0.5), "grey", (0.7, 1.1), (0.6, 1.2), (0, 0), 10, 0.15),
    "asphalt": (("speckle", "plaster"), (1.5, 4.0), "asphalt", (0.7, 1.25), (0.8, 1.3), (0, 0.15), 10, 0.5),
    "pavement": (("tiles", "speckle", "bricks"), (0.8, 2.5), "concrete", (0.8, 1.05), (0.6, 0.9), (0, 0.1), 10, 0.5),
    "grass": (("grass",), (0.8, 3.0), "green", (0.4, 1.3), "earth", (0, 0), 10, 0.6),
    "soil": (("soil", "gravel"), (1.0, 4.0), "earth", (0.6, 1.3), (0.4, 1.5), (0, 0), 10, 0.6),
    "rock": (("plaster", "blotches", "soil"), (1.0, 5.0), "concrete", (0.5, 1.0), (0.4, 1.2), (0, 0.1), 10, 0.8),
    "leaves": (("leaves",), (0.6, 2.0), "green", (0.4, 1.5), (1.0, 2.2), (0, 0.05), 10, 0.6),
    "autumn": (("leaves",), (0.6, 2.0), "autumn", (0.4, 1.5), (1.0, 2.2), (0, 0.05), 10, 0.6),
    "bush": (("grass", "leaves"), (0.3, 1.2), "green", (0.3, 1.4), (1.0, 2.0), (0, 0.03), 10, 0.6),
    "bark": (("bark",), (0.5, 1.5), "earth", (0.4, 0.9), (0.3, 0.7), (0, 0), 10, 0.4),
    "facade": (("windows",), (5.0, 8.0), "facade", (0.4, 1.4), "glass", (0, 0.1), 20, 0.5),
    "brickfacade": (("windows",), (5.0, 8.0), "brick", "wall", "glass", (0, 0.1), 20, 0.5),
    "shopfront": (("shopfront",), (-1.0, -1.0), "facade", "vivid", "glass", (0, 0.3), 30, 0.3),
    "roof": (("rooftiles", "plain"), (1.5, 4.0), "brick", (0.5, 1.2), (0.3, 0.8), (0, 0.1), 10, 0.5),
    "panel": (("panel",), (-1.0, -1.0), "wood", (0.85, 1.1), "grey", (0, 0.3), 30, 0.15),
    "panelpaint": (("panel",), (-1.0, -1.0), "any", (0.9, 1.1), "grey", (0, 0.5), 40, 0.1),
    "slats": (("slats",), (0.3, 1.5), "wall", (0.6, 0.9), (0.5, 1.0), (0, 0.2), 20, 0.1),
    "curtain": (("curtain",), (0.6, 1.5), "any", (0.7, 1.3), (0.7, 1.3), (0, 0), 10, 0.1),
    "page": (("page",), (-1.0, -1.0), "white", (0.02, 0.2), "any", (0, 0.2), 20, 0.05),
    "skin": (("plain",), (0.3, 0.5), "skin", (0.9, 1.1), (0.9, 1.1), (0, 0.1), 10, 0.05),
    "cloth": (("fabric", "plain", "stripes", "plaid"), (0.2, 0.6), "any", (0.5, 1.4), "any", (0, 0), 10, 0.2),
    "carpaint": (("plain",), (0.5, 1.5), "car", (0.9, 1.1), (0.9, 1.1), (0.5, 1.0), 60, 0.1),
    "glass": (("plain", "ripples"), (0.6, 2.0), "glass", (0.8, 2.0), (0.8, 3.0), (0.7, 1.0), 60, 0.1),
    "stripes": (("stripes", "checker"), (0.3, 2.0), "vivid", "white", "dark", (0, 0.2), 20, 0.2),
    "poster": (("poster", "photo"), (-1.0, -1.0), RGB, None, None, (0, 0.3), 40, 0.0),
    "books": (("books",), (-1.0, -1.0), RGB, None, None, (0, 0.1), 10, 0.1),
    "goods": (("goods",), (-1.0, -1.0), RGB, None, None, (0, 0.1), 10, 0.1),
    "label": (("poster", "page", "goods"), (-1.0, -1.0), RGB, None, None, (0, 0.4), 40, 0.1),
    "screen": (("screen",), (-1.0, -1.0), RGB, None, None, (0.2, 0.8), 60, 0.0),
}  # fmt: skip

RANDOM_SURFACES = tuple(name for name, row in SURFACES.items() if name not in ("leaves", "autumn"))


def draw(rng: random.Random, name: str, palette: str | None = None, **changes) -> Material:
    """A material of this surface; `palette` replaces the palette of its first colour, `changes` any field."""
    textures, period, first, second, third, specular, gloss, dirt = SURFACES[name]
    texture = rng.choice(TEXTURES[rng.choice(textures)])
    if isinstance(first, str):
        a = colour(rng, palette or first)
        b = colour(rng, second) if isinstance(second, str) else shade(a, rng.uniform(*second))
        c = colour(rng, third) if isinstance(third, str) else shade(a, rng.uniform(*third))
    else:
        a, b, c = first
    low, high = period
    fitted = float(round(rng.uniform(low, high))) if low < 0 else rng.uniform(low, high)
    made = Material(texture, fitted, a, b, c, rng.uniform(*specular), gloss, 0.0, dirt * rng.random())
    return made._replace(**changes) if changes else made


def anything(rng: random.Random) -> Material:
    """Any surface at any scale."""
    made = draw(rng, rng.choice(RANDOM_SURFACES), rng.choice(("any", "vivid", "pastel", "grey", "wood", None)))
    return made._replace(period=made.period * rng.choice((0.2, 0.4, 1.0))) if made.period > 0 else made
