"""Sampling of the texture bank: mip levels, bilinear, one gather per tap.

Every texture is 256 x 256 with four channels: weights of the three colours of a material (shading multiplied in) and
alpha. They are stored as 8 bits of the square root, with their mip levels one behind the other.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from .texture_bank import SIZE, bake

LEVELS = 8  # 256 down to 2


@lru_cache(maxsize=4)
def texture_bank(device: str) -> Tensor:
    """All textures and their mip levels. Shape (textures * texels, 4), uint8."""
    levels = []
    image = bake()
    for _ in range(LEVELS):
        coded = np.sqrt(np.clip(image, 0, 1)) * 255.0 + 0.5
        levels.append(coded.astype(np.uint8).reshape(len(image), -1, 4))
        k, s = image.shape[0], image.shape[1] // 2
        image = image.reshape(k, s, 2, s, 2, 4).mean((2, 4))
    return torch.from_numpy(np.concatenate(levels, 1).reshape(-1, 4)).to(device)


_STARTS = np.cumsum([0] + [(SIZE >> level) ** 2 for level in range(LEVELS)])
STRIDE = int(_STARTS[-1])


def sample(bank: Tensor, texture: Tensor, u: Tensor, v: Tensor, lod: Tensor) -> Tensor:
    """Bilinear samples with wrap-around.

    Args:
        texture: index, any shape S. u, v: coordinates, one repeat = 1. lod: log2 of texels a pixel covers.
    Returns: (4, *S), linear, 0..1.
    """
    level = lod.round().clamp(0, LEVELS - 1).to(torch.int32)
    size = SIZE >> level
    starts = torch.as_tensor(_STARTS[:-1].astype(np.int32), device=u.device)
    start = texture.to(torch.int32) * STRIDE + starts[level]
    x, y = u * size - 0.5, v * size - 0.5
    x0, y0 = x.floor(), y.floor()
    fx, fy = x - x0, y - y0
    mask = size - 1
    x0, y0 = x0.to(torch.int32), y0.to(torch.int32)
    x1, y1 = (x0 + 1) & mask, ((y0 + 1) & mask) * size
    x0, y0 = x0 & mask, (y0 & mask) * size
    # Rows run downwards in the bank and v upwards in the scene: flip once here.
    top = start + (size * mask)
    out = 0.0
    for yy, wy in ((y0, 1 - fy), (y1, fy)):
        for xx, wx in ((x0, 1 - fx), (x1, fx)):
            texel = bank.index_select(0, (top - yy + xx).reshape(-1)).T.reshape(4, *u.shape)
            out = out + texel.to(torch.float32) * (wx * wy)
    out = out * (1.0 / 255.0)
    return out * out


def alpha_solid(bank: Tensor, texture: Tensor, u: Tensor, v: Tensor, lod: Tensor) -> Tensor:
    """True where the nearest texel's alpha is above one half (0.25 linear is 0.5 coded)."""
    level = lod.round().clamp(0, 3).to(torch.int32)
    size = SIZE >> level
    starts = torch.as_tensor(_STARTS[:-1].astype(np.int32), device=u.device)
    x = (u * size).floor().to(torch.int32) & (size - 1)
    y = (v * size).floor().to(torch.int32) & (size - 1)
    index = texture.to(torch.int32) * STRIDE + starts[level] + y * size + x
    return (bank[:, 3].index_select(0, index.reshape(-1)) > 127).view(u.shape)
