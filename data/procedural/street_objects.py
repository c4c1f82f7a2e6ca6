"""Outdoor objects, built in the scene's current frame: x is the object's front, z up, the ground at z = 0."""

from __future__ import annotations

import math

from .materials import draw, shade
from .scene import LEAFY, Scene


def car(s: Scene) -> None:
    """Saloon, estate, van, bus or lorry."""
    r = s.rng
    paint, glass, black = (
        draw(r, "carpaint", r.choice(("car", "vivid", "grey", "white"))),
        draw(r, "glass"),
        draw(r, "dark"),
    )
    kind = r.random()
    length, width = r.uniform(3.6, 4.9), r.uniform(1.65, 1.9)
    wheel, radius = 0.31 * length, r.uniform(0.29, 0.36)
    if kind < 0.72:
        deck, roof = r.uniform(0.85, 1.0), r.uniform(1.4, 1.75)
        s.box(0, 0, 0.25, length, width, deck - 0.25, paint)
        back = r.uniform(-0.48, -0.3) * length
        front = r.uniform(0.18, 0.28) * length
        span, mid = front - back, 0.5 * (front + back)
        h = roof - deck
        # A cabin whose screens slope: the glass is a tapered four-sided look-alike of two boxes and tilted panes.
        s.box(mid - 0.02 * length, 0, deck, span * 0.74, width * 0.88, h - 0.05, glass)
        s.box(mid - 0.02 * length, 0, roof - 0.06, span * 0.72, width * 0.86, 0.06, paint)
        slope = 0.5 * h
        for end, sign in ((front, 1), (back, -1)):
            x = end - sign * 0.1 * span
            s.box(
                x,
                0,
                deck - 0.1,
                0.05,
                width * 0.84,
                math.hypot(h, slope) * 1.02,
                glass,
                pitch=-sign * math.atan2(slope, h),
            )
        for x in (mid - 0.3 * span, mid + 0.02, mid + 0.3 * span):
            s.box(x, 0, deck - 0.02, 0.07, width * 0.9, h, paint)
        nose = 0.5 * length
        s.box(0.25 * length, 0, 0.3, 0.5 * length + 0.03, width * 0.96, deck - 0.42, paint)
    else:
        tall, length, width = r.uniform(1.9, 3.4), length + r.uniform(0.5, 6.0) * (kind > 0.85), r.uniform(1.9, 2.5)
        wheel, nose = 0.33 * length, 0.5 * length
        side = (
            draw(r, r.choice(("carpaint", "stripes", "label", "white", "plain")), period=-1.0) if kind > 0.9 else paint
        )
        s.box(-0.1 * length, 0, 0.4, 0.8 * length, width, tall - 0.4, side)
        s.box(0.38 * length, 0, 0.3, 0.24 * length, width * 0.97, tall * 0.75, paint)
        s.box(0.395 * length, 0, tall * 0.52, 0.215 * length, width * 0.99, tall * 0.22, glass)
        if kind > 0.94:
            s.box(-0.1 * length, 0, tall * 0.5, 0.78 * length, width * 1.01, tall * 0.27, glass)
        radius *= 1.2
        deck = 0.9
    for x in (wheel, -wheel):
        for side_ in (-1, 1):
            s.cone(
                x, side_ * (0.5 * width - 0.2), radius, radius, radius, 0.22, black, math.pi / 2, side_ * math.pi / 2
            )
            s.cone(
                x,
                side_ * (0.5 * width),
                radius,
                0.6 * radius,
                0.5 * radius,
                0.03,
                draw(r, "metal"),
                math.pi / 2,
                side_ * math.pi / 2,
            )
    for end, lamp in ((nose, (0.9, 0.9, 0.85)), (-0.5 * length, (0.7, 0.02, 0.02))):
        m = black._replace(a=lamp, emission=r.choice((0.0, 0.5, 2.0)))
        for side_ in (-1, 1):
            s.box(end, side_ * 0.38 * width, deck - 0.3, 0.06, 0.25, 0.14, m)
        s.box(end, 0, 0.28, 0.08, width * 0.98, 0.2, black)
        s.box(end, 0, 0.5, 0.07, 0.5, 0.11, draw(r, "white"))


