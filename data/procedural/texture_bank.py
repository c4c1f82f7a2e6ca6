"""The patterns: every texture of the bank is drawn here once, from a fixed seed, tileable, 256 x 256.

A pattern returns (256, 256, 4), linear, 0..1: the weights of a material's three colours with the shading multiplied
in, and alpha. "Direct" textures (posters, books, labels) carry their own colours; the colours of their material are
red, green and blue.
`PATTERNS` is the table: name, number of variants, function. `TEXTURES[name]` lists the indices of a name.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

SIZE = 256
Y, X = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) / SIZE
Rng = np.random.Generator


def noise(rng: Rng, slope: float, stretch: tuple[float, float] = (1.0, 1.0), low: float = 0.0) -> np.ndarray:
    """Tileable noise with an amplitude spectrum f^-slope, zero below `low` cycles; mean 0, deviation 1."""
    fy = np.fft.fftfreq(SIZE)[:, None] * SIZE * stretch[1]
    fx = np.fft.rfftfreq(SIZE)[None] * SIZE * stretch[0]
    f = np.sqrt(fx * fx + fy * fy)
    amplitude = np.where(f > max(low, 0.5), np.maximum(f, 1e-3) ** -slope, 0)
    spectrum = amplitude * np.exp(2j * np.pi * rng.random(f.shape))
    x = np.fft.irfft2(spectrum, s=(SIZE, SIZE))
    return ((x - x.mean()) / (x.std() + 1e-12)).astype(np.float32)


def weave(second=0.0, third=0.0, shade=1.0, alpha=1.0) -> np.ndarray:
    """Weights of colours two and three (the first takes the rest), shading, alpha."""
    out = np.empty((SIZE, SIZE, 4), np.float32)
    second = np.clip(second, 0, 1) * np.ones_like(X)
    third = np.clip(third, 0, 1) * np.ones_like(X)
    second = second * (1 - third)
    out[..., 0], out[..., 1], out[..., 2] = 1 - second - third, second, third
    out[..., :3] *= np.clip(0.8 * shade * np.ones_like(X), 0, 1)[..., None]
    out[..., 3] = alpha
    return out


def step(x: np.ndarray) -> np.ndarray:
    return (x > 0).astype(np.float32)


def grid(columns: int, rows: int, line: float, offset: float = 0.0):
    """Brick-like cells: mask of the joints and a random-access id of the cell. `line` in repeats."""
    row = np.floor(Y * rows)
    x = X + offset * row / columns
    fx, fy = (x * columns) % 1, (Y * rows) % 1
    joint = np.maximum(step(line * columns - np.minimum(fx, 1 - fx)), step(line * rows - np.minimum(fy, 1 - fy)))
    return joint, (np.floor(x * columns) % columns + row * columns).astype(int), fx, fy


def plain(rng, i):
    return weave(shade=1 + (0.01 + 0.02 * i) * noise(rng, 1.0))


def plaster(rng, i):
    return weave(0.5 + 0.3 * noise(rng, 1.2 + 0.2 * (i % 3)), shade=1 + (0.03 + 0.03 * (i % 4)) * noise(rng, 0.6))


def blotches(rng, i):
    n = noise(rng, 1.7)
    return weave(step(n - 0.4), step(noise(rng, 1.5) - 1.2), 1 + 0.1 * noise(rng, 0.6))


def speckle(rng, i):
    fine = noise(rng, 0.1 + 0.15 * (i % 3), low=8)
    return weave(step(fine - 0.8), step(-fine - 1.4), 1 + 0.06 * noise(rng, 1.0) + (0.1 if i % 2 else 0.03) * fine)


def wood(rng, i):
    grain = noise(rng, 1.1, (0.12, 1.0))
    rings = 0.5 + 0.5 * np.sin(2 * np.pi * (Y * (3 + i) + 0.25 * noise(rng, 1.8, (0.3, 1.0))))
    return weave(0.55 * rings + 0.25 * grain, step(grain - 2.2) * 0.5, 1 + 0.06 * grain)


def planks(rng, i):
    rows, columns = (4, 8, 6, 5)[i % 4], 1 + i % 2
    joint, cell, _, _ = grid(columns, rows, 0.004, 0.37)
    tone = rng.random(rows * columns + columns)[cell]
    grain = noise(rng, 1.0, (1.0, 0.1))
    return weave(tone * 0.8 + 0.15 * grain, joint, 0.9 + 0.2 * tone + 0.05 * grain)


def parquet(rng, i):
    k = 4
    turn = (np.floor(X * k) + np.floor(Y * k)) % 2
    strip = np.where(turn > 0, X, Y) * k * 4
    tone = rng.random((64, 64))[(X * k * 4).astype(int) * (turn > 0).astype(int) % 64, (Y * k * 4).astype(int) % 64]
    joint = step(0.06 - strip % 1)
    return weave(tone, joint * 0.7, 0.9 + 0.15 * tone + 0.05 * noise(rng, 0.8))


def bricks(rng, i):
    rows = (8, 12, 16, 6)[i % 4]
    columns = rows // 2
    joint, cell, _, _ = grid(columns, rows, 0.006, 0.5)
    tone = rng.random(rows * columns + 2 * columns)[cell]
    rough = noise(rng, 0.7)
    return weave(tone * 0.9, joint, 0.85 + 0.25 * tone + 0.08 * rough)


def cells(rng, count):
    """Tileable Voronoi: cell index, distance to the nearest and second nearest seed."""
    points = rng.random((count, 2)).astype(np.float32)
    first = np.full_like(X, 9.0)
    second, index = first.copy(), np.zeros(X.shape, int)
    for k, (px, py) in enumerate(points):
        dx = np.abs(X - px)
        dy = np.abs(Y - py)
        dx, dy = np.minimum(dx, 1 - dx), np.minimum(dy, 1 - dy)
        d = np.sqrt(dx * dx + dy * dy)
        closer = d < first
        second = np.where(closer, first, np.minimum(second, d))
        index = np.where(closer, k, index)
        first = np.minimum(first, d)
    return index, first, second


def stones(rng, i):
    count = (30, 60, 120)[i % 3]
    index, first, second = cells(rng, count)
    edge = second - first
    tone = rng.random(count)[index]
    joint = step(0.012 - edge)
    return weave(tone, joint * (0.5 + 0.5 * (i % 2)), 0.75 + 0.35 * tone - 0.25 * joint + 0.1 * noise(rng, 0.8))


def gravel(rng, i):
    index, first, second = cells(rng, 250)
    tone = rng.random(250)[index]
    return weave(tone, step(tone - 0.85), 0.4 + 5 * np.minimum(second - first, 0.1) + 0.3 * tone)


def tiles(rng, i):
    k = (2, 4, 6, 8)[i % 4]
    joint, cell, _, _ = grid(k, k, 0.008)
    tone = rng.random(k * k + k)[cell]
    second = tone * 0.3 if i % 2 else step(tone - 0.7)
    return weave(second, joint, 0.95 + 0.1 * tone + 0.03 * noise(rng, 1.0))


def checker(rng, i):
    k = (2, 4, 8)[i % 3]
    return weave((np.floor(X * k) + np.floor(Y * k)) % 2, 0, 1 + 0.05 * noise(rng, 0.8))


def stripes(rng, i):
    k = (4, 8, 16, 3)[i % 4]
    across = X if i % 2 else Y
    phase = (across * k) % 1
    third = step(phase - 0.85) if i % 3 else 0
    return weave(step(phase - 0.5), third, 1 + 0.05 * noise(rng, 0.8))


def plaid(rng, i):
    a = step((X * 4) % 1 - 0.6)
    b = step((Y * 4) % 1 - 0.6)
    line = np.maximum(step(0.06 - (X * 4) % 1), step(0.06 - (Y * 4) % 1))
    return weave(0.5 * (a + b), line, 1 + 0.1 * noise(rng, 0.2))


def carpet(rng, i):
    fine = noise(rng, 0.2, low=16)
    k = (8, 6, 16, 4)[i % 4]
    motif = (
        np.sin(2 * np.pi * k * X) * np.sin(2 * np.pi * k * Y)
        if i % 2
        else np.sin(2 * np.pi * (k * X + 0.6 * np.sin(2 * np.pi * k * Y)))
    )
    return weave(step(motif - 0.2), step(np.abs(motif) - 0.93), 1 + 0.15 * fine)


def fabric(rng, i):
    thread = 0.5 + 0.25 * (np.sin(2 * np.pi * 64 * X) + np.sin(2 * np.pi * 64 * Y))
    return weave(thread * 0.6 + 0.1 * noise(rng, 0.8), 0, 0.9 + 0.15 * thread + 0.05 * noise(rng, 1.5))


def grass(rng, i):
    blades = noise(rng, 0.3, (1.0, 0.4), low=6)
    patch = noise(rng, 1.6)
    return weave(0.5 + 0.35 * blades, step(patch - 1.0) * 0.5, 0.95 + 0.18 * blades + 0.05 * patch)


def leaves(rng, i):
    """Foliage with gaps; alpha cuts them out."""
    n = noise(rng, (0.9, 1.1, 1.3, 0.8)[i % 4], low=3)
    fine = noise(rng, 0.4, low=12)
    solid = n + 0.5 * fine + (0.1, -0.15, 0.3, -0.3)[i % 4]
    return weave(0.5 + 0.4 * fine, step(fine - 1.5), 0.75 + 0.25 * n + 0.1 * fine, 0.02 + 0.98 * step(solid))


def soil(rng, i):
    n = noise(rng, 1.0)
    return weave(0.5 + 0.3 * n, step(noise(rng, 0.5, low=8) - 1.6), 1 + 0.12 * noise(rng, 0.6))


def bark(rng, i):
    n = noise(rng, 0.9, (0.15, 1.0))
    return weave(0.5 + 0.4 * n, step(-n - 1.2), 0.95 + 0.2 * n)


def windows(rng, i):
    """Facade: one repeat is two or four bays by two floors; second colour is frames, third is glass."""
    bays, floors = (2, 4, 2, 3)[i % 4], 2
    fx, fy = (X * bays) % 1, (Y * floors) % 1
    w, h = 0.18 + 0.16 * rng.random(), 0.22 + 0.16 * rng.random()
    if i % 5 == 4:
        w = 0.5
    dx, dy = np.abs(fx - 0.5), np.abs(fy - 0.48)
    glass = step(w - dx) * step(h - dy)
    frame = step(w + 0.05 - dx) * step(h + 0.05 - dy) - glass
    cross = glass * np.maximum(step(0.025 - dx), step(0.02 - np.abs(dy - 0.3 * h)) * (i % 2))
    cell = (np.floor(X * bays) + bays * np.floor(Y * floors)).astype(int)
    lit = rng.random(bays * floors + bays)[cell]
    sill = step(w + 0.08 - dx) * step(0.03 - np.abs(fy - 0.48 - h - 0.06))
    band = step(0.04 - fy) * (i % 3 == 0)
    reflect = np.clip(0.6 + 0.5 * lit + 0.35 * noise(rng, 1.8), 0.25, 1.25)
    shade = np.where(glass > 0, reflect, 1 + 0.05 * noise(rng, 0.8) - 0.1 * band)
    return weave(np.clip(frame + sill + cross + band, 0, 1), glass * (1 - cross), shade)


def panel(rng, i):
    """Doors and cupboard fronts, to be fitted: second colour is the sunk part, third the handle."""
    columns, rows = ((1, 1), (1, 2), (2, 1), (1, 3), (2, 3), (1, 4), (2, 2), (3, 1))[i % 8]
    fx, fy = (X * columns) % 1, (Y * rows) % 1
    edge = np.minimum(np.minimum(fx, 1 - fx) / columns, np.minimum(fy, 1 - fy) / rows)
    gap = step(0.012 - edge)
    inner = step(edge - 0.06) if i % 3 else 0 * X
    rim = step(0.012 - np.abs(edge - 0.06)) * (i % 3 > 0)
    if rows > 2:
        handle = step(0.2 - np.abs(fx - 0.5)) * step(0.05 - np.abs(fy - 0.3))
    else:
        left = np.floor(X * columns) % 2
        handle = step(0.03 - np.abs(fx - np.where(left > 0, 0.12, 0.88))) * step(0.07 - np.abs(fy - 0.5))
    return weave(inner, handle, 1 - 0.7 * gap - 0.25 * rim + 0.03 * noise(rng, 1.0))


def slats(rng, i):
    """Blinds, shutters, corrugated metal, radiators."""
    k = (16, 24, 10, 32)[i % 4]
    phase = ((Y if i % 2 else X) * k) % 1
    return weave(step(phase - 0.8), 0, 0.6 + 0.5 * np.sin(np.pi * phase) + 0.02 * noise(rng, 1.0))


def curtain(rng, i):
    fold = np.sin(2 * np.pi * (X * (6 + 3 * i) + 0.4 * np.sin(2 * np.pi * 2 * X)))
    return weave(0.3 + 0.2 * fold, 0, 0.8 + 0.25 * fold + 0.03 * noise(rng, 0.5))


def screen(rng, i):
    out = np.full((SIZE, SIZE, 4), 1.0, np.float32)
    out[..., :3] = rng.random(3) * (0.1 if i % 2 else 0.8)
    for _ in range(12):
        x, y, w, h = (rng.random(4) * SIZE).astype(int)
        out[y : y + h // 3 + 4, x : x + w // 3 + 4, :3] = rng.random(3) ** 2
    edge = np.minimum(np.minimum(X, 1 - X), np.minimum(Y, 1 - Y))
    out[..., :3] *= np.where(edge > 0.04, 1, 0.02)[..., None]
    return out


def page(rng, i):
    """Text on paper: first colour paper, second ink, third a headline or picture."""
    lines = 24
    row = (Y * lines).astype(int)
    word = rng.random((lines, 32))[row, np.minimum((X * 32).astype(int), 31)]
    ink = step(0.45 - np.abs((Y * lines) % 1 - 0.5)) * step(word - 0.25) * step(rng.random(lines)[row] - 0.15)
    margin = step(np.minimum(np.minimum(X, 1 - X), np.minimum(Y, 1 - Y)) - 0.08)
    x, y = rng.random(2) * 0.5
    picture = step(0.4 - np.abs(X - x - 0.3)) * step(0.15 - np.abs(Y - y - 0.25)) * (i % 3 > 0)
    return weave(ink * margin * 0.8, picture, 1.15)


def poster(rng, i):
    """Random shapes and soft gradients in many colours."""
    out = np.ones((SIZE, SIZE, 4), np.float32)
    out[..., :3] = rng.random(3) ** 1.5
    out[..., :3] += (0.25 * noise(rng, 2.0))[..., None] * rng.random(3)
    for _ in range(rng.integers(4, 16)):
        x, y, w, h = rng.random(4)
        w, h = 0.05 + 0.35 * w * w, 0.05 + 0.35 * h * h
        if rng.random() < 0.5:
            inside = (np.abs(X - x) < w) & (np.abs(Y - y) < h)
        else:
            inside = ((X - x) / w) ** 2 + ((Y - y) / h) ** 2 < 1
        out[inside, :3] = rng.random(3) ** 1.5 * (0.8 + 0.2 * Y[inside])[:, None]
    if i % 2:
        frame = np.minimum(np.minimum(X, 1 - X), np.minimum(Y, 1 - Y)) < 0.05
        out[frame, :3] = rng.random() * np.ones(3)
    return np.clip(out, 0, 1)


def photo(rng, i):
    """A picture-like view: sky, hills, things."""
    out = np.ones((SIZE, SIZE, 4), np.float32)
    top, low = rng.random(3) ** 0.7, rng.random(3) ** 1.5
    out[..., :3] = top * (1 - 0.4 * Y[..., None])
    for k in range(4):
        line = 0.4 + 0.12 * k + 0.05 * noise(rng, 2.0)[0][None]
        below = line < Y
        out[below, :3] = (low * (0.4 + 0.2 * k) + 0.1 * rng.random(3)) * (0.8 + 0.2 * noise(rng, 0.8)[below])[:, None]
    return np.clip(out, 0, 1)


def books(rng, i):
    """A shelf seen from the front, to be fitted: spines of many colours and heights."""
    out = np.zeros((SIZE, SIZE, 4), np.float32)
    out[..., 3] = 1
    out[..., :3] = 0.02
    x = 0
    while x < SIZE:
        w = int(rng.integers(5, 18))
        h = int(SIZE * (0.06 + 0.35 * rng.random() ** 2))
        colour = rng.random(3) ** 1.6 if rng.random() < 0.7 else np.ones(3) * rng.random() ** 0.7
        out[h:, x : x + w, :3] = colour
        y = h + int(rng.integers(10, 60))
        out[y : y + int(rng.integers(4, 60)), x + w // 4 : x + w - w // 4, :3] = rng.random(3)
        out[:, x, :3] *= 0.3
        x += w
    return out


def goods(rng, i):
    """A crowded shelf: boxes and tins in all colours, to be fitted."""
    out = np.zeros((SIZE, SIZE, 4), np.float32)
    out[..., 3] = 1
    out[..., :3] = 0.03
    for _ in range(90):
        x, base = int(rng.integers(0, SIZE)), (1 + int(rng.integers(0, 3))) * SIZE // 3
        w, h = int(rng.integers(8, 40)), int(rng.integers(20, 80))
        out[base - h : base, x : x + w, :3] = rng.random(3) ** 1.5
        out[base - h // 2 : base - h // 4, x : x + w, :3] = rng.random(3)
    out[(Y * 3) % 1 > 0.94, :3] = rng.random(3) * 0.5
    return out


def shopfront(rng, i):
    glass = step(0.45 - np.abs(X - 0.5)) * step(Y - 0.3) * step(0.9 - Y)
    sign = step(0.46 - np.abs(X - 0.5)) * step(Y - 0.08) * step(0.24 - Y)
    letters = sign * step(noise(rng, 0.7, low=10) - 0.8) * step(0.05 - np.abs(Y - 0.16))
    mullion = glass * step(0.05 - (X * (2 + i)) % 1)
    shade = np.where(glass > 0, np.clip(0.7 + 0.4 * noise(rng, 1.3), 0.1, 1.25), 1)
    return weave(np.clip(sign - letters + mullion, 0, 1), glass * (1 - mullion), shade)


def rooftiles(rng, i):
    k = 12
    phase = (Y * k) % 1
    joint, cell, fx, _ = grid(12, k, 0.004, 0.5)
    return weave(rng.random(12 * 14)[cell] * 0.8, joint * 0.5, 0.6 + 0.5 * phase + 0.1 * np.sin(np.pi * fx))


def mesh(rng, i):
    """Fences, railings, leafless twigs: mostly holes."""
    if i == 0:
        solid = step(0.1 - np.abs(((X + Y) * 16) % 1 - 0.5)) + step(0.1 - np.abs(((X - Y) * 16) % 1 - 0.5))
    elif i == 1:
        solid = step(0.2 - np.abs((X * 8) % 1 - 0.5)) + step(0.02 - np.abs(Y - 0.1)) + step(0.02 - np.abs(Y - 0.9))
    else:
        solid = step(0.12 - np.abs(noise(rng, 1.3, low=3)))
    return weave(0.3, 0, 1 + 0.1 * noise(rng, 0.8), np.maximum(np.clip(solid, 0, 1), 0.02))


def ripples(rng, i):
    n = noise(rng, 1.2, (0.4, 1.0), low=4)
    return weave(0.5 + 0.3 * n, step(n - 1.8), 1 + 0.15 * n)


PATTERNS: tuple[tuple[str, int, Callable], ...] = (
    ("plain", 3, plain), ("plaster", 6, plaster), ("blotches", 3, blotches), ("speckle", 6, speckle),
    ("wood", 5, wood), ("planks", 4, planks), ("parquet", 2, parquet), ("bricks", 4, bricks), ("stones", 4, stones),
    ("gravel", 2, gravel), ("tiles", 5, tiles), ("checker", 3, checker), ("stripes", 5, stripes), ("plaid", 2, plaid),
    ("carpet", 4, carpet), ("fabric", 3, fabric), ("grass", 4, grass), ("leaves", 4, leaves), ("soil", 3, soil),
    ("bark", 2, bark), ("windows", 10, windows), ("panel", 8, panel), ("slats", 4, slats), ("curtain", 2, curtain),
    ("screen", 4, screen), ("page", 4, page), ("poster", 10, poster), ("photo", 5, photo), ("books", 6, books),
    ("goods", 4, goods), ("shopfront", 4, shopfront), ("rooftiles", 2, rooftiles), ("mesh", 3, mesh),
    ("ripples", 2, ripples),
)  # fmt: skip

TEXTURES: dict[str, list[int]] = {}
_next = 0
for _name, _count, _ in PATTERNS:
    TEXTURES[_name] = list(range(_next, _next + _count))
    _next += _count


def bake() -> np.ndarray:
    """Draw every texture. Shape (textures, 256, 256, 4), float32, 0..1."""
    out = []
    for name, count, pattern in PATTERNS:
        for i in range(count):
            rng = np.random.default_rng([TEXTURES[name][i], 20260101])
            out.append(pattern(rng, i).astype(np.float32))
    return np.clip(np.stack(out), 0, 1)
