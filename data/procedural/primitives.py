"""Ray intersections with unit shapes, in the shape's own space.

Layout: a row of n (tile, primitive) pairs, each with R rays. The ray origin is shared by a pair: o is a list of three
(n,) tensors; directions d are three (R, n) tensors. The result t (R, n) is the distance in units of the direction,
`FAR` where the ray misses or the origin lies inside. Only + - * / sqrt min max are used, which round alike in every
vector lane, so that a scene does not depend on what else is in its batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

FAR = 1e9


def _valid(t: Tensor, hit: Tensor, near: float) -> Tensor:
    return torch.where(hit & (t > near), t, FAR)


def intersect_box(o: Tensor, d: list[Tensor], taper: Tensor, near: float) -> Tensor:
    """Cube [-1, 1]^3 by slabs."""
    enter = leave = None
    for k in range(3):
        inverse = d[k].reciprocal()
        middle = inverse * -o[k]
        inverse.abs_()
        low, high = middle - inverse, middle.add_(inverse)
        enter = low if enter is None else torch.maximum(enter, low, out=enter)
        leave = high if leave is None else torch.minimum(leave, high, out=leave)
    return _valid(enter, enter < leave, near)


def _closest_approach(o: Tensor, d: list[Tensor]) -> tuple[Tensor, Tensor, list[Tensor]]:
    """d.d, the parameter closest to the centre and the point there; solving from it keeps small far shapes exact."""
    dd = d[0] * d[0] + d[1] * d[1] + d[2] * d[2]
    shift = (d[0] * o[0] + d[1] * o[1] + d[2] * o[2]) / -dd
    return dd, shift, [d[k] * shift + o[k] for k in range(3)]


def intersect_ball(o: Tensor, d: list[Tensor], taper: Tensor, near: float) -> Tensor:
    """Unit sphere."""
    dd, shift, q = _closest_approach(o, d)
    rest = 1.0 - (q[0] * q[0] + q[1] * q[1] + q[2] * q[2])
    t = shift - (rest.clamp(min=0) / dd).sqrt_()
    return _valid(t, rest > 0, near)


def ball_exit(o: Tensor, d: list[Tensor]) -> Tensor:
    """Where the ray leaves the unit sphere (garbage where it misses)."""
    dd, shift, q = _closest_approach(o, d)
    rest = 1.0 - (q[0] * q[0] + q[1] * q[1] + q[2] * q[2])
    return shift + (rest.clamp(min=0) / dd).sqrt_()


def intersect_cone(o: Tensor, d: list[Tensor], taper: Tensor, near: float) -> Tensor:
    """Capped frustum x^2 + y^2 <= (1 + taper z)^2, |z| <= 1."""
    _, shift, q = _closest_approach(o, d)
    width = q[2] * taper + 1.0
    slope = d[2] * taper
    a = d[0] * d[0] + d[1] * d[1] - slope * slope
    a = torch.where(a.abs() < 1e-12, 1e-12, a)
    b = q[0] * d[0] + q[1] * d[1] - slope * width
    c = q[0] * q[0] + q[1] * q[1] - width * width
    disc = b * b - a * c
    root = disc.clamp(min=0).sqrt_()
    best = torch.full_like(b, FAR)
    for sign in (-1.0, 1.0):
        s = (root * sign - b) / a
        z = d[2] * s + q[2]
        on = (disc > 0) & (z.abs() <= 1) & (z * taper + 1.0 > 0)
        best = torch.minimum(best, _valid(s + shift, on, near))
    # Only the cap that faces the ray can be entered.
    side = torch.where(d[2] > 0, -1.0, 1.0)
    s = (side - q[2]) / d[2]
    x, y, r = d[0] * s + q[0], d[1] * s + q[1], side * taper + 1.0
    return torch.minimum(best, _valid(s + shift, x * x + y * y <= r * r, near))
