"""Indoor objects in the scene's current frame: x is the object's front, z up, the floor at z = 0."""

from __future__ import annotations

import math
from collections.abc import Callable

from .materials import anything, draw
from .scene import Material, Scene


def legs(s: Scene, half_x: float, half_y: float, height: float, thick: float, m: Material) -> None:
    """Four legs, square or round, under the corners."""
    rounded = s.rng.random() < 0.4
    for sx in (-1, 1):
        for sy in (-1, 1):
            x, y = sx * (half_x - thick), sy * (half_y - thick)
            if rounded:
                s.cone(x, y, 0, 0.5 * thick, 0.6 * thick, height, m)
            else:
                s.box(x, y, 0, thick, thick, height, m)


def table(s: Scene, depth=None, width=None, height=None, full: float = 0.7) -> None:
    r = s.rng
    depth, width = depth or r.uniform(0.6, 1.1), width or r.uniform(0.8, 2.2)
    height = height or r.uniform(0.68, 0.78)
    top = draw(r, r.choice(("wood", "wood", "white", "plain", "planks")))
    leg = draw(r, r.choice(("wood", "metal", "dark", "white")))
    style = r.random()
    if style < 0.2:
        s.cone(0, 0, height - 0.04, 0.5 * depth, 0.5 * depth, 0.04, top)
        s.cone(0, 0, 0.03, 0.04, 0.04, height - 0.07, leg)
        s.cone(0, 0, 0, 0.25, 0.2, 0.03, leg)
        clutter(s, 0.3 * depth, 0.3 * depth, height, int(full * r.randint(0, 8)))
        return
    thick = r.uniform(0.025, 0.06)
    s.box(0, 0, height - thick, depth, width, thick, top)
    if style < 0.8:
        legs(s, 0.5 * depth, 0.5 * width, height - thick, r.uniform(0.03, 0.08), leg)
        if r.random() < 0.4:
            s.box(0, 0, height - thick - 0.08, depth * 0.9, width * 0.9, 0.08, leg)
    else:
        for side in (-1, 1):
            s.box(0, side * (0.5 * width - 0.05), 0, depth * 0.9, 0.04, height - thick, leg)
    clutter(s, 0.42 * depth, 0.45 * width, height, int(full * r.randint(2, 14)))


def clutter(s: Scene, half_x: float, half_y: float, z: float, count: int) -> None:
    """Small things on a surface at height z."""
    for _ in range(count):
        item(s, s.rng.uniform(-half_x, half_x), s.rng.uniform(-half_y, half_y), z)


def item(s: Scene, x: float, y: float, z: float, size: float = 1.0) -> None:
    """One small thing whose foot is at (x, y, z)."""
    r = s.rng
    yaw = r.uniform(0, 6.3)
    kind = r.randrange(10)
    k = size
    if kind == 0:  # mug or tin
        radius, height = r.uniform(0.03, 0.05) * k, r.uniform(0.07, 0.14) * k
        s.cone(
            x, y, z, radius, radius * r.uniform(0.85, 1.15), height, draw(r, r.choice(("plastic", "label", "white")))
        )
        if r.random() < 0.5:
            s.ball(x + radius, y, z + 0.5 * height, 0.03 * k, 0.008 * k, 0.03 * k, draw(r, "white"), yaw)
    elif kind == 1:  # bottle
        radius, height = r.uniform(0.03, 0.05) * k, r.uniform(0.14, 0.24) * k
        m = draw(r, r.choice(("plastic", "glass", "label")))
        s.cone(x, y, z, radius, radius, height, m)
        s.cone(x, y, z + height, radius, 0.35 * radius, 0.3 * height, m)
        s.cone(x, y, z + 1.3 * height, 0.4 * radius, 0.4 * radius, 0.1 * height, draw(r, "vivid"))
    elif kind == 2:  # sheet or magazine
        m = draw(r, r.choice(("page", "page", "poster")))
        s.box(x, y, z, 0.21 * k, 0.29 * k, r.uniform(0.002, 0.012) * k, m, yaw)
    elif kind in (3, 4):  # book pile
        for _ in range(r.randint(1, 4)):
            h = r.uniform(0.01, 0.05) * k
            m = draw(r, r.choice(("plain", "vivid", "label", "poster")))
            s.box(x, y, z, r.uniform(0.13, 0.24) * k, r.uniform(0.18, 0.3) * k, h, m, yaw + r.uniform(-0.4, 0.4))
            z += h
    elif kind in (5, 6):  # carton
        m = draw(r, r.choice(("wood", "label", "plain", "white", "vivid")))
        s.box(x, y, z, r.uniform(0.05, 0.3) * k, r.uniform(0.05, 0.3) * k, r.uniform(0.04, 0.25) * k, m, yaw)
    elif kind == 7:  # fruit, ball
        radius = r.uniform(0.03, 0.11) * k
        s.ball(x, y, z + radius, radius, radius, radius, draw(r, r.choice(("vivid", "plastic", "stripes"))), yaw)
    elif kind == 8:  # bowl, pot, vase
        m = draw(r, r.choice(("plastic", "metal", "white", "wood")))
        a, b = r.uniform(0.04, 0.12) * k, r.uniform(0.05, 0.16) * k
        s.cone(x, y, z, a, b, r.uniform(0.05, 0.25) * k, m)
    else:  # bag, cloth, crumpled things
        a, b, c = r.uniform(0.04, 0.16) * k, r.uniform(0.04, 0.16) * k, r.uniform(0.02, 0.12) * k
        s.ball(x, y, z + 0.7 * c, a, b, c, draw(r, r.choice(("cloth", "plastic", "fabric"))), yaw)


