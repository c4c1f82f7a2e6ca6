"""Which primitive does each ray hit first? Tiles of 8 x 8 rays keep short candidate lists.

A tile's rays start in one point (the camera, or a light for shadow rays). Candidates come from bounds against the
tile's pyramid or cone. Tiles are then sorted by the length of their list, so that the k-th candidates of all tiles are
one contiguous slice: the loop runs over k only, for a whole batch at once, and its working set stays in the cache.

Legend: B scenes, P primitives a scene (padded), T tiles a scene, R = 64 rays a tile, N = B * T.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .primitives import FAR, ball_exit, intersect_ball, intersect_box, intersect_cone
from .scene import BALL, BOX, CONE, LEAFY

TILE = 8
RAYS = TILE * TILE
INTERSECT = {BOX: intersect_box, BALL: intersect_ball, CONE: intersect_cone, LEAFY: intersect_ball}


def rotation(yaw: Tensor, pitch: Tensor, roll: Tensor) -> list[list[Tensor]]:
    """Rz(yaw) Ry(pitch) Rx(roll) as rows of entries; elementwise, so any shape."""
    cy, sy, cp, sp, cr, sr = yaw.cos(), yaw.sin(), pitch.cos(), pitch.sin(), roll.cos(), roll.sin()
    return [
        [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
        [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
        [-sp, cp * sr, cp * cr],
    ]


def to_tiles(image: Tensor) -> Tensor:
    """(..., B, H, W) to (..., R, B * T)."""
    *lead, b, h, w = image.shape
    x = image.reshape(*lead, b, h // TILE, TILE, w // TILE, TILE)
    k = len(lead)
    order = [*range(k), k + 2, k + 4, k, k + 1, k + 3]
    return x.permute(order).reshape(*lead, RAYS, b * (h // TILE) * (w // TILE))


def from_tiles(tiles: Tensor, b: int, h: int, w: int) -> Tensor:
    """(R, B * T) to (B, H, W)."""
    x = tiles.reshape(TILE, TILE, b, h // TILE, w // TILE)
    return x.permute(2, 3, 0, 4, 1).reshape(b, h, w)


def screen_candidates(centre: list[Tensor], axes: list[list[Tensor]], shape: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Primitives that may show in each screen tile.

    Args:
        centre: three (B, P), camera space (x right, y down, z ahead). axes: half axes, [space axis][own axis].
        u, v: (B, tiles + 1) tile borders on the plane z = 1.
    Returns: (B, tiles_y, tiles_x, P), bool.
    """
    ball = (shape == BALL) | (shape == LEAFY)

    def span(axis: int, border: Tensor) -> Tensor:
        # Signed distance to the planes x = border * z through the camera, of the shape's two extremes.
        edge = border[:, :, None]  # (B, K, 1)
        middle = centre[axis][:, None] - edge * centre[2][:, None]
        flat = round_ = 0.0
        for k in range(3):
            e = (axes[axis][k][:, None] - edge * axes[2][k][:, None]).abs_()
            flat = flat + e
            round_ = round_ + e * e
        reach = torch.where(ball[:, None], round_.sqrt_(), flat)
        return (middle[:, :-1] + reach[:, :-1] >= 0) & (middle[:, 1:] - reach[:, 1:] <= 0)

    ahead = centre[2] + axes[2][0].abs() + axes[2][1].abs() + axes[2][2].abs() > 0
    live = ahead & (shape >= 0)
    return span(1, v)[:, :, None] & (span(0, u) & live[:, None])[:, None]


