"""A picture of many scenes: image beside disparity."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

# Key colours from far to near, interpolated between.
RAMP = np.array(
    [
        (20, 11, 52), (68, 50, 140), (50, 110, 190), (40, 170, 160),
        (120, 205, 90), (235, 210, 60), (245, 130, 40), (190, 30, 20),
    ],
    np.float32,
)  # fmt: skip


def paint_disparity(disparity: np.ndarray) -> np.ndarray:
    """Colours of a disparity map (H, W): uint8 (H, W, 3). Square root, scaled by its 98th percentile; sky darkest."""
    top = max(float(np.percentile(disparity, 98)), 1e-6)
    x = np.sqrt(np.clip(disparity / top, 0, 1)) * (len(RAMP) - 1)
    low = np.minimum(x.astype(int), len(RAMP) - 2)
    return (RAMP[low] + (RAMP[low + 1] - RAMP[low]) * (x - low)[..., None]).astype(np.uint8)


def write_contact_sheet(
    scenes: Sequence[dict[str, Tensor]], path: str | Path, *, columns: int = 6, rows: int = 6, quality: int = 85
) -> None:
    """Write the first columns x rows scenes, image beside disparity, as one picture file.

    Raises:
        ValueError: there are no scenes. OSError: the file cannot be written.
    """
    count = min(columns * rows, len(scenes))
    if count == 0:
        raise ValueError("scenes: at least one is needed for a contact sheet, got none. Render some first.")
    tiles = []
    for i in range(count):
        scene = scenes[i]
        image = scene["image"].permute(1, 2, 0).numpy()
        tiles.append(np.concatenate([image, paint_disparity(scene["disparity"].numpy())], 1))
    tiles += [np.zeros_like(tiles[0])] * (-count % columns)
    lines = [np.concatenate(tiles[k : k + columns], 1) for k in range(0, len(tiles), columns)]
    Image.fromarray(np.concatenate(lines, 0)).save(path, quality=quality)
