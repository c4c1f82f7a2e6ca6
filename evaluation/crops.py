"""Parts of an image, by the names that protocols use: what a model gets to see, and what counts."""

from collections.abc import Callable

import torch
from torch import Tensor

# (top, bottom, left, right) in pixels; bottom and right are the first ones outside.
Box = tuple[int, int, int, int]

KB_SIZE = (352, 1216)


def _whole(height: int, width: int) -> Box:
    return 0, height, 0, width


def _kb(height: int, width: int) -> Box:
    rows, columns = KB_SIZE
    if height < rows or width < columns:
        raise ValueError(
            f"image_crop kb: needs an image of at least {rows} x {columns} pixels, got {height} x {width}. "
            "It is made for KITTI; choose another protocol."
        )
    left = (width - columns) // 2
    return height - rows, height, left, left + columns


def _eigen(height: int, width: int) -> Box:
    if (height, width) != (480, 640):
        raise ValueError(f"crop 'eigen': is made for NYUv2 maps of 480 x 640, got {height} x {width}. Choose another.")
    return 45, 471, 41, 601


def _garg(height: int, width: int) -> Box:
    rows, columns = (0.40810811, 0.99189189), (0.03594771, 0.96405229)
    return int(rows[0] * height), int(rows[1] * height), int(columns[0] * width), int(columns[1] * width)


# What a model sees, from the size (height, width) of the image. "kb" keeps the bottom 352 rows and the middle 1216
# columns, as the KITTI benchmark does.
IMAGE_CROPS: dict[str, Callable[[int, int], Box]] = {"none": _whole, "kb": _kb}

# What counts, from the size of the grid on which truth and prediction are compared.
WINDOWS: dict[str, Callable[[int, int], Box]] = {"none": _whole, "eigen": _eigen, "garg": _garg}


def crop_box(name: str, size: tuple[int, int]) -> Box:
    """What a key of IMAGE_CROPS keeps of an image of `size` (height, width).

    Raises:
        ValueError: the image is too small.
    """
    return IMAGE_CROPS[name](*size)


def crop_mask(crop: str | None, height: int, width: int) -> Tensor:
    """True inside the window that an evaluation looks at.

    Args:
        crop: "eigen" (NYUv2, 480 x 640), "garg" (KITTI, any size), or None, "none" for everything.
        height, width: Size of the ground truth in pixels.

    Returns:
        bool (height, width).

    Raises:
        ValueError: unknown crop, or one that is not made for this size.
    """
    if (crop or "none") not in WINDOWS:
        raise ValueError(f"crop: must be None or one of {', '.join(WINDOWS)}, got {crop!r}.")
    top, bottom, left, right = WINDOWS[crop or "none"](height, width)
    mask = torch.zeros(height, width, dtype=torch.bool)
    mask[top:bottom, left:right] = True
    return mask
