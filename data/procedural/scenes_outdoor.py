"""Outdoor scenes: streets, open ground, a park, and shapes without a meaning. Each function fills a `Scene`."""

from __future__ import annotations

import math

from . import furniture as f
from . import street_objects as o
from .materials import anything, draw
from .people import walker
from .scene import Scene


def daylight(s: Scene) -> None:
    """Sun, sky, haze; clear or overcast, any hour."""
    r = s.rng
    overcast = r.random() < 0.25
    azimuth, height = r.uniform(0, 6.3), r.uniform(0.15, 1.3)
    sun = (math.cos(azimuth) * math.cos(height), math.sin(azimuth) * math.cos(height), math.sin(height))
    power = r.uniform(0.1, 0.4) if overcast else r.uniform(1.5, 4.0)
    warm = 1.0 - 0.45 * max(0.0, 0.6 - height)
    blue = r.uniform(0.2, 0.9)
    level = r.uniform(0.5, 1.6)
    zenith = (level * (0.9 - 0.65 * blue), level * (0.95 - 0.4 * blue), level)
    pale = r.uniform(0.4, 1.0)
    horizon = tuple(z + (1.15 * level * w - z) * pale for z, w in zip(zenith, (1.0, 0.99, 0.97), strict=True))
    ambient = r.uniform(0.7, 1.1) if overcast else r.uniform(0.15, 0.5)
    s.settings |= {
        "key_position": tuple(400 * k for k in sun),
        "key_colour": (power, power * (0.3 + 0.7 * warm), power * warm * warm * 0.95),
        "ambient_up": tuple(ambient * (0.6 + 0.4 * z / level) for z in zenith),
        "ambient_down": tuple(ambient * 0.45 * c for c in (1.0, 0.95, 0.85)),
        "zenith": zenith,
        "horizon": horizon,
        "clouds": (r.uniform(0.0, 1.2), r.random(), r.random(), r.uniform(0.5, 2.0)),
        "fog": (
            r.choice(
                (0.0, 0.0, 0.0, 0.0, r.uniform(0.0005, 0.004), r.uniform(0.0005, 0.004), r.uniform(0.004, 0.015))
            ),
        ),
    }


def look(s: Scene, x: float, y: float, z: float, yaw: float, pitch: float, fov=(45, 90), roll: float = 0.03) -> None:
    r = s.rng
    s.settings |= {"camera": (x, y, z), "angles": (yaw, pitch, r.gauss(0, roll)), "fov": (r.uniform(*fov),)}


