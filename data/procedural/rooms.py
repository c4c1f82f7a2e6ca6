"""What indoor scenes share: light, walls with what hangs on them, furniture along and between them, the camera."""

from __future__ import annotations

import math

from . import furniture as f
from .materials import draw
from .scene import Scene


def indoor_light(s: Scene, x: float, y: float, height: float) -> None:
    """One lamp with shadows, a fill, and a warm or cold cast."""
    r = s.rng
    warm = r.uniform(0.7, 1.0)
    power = r.uniform(0.8, 2.2)
    cast = (power, power * (0.5 + 0.5 * warm), power * (0.1 + 0.9 * warm))
    ambient = r.uniform(0.08, 0.45)
    place = (r.uniform(-0.8, 0.8) * x, r.uniform(-0.8, 0.8) * y, height - 0.15)
    if r.random() < 0.35:  # daylight from a window instead
        side = r.choice((-1, 1))
        place = (side * (x + 0.3), r.uniform(-0.8, 0.8) * y, r.uniform(1.2, 2.2))
        if r.random() < 0.5:
            place = (r.uniform(-0.8, 0.8) * x, side * (y + 0.3), place[2])
    s.settings |= {
        "key_position": place,
        "key_colour": cast,
        "key_reach": (r.uniform(1.5, 5.0),),
        "fill_position": (r.uniform(-0.9, 0.9) * x, r.uniform(-0.9, 0.9) * y, height * r.uniform(0.5, 0.95)),
        "fill_colour": tuple(r.uniform(0, 1.0) * c for c in cast),
        "fill_reach": (r.uniform(1.0, 3.0),),
        "ambient_up": tuple(ambient * c for c in (1.0, 0.97, 0.93)),
        "ambient_down": tuple(ambient * r.uniform(0.5, 1.0) * c for c in (1.0, 0.95, 0.88)),
        "room": (-x, x, -y, y, 0.0, height),
    }


def shell(s: Scene, x: float, y: float, height: float, rough: bool = False) -> list[tuple[float, float, float, float]]:
    """Floor, ceiling, four walls with doors, windows, pictures. Returns wall frames: (x, y, yaw, length)."""
    r = s.rng
    floor = draw(
        r,
        r.choice(
            ("planks", "planks", "carpet", "carpet", "tiles", "concrete")
            if not rough
            else ("concrete", "asphalt", "tiles")
        ),
    )
    wall = draw(
        r,
        r.choice(
            ("paint", "paint", "paint", "paint", "fabric", "tiles", "brickpaint")
            if not rough
            else ("bricks", "brickpaint", "concrete", "stones")
        ),
    )
    ceiling = draw(
        r,
        r.choice(("white", "white", "paint", "tiles", "wood"))
        if not rough
        else r.choice(("wood", "concrete", "dark")),
    )
    s.at(0, 0)
    s.box(0, 0, -0.2, 2 * x + 1, 2 * y + 1, 0.2, floor, caster=0)
    s.box(0, 0, height, 2 * x + 1, 2 * y + 1, 0.2, ceiling, caster=0)
    frames = [
        (x, 0.0, math.pi, 2 * y),
        (-x, 0.0, 0.0, 2 * y),
        (0.0, y, -math.pi / 2, 2 * x),
        (0.0, -y, math.pi / 2, 2 * x),
    ]
    skirting = draw(r, r.choice(("white", "wood", "dark")))
    skirt = r.random() < 0.6
    for wx, wy, yaw, length in frames:
        s.at(wx, wy, 0, yaw)
        m = wall if r.random() < 0.85 else draw(r, r.choice(("paint", "plain", "bricks", "panel", "stripes")))
        s.box(-0.1, 0, 0, 0.2, length + 0.4, height, m, caster=0)
        if skirt:
            s.box(0.01, 0, 0, 0.02, length, 0.1, skirting, caster=0)
        wall_things(s, length, height)
    s.at(0, 0)
    if r.random() < 0.5:  # ceiling lamps
        glow = draw(r, "white", emission=r.uniform(0.5, 3.0))
        for _ in range(r.randint(1, 4)):
            a, b = r.uniform(-0.8, 0.8) * x, r.uniform(-0.8, 0.8) * y
            if r.random() < 0.6:
                s.box(a, b, height - 0.04, r.choice((0.3, 0.6, 1.2)), r.choice((0.2, 0.6)), 0.04, glow, caster=0)
            else:
                s.cone(a, b, height - 0.6, 0.2, 0.1, 0.2, glow, caster=0)
                s.cone(a, b, height - 0.4, 0.01, 0.01, 0.4, draw(r, "dark"), caster=0)
    if rough or r.random() < 0.12:  # beams, pipes
        m = draw(r, r.choice(("wood", "concrete", "metal", "white")))
        for k in range(r.randint(2, 5)):
            b = (k - 2) * 0.9 + r.uniform(-0.2, 0.2)
            s.box(0, b, height - 0.2, 2 * x, 0.12, 0.2, m, caster=0)
        for _ in range(r.randint(0, 3)):
            b = r.uniform(-0.8, 0.8) * y
            s.cone(-x, b, height - 0.3, 0.06, 0.06, 2 * x, draw(r, "metal"), math.pi / 2, 0, caster=0)
    return frames


