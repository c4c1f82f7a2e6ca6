"""Training losses of the paper. Formulas only: schedules and mixing are the business of `training`."""

from .cross_entropy import segmentation_loss
from .depth_losses import DEPTH_LOSSES, build_depth_loss
from .gradient_matching import gradient_matching_loss
from .metric import MetricDepthLoss, l1_loss, log_l1_loss
from .scale_shift_invariant import ScaleShiftInvariantLoss, scale_shift_invariant_loss
from .silog import silog_loss

__all__ = [
    "DEPTH_LOSSES",
    "MetricDepthLoss",
    "ScaleShiftInvariantLoss",
    "build_depth_loss",
    "gradient_matching_loss",
    "l1_loss",
    "log_l1_loss",
    "scale_shift_invariant_loss",
    "segmentation_loss",
    "silog_loss",
]
