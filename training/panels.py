"""Pictures that show how training goes: the photo, the truth and the prediction side by side."""

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from ..processing.colormaps import palette
from ..processing.post_processing import DepthPrediction

_GAP = 4  # white pixels between pictures


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
    prediction, truth = (np.asarray(_array(values), np.float32) for values in (prediction, truth))
    known = np.isfinite(truth) & (truth > 0)
    if valid is not None:
        known &= _array(valid).astype(bool)
    expected = DepthPrediction(truth, kind, valid=known)
    found = DepthPrediction(prediction, kind)
    scale = expected if known.any() else found
    value_range = scale.value_range((1, 99)) if scale.valid.any() else None
    return _side_by_side(image, [map_.colorize(value_range=value_range) for map_ in (expected, found)], height)


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
    colours = np.zeros((max(num_labels, ignore_index) + 1, 3), np.uint8)
    colours[:num_labels] = palette(num_labels)
    colours[ignore_index] = 0
    return _side_by_side(image, [colours[_array(labels).astype(np.int64)] for labels in (truth, prediction)], height)


class SpreadPanels:
    """Draws a few of the samples that an evaluation goes through, evenly spread; to be passed as `on_sample`.

    Args:
        draw: (image, prediction, truth) -> uint8 (H, W, 3).
        wanted: Number of pictures.
        total: Samples that this process will see.
    """

    def __init__(self, draw: Callable[[Any, Any, Any], np.ndarray], wanted: int, total: int):
        self._draw, self._wanted = draw, wanted
        self._every = max(1, total // max(1, wanted))
        self._seen = 0
        self.pictures: dict[str, np.ndarray] = {}

    def __call__(self, index: int, image: Any, prediction: Any, truth: Any) -> None:
        if self._seen % self._every == 0 and len(self.pictures) < self._wanted:
            self.pictures[f"validation_{len(self.pictures)}"] = self._draw(image, prediction, truth)
        self._seen += 1


def _side_by_side(image: Any, maps: list[np.ndarray], height: int) -> np.ndarray:
    photo = _array(image)
    if photo.shape[-1] != 3:
        photo = photo.transpose(1, 2, 0)  # (3, H, W) -> (H, W, 3)
    width = max(1, round(height * photo.shape[1] / photo.shape[0]))
    size = (width, height)
    tiles = [np.asarray(Image.fromarray(photo.astype(np.uint8)).resize(size, Image.Resampling.BILINEAR))]
    # Nearest: a mixture of two colours would be a value, or a class, that is nowhere in the map.
    tiles += [np.asarray(Image.fromarray(map_).resize(size, Image.Resampling.NEAREST)) for map_ in maps]
    white = np.full((height, _GAP, 3), 255, np.uint8)
    return np.concatenate([tiles[0], *(part for tile in tiles[1:] for part in (white, tile))], axis=1)


def _array(values: Any) -> np.ndarray:
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.float() if values.is_floating_point() else values  # NumPy has no bfloat16
    return np.asarray(values)
