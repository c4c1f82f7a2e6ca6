"""Indoor scenes: rooms of several uses, corridors, cubicle offices. Each function fills a `Scene`."""

from __future__ import annotations

import math

from . import furniture as f
from .materials import draw
from .people import person
from .rooms import along_walls, around_table, hand_held, indoor_light, scatter, shell
from .scene import Scene


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
