"""Training losses of the paper. Formulas only: weights, schedules and mixing are the business of `training`."""

from .cross_entropy import segmentation_loss
from .gradient_matching import gradient_matching_loss
from .scale_shift_invariant import ScaleShiftInvariantLoss, scale_shift_invariant_loss
from .silog import silog_loss

__all__ = [
    "ScaleShiftInvariantLoss",
    "gradient_matching_loss",
    "scale_shift_invariant_loss",
    "segmentation_loss",
    "silog_loss",
]