def chair(s: Scene) -> None:
    r = s.rng
    seat = draw(r, r.choice(("wood", "fabric", "plastic", "vivid")))
    frame = draw(r, r.choice(("wood", "metal", "dark")))
    h, w = r.uniform(0.42, 0.48), r.uniform(0.4, 0.5)
    s.box(0, 0, h - 0.04, w, w, r.uniform(0.02, 0.06), seat)
    legs(s, 0.5 * w, 0.5 * w, h - 0.04, r.uniform(0.02, 0.045), frame)
    top = r.uniform(0.35, 0.6)
    x = -0.5 * w
    if r.random() < 0.5:
        s.box(x, 0, h + 0.1, 0.03, w, top - 0.1, seat, pitch=-0.15)
    else:
        for side in (-1, 1):
            s.box(x, side * 0.47 * w, h - 0.04, 0.035, 0.035, top + 0.06, frame)
        for k in range(r.randint(2, 4)):
            s.box(x, 0, h + top - 0.03 - 0.13 * k, 0.02, 0.92 * w, 0.06, seat)


def office_chair(s: Scene) -> None:
    r = s.rng
    seat, frame = (
        draw(r, r.choice(("fabric", "vivid", "plain", "dark"))),
        draw(r, r.choice(("dark", "metal", "white"))),
    )
    h = r.uniform(0.42, 0.52)
    for k in range(5):
        a = k * 1.2566 + 0.3
        s.limb((0, 0, 0.1), (0.28 * math.cos(a), 0.28 * math.sin(a), 0.06), 0.025, 0.018, frame)
        s.ball(0.28 * math.cos(a), 0.28 * math.sin(a), 0.03, 0.03, 0.03, 0.03, frame)
    s.cone(0, 0, 0.1, 0.03, 0.025, h - 0.12, frame)
    s.ball(0, 0, h, 0.25, 0.24, 0.05, seat)
    s.box(-0.26, 0, h, 0.03, 0.06, 0.3, frame, pitch=-0.1)
    if r.random() < 0.5:
        s.box(-0.28, 0, h + 0.15, 0.05, 0.42, r.uniform(0.35, 0.6), seat, pitch=-0.12)
    else:
        s.ball(-0.28, 0, h + 0.38, 0.05, 0.22, 0.28, seat, pitch=-0.12)
    if r.random() < 0.6:
        for side in (-1, 1):
            s.box(-0.02, side * 0.27, h + 0.2, 0.26, 0.05, 0.03, frame)
            s.box(-0.05, side * 0.27, h, 0.04, 0.03, 0.2, frame)


