"""People of ellipsoids and limbs, standing, walking or sitting."""

from __future__ import annotations

import math

from .materials import draw
from .scene import Scene


def person(s: Scene, sitting: bool | None = None) -> None:
    """One person at the current frame, facing x."""
    r = s.rng
    k = r.uniform(0.88, 1.08) if r.random() < 0.85 else r.uniform(0.55, 0.8)
    skin, top, legs = draw(r, "skin"), draw(r, "cloth"), draw(r, "cloth", r.choice(("dark", "any", "grey")))
    hair, shoe = draw(r, "dark"), draw(r, "dark")
    sitting = r.random() < 0.15 if sitting is None else sitting
    hip = (0.48 if sitting else 0.9) * k
    stride = 0.0 if sitting else r.uniform(0, 0.35)
    broad = r.uniform(0.85, 1.2)
    for side in (-1, 1):
        y = side * 0.1 * k * broad
        if sitting:
            knee, foot = (0.42 * k, y, hip), (0.42 * k, y, 0.06)
        else:
            knee = (side * stride * 0.5 * k + 0.05, y, 0.48 * k)
            foot = (side * stride * k - 0.05, y, 0.07)
        s.limb((0, y, hip), knee, 0.09 * k * broad, 0.065 * k, legs)
        s.limb(knee, foot, 0.065 * k, 0.045 * k, legs)
        s.ball(foot[0] + 0.06, y, 0.05, 0.13 * k, 0.05 * k, 0.05 * k, shoe)
        shoulder = (0, side * 0.2 * k * broad, hip + 0.5 * k)
        swing = r.uniform(-0.25, 0.35)
        elbow = (swing * 0.4, side * 0.26 * k * broad, hip + 0.24 * k)
        hand = (swing + 0.08, side * r.uniform(0.15, 0.3) * k, hip + r.uniform(-0.05, 0.25) * k)
        s.limb(shoulder, elbow, 0.055 * k, 0.045 * k, top)
        s.limb(elbow, hand, 0.042 * k, 0.035 * k, top if r.random() < 0.6 else skin)
        s.ball(*hand, 0.045 * k, 0.04 * k, 0.05 * k, skin)
    s.ball(0, 0, hip + 0.02 * k, 0.12 * k * broad, 0.17 * k * broad, 0.14 * k, legs)
    s.ball(0, 0, hip + 0.28 * k, 0.125 * k * broad, 0.19 * k * broad, 0.34 * k, top)
    s.cone(0, 0, hip + 0.55 * k, 0.05 * k, 0.05 * k, 0.1 * k, skin)
    s.ball(0.01, 0, hip + 0.73 * k, 0.1 * k, 0.08 * k, 0.12 * k, skin)
    s.ball(-0.02, 0, hip + 0.77 * k, 0.1 * k, 0.088 * k, 0.1 * k, hair)
    if r.random() < 0.3:
        s.box(-0.17 * k, 0, hip + 0.1 * k, 0.14 * k, 0.28 * k, 0.4 * k, draw(r, "cloth"))


def walker(s: Scene, x: float, y: float, z: float = 0.0) -> None:
    s.at(x, y, z, s.rng.uniform(0, 2 * math.pi))
    person(s, sitting=False)
