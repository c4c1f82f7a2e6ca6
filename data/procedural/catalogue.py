"""Which scenes exist, how often each is drawn, and how a seed becomes a scene."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from . import scenes_indoor as indoor
from . import scenes_outdoor as outdoor
from .scene import Scene
from .viewpoint import settle

# Share of each type in training; 0 = held out, never drawn unless named.
SCENES: dict[str, tuple[Callable[[Scene], None], float]] = {
    "living": (indoor.living, 0.15),
    "bedroom": (indoor.bedroom, 0.06),
    "kitchen": (indoor.kitchen, 0.08),
    "office": (indoor.office, 0.12),
    "corridor": (indoor.corridor, 0.04),
    "basement": (indoor.basement, 0.08),
    "tabletop": (indoor.tabletop, 0.09),
    "street": (outdoor.street, 0.2),
    "open_ground": (outdoor.open_ground, 0.07),
    "close_up": (outdoor.close_up, 0.05),
    "shapes": (outdoor.shapes, 0.06),
    "warehouse": (indoor.warehouse, 0.0),
    "park": (outdoor.park, 0.0),
}
SCENE_TYPES: tuple[str, ...] = tuple(name for name, (_, share) in SCENES.items() if share > 0)
HELD_OUT: tuple[str, ...] = tuple(name for name, (_, share) in SCENES.items() if share == 0)
HELD_OUT_SEED = 1_000_000_000  # seeds from here on are for evaluation only


def photometry(s: Scene) -> None:
    """Camera and film: how the picture is exposed, blurred, coloured, stored."""
    r = s.rng
    tint = r.gauss(0, 0.06), r.gauss(0, 0.06)
    sharp = r.random()
    sigma = 0.42 if sharp < 0.5 else r.uniform(0.35, 1.2)
    shake = r.uniform(0.5, 2.0) if r.random() < 0.12 else 0.0
    along = r.random()
    noise = 0.0 if r.random() < 0.25 else 0.03 * r.random() ** 2
    s.settings |= {
        "exposure": (min(max(r.gauss(0.47, 0.09), 0.22), 0.72),),
        "contrast": (r.uniform(0.95, 1.55),),
        "gamma": (r.uniform(0.85, 1.2),),
        "white": (1.0 + tint[0], 1.0, 1.0 + tint[1]),
        "saturation": (
            r.choice(
                (r.uniform(0.6, 1.3), r.uniform(0.6, 1.3), r.uniform(0.6, 1.3), 0.0 if r.random() < 0.15 else 1.0)
            ),
        ),
        "vignette": (r.choice((0.0, r.uniform(0, 0.6))),),
        "blur": (sigma + shake * along, sigma + shake * (1 - along)),
        "grain": (noise, 0.7 * noise * r.random()),
        "jpeg": (r.choice((0.0, 0.0, r.uniform(0.2, 0.6), r.uniform(0.6, 1.6))),),
        "seed": (float(r.randrange(1 << 23)),),
    }


def checked_types(scene_types: Sequence[str] | None) -> tuple[str, ...] | None:
    """The names as a tuple, None for none.

    Raises:
        ValueError: an unknown scene type.
    """
    for name in scene_types or ():
        if name not in SCENES:
            raise ValueError(f"scene_types: must be among {', '.join(SCENES)}, got {name!r}. Correct the name.")
    return tuple(scene_types) if scene_types else None


def build_scene(seed: int, scene_types: Sequence[str] | None = None) -> Scene:
    """The scene of a seed; without types, a type is drawn from the training shares.

    Raises:
        ValueError: an unknown scene type.
    """
    names = checked_types(scene_types) or SCENE_TYPES
    scene = Scene(random.Random(int(seed)))
    weights = None if scene_types else [SCENES[name][1] for name in names]
    name = scene.rng.choices(names, weights)[0]
    SCENES[name][0](scene)
    settle(scene)
    photometry(scene)
    return scene
