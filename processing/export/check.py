"""Whether an exported file computes what processor, model and post-processing compute."""

import json
from typing import Any

import numpy as np
import torch
from PIL import Image

from ...assets import bundled_photo_path
from ..predictor import predict_depth, predict_segmentation
from .formats import Runner
from .metadata import ExportError, kind_of

# Sizes (height, width) of the images that a graph of any size is checked with: three sizes, landscape and portrait.
CHECKED_SIZES = ((240, 320), (427, 640), (500, 375))

# Pillow's own arithmetic in whole numbers rounds one pixel in thousands to the neighbouring grey level.
PILLOW_STEP = 1e-3
# Largest difference of depth or disparity relative to its largest value, and largest share of pixels of another class.
TOLERANCES = {"float32": (1e-4, 1e-3), "float16": (2e-2, 2e-2), "bfloat16": (1e-1, 1e-1), "int8": (0.25, 0.1)}


def check(run: Runner, model: Any, processor: Any, dtype: str, sizes: list[tuple[int, int]]) -> dict[str, float]:
    """Run a file and the eager model on a photo at several sizes; the first of them also as a batch of two.

    Args:
        run: The file, opened.
        model, processor: What it was made of.
        dtype: Whose tolerance holds.
        sizes: (height, width) of the images; one of them where the graph has a fixed size.

    Returns:
        "HEIGHTxWIDTH" -> difference: depth or disparity relative to the largest value, labels as share of pixels.

    Raises:
        ExportError: a difference is above the tolerance, or a shape is another.
    """
    kind = kind_of(model)
    tolerance = TOLERANCES[dtype][kind == "labels"]
    if processor.do_resize and processor.antialias:
        tolerance += PILLOW_STEP
    differences = {}
    for number, size in enumerate(sizes):
        image = _photo(size)
        batch = [image, image[:, ::-1].copy()] if number == 0 and len(sizes) > 1 else [image]
        expected = np.stack([_eager(model, processor, single) for single in batch])
        got = run(np.stack(batch))
        name = f"{size[0]}x{size[1]}"
        if got.shape != expected.shape:
            raise ExportError(f"check at {name}: the file gives shape {got.shape}, the model {expected.shape}.")
        # Depth that is one over the network's output is compared as such: near zero, rounding would decide.
        inverted = kind == "depth" and model.config.invert_depth
        difference = _difference(*((1 / got, 1 / expected) if inverted else (got, expected)), kind)
        if not difference <= tolerance:  # also NaN
            raise ExportError(
                f"check at {name}: the file differs from the model by {difference:.1e} (at most {tolerance:.0e} in "
                f"{dtype} is accepted). No file was written."
            )
        differences[name] = float(f"{difference:.2e}")
    return differences


def checked_text(dtype: str, kind: str, sizes: list[tuple[int, int]]) -> str:
    """JSON for the file: what it was compared with before it took its name."""
    return json.dumps(
        {
            "against": "processor, model and post-processing in PyTorch",
            "sizes": [list(size) for size in sizes],
            "largest difference accepted": TOLERANCES[dtype][kind == "labels"],
            "measured as": "share of pixels" if kind == "labels" else "relative to the largest value",
        }
    )


def _difference(got: np.ndarray, expected: np.ndarray, kind: str) -> float:
    if kind == "labels":
        return float(np.mean(got != expected))
    return float(np.abs(got - expected).max() / max(np.abs(expected).max(), 1e-12))


def _eager(model: Any, processor: Any, image: np.ndarray) -> np.ndarray:
    if kind_of(model) == "labels":
        return next(iter(predict_segmentation(model, processor, [image]))).labels
    return next(iter(predict_depth(model, processor, [image]))).values


def _photo(size: tuple[int, int]) -> np.ndarray:
    with Image.open(bundled_photo_path()) as photo:
        return np.asarray(photo.convert("RGB").resize((size[1], size[0]), Image.Resampling.BICUBIC)).copy()


def example(sizes: list[tuple[int, int]]) -> torch.Tensor:
    """An image to trace with: one of the fixed size, or two of a size like no other."""
    if len(sizes) == 1:
        return torch.from_numpy(_photo(sizes[0]))[None]
    return torch.from_numpy(np.stack([_photo((272, 366))] * 2))
