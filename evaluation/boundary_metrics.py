"""Boundary F1: does depth jump where it should, whatever its scale.

Source: Bochkovskii et al., Depth Pro, arXiv:2410.02073, section on metrics for sharp boundaries, and the authors'
public evaluation code, which fixes what the text leaves open.

Shape legend: H W pixels, T thresholds.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from .streaming import StreamingSums, as_maps, exact_device

# Ratios of neighbouring depths, evenly spaced; each counts with its own value as weight.
THRESHOLDS = torch.linspace(1.05, 1.25, 10, dtype=torch.float64)
# The authors' floor of predictions before ratios are taken.
LEAST = 1e-6


class BoundaryMetrics(StreamingSums):
    """Mean over images of `boundary_f1`, for dense ground truth; processes add up."""

    def __init__(self) -> None:
        super().__init__(3)

    def update(
        self,
        prediction: Tensor | Sequence[Tensor],
        truth: Tensor | Sequence[Tensor],
        valid: Tensor | Sequence[Tensor] | None = None,
    ) -> None:
        """Add one image or a batch: maps (H, W), (B, H, W), or lists of maps of any sizes; see `boundary_f1`."""
        predictions, truths = as_maps(prediction), as_maps(truth)
        valids = [None] * len(truths) if valid is None else as_maps(valid)
        for maps in zip(predictions, truths, valids, strict=True):
            score = boundary_f1(*maps)
            self._add(torch.tensor([score or 0.0, score is not None, score is None], dtype=torch.float64))

    def compute(self) -> dict[str, float]:
        """boundary_f1, images, and flat_images (left out: their ground truth has no contour).

        Raises:
            ValueError: no image had a contour.
        """
        total, images, flat = self._sums.tolist()
        if not images:
            raise ValueError(
                "ground truth: needs an image where neighbouring depths differ by more than "
                f"{THRESHOLDS[0] - 1:.0%}, got none in {flat:.0f}. Boundaries need dense ground truth."
            )
        return {"boundary_f1": total / images, "images": images, "flat_images": flat}


def boundary_f1(prediction: Tensor, truth: Tensor, valid: Tensor | None = None) -> float | None:
    """Scale-invariant boundary F1 of one image.

    A contour is a pair of neighbouring pixels, the second one to the left, right, top or bottom of the first, whose
    depths have a ratio above t. For each of the four directions recall is the part of the true contours that is
    predicted, precision the part of the predicted ones that is true, each 0 where there is none; F1(t) comes from the
    means of both over the four directions. The score is the mean of F1(t) over ten t from 1.05 to 1.25, weighted by t.

    Args:
        prediction: Depth, any scale. Below 1e-6 it counts as that; NaN makes no contour. Shape (H, W).
        truth: Depth; 0, negative, infinite or NaN where unknown. Shape (H, W).
        valid: False where truth is not to be used. Only pairs of two usable pixels count, as true contours and as
            predicted ones. Shape (H, W), bool.

    Returns:
        0 to 1; None if the truth has no contour. As published, an image without true contours in one of the
        directions cannot reach 1.

    Raises:
        ValueError: the shapes differ.
    """
    shapes = [tuple(maps.shape) for maps in (prediction, truth, valid) if maps is not None]
    if len(shapes[0]) != 2 or len(set(shapes)) != 1:
        raise ValueError(
            f"prediction, truth: must have one shape (height, width), got {', '.join(map(str, shapes))}. "
            "Resize the prediction to the ground truth."
        )
    device = exact_device(prediction)
    prediction, truth = prediction.detach().to(device).double(), truth.detach().to(device).double()
    usable = truth.isfinite() & (truth > 0)
    if valid is not None:
        usable &= valid.to(device).bool()
    thresholds = THRESHOLDS.to(device)
    predicted = _levels(prediction.clamp(min=LEAST), usable, thresholds)
    true = _levels(truth, usable, thresholds)
    precisions, recalls, contours = [], [], 0
    for levels, true_levels in zip(predicted, true, strict=True):
        found, wanted = _above(levels, thresholds), _above(true_levels, thresholds)
        hits = _above(torch.minimum(levels, true_levels), thresholds)
        precisions.append(hits / found.clamp(min=1))
        recalls.append(hits / wanted.clamp(min=1))
        contours = contours + wanted[0]
    if not contours:
        return None
    precision, recall = torch.stack(precisions).mean(0), torch.stack(recalls).mean(0)
    f1 = torch.nan_to_num(2 * precision * recall / (precision + recall))
    return (f1 * thresholds).sum().item() / thresholds.sum().item()


def _levels(depth: Tensor, usable: Tensor, thresholds: Tensor) -> Iterator[Tensor]:
    """Per direction, how many thresholds each pair's ratio is above: it is a contour for so many of them."""
    for axis in (0, 1):
        first, second = depth.narrow(axis, 0, depth.shape[axis] - 1), depth.narrow(axis, 1, depth.shape[axis] - 1)
        both = usable.narrow(axis, 0, depth.shape[axis] - 1) & usable.narrow(axis, 1, depth.shape[axis] - 1)
        for ratio in (first / second, second / first):
            ratio = torch.where(both & ~ratio.isnan(), ratio, 1.0)
            yield torch.bucketize(ratio.contiguous(), thresholds)


def _above(levels: Tensor, thresholds: Tensor) -> Tensor:
    """Number of pairs above each threshold, float64 (T,)."""
    counts = levels.flatten().bincount(minlength=len(thresholds) + 1)
    return counts.flip(0).cumsum(0).flip(0)[1:].double()