def sofa(s: Scene, width: float | None = None) -> None:
    r = s.rng
    m = draw(r, r.choice(("fabric", "plain", "cushion", "dark")))
    w, d = width or r.uniform(0.9, 2.3), r.uniform(0.8, 1.0)
    h, back = r.uniform(0.36, 0.46), r.uniform(0.35, 0.5)
    s.box(0, 0, 0.06, d, w, h - 0.16, m)
    seats = max(1, round(w / 0.75))
    inner = w - 0.3
    for k in range(seats):
        y = inner * ((k + 0.5) / seats - 0.5)
        s.box(0.06, y, h - 0.1, d - 0.2, inner / seats - 0.02, 0.13, m)
    s.box(-0.5 * d + 0.1, 0, h - 0.1, 0.2, w, back + 0.1, m, pitch=-0.08)
    for side in (-1, 1):
        s.box(0, side * (0.5 * w - 0.08), 0.06, d, 0.16, h + 0.12, m)
    for _ in range(r.randint(0, 3)):
        y = r.uniform(-0.4, 0.4) * w
        s.box(-0.12, y, h + 0.02, 0.12, 0.4, 0.38, draw(r, "cushion"), r.uniform(-0.3, 0.3), -0.35)


def bed(s: Scene) -> None:
    r = s.rng
    w, length, h = r.uniform(0.9, 1.8), 2.0, r.uniform(0.35, 0.6)
    frame, sheet = (
        draw(r, r.choice(("wood", "white", "dark", "metal"))),
        draw(r, r.choice(("cushion", "cloth", "white"))),
    )
    s.box(0, 0, 0.1, length, w, h - 0.25, frame)
    s.box(0, 0, h - 0.15, length - 0.04, w - 0.04, 0.18, draw(r, "white"))
    s.box(0.25, 0, h - 0.13, length * 0.7, w + 0.06, 0.19, sheet)
    s.box(-0.5 * length - 0.02, 0, 0, 0.06, w + 0.06, r.uniform(0.6, 1.2), frame)
    for k in range(1 if w < 1.2 else 2):
        y = 0 if w < 1.2 else (k - 0.5) * 0.5 * w
        s.ball(-0.75, y, h + 0.1, 0.22, 0.3, 0.1, draw(r, r.choice(("white", "cushion"))), r.uniform(-0.3, 0.3))


def cupboard(s: Scene, width=None, height=None) -> None:
    r = s.rng
    w, h, d = (
        width or r.uniform(0.5, 1.8),
        height or r.choice((r.uniform(0.6, 1.1), r.uniform(1.7, 2.2))),
        r.uniform(0.35, 0.65),
    )
    front = draw(r, r.choice(("panel", "panel", "panelpaint", "slats", "glass")))
    body = front._replace(texture=0, period=1.0)
    s.box(0, 0, 0, d, w, h, body)
    s.box(0.5 * d + 0.008, 0, 0.06, 0.016, w - 0.02, h - 0.08, front)
    clutter(s, 0.3 * d, 0.45 * w, h, r.randint(0, 6))


def shelf(s: Scene, width=None) -> None:
    r = s.rng
    w, h, d = width or r.uniform(0.6, 1.6), r.uniform(0.8, 2.2), r.uniform(0.22, 0.4)
    m = draw(r, r.choice(("wood", "white", "dark", "metal", "plain")))
    for side in (-1, 1):
        s.box(0, side * (0.5 * w - 0.015), 0, d, 0.03, h, m)
    if r.random() < 0.7:
        s.box(-0.5 * d + 0.01, 0, 0, 0.015, w, h, m)
    rows = max(2, round(h / r.uniform(0.3, 0.45)))
    gap = h / rows
    for k in range(rows + 1):
        z = min(k * gap, h - 0.025)
        s.box(0, 0, z, d, w, 0.025, m)
        if k == rows:
            break
        kind = r.random()
        if kind < 0.5:
            part = r.uniform(0.4, 0.95) * (w - 0.06)
            y = r.uniform(-0.5, 0.5) * (w - 0.06 - part)
            s.box(
                -0.02,
                y,
                z + 0.02,
                d * 0.75,
                part,
                gap * r.uniform(0.7, 0.9),
                draw(r, r.choice(("books", "books", "goods"))),
            )
        elif kind < 0.9:
            for _ in range(r.randint(1, 4)):
                item(s, r.uniform(-0.3, 0.3) * d, r.uniform(-0.4, 0.4) * w, z + 0.025)