def street(s: Scene) -> None:
    """Road along x with pavements, buildings, cars, trees, people."""
    r = s.rng
    daylight(s)
    half, walk = r.uniform(2.8, 6.5), r.uniform(1.2, 4.5)
    town = r.random()
    road, pavement = draw(r, "asphalt"), draw(r, "pavement")
    verge = draw(r, r.choice(("grass", "pavement", "soil", "gravel")))
    s.at(0, 0)
    s.box(150, 0, -0.5, 500, 600, 0.4, verge if town < 0.8 else draw(r, "asphalt"), caster=0)
    s.box(150, 0, -0.2, 500, 2 * half, 0.2, road, caster=0)
    for side in (-1, 1):
        s.box(150, side * (half + 0.5 * walk), -0.15, 500, walk, 0.15 + r.uniform(0.05, 0.15), pavement, caster=0)
        s.box(150, side * (half - 0.0), -0.1, 500, 0.15, 0.24, draw(r, "concrete"), caster=0)
    paint = draw(r, r.choice(("white", "white", "vivid")))
    lines = r.random()
    if lines < 0.7:
        gap, dash = r.uniform(4, 9), r.uniform(1.5, 4)
        for k in range(12):
            s.box(k * gap - 4, 0, 0, dash, 0.12, 0.006, paint, caster=0)
    if lines > 0.5:
        for side in (-1, 1):
            s.box(150, side * (half - r.uniform(0.3, 2.2)), 0, 500, 0.12, 0.006, paint, caster=0)
    if r.random() < 0.25:
        x = r.uniform(5, 25)
        for k in range(8):
            s.box(x, (k / 7 - 0.5) * 1.8 * half, 0, 3, 0.5, 0.007, paint, caster=0)
    if r.random() < 0.2:  # rails beside the road, with sleepers
        y = r.choice((-1, 1)) * (half + walk + 1.5)
        for d in (-0.7, 0.7):
            s.box(150, y + d, -0.1, 400, 0.08, 0.17, draw(r, "metal"), caster=0)
        for k in range(16):
            s.box(k * 1.3, y, -0.1, 0.3, 2.4, 0.08, draw(r, "wood"), caster=0)
    for side in (-1, 1):
        edge = half + walk + (r.uniform(0, 1.0) if town < 0.55 else r.uniform(2, 14))
        x = r.uniform(-15, -6)
        while x < 110:
            width = r.uniform(6, 18)
            if r.random() < (0.93 if town < 0.55 else 0.5 if town < 0.85 else 0.12):
                s.at(x + 0.5 * width, side * (edge + r.uniform(0, 1.0)), 0, -side * math.pi / 2)
                o.building(
                    s,
                    width - r.choice((0, 0, 1, 3)),
                    r.uniform(6, 14),
                    r.uniform(3, 7) if town > 0.5 else r.uniform(5, 20),
                )
            elif r.random() < 0.5:
                s.at(x + 0.5 * width, side * (half + walk + 0.6), 0)
                r.choice((o.fence, o.hedge))(s, width)
            x += width
        row = r.random()
        if row < 0.7:  # trees in a row
            x, gap = r.uniform(2, 10), r.uniform(4.5, 13)
            size = r.uniform(4, 11)
            while x < 70 and len(s.rows) < 330:
                s.at(
                    x, side * (half + r.uniform(0.5, 0.8) * walk + (0 if r.random() < 0.6 else 4)), 0, r.uniform(0, 6)
                )
                o.tree(s, size * r.uniform(0.8, 1.2))
                x += gap * r.uniform(0.8, 1.3)
        if r.random() < 0.6:  # parked cars
            x = r.uniform(-2, 12)
            while x < 55 and len(s.rows) < 380:
                if r.random() < 0.7:
                    s.at(x, side * (half - 1.1), 0, (math.pi if side > 0 else 0) + r.gauss(0, 0.02))
                    o.car(s)
                x += r.uniform(5.3, 9)
        x = r.uniform(2, 12)
        while x < 60:
            kind = r.random()
            s.at(x, side * (half + r.uniform(0.3, 0.6)), 0.1, -side * math.pi / 2 if kind < 0.3 else math.pi)
            if kind < 0.25:
                o.lamp_post(s)
            elif kind < 0.4:
                o.sign(s)
            elif kind < 0.47:
                o.traffic_light(s)
            elif kind < 0.55:
                o.bush(s)
            x += r.uniform(4, 15)
        for _ in range(r.choice((0, 0, 1, 2, 4))):
            walker(s, r.uniform(3, 30), side * (half + r.uniform(0.2, 0.9) * walk), 0.1)
    for _ in range(r.choice((0, 1, 1, 2, 3))):  # moving cars
        side = r.choice((-1, 1))
        s.at(r.uniform(6, 45), side * r.uniform(0.25, 0.5) * half, 0, math.pi if side > 0 else 0)
        o.car(s)
    if r.random() < 0.15:
        walker(s, r.uniform(5, 15), r.uniform(-1, 1) * half)
    if r.random() < 0.1:
        s.at(r.uniform(15, 45), 0)
        deck = r.uniform(4.5, 6.5)
        s.box(0, 0, deck, r.uniform(3, 9), 80, 1.0, draw(r, "concrete"))
        for y in (-half - 1, half + 1):
            s.box(0, y, 0, 1.0, 1.0, deck, draw(r, "concrete"))
    if r.random() < 0.2:
        s.at(0, r.choice((-1, 1)) * (half + 0.8 * walk))
        o.pole_line(s, 80)
    if r.random() < 0.3:
        hills(s, 250)

    def view() -> None:
        if r.random() < 0.75:
            y, z = r.uniform(-0.7, 0.7) * half, r.uniform(1.2, 2.2)
            look(s, r.uniform(-4, 4), y, z, r.gauss(0, 0.12), r.gauss(0.03, 0.06), roll=0.015)
        else:  # a walker's view, across the street as well
            side = r.choice((-1, 1))
            yaw = -side * r.uniform(0, 1.6) if r.random() < 0.6 else side * r.uniform(0, 0.5)
            y = side * (half + r.uniform(0.2, 0.8) * walk)
            look(s, r.uniform(-4, 4), y, r.uniform(1.3, 1.9), yaw, r.gauss(0.03, 0.12))

    s.viewpoint, s.near = view, 2.0
    view()


