"""Zero-shot depth as MiDaS measures it: AbsRel and delta1 after an affine fit in inverse depth.

Source: Ranftl et al., TPAMI, arXiv:1907.01341, section 6, and the first author's public evaluation scripts.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from .aligning import affine_disparity
from .depth_metrics import image_scores

# Maps an image and the (height, width) of its ground truth to a disparity map of that size, up to scale and shift.
Predictor = Callable[[Image.Image, tuple[int, int]], Tensor]


@dataclass(frozen=True)
class DepthPair:
    """An image and its ground truth.

    Args:
        name: For the report.
        image: RGB image.
        depth: Metres, 0 where unknown. Shape (H, W).
        cap: Metres; ground truth from here on is left out, predictions beyond are set to it.
    """

    name: str
    image: Image.Image
    depth: np.ndarray
    cap: float


@dataclass(frozen=True)
class Score:
    """abs_rel: mean |z - z*| / z*. delta1: part of the pixels with max(z / z*, z* / z) < 1.25. pixels: how many."""

    abs_rel: float
    delta1: float
    pixels: int


def score_affine_aligned(disparity: Tensor, depth: Tensor, cap: float) -> Score:
    """Fit a disparity map to 1 / depth by least squares, invert it, compare.

    Args:
        disparity: Prediction, arbitrary unit. Shape (H, W).
        depth: Ground truth in metres, 0 (or not finite) where unknown. Shape (H, W).
        cap: Metres. Pixels with 0 < depth < cap count; aligned disparity below 1 / cap (negative too) becomes 1 / cap.
            A constant disparity gets its best fit, the mean of 1 / depth.

    Raises:
        ValueError: the shapes differ or no pixel counts.
    """
    if disparity.ndim != 2 or disparity.shape != depth.shape:
        raise ValueError(
            f"disparity, depth: must have one shape (height, width), got {tuple(disparity.shape)} and "
            f"{tuple(depth.shape)}. Resize the prediction to the ground truth."
        )
    depth = torch.where(torch.isfinite(depth), depth, 0.0).double()
    valid = (depth > 0) & (depth < cap)
    if not valid.any():
        raise ValueError(f"depth: needs a pixel between 0 and the cap of {cap} m, got none. Check its unit.")
    predicted = affine_disparity(disparity.double(), depth, valid, cap, mean=True)[0][valid]
    scores = image_scores(predicted, depth[valid])
    return Score(scores["abs_rel"], scores["delta1"], pixels=predicted.numel())


def evaluate_pairs(predict: Predictor, pairs: Iterable[DepthPair]) -> dict[str, Score]:
    """Score of each pair by name; use `mean_score` for the figure that papers print."""
    scores = {}
    for pair in pairs:
        depth = torch.from_numpy(np.ascontiguousarray(pair.depth, dtype=np.float64))
        scores[pair.name] = score_affine_aligned(predict(pair.image, depth.shape), depth, pair.cap)
    return scores


def mean_score(scores: Iterable[Score]) -> Score:
    """Mean over images, so that each image counts once however many pixels it has; pixels are summed."""
    scores = list(scores)
    return Score(
        abs_rel=float(np.mean([score.abs_rel for score in scores])),
        delta1=float(np.mean([score.delta1 for score in scores])),
        pixels=sum(score.pixels for score in scores),
    )


def model_predictor(model: torch.nn.Module, processor: Callable) -> Predictor:
    """Predictor of a relative depth model: processor, model, bilinear resize to the ground truth.

    Args:
        model: A `DPTForDepthEstimation` (or any model with `predicted_depth` in disparity).
        processor: Its image processor.
    """

    @torch.inference_mode()
    def predict(image: Image.Image, size: tuple[int, int]) -> Tensor:
        pixel_values = processor(image, return_tensors="pt")["pixel_values"].to(model.device, model.dtype)
        disparity = model(pixel_values).predicted_depth
        return F.interpolate(disparity[:, None].float(), size=size, mode="bilinear")[0, 0].cpu()

    return predict


def constant_predictor(image: Image.Image, size: tuple[int, int]) -> Tensor:
    """What knowing nothing scores: the same disparity everywhere."""
    return torch.ones(size)


def row_predictor(image: Image.Image, size: tuple[int, int]) -> Tensor:
    """What knowing only that the ground is below scores: disparity grows with the row."""
    return torch.arange(size[0], dtype=torch.float32)[:, None].expand(size)
