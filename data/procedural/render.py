"""Ray casting and shading of a batch of scenes: visibility, then one pass of shading per visible pixel.

Camera space: x right, y down, z ahead (optical axis). Disparity is 1 / z in 1/m, exactly 0 in the sky.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .catalogue import build_scene
from .photometric import develop
from .scene import COLUMNS, CONE, LEAFY, SETTINGS, WIDTH, Scene
from .shading import shade_pixels
from .textures import alpha_solid, texture_bank
from .visibility import (
    TILE,
    cone_candidates,
    from_tiles,
    rotation,
    screen_candidates,
    tile_borders,
    to_tiles,
    trace,
)

CHUNK = {"cpu": 8, "cuda": 64}  # scenes traced at once: what stays in the cache on a CPU
NEAR = 0.05  # metres; nothing nearer is seen


class RenderedBatch(NamedTuple):
    """image: uint8 (B, 3, H, W), sRGB. disparity: float32 (B, H, W), 1/m, 0 = sky."""

    image: Tensor
    disparity: Tensor


def pack(scenes: list[Scene], device: str | torch.device) -> tuple[Tensor, dict[str, Tensor]]:
    """Padded primitive tables (WIDTH, B, P) and settings, (B, k) each."""
    tables = [scene.table() for scene in scenes]
    most = max(1, max(len(t) for t in tables))
    packed = np.zeros((len(scenes), most, WIDTH), np.float32)
    packed[:, :, 0] = -1
    packed[:, :, COLUMNS["half"]] = 1
    for i, t in enumerate(tables):
        packed[i, : len(t)] = t
    rows = []
    for scene in scenes:
        unknown = scene.settings.keys() - SETTINGS.keys()
        assert not unknown, unknown
        rows.append([x for key, default in SETTINGS.items() for x in scene.settings.get(key, default)])
    values = torch.from_numpy(np.array(rows, np.float32)).to(device)
    settings, start = {}, 0
    for key, default in SETTINGS.items():
        settings[key] = values[:, start : start + len(default)]
        start += len(default)
    return torch.from_numpy(packed).to(device).permute(2, 0, 1).contiguous(), settings


def camera_rays(settings: dict[str, Tensor], h: int, w: int) -> tuple[Tensor, list[list[Tensor]]]:
    """World directions (3, B, H, W) of camera depth 1, and the camera's axes [world axis][camera axis] of (B, 1)."""
    angles = settings["angles"]
    r = rotation(*(angles[:, i : i + 1] for i in range(3)))  # columns: forward, left, up
    axes = [[-r[i][1], -r[i][2], r[i][0]] for i in range(3)]  # right, down, ahead
    half = (settings["fov"] * (math.pi / 360)).tan()[:, :, None]  # (B, 1, 1)
    device = half.device
    u = ((torch.arange(w, device=device) + 0.5) * (2.0 / w) - 1.0)[None, None] * half
    v = (((torch.arange(h, device=device) + 0.5) * (2.0 / h) - 1.0) * (h / w))[None, :, None] * half
    world = [u * axes[i][0][:, :, None] + v * axes[i][1][:, :, None] + axes[i][2][:, :, None] for i in range(3)]
    return torch.stack(world), axes


def local_map(inverse: list[list[Tensor]], offset: list[Tensor], taper: Tensor) -> Tensor:
    """(13, B * P): inverse map, ray origin in local space, taper. offset: centre minus origin, (B, P) each."""
    origin = [-sum(inverse[i][j] * offset[j] for j in range(3)) for i in range(3)]
    return torch.stack([*(inverse[i][j] for i in range(3) for j in range(3)), *origin, taper]).flatten(1)