def hills(s: Scene, distance: float) -> None:
    r = s.rng
    s.at(0, 0)
    for _ in range(r.randint(1, 5)):
        a, d = r.uniform(-1.2, 1.2), distance * r.uniform(0.7, 1.5)
        m = draw(r, r.choice(("grass", "rock", "bush")), period=r.uniform(10, 40))
        size = d * r.uniform(0.2, 0.6)
        s.ball(
            d * math.cos(a),
            d * math.sin(a),
            -0.1 * size,
            size,
            size * r.uniform(0.5, 1.5),
            size * r.uniform(0.15, 0.6),
            m,
            caster=0,
        )


def open_ground(s: Scene) -> None:
    """Meadow, field, beach or square: hills, trees, rocks, houses, a path."""
    r = s.rng
    daylight(s)
    ground = draw(r, r.choice(("grass", "grass", "soil", "gravel", "rock", "pavement")))
    s.at(0, 0)
    s.box(200, 0, -0.4, 900, 900, 0.4, ground, caster=0)
    if r.random() < 0.6:
        hills(s, r.uniform(60, 250))
    if r.random() < 0.4:
        path = draw(r, r.choice(("gravel", "asphalt", "soil", "pavement")))
        s.box(60, 0, 0, 200, r.uniform(1, 4), 0.01, path, r.gauss(0, 0.3), caster=0)
    for _ in range(r.randint(0, 6)):  # bumps near by
        d, a, size = r.uniform(5, 40), r.uniform(-0.9, 0.9), r.uniform(2, 12)
        s.ball(d * math.cos(a), d * math.sin(a), 0, size, size * r.uniform(0.6, 2), 0.25 * size * r.random(), ground)
    for _ in range(r.randint(3, 18)):
        d, a = 3 + 45 * r.random() ** 1.5, r.uniform(-0.9, 0.9)
        s.at(d * math.cos(a), d * math.sin(a), 0, r.uniform(0, 6.3))
        kind = r.random()
        if kind < 0.45:
            o.tree(s)
        elif kind < 0.6:
            o.rock(s, r.uniform(0.4, 4))
        elif kind < 0.75:
            o.bush(s)
        elif kind < 0.82:
            o.building(s, r.uniform(5, 12), r.uniform(5, 9), r.uniform(3, 7))
        elif kind < 0.87:
            r.choice((o.fence, o.hedge))(s, r.uniform(4, 20))
        elif kind < 0.92:
            o.car(s)
        elif kind < 0.97:
            walker(s, *s.frame[:2])
        else:
            f.oddity(s)
    if r.random() < 0.15:
        s.at(2, r.uniform(-8, 8), 0, r.gauss(0, 0.4))
        o.pole_line(s, 90)

    def view() -> None:
        z = r.choice((r.uniform(1.2, 2.0), r.uniform(0.4, 6.0)))
        look(s, r.gauss(0, 1.5), r.gauss(0, 1.5), z, r.gauss(0, 0.25), r.gauss(0.05, 0.12), (40, 85))

    s.viewpoint, s.near = view, 1.0
    view()


