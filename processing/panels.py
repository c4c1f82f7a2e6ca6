"""Pictures that show what a model got right: photo, truth, prediction and error side by side."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image, ImageDraw, ImageFont

from .colormaps import diverging, palette
from .post_processing import DepthPrediction

# Ratio of prediction and truth that has the full colour in an error map: 1.25^2.
FULL_ERROR = 1.5625

_GAP = 4  # white pixels between pictures
_INK, _OUTLINE = (34, 34, 40), (0, 200, 120)
_NO_TRUTH = (150, 150, 150)
_RIGHT, _WRONG = (245, 244, 240), (206, 42, 42)
_NEARER, _FARTHER = (214, 40, 40), (38, 84, 214)
# Pictures wider than this (width / height) stand two by two instead of in one line.
_WIDE = 1.8
# Percentiles of the truth that have the first and the last colour.
_SHOWN = (1, 99)
# Below this share of known pixels each is drawn: single lidar points would vanish in a small picture.
_SPARSE = 0.4


def depth_panel(
    image: Any, prediction: Any, truth: Any, valid: Any = None, *, kind: str = "depth", height: int = 240
) -> np.ndarray:
    """Photo, truth, prediction; near is bright, and one colour is one value in both maps.

    Args:
        image: uint8 (H, W, 3) or (3, H, W), array or tensor.
        prediction: (h, w), in the unit of the truth; a relative one aligned to it.
        truth: (h, w), metres or disparity. 0, NaN and infinity are missing (black).
        valid: True where the truth is usable, bool (h, w); everywhere else it is drawn black too.
        kind: "depth" (larger is farther) or "disparity" (larger is nearer).
        height: of the panel in pixels.

    Returns:
        uint8 (height, width, 3).
    """
    truth = _array(truth)
    known = _known(truth) if valid is None else _known(truth) & _array(valid).astype(bool)
    size = _size(image, height)
    return _beside([_photo(image, size), *_depth_tiles(prediction, truth, known, kind, size)])


def segmentation_panel(
    image: Any, prediction: Any, truth: Any, *, num_labels: int, ignore_index: int = 255, height: int = 240
) -> np.ndarray:
    """Photo, truth, prediction in the same colours; pixels without a label are black in the truth.

    Args:
        image: uint8 (H, W, 3) or (3, H, W), array or tensor.
        prediction: class ids (h, w).
        truth: class ids (h, w); `ignore_index` is no class.
        num_labels: classes there are.
        ignore_index: id of pixels without a label.
        height: of the panel in pixels.

    Returns:
        uint8 (height, width, 3).
    """
    size = _size(image, height)
    return _beside([_photo(image, size), *_label_tiles(prediction, truth, num_labels, ignore_index, size)])


def depth_error_panel(
    image: Any, prediction: Any, truth: Any, used: Any, *, title: str = "", height: int = 240
) -> np.ndarray:
    """Photo, truth, prediction and the ratio of both, with the outline of what counted.

    Args:
        image: uint8 (H, W, 3) or (3, H, W), array or tensor.
        prediction: (h, w), metres; NaN where there is none.
        truth: (h, w), metres; 0 where unknown.
        used: True where pixels counted, bool (h, w).
        title: Line above.
        height: of each picture in pixels; wide pictures stand two by two.

    Returns:
        uint8 (height of all, width, 3).
    """
    prediction, truth, used = _array(prediction), _array(truth), _array(used).astype(bool)
    size = _size(image, height)
    error = _shrunk(depth_error_map(prediction, truth, used), used, size)
    known = _known(truth)
    tiles = [*_depth_tiles(prediction, truth, known, "depth", size), error]
    ends = "bright {:.3g} m, dark {:.3g} m".format(*np.percentile(truth[known], _SHOWN)) if known.any() else "unknown"
    line = _outline(used, size)[..., None]
    tiles = [np.where(line, np.uint8(_OUTLINE), tile) for tile in tiles]
    captions = (
        "image",
        f"ground truth: {ends}",
        "prediction in the same colours",
        f"error: red too near, blue too far (full colour at x{FULL_ERROR:.2f})",
    )
    return _sheet(title, captions, [_photo(image, size), *tiles])


def segmentation_error_panel(
    image: Any, prediction: Any, truth: Any, used: Any, *, num_labels: int, title: str = "", height: int = 240
) -> np.ndarray:
    """Photo, truth, prediction in the same colours, and where they differ; arguments as above."""
    prediction, truth, used = _array(prediction), _array(truth), _array(used).astype(bool)
    size = _size(image, height)
    labels = np.where(used, truth, num_labels)  # one more colour, black
    error = _nearest(label_error_map(prediction, truth, used), size)
    tiles = [*_label_tiles(prediction, labels, num_labels, num_labels, size), error]
    return _sheet(
        title,
        ("image", "ground truth", "prediction", "error: red is wrong, grey not labelled"),
        [_photo(image, size), *tiles],
    )


def ordinal_panel(
    image: Any, prediction: Any, points: Any, *, kind: str = "disparity", title: str = "", height: int = 240
) -> np.ndarray:
    """Photo and prediction with pairs of points: red is the nearer one in truth, blue the farther.

    Args:
        image: uint8 (H, W, 3) or (3, H, W), array or tensor.
        prediction: (H, W); NaN where there is none.
        points: (P, 5): row and column of A, those of B, and 1 where A is farther or -1.
        kind: "disparity" (larger is nearer) or "depth".
        title, height: As above.
    """
    values = DepthPrediction(_array(prediction), kind).colorize()
    size = _size(image, height)
    scale = size[0] / values.shape[1], size[1] / values.shape[0]
    pictures = (_photo(image, size), _nearest(values, size))
    tiles = [np.asarray(mark_pairs(Image.fromarray(tile), _array(points), scale)) for tile in pictures]
    return _sheet(title, ("image: red is nearer, blue farther", "prediction"), tiles)


def mark_pairs(picture: Image.Image, points: np.ndarray, scale: tuple[float, float]) -> Image.Image:
    """A copy with a dot at both points of every pair, red for the nearer one in truth and blue for the farther.

    Args:
        points: (P, 5): row and column of A, those of B, and 1 where A is farther or -1.
        scale: Pixels of the picture for one of the points' columns, and for one of their rows.
    """
    picture = picture.copy()
    draw = ImageDraw.Draw(picture)
    for row_a, column_a, row_b, column_b, sign in points.tolist():
        colours = (_FARTHER, _NEARER) if sign > 0 else (_NEARER, _FARTHER)
        for row, column, colour in zip((row_a, row_b), (column_a, column_b), colours, strict=True):
            centre = ((column + 0.5) * scale[0], (row + 0.5) * scale[1])
            draw.circle(centre, 6, fill=colour, outline=(255, 255, 255), width=2)
    return picture


def depth_error_map(prediction: np.ndarray, truth: np.ndarray, used: np.ndarray) -> np.ndarray:
    """The ratio of prediction and truth: red where too near, blue where too far, grey where nothing counted.

    Returns:
        uint8 (H, W, 3); nearly white where both are equal, full colour from FULL_ERROR times on.
    """
    counted = used & (prediction > 0) & (truth > 0)  # false for NaN
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.log(np.where(counted, truth, 1.0) / np.where(counted, prediction, 1.0)) / np.log(FULL_ERROR)
    return np.where(counted[..., None], diverging(np.nan_to_num(ratio)), np.uint8(_NO_TRUTH))


def label_error_map(prediction: np.ndarray, truth: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Red where the class is wrong, nearly white where it is right, grey where nothing counted; uint8 (H, W, 3)."""
    colours = np.uint8([_RIGHT, _WRONG, _NO_TRUTH])
    return colours[np.where(used, (prediction != truth).astype(int), 2)]


