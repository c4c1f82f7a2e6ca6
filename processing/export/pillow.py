"""Antialiased resizing as Pillow does it, as two matrix products whose sizes may be symbols.

Stock processors resize this way, and no runtime has the operation: torch widens the filter but does not round between
the passes, ONNX's antialias is not everywhere. A dense matrix costs little beside the network.
"""

from typing import Any

import torch


def resize_as_pillow(image: torch.Tensor, size: tuple[Any, Any], mode: str) -> torch.Tensor:
    """uint8 (B, C, H, W) -> float32 (B, C, *size), whole numbers 0..255: width first, each pass rounded half up."""
    pixels = image.float()
    columns = _weights(image.shape[-1], size[1], mode)  # (w, W)
    rows = _weights(image.shape[-2], size[0], mode)  # (h, H)
    return _to_bytes(rows @ _to_bytes(pixels @ columns.T))


def _to_bytes(values: torch.Tensor) -> torch.Tensor:
    return (values + 0.5).floor().clamp(0, 255)


def _weights(length: Any, new_length: Any, mode: str) -> torch.Tensor:
    """Share (new_length, length) of each pixel in each new pixel."""
    old, new = (torch.arange(count)[None] for count in (length, new_length))
    old_count, new_count = (torch.full((), count, dtype=torch.int64) for count in (length, new_length))
    # Distance of the centres in whole numbers, so that it stays exact where doubles become singles.
    distance = (2 * old + 1) * new_count - (2 * new.T + 1) * old_count
    weights = _FILTERS[mode]((distance.abs() / (2 * torch.maximum(old_count, new_count))).float())
    return weights / weights.sum(dim=1, keepdim=True)


def _triangle(x: torch.Tensor) -> torch.Tensor:
    return (1 - x).clamp(min=0)


def _cubic(x: torch.Tensor) -> torch.Tensor:
    a = -0.5  # Pillow's; torch and OpenCV use -0.75
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


_FILTERS = {"bilinear": _triangle, "bicubic": _cubic}