def wall_things(s: Scene, length: float, height: float) -> None:
    """Doors, windows, pictures, boards, shelves on the wall of the current frame (inwards = +x)."""
    r = s.rng
    spot = -0.5 * length + 0.3
    while spot < 0.5 * length - 0.8:
        kind = r.random()
        width = r.uniform(0.4, 1.8)
        y = spot + 0.5 * width
        if kind < 0.14:
            width, m = (
                r.uniform(0.75, 1.0),
                draw(r, r.choice(("panel", "panelpaint")), r.choice(("wood", "white", "any"))),
            )
            y, h = spot + 0.5 * width, min(2.05, height)
            s.box(0.0, y, 0, 0.06, width + 0.14, h + 0.07, draw(r, r.choice(("white", "wood", "dark"))), caster=0)
            s.box(0.02, y, 0, 0.06, width, h, m, caster=0)
            s.box(0.07, y + 0.4 * width, 1.0, 0.05, 0.1, 0.02, draw(r, "metal"), caster=0)
        elif kind < 0.34:
            low = r.choice((0.05, 0.8, 0.9))
            h = min(r.uniform(0.9, 1.5), height - low - 0.15)
            frame = draw(r, r.choice(("white", "wood", "dark")))
            s.box(0.0, y, low, 0.05, width, h, frame, caster=0)
            bright = draw(r, r.choice(("poster", "white", "white", "poster")), emission=r.uniform(1.0, 6.0))
            panes = r.choice((1, 2, 3))
            for k in range(panes):
                s.box(
                    0.022,
                    y + width * ((k + 0.5) / panes - 0.5),
                    low + 0.06,
                    0.02,
                    width / panes - 0.07,
                    h - 0.12,
                    bright,
                    caster=0,
                )
            if r.random() < 0.4:
                cloth = draw(r, "curtain")
                for side in (-1, 1):
                    s.box(
                        0.1,
                        y + side * 0.55 * width,
                        max(low - 0.6, 0.05),
                        0.08,
                        0.3 * width,
                        min(h + 0.8, height - 0.1),
                        cloth,
                        caster=0,
                    )
            elif r.random() < 0.3:
                s.box(0.06, y, low + h * r.uniform(0.1, 0.7), 0.03, width, h, draw(r, "slats"), caster=0)
            if r.random() < 0.4 and low > 0.5:
                s.box(0.06, y, 0.1, 0.1, width, 0.6, draw(r, "slats", "white"))
        elif kind < 0.6:
            h = r.uniform(0.3, 0.9)
            z = r.uniform(1.1, 1.5)
            s.box(0.0, y, z, 0.03, width * 0.8, h, draw(r, r.choice(("dark", "wood", "white", "metal"))), caster=0)
            s.box(
                0.01,
                y,
                z + 0.03,
                0.03,
                width * 0.8 - 0.06,
                h - 0.06,
                draw(r, r.choice(("poster", "poster", "white", "page", "screen"))),
                caster=0,
            )
        elif kind < 0.7:
            for k in range(r.randint(1, 3)):
                z = 1.1 + 0.35 * k
                s.box(0.12, y, z, 0.24, width, 0.025, draw(r, r.choice(("wood", "white", "vivid"))))
                for _ in range(r.randint(1, 5)):
                    f.item(s, 0.12, y + r.uniform(-0.4, 0.4) * width, z + 0.025)
        spot += width + r.uniform(0.1, 1.2)


