"""Where pixels go: the way from an original image to the network's input and back, and crop and flip of whole samples.

Camera intrinsics are 3 x 3 matrices in pixels whose origin is the centre of the top left pixel (OpenCV, KITTI, NYU).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

# Fill values of padded or missing pixels.
IGNORE_LABEL = 255
MISSING_DEPTH = 0

SPATIAL_KEYS = ("pixel_values", "labels", "depth_maps")


@dataclass(frozen=True)
class Geometry:
    """Original size -> resized -> padded; sizes are (height, width), padding is (top, bottom, left, right)."""

    original: tuple[int, int]
    resized: tuple[int, int]
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)

    @property
    def output(self) -> tuple[int, int]:
        top, bottom, left, right = self.padding
        return self.resized[0] + top + bottom, self.resized[1] + left + right

    def pad(self, values: torch.Tensor, fill: float) -> torch.Tensor:
        """Pad (..., h, w) values that already have the resized size."""
        top, bottom, left, right = self.padding
        return F.pad(values, (left, right, top, bottom), value=fill) if any(self.padding) else values

    def unpad(self, values: torch.Tensor) -> torch.Tensor:
        """Undo `pad`: (..., h, w) values of the output size lose their margin."""
        top, _, left, _ = self.padding
        return values[..., top : top + self.resized[0], left : left + self.resized[1]]

    def intrinsics(self, matrix: torch.Tensor) -> torch.Tensor:
        """Intrinsics of the original image -> of the output. Shape (..., 3, 3)."""
        matrix = scale_intrinsics(matrix, self.original, self.resized)
        return crop_intrinsics(matrix, -self.padding[0], -self.padding[2])

    def original_intrinsics(self, matrix: torch.Tensor) -> torch.Tensor:
        """The inverse of `intrinsics`."""
        matrix = crop_intrinsics(matrix, self.padding[0], self.padding[2])
        return scale_intrinsics(matrix, self.resized, self.original)


def scale_intrinsics(matrix: torch.Tensor, old: tuple[int, int], new: tuple[int, int]) -> torch.Tensor:
    """Intrinsics (..., 3, 3) after an image of size `old` is resized to `new`; sizes are (height, width)."""
    sy, sx = new[0] / old[0], new[1] / old[1]
    # Outer edges stay in place, and an edge is half a pixel from its centre.
    return _apply([[sx, 0, (sx - 1) / 2], [0, sy, (sy - 1) / 2], [0, 0, 1]], matrix)


def crop_intrinsics(matrix: torch.Tensor, top: int, left: int) -> torch.Tensor:
    """Intrinsics (..., 3, 3) after `top` rows and `left` columns are cut off (negative: added)."""
    return _apply([[1, 0, -left], [0, 1, -top], [0, 0, 1]], matrix)


def flip_intrinsics(matrix: torch.Tensor, width: int) -> torch.Tensor:
    """Intrinsics (..., 3, 3) after image and scene are mirrored left to right; the focal length stays positive."""
    mirrored = _apply([[-1, 0, width - 1], [0, 1, 0], [0, 0, 1]], matrix)
    return mirrored * mirrored.new_tensor([-1, 1, 1])


def crop_sample(sample: dict, top: int, left: int, height: int, width: int) -> dict:
    """Cut the same window out of every map of a sample.

    Args:
        sample: Any of pixel_values (..., C, H, W), labels (..., H, W), depth_maps (..., H, W), intrinsics (..., 3, 3);
            other keys are passed through.

    Raises:
        ValueError: the window leaves the image.
    """
    rows, columns = _spatial_size(sample)
    if top < 0 or left < 0 or height < 1 or width < 1 or top + height > rows or left + width > columns:
        raise ValueError(
            f"crop: must lie inside {rows} x {columns}, got rows {top}:{top + height}, columns {left}:{left + width}."
        )
    result = dict(sample)
    for key in SPATIAL_KEYS:
        if key in sample:
            result[key] = sample[key][..., top : top + height, left : left + width]
    if "intrinsics" in sample:
        result["intrinsics"] = crop_intrinsics(sample["intrinsics"], top, left)
    return result


def flip_sample(sample: dict) -> dict:
    """Mirror every map of a sample left to right; keys as in `crop_sample`."""
    width = _spatial_size(sample)[1]
    result = dict(sample)
    for key in SPATIAL_KEYS:
        if key in sample:
            result[key] = sample[key].flip(-1)
    if "intrinsics" in sample:
        result["intrinsics"] = flip_intrinsics(sample["intrinsics"], width)
    return result


def _spatial_size(sample: dict) -> tuple[int, int]:
    sizes = {key: tuple(sample[key].shape[-2:]) for key in SPATIAL_KEYS if key in sample}
    if not sizes:
        raise ValueError(f"sample: needs one of {', '.join(SPATIAL_KEYS)}, got keys {sorted(sample)}.")
    if len(set(sizes.values())) > 1:
        raise ValueError(f"sample: all maps must have the same height and width, got {sizes}.")
    return next(iter(sizes.values()))


def _apply(transform: list[list[float]], matrix: torch.Tensor) -> torch.Tensor:
    return torch.tensor(transform, dtype=matrix.dtype, device=matrix.device) @ matrix