def _depth_tiles(
    prediction: Any, truth: np.ndarray, known: np.ndarray, kind: str, size: tuple[int, int]
) -> list[np.ndarray]:
    expected = DepthPrediction(truth, kind, valid=known)
    found = DepthPrediction(_array(prediction), kind)
    scale = expected if known.any() else found
    value_range = scale.value_range(_SHOWN) if scale.valid.any() else None
    maps = [map_.colorize(value_range=value_range) for map_ in (expected, found)]
    return [_shrunk(maps[0], known, size), _nearest(maps[1], size)]


def _label_tiles(
    prediction: Any, truth: Any, num_labels: int, ignore_index: int, size: tuple[int, int]
) -> list[np.ndarray]:
    colours = np.zeros((max(num_labels, ignore_index) + 1, 3), np.uint8)
    colours[:num_labels] = palette(num_labels)
    colours[ignore_index] = 0
    return [_nearest(colours[_array(labels).astype(np.int64)], size) for labels in (truth, prediction)]


def _known(truth: np.ndarray) -> np.ndarray:
    return np.isfinite(truth) & (truth > 0)


def _size(image: Any, height: int) -> tuple[int, int]:
    rows, columns = _channels_last(image).shape[:2]
    return max(1, round(height * columns / rows)), height


def _photo(image: Any, size: tuple[int, int]) -> np.ndarray:
    photo = Image.fromarray(_channels_last(image).astype(np.uint8))
    return np.asarray(photo.resize(size, Image.Resampling.BILINEAR))


