"""Metric depth scores as the authors' evaluator computes them: per image, then the mean over images.

Source: the formulas on which the public BTS, AdaBins and ZoeDepth evaluators agree; tables 2 and 3 of the DPT paper
come from the first.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

METRICS = ("abs_rel", "sq_rel", "rmse", "rmse_log", "log10", "silog", "delta1", "delta2", "delta3")
COUNTS = ("images", "pixels", "empty_images", "nan_pixels")

Window = tuple[int, int, int, int]


class DepthMetrics:
    """Sums of per-image scores in float64; those of several processes add up.

    Args:
        min_depth, max_depth: Metres. Ground truth strictly between them counts; predictions are clamped to them.

    Raises:
        ValueError: not 0 < min_depth < max_depth.
    """

    def __init__(self, min_depth: float = 1e-3, max_depth: float = 10.0):
        if not 0 < min_depth < max_depth:
            raise ValueError(
                f"min_depth, max_depth: must be 0 < min_depth < max_depth in metres, got {min_depth} and {max_depth}."
            )
        self.min_depth, self.max_depth = min_depth, max_depth
        self._sums = torch.zeros(len(METRICS) + len(COUNTS), dtype=torch.float64)

    def update(self, prediction: Tensor, truth: Tensor, valid: Tensor | None = None) -> dict[str, float] | None:
        """Add one image.

        Args:
            prediction: Metres. Shape (H, W). Infinite is far; NaN counts as min_depth, and is counted.
            truth: Metres; 0, negative, infinite or NaN where unknown. Shape (H, W).
            valid: False where truth is not to be used. Shape (H, W), bool.

        Returns:
            Scores of this image; None if it has no usable pixel, in which case it is only counted.

        Raises:
            ValueError: the shapes differ.
        """
        if (
            prediction.ndim != 2
            or prediction.shape != truth.shape
            or (valid is not None and valid.shape != truth.shape)
        ):
            raise ValueError(
                f"prediction, truth: must have one shape (height, width), got {tuple(prediction.shape)} and "
                f"{tuple(truth.shape)}. Resize the prediction to the ground truth."
            )
        truth = truth.detach().cpu().double()
        usable = (truth > self.min_depth) & (truth < self.max_depth)  # false for NaN
        if valid is not None:
            usable &= valid.cpu().bool()
        truth, prediction = truth[usable], prediction.detach().cpu().double()[usable]
        if not truth.numel():
            self._count(empty_images=1)
            return None
        unknown = prediction.isnan()
        prediction = torch.where(unknown, self.min_depth, prediction).clamp(self.min_depth, self.max_depth)
        scores = image_scores(prediction, truth)
        self._sums[: len(METRICS)] += torch.tensor([scores[name] for name in METRICS], dtype=torch.float64)
        self._count(images=1, pixels=truth.numel(), nan_pixels=int(unknown.sum()))
        return scores

    def state(self) -> Tensor:
        """Everything summed so far, float64 (13,): what other processes need."""
        return self._sums.clone()

    def merge(self, state: Tensor) -> None:
        """Add the state of another process."""
        self._sums += state.to(self._sums)

    def compute(self) -> dict[str, float]:
        """Mean over images of each of METRICS, and COUNTS.

        silog is 100 times the standard deviation of the log ratio; delta1 to delta3 are fractions within 1.25, 1.25^2
        and 1.25^3.

        Raises:
            ValueError: no image had a usable pixel.
        """
        *sums, images, pixels, empty, unknown = self._sums.tolist()
        if not images:
            raise ValueError(
                f"ground truth: needs an image with a pixel between {self.min_depth:g} and {self.max_depth:g} m, got "
                f"none in {empty:.0f}. Check the unit of the depth maps (depth_scale), the crop and max_depth."
            )
        means = {name: total / images for name, total in zip(METRICS, sums, strict=True)}
        return means | dict(zip(COUNTS, (images, pixels, empty, unknown), strict=True))

    def _count(self, **counts: int) -> None:
        for name, count in counts.items():
            self._sums[len(METRICS) + COUNTS.index(name)] += count


def image_scores(prediction: Tensor, truth: Tensor) -> dict[str, float]:
    """METRICS of one image from its usable pixels: two positive float64 vectors in metres."""
    ratio = torch.maximum(prediction / truth, truth / prediction)
    error = prediction - truth
    log_error = prediction.log() - truth.log()
    scores = {
        "abs_rel": (error.abs() / truth).mean(),
        "sq_rel": (error.square() / truth).mean(),
        "rmse": error.square().mean().sqrt(),
        "rmse_log": log_error.square().mean().sqrt(),
        "log10": log_error.abs().mean() / math.log(10),
        "silog": 100 * log_error.std(unbiased=False),
    }
    scores |= {f"delta{k}": (ratio < 1.25**k).double().mean() for k in (1, 2, 3)}
    return {name: value.item() for name, value in scores.items()}


def _eigen_window(height: int, width: int) -> Window:
    if (height, width) != (480, 640):
        raise ValueError(f"crop 'eigen': is made for NYUv2 maps of 480 x 640, got {height} x {width}. Choose another.")
    return 45, 471, 41, 601


def _garg_window(height: int, width: int) -> Window:
    rows, columns = (0.40810811, 0.99189189), (0.03594771, 0.96405229)
    return int(rows[0] * height), int(rows[1] * height), int(columns[0] * width), int(columns[1] * width)


# From the size (height, width) of the ground truth to the rows and columns that count: top, bottom, left, right.
CROPS: dict[str, Callable[[int, int], Window]] = {"eigen": _eigen_window, "garg": _garg_window}


def crop_mask(crop: str | None, height: int, width: int) -> Tensor:
    """True inside the window that an evaluation looks at.

    Args:
        crop: "eigen" (NYUv2, 480 x 640), "garg" (KITTI, any size), or None for everything.
        height, width: Size of the ground truth in pixels.

    Returns:
        bool (height, width).

    Raises:
        ValueError: unknown crop, or one that is not made for this size.
    """
    if crop is None:
        return torch.ones(height, width, dtype=torch.bool)
    if crop not in CROPS:
        raise ValueError(f"crop: must be None or one of {', '.join(CROPS)}, got {crop!r}.")
    mask = torch.zeros(height, width, dtype=torch.bool)
    top, bottom, left, right = CROPS[crop](height, width)
    mask[top:bottom, left:right] = True
    return mask
