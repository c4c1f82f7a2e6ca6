"""Indoor scenes: rooms of several uses, corridors, cubicle offices. Each function fills a `Scene`."""

from __future__ import annotations

import math

from . import furniture as f
from .materials import draw
from .people import person
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


def _room(s: Scene, low: float, high: float, rough: bool = False):
    r = s.rng
    x, y, height = r.uniform(low, high), r.uniform(low, high), r.uniform(2.3, 3.0)
    indoor_light(s, x, y, height)
    hand_held(s, x, y, height)
    return x, y, shell(s, x, y, height, rough)


def living(s: Scene) -> None:
    r = s.rng
    x, y, frames = _room(s, 1.6, 3.5)
    along_walls(s, frames, f.AT_WALL)
    if r.random() < 0.6:
        s.at(r.uniform(-0.4, 0.4) * x, r.uniform(-0.4, 0.4) * y, 0, r.uniform(0, 6.3))
        s.box(0, 0, 0, r.uniform(1.2, 2.5), r.uniform(1.0, 2.0), 0.01, draw(r, "rug"), caster=0)
    scatter(s, x, y, f.FREE_STANDING, r.randint(1, 6))
    if r.random() < 0.4:
        around_table(s, x, y)
    people(s, x, y, 0.2)


def people(s: Scene, x: float, y: float, chance: float) -> None:
    if s.rng.random() < chance:
        scatter(s, x, y, (person,), s.rng.randint(1, 2))


def bedroom(s: Scene) -> None:
    r = s.rng
    x, y, frames = _room(s, 1.6, 2.8)
    wx, wy, yaw, _ = r.choice(frames)
    s.at(wx + 1.1 * math.cos(yaw), wy + 1.1 * math.sin(yaw), 0, yaw)
    f.bed(s)
    along_walls(s, frames, (f.cupboard, f.shelf, f.desk, f.lamp, f.chair, f.boxes, f.plant), 0.5)
    scatter(s, x, y, (f.chair, f.heap, f.bin_, f.lamp, f.oddity), r.randint(0, 3))


def kitchen(s: Scene) -> None:
    r = s.rng
    x, y, frames = _room(s, 1.5, 3.0)
    walls = r.sample(frames, r.randint(1, 2))
    for wx, wy, yaw, length in walls:
        s.at(wx + 0.31 * math.cos(yaw), wy + 0.31 * math.sin(yaw), 0, yaw)
        f.counter(s, length * r.uniform(0.5, 0.98))
    along_walls(
        s, [w for w in frames if w not in walls], (f.cupboard, f.fridge, f.machine, f.shelf, f.chair, f.bin_), 0.5
    )
    if r.random() < 0.75:
        around_table(s, x, y)
    scatter(s, x, y, (f.chair, f.bin_, f.plant, f.heap), r.randint(0, 3))
    people(s, x, y, 0.15)


def office(s: Scene) -> None:
    """Desks in rows, often with cubicle partitions."""
    r = s.rng
    x, y, frames = _room(s, 2.0, 4.2)
    partition, rail = draw(r, "partition"), draw(r, r.choice(("metal", "white", "wood")))
    cubicles, high = r.random() < 0.65, r.uniform(1.2, 1.7)
    step_x, step_y = r.uniform(1.9, 2.8), r.uniform(1.6, 2.1)
    cx, cy, _ = s.settings["camera"]
    gx = -x + 1.0
    while gx < x - 0.6:
        gy = -y + 1.0
        while gy < y - 0.8:
            clear = math.hypot(gx - cx, gy - cy) > 0.9
            if clear and r.random() < 0.85 and len(s.rows) < 260:
                s.at(gx, gy, 0, 0 if r.random() < 0.9 else 1.57)
                f.desk(s, step_y - 0.15)
                if cubicles:
                    s.box(-0.5, 0, 0.05, 0.06, step_y, high, partition)
                    s.box(-0.5, 0, high + 0.05, 0.07, step_y, 0.04, rail)
                    for side in (-1, 1):
                        s.box(0.1, side * 0.5 * step_y, 0.05, 1.25, 0.05, high, partition)
                        s.box(0.72, side * 0.5 * step_y, 0, 0.05, 0.06, high + 0.06, rail)
                if r.random() < 0.8:
                    s.at(gx + r.uniform(0.6, 0.9), gy + r.uniform(-0.3, 0.3), 0, math.pi + r.gauss(0, 0.6))
                    f.office_chair(s)
            gy += step_y
        gx += step_x
    along_walls(s, frames, (f.cupboard, f.shelf, f.bin_, f.plant, f.boxes), 0.3)
    people(s, x, y, 0.3)