def counter(s: Scene, width: float) -> None:
    """Kitchen counter with fronts, worktop, things on it, often wall cupboards above."""
    r = s.rng
    front = draw(r, r.choice(("panelpaint", "panel")), r.choice(("vivid", "wall", "wood", "any")))
    body = front._replace(texture=0, period=1.0)
    top = draw(r, r.choice(("dark", "wood", "concrete", "white", "metal")))
    units = max(1, round(width / 0.6))
    s.box(-0.02, 0, 0.1, 0.56, width, 0.76, body)
    for k in range(units):
        y = width * ((k + 0.5) / units - 0.5)
        m = draw(r, "metal") if r.random() < 0.12 else front._replace(texture=front.texture)
        s.box(0.27, y, 0.12, 0.02, width / units - 0.015, 0.72, m)
    s.box(0, 0, 0.86, 0.62, width, 0.04, top)
    clutter(s, 0.22, 0.45 * width, 0.9, int(width * r.uniform(2, 7)))
    if r.random() < 0.4:
        s.box(-0.2, r.uniform(-0.3, 0.3) * width, 0.9, 0.36, 0.48, 0.28, draw(r, "dark"))
    if r.random() < 0.7:
        s.box(-0.13, 0, 1.42, 0.34, width, 0.7, body)
        for k in range(units):
            y = width * ((k + 0.5) / units - 0.5)
            s.box(0.05, y, 1.43, 0.02, width / units - 0.015, 0.68, front)


def fridge(s: Scene) -> None:
    m = draw(s.rng, s.rng.choice(("white", "metal", "vivid")))
    h = s.rng.uniform(1.4, 2.0)
    s.box(0, 0, 0, 0.6, 0.62, h, m)
    s.box(0.32, 0, 0.04, 0.04, 0.6, 0.62 * h, m)
    s.box(0.32, 0, 0.64 * h, 0.04, 0.6, 0.35 * h, m)
    s.box(0.36, 0.24, 0.35 * h, 0.02, 0.03, 0.25 * h, draw(s.rng, "metal"))


def machine(s: Scene) -> None:
    """Washing machine or stove."""
    r = s.rng
    s.box(0, 0, 0, 0.6, 0.6, 0.86, draw(r, r.choice(("white", "metal"))))
    s.cone(0.3, 0, 0.42, 0.2, 0.2, 0.03, draw(r, "dark"), math.pi / 2, 0)
    s.box(0.305, 0, 0.72, 0.01, 0.56, 0.1, draw(r, "plastic"))


def monitor(s: Scene, x: float, y: float, z: float) -> None:
    r = s.rng
    dark = draw(r, r.choice(("dark", "dark", "white")))
    w, h = r.uniform(0.4, 0.65), r.uniform(0.28, 0.38)
    s.box(x, y, z, 0.18, 0.22, 0.015, dark)
    s.box(x, y, z, 0.03, 0.05, 0.15, dark)
    s.box(x, y, z + 0.12, 0.04, w, h, dark)
    s.box(x + 0.023, y, z + 0.135, 0.008, w - 0.03, h - 0.03, draw(r, "screen", emission=r.choice((0.0, 0.3, 0.8))))


def desk(s: Scene, width: float | None = None, height: float | None = None) -> None:
    r = s.rng
    w, d, h = width or r.uniform(1.1, 1.9), r.uniform(0.6, 0.85), height or r.uniform(0.7, 0.76)
    table(s, d, w, h, 0.5)
    for _ in range(r.choice((0, 1, 1, 2))):
        monitor(s, -0.12, r.uniform(-0.3, 0.3) * w, h)
        s.box(0.14, r.uniform(-0.2, 0.2) * w, h, 0.15, 0.42, 0.02, draw(r, "dark"))
    if r.random() < 0.5:
        s.box(-0.02, (0.5 * w - 0.25) * r.choice((-1, 1)), 0, 0.5, 0.4, 0.6, draw(r, "panelpaint"))


