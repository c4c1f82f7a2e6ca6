"""What of an image the model gets to see."""

from collections.abc import Callable

# (top, bottom, left, right) in pixels of the image.
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


# By the names that protocols use. "kb" keeps the bottom 352 rows and the middle 1216 columns (KITTI benchmark).
IMAGE_CROPS: dict[str, Callable[[int, int], Box]] = {"none": _whole, "kb": _kb}


def crop_box(name: str, size: tuple[int, int]) -> Box:
    """(top, bottom, left, right) that the crop keeps of an image of `size` (height, width).

    Raises:
        ValueError: the image is too small.
    """
    return IMAGE_CROPS[name](*size)