def close_up(s: Scene) -> None:
    """A few things on the ground close to the camera, something far behind."""
    r = s.rng
    daylight(s)
    s.at(0, 0)
    s.box(
        0,
        0,
        -0.4,
        400,
        400,
        0.4,
        draw(r, r.choice(("grass", "soil", "gravel", "pavement", "planks", "tiles", "carpet"))),
        caster=0,
    )
    up, pitch = r.uniform(0.25, 1.4), r.uniform(-0.05, 0.7)
    look(s, 0, 0, up, 0, pitch, (40, 75), 0.08)
    for _ in range(r.randint(1, 8)):
        d, a = r.uniform(0.7, 3.5), r.uniform(-0.6, 0.6)
        s.at(d * math.cos(a), d * math.sin(a), 0, r.uniform(0, 6.3), r.uniform(0.5, 1.2))
        r.choice((f.heap, f.oddity, f.boxes, f.plant, o.bush, lambda s: o.rock(s, 0.4), f.chair, walker_here))(s)
    for _ in range(r.randint(0, 6)):
        s.at(r.uniform(6, 40), r.uniform(-15, 15), 0, r.uniform(0, 6.3))
        r.choice((o.tree, o.tree, o.car, o.bush, lambda s: o.building(s, 8, 8, 5), lambda s: o.fence(s, 10)))(s)


def walker_here(s: Scene) -> None:
    walker(s, *s.frame[:2])


def shapes(s: Scene) -> None:
    """Primitives of all sizes with all textures, anywhere; sometimes on a floor, sometimes before a wall."""
    r = s.rng
    daylight(s)
    s.at(0, 0)
    if r.random() < 0.8:
        s.box(0, 0, -1.7, 300, 300, 0.2, anything(r), caster=0)
    if r.random() < 0.6:
        s.box(r.uniform(4, 15), 0, -2, 0.2, 100, 60, anything(r), r.gauss(0, 0.4), caster=0)
    look(s, 0, 0, 0, 0, r.gauss(0.05, 0.15), (40, 90), 0.15)
    for _ in range(r.randint(6, 60)):
        d = 0.8 * math.exp(r.uniform(0, 3.2))
        a, size = r.uniform(-0.9, 0.9), d * math.exp(r.uniform(-3.2, -0.9))
        x, y, z = d * math.cos(a), d * math.sin(a), r.uniform(-1.5, 1.2) * min(d * 0.6, 1.4 + 0.2 * d)
        h = [size * math.exp(r.gauss(0, 0.6)) for _ in range(3)]
        angles = (r.uniform(0, 6.3), r.uniform(0, 3.1), 0.0) if r.random() < 0.6 else (r.uniform(0, 6.3), 0.0, 0.0)
        shape = r.choice((0, 0, 0, 1, 1, 2, 2, 3))
        m = draw(r, r.choice(("leaves", "autumn"))) if shape == 3 else anything(r)
        s.add(shape, (x, y, z), h, m, angles, r.choice((0.0, r.uniform(-1, 1))))


def park(s: Scene) -> None:
    """Path, benches, trees, people, a bicycle; held out."""
    r = s.rng
    daylight(s)
    s.at(0, 0)
    s.box(100, 0, -0.4, 600, 600, 0.4, draw(r, "grass"), caster=0)
    s.box(
        60,
        0,
        0,
        200,
        r.uniform(2, 4),
        0.02,
        draw(r, r.choice(("gravel", "asphalt", "pavement"))),
        r.gauss(0, 0.1),
        caster=0,
    )
    for side in (-1, 1):
        x = r.uniform(2, 6)
        while x < 50:
            s.at(x, side * r.uniform(2.5, 12), 0, -side * math.pi / 2)
            r.choice((o.tree, o.tree, o.bench, o.bush, o.lamp_post, o.bicycle))(s)
            x += r.uniform(2, 6)
    for _ in range(r.randint(0, 4)):
        walker(s, r.uniform(3, 20), r.uniform(-3, 3))
    look(s, 0, r.uniform(-1, 1), r.uniform(1.2, 1.9), r.gauss(0, 0.15), r.gauss(0.03, 0.08))