def lamp(s: Scene) -> None:
    r = s.rng
    m = draw(r, r.choice(("metal", "dark", "wood")))
    h = r.uniform(1.2, 1.8)
    s.cone(0, 0, 0, 0.15, 0.13, 0.03, m)
    s.cone(0, 0, 0, 0.015, 0.015, h, m)
    s.cone(
        0, 0, h - 0.05, r.uniform(0.12, 0.25), r.uniform(0.08, 0.2), 0.25, draw(r, "white", emission=r.uniform(0, 2))
    )


def plant(s: Scene) -> None:
    r = s.rng
    s.cone(0, 0, 0, 0.13, 0.18, 0.32, draw(r, r.choice(("bricks", "plastic", "white"))))
    h = r.uniform(0.4, 1.3)
    s.cone(0, 0, 0.3, 0.02, 0.015, h, draw(r, "bark"))
    for _ in range(r.randint(3, 8)):
        a, reach = r.uniform(0, 6.3), r.uniform(0.05, 0.3)
        leaf = draw(r, r.choice(("leaves", "bush")), period=r.uniform(0.2, 0.5))
        z = 0.3 + h * r.uniform(0.4, 1.1)
        s.ball(reach * math.cos(a), reach * math.sin(a), z, 0.22, 0.14, 0.12, leaf, a, r.uniform(-0.8, 0.8), shape=3)


def bin_(s: Scene) -> None:
    r = s.rng
    m = draw(r, r.choice(("plastic", "vivid", "dark")))
    if r.random() < 0.5:
        s.box(0, 0, 0, 0.3, 0.38, r.uniform(0.4, 0.7), m)
        s.box(0.155, 0, 0.2, 0.005, 0.2, 0.2, draw(r, "label"))
    else:
        s.cone(0, 0, 0, 0.14, 0.19, r.uniform(0.3, 0.6), m)


def boxes(s: Scene) -> None:
    r = s.rng
    z = 0.0
    for _ in range(r.randint(1, 4)):
        h = r.uniform(0.15, 0.5)
        m = draw(r, r.choice(("wood", "label", "plain", "plastic", "white")))
        s.box(
            r.uniform(-0.05, 0.05),
            r.uniform(-0.05, 0.05),
            z,
            r.uniform(0.25, 0.6),
            r.uniform(0.25, 0.6),
            h,
            m,
            r.uniform(-0.3, 0.3),
        )
        z += h


def heap(s: Scene) -> None:
    """Anything on a floor: toys, bags, tools."""
    r = s.rng
    for _ in range(r.randint(2, 7)):
        item(s, r.uniform(-0.4, 0.4), r.uniform(-0.4, 0.4), 0, r.uniform(1.0, 2.5))


def oddity(s: Scene) -> None:
    """Something without a name, so that the model does not only know named things."""
    r = s.rng
    z = 0.0
    for _ in range(r.randint(1, 3)):
        a, b, h = r.uniform(0.1, 0.5), r.uniform(0.1, 0.5), r.uniform(0.1, 0.8)
        kind, m = r.randrange(3), anything(r)
        if kind == 0:
            s.box(0, 0, z, a, b, h, m, r.uniform(0, 3))
        elif kind == 1:
            s.cone(0, 0, z, 0.5 * a, 0.5 * b, h, m)
        else:
            s.ball(0, 0, z + 0.5 * h, 0.5 * a, 0.5 * b, 0.5 * h, m)
        z += 0.9 * h


FREE_STANDING: tuple[Callable[[Scene], None], ...] = (
    table, chair, chair, office_chair, sofa, lamp, plant, bin_, boxes, heap, oddity, shelf,
)  # fmt: skip
AT_WALL: tuple[Callable[[Scene], None], ...] = (
    cupboard, cupboard, shelf, shelf, sofa, desk, table, lamp, plant, boxes, machine, fridge, bin_, chair,
)  # fmt: skip