def corridor(s: Scene) -> None:
    r = s.rng
    x, y, height = r.uniform(5, 14), r.uniform(0.8, 1.6), r.uniform(2.3, 3.2)
    indoor_light(s, x, y, height)
    s.settings["fill_reach"] = (4.0,)
    frames = shell(s, x, y, height, r.random() < 0.2)

    def view() -> None:
        s.settings |= {
            "camera": (r.uniform(-0.95, 0.0) * x, r.uniform(-0.5, 0.5) * y, r.uniform(0.8, 1.8)),
            "angles": (r.gauss(0, 0.25), r.gauss(0.08, 0.15), r.gauss(0, 0.04)),
            "fov": (r.uniform(45, 85),),
        }

    s.viewpoint = view
    view()
    along_walls(s, frames[2:], (f.cupboard, f.shelf, f.bin_, f.plant, f.chair, f.boxes), 0.25)
    people(s, x, y, 0.4)


def basement(s: Scene) -> None:
    """Rough walls, shelves, machines, posts, heaps."""
    r = s.rng
    x, y, frames = _room(s, 2.0, 4.0, rough=True)
    along_walls(s, frames, (f.shelf, f.shelf, f.machine, f.boxes, f.cupboard, f.fridge, f.heap, f.oddity), 0.8)
    scatter(s, x, y, (f.boxes, f.heap, f.oddity, f.shelf, f.table, f.chair, f.machine), r.randint(2, 6))
    s.at(0, 0)
    for _ in range(r.randint(0, 3)):
        s.cone(
            r.uniform(-0.7, 0.7) * x,
            r.uniform(-0.7, 0.7) * y,
            0,
            0.06,
            0.06,
            3,
            draw(r, r.choice(("metal", "wood", "dark"))),
        )


def tabletop(s: Scene) -> None:
    """A table seen from close by, things on it, a room behind."""
    r = s.rng
    x, y, height = r.uniform(1.5, 3.5), r.uniform(1.5, 3.5), r.uniform(2.3, 3.0)
    indoor_light(s, x, y, height)
    frames = shell(s, x, y, height)
    yaw, h = r.uniform(0, 6.3), r.uniform(0.6, 0.8)
    width, depth = r.uniform(0.8, 2.0), r.uniform(0.6, 1.2)
    s.at(0, 0, 0, yaw)
    s.settings |= {"camera": (0, 0, 0)}
    if r.random() < 0.6:
        f.table(s, depth, width, h, 0.4)
    else:  # a desk against a partition or a board, a chair before it
        f.desk(s, width, h)
        depth = 0.7
        back = draw(r, r.choice(("partition", "paint", "wood", "plain")))
        s.box(-0.45, 0, 0, 0.05, width + 0.2, r.uniform(1.0, 1.7), back)
        for side in r.choice(((), (-1,), (1,), (-1, 1))):
            s.box(0.1, side * (0.5 * width + 0.1), 0, 1.2, 0.05, r.uniform(1.0, 1.6), back)
        s.at(
            r.uniform(0.6, 0.9) * math.cos(yaw),
            r.uniform(0.6, 0.9) * math.sin(yaw),
            0,
            yaw + math.pi + r.gauss(0, 0.6),
        )
        r.choice((f.office_chair, f.chair))(s)
        s.at(0, 0, 0, yaw)
    for _ in range(r.randint(3, 16)):
        f.item(s, r.uniform(-0.45, 0.45) * depth, r.uniform(-0.45, 0.45) * width, h, r.uniform(0.8, 1.6))

    def view() -> None:
        away, up = r.choice((r.uniform(0.4, 1.1), r.uniform(1.0, 2.2))), r.uniform(0.1, 0.8)
        s.near = 0.5 * away
        turn = yaw + r.gauss(0, 0.7) if r.random() < 0.7 else r.uniform(0, 6.3)
        s.settings |= {
            "camera": (away * math.cos(turn), away * math.sin(turn), h + up),
            "angles": (turn + math.pi + r.gauss(0, 0.2), math.atan2(up, away) * r.uniform(0.3, 1.1), r.gauss(0, 0.08)),
            "fov": (r.uniform(40, 75),),
        }

    s.viewpoint = view
    view()
    along_walls(s, frames, f.AT_WALL, 0.6)
    scatter(s, x, y, f.FREE_STANDING, r.randint(0, 4))


def warehouse(s: Scene) -> None:
    """High racks with pallets; held out."""
    r = s.rng
    x, y, height = r.uniform(6, 15), r.uniform(4, 8), r.uniform(4, 7)
    indoor_light(s, x, y, height)
    s.settings["key_reach"] = (8.0,)
    shell(s, x, y, height, rough=True)
    hand_held(s, x, 0.3 * y, 2.2)
    post = draw(r, "vivid")
    for row in range(-2, 3):
        if row == 0:
            continue
        for k in range(-3, 4):
            s.at(k * 2.4, row * 0.4 * y)
            for side in (-1, 1):
                s.box(1.2, side * 0.45, 0, 0.08, 0.08, 0.8 * height, post)
            for level in range(3):
                s.box(0, 0, 0.1 + 1.3 * level, 2.4, 0.9, 0.08, post)
                for u in (-0.6, 0.6):
                    if r.random() < 0.7:
                        m = draw(r, r.choice(("wood", "label", "plain", "goods", "white")))
                        s.box(u, 0, 0.18 + 1.3 * level, r.uniform(0.6, 1.1), 0.85, r.uniform(0.3, 1.1), m)