def _nearest(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    # A mixture of two colours would be a value, or a class, that is nowhere in the map.
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.NEAREST))


def _shrunk(picture: np.ndarray, known: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """As `_nearest`, but where little is known every known pixel is seen."""
    small = _nearest(picture, size)
    if not 0 < known.mean() < _SPARSE or size[1] > known.shape[0]:
        return small
    small = small.copy()
    rows, columns = np.nonzero(known)
    small[rows * size[1] // known.shape[0], columns * size[0] // known.shape[1]] = picture[rows, columns]
    return small


def _outline(used: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Line around what counted, bool (height, width); gaps between scattered points are no border."""
    mask = _shrunk(np.uint8(used)[..., None].repeat(3, 2), used, size)[..., 0] > 0
    reach = size[1] // 40
    filled = np.pad(~_widened(~_widened(mask, reach), reach), 1)
    inner = filled[1:-1, 1:-1]
    around = filled[:-2, 1:-1] & filled[2:, 1:-1] & filled[1:-1, :-2] & filled[1:-1, 2:]
    return inner & ~around


def _widened(mask: np.ndarray, reach: int) -> np.ndarray:
    """True where something within `reach` rows and columns is. A line a time: a square of that size is slow."""
    for axis in (0, 1):
        padding = [(reach, reach) if axis == one else (0, 0) for one in (0, 1)]
        mask = sliding_window_view(np.pad(mask, padding, mode="edge"), 2 * reach + 1, axis).any(-1)
    return mask


def _sheet(title: str, captions: Sequence[str], tiles: list[np.ndarray]) -> np.ndarray:
    """Title, and each tile below its caption."""
    height, width = tiles[0].shape[:2]
    captioned = [
        np.concatenate([_line(caption, width, 13), tile]) for caption, tile in zip(captions, tiles, strict=True)
    ]
    columns = 2 if width > _WIDE * height else len(captioned)
    rows = [_beside(captioned[first : first + columns]) for first in range(0, len(captioned), columns)]
    return np.concatenate([_line(title, rows[0].shape[1], 16), *rows])


def _line(text: str, width: int, size: int) -> np.ndarray:
    font = ImageFont.load_default(size)
    line = Image.new("RGB", (width, size + 9), (255, 255, 255))
    while font.getlength(text) > width - 4 and text:
        text = text[:-1]
    ImageDraw.Draw(line).text((2, 3), text, _INK, font)
    return np.asarray(line)


def _beside(tiles: Sequence[np.ndarray]) -> np.ndarray:
    white = np.full((tiles[0].shape[0], _GAP, 3), 255, np.uint8)
    return np.concatenate([tiles[0], *(part for tile in tiles[1:] for part in (white, tile))], axis=1)


def _channels_last(image: Any) -> np.ndarray:
    photo = _array(image)
    return photo if photo.shape[-1] == 3 else photo.transpose(1, 2, 0)


def _array(values: Any) -> np.ndarray:
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.float() if values.is_floating_point() else values  # NumPy has no bfloat16
    return np.asarray(values)