@torch.inference_mode()
def render_scenes(scenes: list[Scene], height: int, width: int, device: str | torch.device) -> RenderedBatch:
    """Render scenes of any kind; height and width are rounded up to whole tiles and cropped."""
    h, w = -(-height // TILE) * TILE, -(-width // TILE) * TILE
    table, settings = pack(scenes, device)
    bank = texture_bank(str(device))
    _, b, p = table.shape
    tiles = (h // TILE) * (w // TILE)

    shape = table[COLUMNS["shape"]]
    position = [table[1 + i] for i in range(3)]
    half = [table[7 + i] for i in range(3)]
    taper = table[COLUMNS["taper"]]
    turn = rotation(table[4], table[5], table[6])  # [world axis][own axis]
    inverse = [[turn[j][i] / half[i] for j in range(3)] for i in range(3)]  # [own axis][world axis]

    # Primary rays.
    eye = settings["camera"]
    offset = [position[i] - eye[:, i : i + 1] for i in range(3)]
    directions, axes = camera_rays(settings, h, w)
    wide = torch.where(shape == CONE, 1 + taper.abs(), 1.0)  # a frustum's wider end sticks out of its mean radius
    reach = [half[0] * wide, half[1] * wide, half[2]]
    seen_centre = [sum(axes[i][k] * offset[i] for i in range(3)) for k in range(3)]
    seen_axes = [[sum(axes[i][k] * turn[i][j] for i in range(3)) * reach[j] for j in range(3)] for k in range(3)]
    candidates = screen_candidates(seen_centre, seen_axes, shape, *tile_borders(settings["fov"][:, 0], h, w))
    candidates = candidates.view(b, tiles, p)

    texture = table[COLUMNS["texture"]].flatten()
    scale, shift = table[COLUMNS["uv_scale"]].flatten(1) * (1 / math.pi), table[COLUMNS["uv_offset"]].flatten(1)

    def holes(index: Tensor, point: list[Tensor]) -> Tensor:
        # Unlike the shading, no angles: a slanted projection is cheaper and leaves have no direction.
        u = (point[0] + 0.5 * point[2]) * scale[0, index] + shift[0, index]
        v = (point[1] - 0.6 * point[2]) * scale[1, index] + shift[1, index]
        return alpha_solid(bank, texture[index].expand_as(u), u, v, torch.ones_like(u))

    local = local_map(inverse, offset, taper)
    rays = to_tiles(directions)
    depth, winner = trace(candidates, shape, local, rays, NEAR, holes=holes)
    hit = winner >= 0

    # Shadow rays, from the light to the point: their origin is shared as well.
    light = settings["key_position"]
    from_light = [rays[i] * depth + (eye[:, i] - light[:, i]).repeat_interleave(tiles)[None] for i in range(3)]
    from_light = torch.where(hit, torch.stack(from_light), 0.0)
    offset = [position[i] - light[:, i : i + 1] for i in range(3)]
    radius = (reach[0] * reach[0] + reach[1] * reach[1] + reach[2] * reach[2]).sqrt()
    radius = torch.where((shape == LEAFY) | (shape == 1), torch.maximum(torch.maximum(*half[:2]), half[2]), radius)
    usable = (shape >= 0) & (table[COLUMNS["caster"]] > 0)
    candidates = cone_candidates(offset, radius, usable, from_light, tiles)
    # 2 cm short of the point, so that no surface shadows itself.
    length = (from_light * from_light).sum(0).sqrt().clamp(min=1e-3)
    margin = (1.0 - 0.02 / length).clamp(min=0)
    _, blocker = trace(candidates, shape, local_map(inverse, offset, taper), from_light, 1e-4, margin, holes)
    lit = from_tiles((blocker < 0).float(), b, h, w)

    depth = from_tiles(depth, b, h, w)
    winner = from_tiles(winner, b, h, w).long()
    linear = shade_pixels(table, settings, inverse, bank, directions, depth, winner, lit)
    image = develop(linear[:, :, :height, :width].contiguous(), settings)
    disparity = torch.where(winner >= 0, depth.reciprocal(), 0.0)
    return RenderedBatch(image, disparity[:, :height, :width].contiguous())


def render_batch(
    seeds: Sequence[int],
    size: tuple[int, int] = (192, 192),
    device: str | torch.device = "cpu",
    scene_types: Sequence[str] | None = None,
) -> RenderedBatch:
    """Render the scene of every seed.

    The picture of a seed depends on the seed, the size, the scene types and the device, not on the rest of the batch.

    Args:
        seeds: one integer per picture. size: (height, width) in pixels, at least 8 each.
        scene_types: names to draw from with equal shares; default: the training types with their own shares.
    Returns:
        image uint8 (B, 3, H, W) and disparity float32 (B, H, W) in 1/m, 0 = sky, on the device.
    Raises:
        ValueError: no seeds, a size below 8 pixels, or an unknown scene type.
    """
    height, width = size
    if len(seeds) == 0:
        raise ValueError("seeds: at least one is needed, got none. Pass a list of integers.")
    if height < TILE or width < TILE:
        raise ValueError(
            f"size: height and width must be at least {TILE}, got {height} x {width}. Ask for a larger picture."
        )
    chunk = CHUNK.get(torch.device(device).type, CHUNK["cpu"])
    parts = []
    for start in range(0, len(seeds), chunk):
        scenes = [build_scene(seed, scene_types) for seed in seeds[start : start + chunk]]
        parts.append(render_scenes(scenes, height, width, device))
    return RenderedBatch(torch.cat([p.image for p in parts]), torch.cat([p.disparity for p in parts]))