def cone_candidates(offset: list[Tensor], radius: Tensor, usable: Tensor, rays: Tensor, tiles: int) -> Tensor:
    """Primitives that may lie between a light and the points a tile sees.

    Args:
        offset: three (B, P), centre minus light. radius: (B, P) bounding sphere. usable: (B, P) bool.
        rays: (3, R, N), point minus light; zero where nothing was hit.
    Returns: (B, T, P), bool.
    """
    b = len(radius)
    length = (rays * rays).sum(0).sqrt()  # (R, N)
    unit = rays / length.clamp(min=1e-6)
    axis = unit.sum(1)
    axis = axis / (axis * axis).sum(0).sqrt().clamp(min=1e-6)  # (3, N)
    cosine = (unit * axis[:, None]).sum(0)
    cosine = torch.where(length > 0, cosine, 1.0).amin(0).clamp(-1, 1).view(b, tiles, 1)
    sine = (1 - cosine * cosine).sqrt()
    far = length.amax(0).view(b, tiles, 1)
    ax = axis.view(3, b, tiles, 1)
    along = sum(offset[k][:, None] * ax[k] for k in range(3))  # (B, T, P)
    square = sum(offset[k] * offset[k] for k in range(3))[:, None]
    across = (square - along * along).clamp(min=0).sqrt()
    # 0.1 covers the rounding of `across` for a sun that is hundreds of metres away.
    near = across * cosine - along * sine <= radius[:, None] + 0.1
    return near & (along - radius[:, None] < far) & usable[:, None] & (far > 0)


def trace(
    candidates: Tensor,
    shape: Tensor,
    local: Tensor,
    rays: Tensor,
    near: float | Tensor,
    limit: Tensor | None = None,
    holes=None,
) -> tuple[Tensor, Tensor]:
    """Nearest hit of every ray.

    Args:
        candidates: (B, T, P) bool. shape: (B, P).
        local: (13, B * P): inverse map (9), ray origin in local space (3), taper.
        rays: (3, R, N). limit: optional (R, N) start value of the distance.
        holes: optional callable (primitive (n,), local point, three (R, n)) -> bool (R, n), True = solid.
    Returns: distance (R, N), `FAR` or limit where nothing is hit, and index into B * P (R, N), -1 there.
    """
    b, t, p = candidates.shape
    n = b * t
    base = (torch.arange(b, device=shape.device) * p).repeat_interleave(t)
    distance = limit.clone() if limit is not None else rays.new_full((RAYS, n), FAR)
    winner = torch.full((RAYS, n), -1, dtype=torch.int32, device=rays.device)
    for kind, intersect in INTERSECT.items():
        mask = (candidates & (shape == kind)[:, None]).view(n, p)
        count = mask.sum(1)
        longest = int(count.max())
        if longest == 0:
            continue
        order = torch.argsort(count, descending=True, stable=True)
        tile, primitive = mask.nonzero(as_tuple=True)
        rank = (mask.cumsum(1, dtype=torch.int32)[tile, primitive] - 1).long()
        place = torch.empty_like(order)
        place[order] = torch.arange(n, device=order.device)
        lists = torch.zeros(longest, n, dtype=torch.int64, device=order.device)
        lists[rank, place[tile]] = primitive + base[tile]
        sizes = (count[None] > torch.arange(longest, device=order.device)[:, None]).sum(1).tolist()
        used = sizes[0]
        head = order[:used]
        d = rays[:, :, head]
        best, which = distance[:, head], winner[:, head]
        for k, m in enumerate(sizes):
            index = lists[k, :m]
            row = local[:, index]  # (13, m)
            dx, dy, dz = d[0, :, :m], d[1, :, :m], d[2, :, :m]
            direction = [dx * row[3 * i] + dy * row[3 * i + 1] + dz * row[3 * i + 2] for i in range(3)]
            origin = [row[9], row[10], row[11]]
            hit = intersect(origin, direction, row[12], near)
            if kind == LEAFY and holes is not None:
                solid = holes(index, [origin[i] + direction[i] * hit for i in range(3)])
                back = ball_exit(origin, direction)
                through = holes(index, [origin[i] + direction[i] * back for i in range(3)])
                hit = torch.where(solid, hit, torch.where(through & (hit < FAR), back, FAR))
            closer = hit < best[:, :m]
            best[:, :m] = torch.where(closer, hit, best[:, :m])
            which[:, :m] = torch.where(closer, index.int(), which[:, :m])
        distance[:, head], winner[:, head] = best, which
    return distance, winner


def tile_borders(fov: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Tile borders (B, tiles + 1) along u and v on the plane one metre ahead; fov (B,) horizontal, degrees."""
    half = (fov * (math.pi / 360)).tan()[:, None]
    u = torch.arange(0, width + 1, TILE, device=fov.device) * (2.0 / width) - 1.0
    v = (torch.arange(0, height + 1, TILE, device=fov.device) * (2.0 / height) - 1.0) * (height / width)
    return half * u, half * v