def hand_held(s: Scene, x: float, y: float, top: float) -> None:
    """A camera anywhere in the room, looking mostly across it."""
    r = s.rng
    s.viewpoint = lambda: hand_held(s, x, y, top)
    cx, cy = r.uniform(-0.9, 0.9) * x, r.uniform(-0.9, 0.9) * y
    tx, ty = r.uniform(-0.8, 0.8) * x, r.uniform(-0.8, 0.8) * y
    if math.hypot(tx - cx, ty - cy) < 0.35 * max(x, y):
        tx, ty = -0.5 * cx, -0.5 * cy
    yaw = math.atan2(ty - cy, tx - cx) + r.gauss(0, 0.25)
    pitch = r.gauss(0.2, 0.2) if r.random() < 0.8 else r.gauss(0.55, 0.2)
    s.settings |= {
        "camera": (cx, cy, min(r.uniform(0.6, 1.9), top - 0.2)),
        "angles": (yaw, max(min(pitch, 1.1), -0.4), r.gauss(0, 0.06)),
        "fov": (r.uniform(45, 85),),
    }


def along_walls(s: Scene, frames, builders, density: float = 0.7) -> None:
    r = s.rng
    for wx, wy, yaw, length in frames:
        spot = -0.5 * length + 0.4
        while spot < 0.5 * length - 0.5:
            if r.random() < density:
                width = r.uniform(0.6, 1.4)
                y = spot + 0.5 * width
                c, sn = math.cos(yaw), math.sin(yaw)
                d = r.uniform(0.3, 0.5)
                s.at(wx + c * d - sn * y, wy + sn * d + c * y, 0, yaw + r.gauss(0, 0.03))
                r.choice(builders)(s)
                spot += width + r.uniform(0.1, 0.8)
            else:
                spot += r.uniform(0.5, 1.5)


def scatter(s: Scene, x: float, y: float, builders, count: int) -> None:
    """Free-standing things, not on the camera's toes."""
    r = s.rng
    cx, cy, _ = s.settings["camera"]
    for _ in range(count):
        a, b = r.uniform(-0.85, 0.85) * x, r.uniform(-0.85, 0.85) * y
        if math.hypot(a - cx, b - cy) > 0.7:
            s.at(a, b, 0, r.uniform(0, 6.3))
            r.choice(builders)(s)


def around_table(s: Scene, x: float, y: float) -> None:
    r = s.rng
    a, b, yaw = r.uniform(-0.4, 0.4) * x, r.uniform(-0.4, 0.4) * y, r.uniform(0, 6.3)
    s.at(a, b, 0, yaw)
    f.table(s, r.uniform(0.8, 1.2), r.uniform(1.2, 2.4))
    for k in range(r.randint(2, 6)):
        side = 1 if k % 2 else -1
        u, v = side * r.uniform(0.6, 0.9), (k // 2 - 1) * 0.65 + r.uniform(-0.1, 0.1)
        c, sn = math.cos(yaw), math.sin(yaw)
        s.at(a + c * u - sn * v, b + sn * u + c * v, 0, yaw + (math.pi if side > 0 else 0) + r.gauss(0, 0.3))
        f.chair(s)