def tree(s: Scene, height: float | None = None) -> None:
    r = s.rng
    h = height or r.uniform(3.5, 11)
    bark, kind = draw(r, "bark"), r.random()
    name = r.choice(("leaves", "leaves", "leaves", "autumn", "bush"))
    period = r.uniform(0.9, 2.2) * (0.5 + h / 12)
    leaf = draw(r, name, period=period)
    shades = [leaf, *(leaf._replace(a=shade(leaf.a, k), b=shade(leaf.b, k), c=shade(leaf.c, k)) for k in (0.8, 1.2))]
    trunk = r.uniform(0.015, 0.03) * h
    if kind < 0.2:  # conifer
        s.cone(0, 0, 0, trunk, 0.5 * trunk, 0.4 * h, bark)
        layers = r.randint(2, 5)
        for k in range(layers):
            z = h * (0.12 + 0.8 * k / layers)
            base = 0.2 * h * (1 - 0.8 * k / layers)
            s.cone(0, 0, z, base, 0.1 * base, 1.6 * h / (layers + 1), shades[k % 3])
        return
    if kind < 0.27:  # bare
        s.limb((0, 0, 0), (0, 0, 0.6 * h), trunk, 0.6 * trunk, bark)
        for _ in range(r.randint(4, 9)):
            a, z = r.uniform(0, 6.3), r.uniform(0.3, 0.6) * h
            reach = r.uniform(0.1, 0.3) * h
            tip = (reach * math.cos(a), reach * math.sin(a), z + r.uniform(0.15, 0.4) * h)
            s.limb((0, 0, z), tip, 0.4 * trunk, 0.1 * trunk, bark)
        return
    low = r.uniform(0.2, 0.45) * h
    lean = r.gauss(0, 0.03) * h
    s.limb((0, 0, 0), (lean, 0, low + 0.25 * h), trunk, 0.55 * trunk, bark)
    wide = r.uniform(0.16, 0.32) * h
    if kind < 0.4:  # column, poplar
        s.ball(lean, 0, 0.55 * h, 0.4 * wide, 0.4 * wide, 0.45 * h, leaf, shape=LEAFY)
        s.ball(lean, 0, 0.6 * h, 0.25 * wide, 0.25 * wide, 0.36 * h, shades[1])
        return
    for k in range(r.randint(4, 9)):
        a, reach = r.uniform(0, 6.3), wide * r.uniform(0.2, 0.8)
        size = wide * r.uniform(0.45, 0.8)
        z = low + (h - low) * r.uniform(0.2, 0.85)
        rx, ry, rz = size, size * r.uniform(0.8, 1.1), size * r.uniform(0.6, 0.95)
        s.ball(lean + reach * math.cos(a), reach * math.sin(a), z, rx, ry, rz, shades[k % 3], a, shape=LEAFY)
    for k in range(2):
        s.ball(lean, 0, low + (h - low) * (0.35 + 0.2 * k), 0.5 * wide, 0.5 * wide, 0.4 * wide, shades[1 + k])


def bush(s: Scene) -> None:
    r = s.rng
    m = draw(r, r.choice(("bush", "leaves")), period=r.uniform(0.3, 0.9))
    for _ in range(r.randint(1, 4)):
        a = r.uniform(0.25, 0.8)
        shape = LEAFY if r.random() < 0.6 else 1
        s.ball(
            r.uniform(-0.6, 0.6), r.uniform(-0.6, 0.6), 0.5 * a, a, a * r.uniform(0.7, 1.3), a * 0.8, m, shape=shape
        )


