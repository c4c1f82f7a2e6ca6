"""A scene on the host: a flat table of primitives, a camera, lights and a sky.

Axes: x forward, y left, z up, metres. Every primitive is a unit shape under an affine map: an orientation (yaw about
z, then pitch about y, then roll about x), half sizes and a centre. Plain Python lists are appended to, because at a
hundred small objects a scene they are faster than numpy; `Scene.table()` turns them into one float32 array.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

BOX, BALL, CONE, LEAFY = 0, 1, 2, 3  # LEAFY: an ellipsoid with holes cut by the alpha channel of its texture

# Columns of the primitive table.
COLUMNS = {
    "shape": 0,
    "centre": slice(1, 4),
    "angles": slice(4, 7),
    "half": slice(7, 10),
    "taper": 10,
    "caster": 11,
    "texture": 12,
    "uv_scale": slice(13, 16),
    "uv_offset": slice(16, 18),
    "colours": slice(18, 27),
    "specular": 27,
    "gloss": 28,
    "emission": 29,
    "dirt": 30,
    "texels": 31,
}
WIDTH = 32


class Material(NamedTuple):
    """How a surface looks.

    texture: index into the texture bank. period: metres per repeat, or (if negative) minus the repeats per face.
    a, b, c: linear RGB that the three texture channels weight. specular 0..1, gloss exponent, emission (factor on the
    albedo that is added as light), dirt 0..1 (strength of the large-scale stains).
    """

    texture: int
    period: float
    a: tuple[float, float, float]
    b: tuple[float, float, float]
    c: tuple[float, float, float]
    specular: float = 0.0
    gloss: float = 20.0
    emission: float = 0.0
    dirt: float = 0.3


@dataclass
class Scene:
    """Builder of one scene; `rng` is its only source of randomness."""

    rng: random.Random
    rows: list = field(default_factory=list)
    frame: tuple[float, float, float, float, float] = (0.0, 0.0, 0.0, 0.0, 1.0)  # x, y, z, yaw, scale
    settings: dict = field(default_factory=dict)
    viewpoint: Callable[[], None] | None = None  # draws another camera
    near: float = 0.7  # metres; most of a good view lies beyond

    # -- frames ---------------------------------------------------------------------------------------------------
    def at(self, x: float, y: float, z: float = 0.0, yaw: float = 0.0, scale: float = 1.0) -> Scene:
        """Place what follows at this point, turned by yaw."""
        self.frame = (x, y, z, yaw, scale)
        return self

    def world(self, x: float, y: float, z: float) -> tuple[float, float, float]:
        fx, fy, fz, yaw, scale = self.frame
        c, s = math.cos(yaw) * scale, math.sin(yaw) * scale
        return fx + c * x - s * y, fy + s * x + c * y, fz + z * scale

    # -- shapes ---------------------------------------------------------------------------------------------------
    def add(self, shape, centre, half, material, angles=(0.0, 0.0, 0.0), taper=0.0, caster=1.0) -> None:
        """Append one primitive given in the current frame."""
        scale = self.frame[4]
        hx, hy, hz = half[0] * scale, half[1] * scale, half[2] * scale
        m = material
        if m.period > 0:
            k = 1.0 / m.period
            if shape == BOX:
                su, sv, sw = hx * k, hy * k, hz * k
            else:  # u runs round the axis (half a turn = 1), v along it
                su, sv, sw = 3.14159 * hx * k, hy * k, hz * k
            texels = k * 256.0
        else:
            su = sv = sw = -0.5 * m.period
            texels = 128.0 * -m.period / max(min(max(hx, hy), hz if hz > 0.05 else 9e9), 0.05)
        rnd = self.rng.random
        # A fitted texture starts at the face's corner, a repeating one anywhere.
        ou, ov = (rnd(), rnd()) if m.period > 0 else (su, sw)
        place = (
            shape,
            *self.world(*centre),
            angles[0] + self.frame[3],
            angles[1],
            angles[2],
            hx,
            hy,
            hz,
            taper,
            caster,
        )
        look = (m.texture, su, sv, sw, ou, ov, *m.a, *m.b, *m.c, m.specular, m.gloss, m.emission, m.dirt, texels)
        self.rows.append(place + look)

    def box(self, x, y, z, sx, sy, sz, material, yaw=0.0, pitch=0.0, roll=0.0, caster=1.0) -> None:
        """Box with full sizes sx, sy, sz whose bottom centre is (x, y, z)."""
        half = (0.5 * sx, 0.5 * sy, 0.5 * sz)
        self.add(BOX, (x, y, z + 0.5 * sz), half, material, (yaw, pitch, roll), caster=caster)

    def ball(self, x, y, z, rx, ry, rz, material, yaw=0.0, pitch=0.0, roll=0.0, shape=BALL, caster=1.0) -> None:
        """Ellipsoid with semi-axes rx, ry, rz centred on (x, y, z)."""
        self.add(shape, (x, y, z), (rx, ry, rz), material, (yaw, pitch, roll), caster=caster)

    def cone(self, x, y, z, base, top, height, material, pitch=0.0, yaw=0.0, caster=1.0) -> None:
        """Upright (or pitched) frustum with these radii; its bottom centre is (x, y, z)."""
        r = max(0.5 * (base + top), 1e-3)
        taper = (top - base) / (2 * r)
        centre = (
            x + 0.5 * height * math.sin(pitch) * math.cos(yaw),
            y + 0.5 * height * math.sin(pitch) * math.sin(yaw),
            z + 0.5 * height * math.cos(pitch),
        )
        self.add(CONE, centre, (r, r, 0.5 * height), material, (yaw, pitch, 0.0), taper, caster)

    def limb(self, p, q, base, top, material, caster=1.0) -> None:
        """Frustum from point p to point q."""
        dx, dy, dz = q[0] - p[0], q[1] - p[1], q[2] - p[2]
        length = math.sqrt(dx * dx + dy * dy + dz * dz) + 1e-6
        self.cone(*p, base, top, length, material, math.acos(dz / length), math.atan2(dy, dx), caster)

    # -- result ---------------------------------------------------------------------------------------------------
    def table(self) -> np.ndarray:
        """Primitive table. Shape (P, WIDTH), float32."""
        return np.array(self.rows, dtype=np.float32).reshape(-1, WIDTH)


# Scalars and vectors that describe the rest of a scene, with their defaults; all become one float32 row per scene.
SETTINGS: dict[str, tuple[float, ...]] = {
    "camera": (0.0, 0.0, 1.5),
    "angles": (0.0, 0.0, 0.0),  # yaw, pitch (positive looks down), roll
    "fov": (60.0,),  # horizontal, degrees
    "key_position": (200.0, 100.0, 300.0),
    "key_colour": (1.0, 1.0, 1.0),
    "key_reach": (1e6,),  # metres at which the light has fallen to a half; large = sun
    "fill_position": (0.0, 0.0, 2.4),
    "fill_colour": (0.0, 0.0, 0.0),
    "fill_reach": (2.0,),
    "ambient_up": (0.3, 0.35, 0.4),
    "ambient_down": (0.15, 0.14, 0.13),
    "zenith": (0.2, 0.4, 0.8),
    "horizon": (0.7, 0.8, 0.9),
    "clouds": (0.5, 0.0, 0.0, 1.0),  # amount, offset u, offset v, scale
    "fog": (0.0,),  # extinction, 1/m
    "room": (-1e4, 1e4, -1e4, 1e4, -1e4, 1e4),  # x, y, z bounds whose corners darken
    "exposure": (0.4,),  # target mean of the finished picture, 0..1
    "contrast": (1.0,),
    "gamma": (1.0,),
    "white": (1.0, 1.0, 1.0),
    "saturation": (1.0,),
    "vignette": (0.0,),
    "blur": (0.0, 0.0),  # sigma in pixels along x and y
    "grain": (0.0, 0.0),  # noise of luminance and of colour, 0..1
    "jpeg": (0.0,),  # quantisation strength, 0 = none
    "seed": (0.0,),
}