def hedge(s: Scene, length: float) -> None:
    m = draw(s.rng, s.rng.choice(("bush", "grass")), "green", period=s.rng.uniform(0.6, 1.5))
    s.box(0, 0, 0, length, s.rng.uniform(0.4, 1.0), s.rng.uniform(0.6, 2.2), m)


def fence(s: Scene, length: float) -> None:
    """Wall, boards, or posts with rails."""
    r = s.rng
    kind = r.random()
    h = r.uniform(0.8, 2.2)
    if kind < 0.4:
        s.box(0, 0, 0, length, 0.25, h, draw(r, r.choice(("bricks", "stones", "concrete", "planks", "brickpaint"))))
        return
    m = draw(r, r.choice(("wood", "dark", "metal", "white")))
    posts = max(2, min(14, round(length / 1.8)))
    for k in range(posts + 1):
        s.box(length * (k / posts - 0.5), 0, 0, 0.08, 0.08, h, m)
    for k in range(r.randint(2, 4)):
        s.box(0, 0, h * (0.2 + 0.22 * k), length, 0.03, 0.07, m)


def lamp_post(s: Scene) -> None:
    r = s.rng
    m, h = draw(r, r.choice(("metal", "dark", "concrete"))), r.uniform(4, 9)
    s.cone(0, 0, 0, 0.1, 0.05, h, m)
    s.limb((0, 0, h), (1.6, 0, h + 0.3), 0.05, 0.04, m)
    s.box(1.6, 0, h + 0.25, 0.6, 0.25, 0.12, m)


def sign(s: Scene) -> None:
    r = s.rng
    m, h = draw(r, "metal"), r.uniform(2.0, 3.2)
    s.cone(0, 0, 0, 0.04, 0.04, h, m)
    face = draw(r, r.choice(("vivid", "label", "stripes")), period=-1.0)
    size = r.uniform(0.3, 0.9)
    if r.random() < 0.5:
        s.cone(0.04, 0, h - 0.3, 0.5 * size, 0.5 * size, 0.03, face, math.pi / 2, 0)
    else:
        s.box(0.05, 0, h - size, 0.03, size * r.uniform(0.6, 1.6), size, face)


def traffic_light(s: Scene) -> None:
    r = s.rng
    m = draw(r, "dark")
    s.cone(0, 0, 0, 0.07, 0.06, 3.2, draw(r, "metal"))
    s.box(0.1, 0, 2.4, 0.2, 0.28, 0.85, m)
    for k, rgb in enumerate(((0.05, 0.8, 0.2), (0.8, 0.5, 0.05), (0.8, 0.05, 0.05))):
        s.cone(0.2, 0, 2.55 + 0.27 * k, 0.1, 0.1, 0.04, m._replace(a=rgb, emission=r.choice((0, 3.0))), math.pi / 2, 0)


def pole_line(s: Scene, length: float) -> None:
    """Telegraph poles and sagging wires along x."""
    r = s.rng
    m, h, gap = draw(r, "bark"), r.uniform(5, 9), r.uniform(15, 30)
    n = max(1, int(length / gap))
    for k in range(n + 1):
        s.cone(k * gap, 0, 0, 0.14, 0.1, h, m)
        s.box(k * gap, 0, h - 0.6, 0.1, 1.6, 0.1, m)
    wire = draw(r, "dark")
    for k in range(n):
        for y in (-0.7, 0.7):
            mid = ((k + 0.5) * gap, y, h - 1.0)
            s.limb((k * gap, y, h - 0.5), mid, 0.02, 0.02, wire)
            s.limb(mid, ((k + 1) * gap, y, h - 0.5), 0.02, 0.02, wire)


def building(s: Scene, width: float, depth: float, height: float) -> None:
    """Front at x = 0 facing +x, extending back."""
    r = s.rng
    m = draw(r, r.choice(("facade", "facade", "facade", "brickfacade", "bricks", "concrete")))
    s.box(-0.5 * depth, 0, 0, depth, width, height, m)
    if r.random() < 0.5:
        s.box(0.03, 0, 0, 0.1, width * 0.96, 3.2, draw(r, r.choice(("shopfront", "concrete", "bricks", "panelpaint"))))
    roof = draw(r, "roof")
    style = r.random()
    if style < 0.5:
        half = 0.5 * depth
        rise = half * r.uniform(0.4, 0.9)
        slope, size = math.atan2(rise, half), math.hypot(rise, half) + 0.4
        for sign_ in (-1, 1):
            s.box(
                -half + sign_ * 0.5 * half,
                0,
                height + 0.5 * rise - 0.1,
                size,
                width + 0.4,
                0.2,
                roof,
                pitch=sign_ * slope,
            )
        s.box(-half, 0, height, depth * 0.5, width, rise * 0.5, m._replace(texture=0))
    else:
        s.box(-0.5 * depth + 0.2, 0, height, depth + 0.5, width + 0.2, r.uniform(0.2, 0.8), draw(r, "concrete"))
    if r.random() < 0.4:
        s.box(-0.4 * depth, r.uniform(-0.3, 0.3) * width, height, 0.7, 0.7, r.uniform(1, 4), draw(r, "bricks"))
    trim = draw(r, r.choice(("white", "concrete", "metal")))
    if r.random() < 0.35:
        for k in range(1, int(height / 3)):
            y = r.uniform(-0.3, 0.3) * width
            s.box(0.5, y, 3 * k, 1.0, 2.2, 0.12, trim)
            s.box(1.0, y, 3 * k, 0.05, 2.2, 0.9, trim)
    if r.random() < 0.3:
        s.box(0.5, 0, 2.8, 1.1, width * 0.6, 0.08, draw(r, "stripes"), pitch=0.3)


def bench(s: Scene) -> None:
    m, leg = draw(s.rng, "wood"), draw(s.rng, "dark")
    s.box(0, 0, 0.42, 0.4, 1.6, 0.05, m)
    s.box(-0.2, 0, 0.5, 0.05, 1.6, 0.4, m, pitch=-0.2)
    for y in (-0.65, 0.65):
        s.box(0, y, 0, 0.4, 0.06, 0.42, leg)


def rock(s: Scene, size: float) -> None:
    r = s.rng
    m = draw(r, "rock", period=r.uniform(0.8, 2.0) * size)
    for _ in range(r.randint(1, 4)):
        a, b, c = (size * r.uniform(0.3, 0.8) for _ in range(3))
        x, y = r.uniform(-0.5, 0.5) * size, r.uniform(-0.5, 0.5) * size
        if r.random() < 0.35:
            s.box(x, y, -0.3 * c, a, b, c, m, r.uniform(0, 3), r.uniform(-0.5, 0.5), r.uniform(-0.5, 0.5))
        else:
            s.ball(x, y, 0.2 * c, a, b, 0.8 * c, m, r.uniform(0, 3), r.uniform(-0.4, 0.4))


def bicycle(s: Scene) -> None:
    r = s.rng
    m, black = draw(r, "vivid"), draw(r, "dark")
    for x in (-0.5, 0.5):
        s.cone(x, -0.015, 0.34, 0.34, 0.34, 0.03, black._replace(texture=0), math.pi / 2, math.pi / 2)
    for p, q in (
        ((-0.5, 0, 0.34), (0.0, 0, 0.3)),
        ((0, 0, 0.3), (0.4, 0, 0.75)),
        ((-0.15, 0, 0.8), (0, 0, 0.3)),
        ((-0.15, 0, 0.75), (0.4, 0, 0.78)),
        ((0.5, 0, 0.34), (0.38, 0, 0.95)),
    ):
        s.limb(p, q, 0.02, 0.02, m)
    s.box(-0.17, 0, 0.82, 0.25, 0.13, 0.06, black)
    s.box(0.36, 0, 0.95, 0.05, 0.55, 0.04, black)
