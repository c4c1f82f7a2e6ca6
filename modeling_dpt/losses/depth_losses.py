"""The losses that `config.depth_loss` can name."""

from collections.abc import Callable
from functools import partial

from torch import nn

from .metric import MetricDepthLoss
from .scale_shift_invariant import ScaleShiftInvariantLoss

# Name to constructor; the options are its keywords. All take (prediction, target, valid), each (B, H, W), to a scalar.
DEPTH_LOSSES: dict[str, Callable[..., nn.Module]] = {
    "ssi": ScaleShiftInvariantLoss,
    "silog": partial(MetricDepthLoss, "silog"),
    "l1": partial(MetricDepthLoss, "l1"),
    "log_l1": partial(MetricDepthLoss, "log_l1"),
}

# By depth_estimation_type. Relative: the paper's loss, arXiv:1907.01341, section 5. Metric: Eigen's, as the DPT paper
# names it, without gradient matching, so that it suits sparse ground truth too.
_DEFAULTS = {
    "relative": {"name": "ssi", "kind": "trimmed", "gradient_weight": 0.5},
    "metric": {"name": "silog"},
}


def build_depth_loss(config) -> nn.Module:
    """The loss of a `DPTConfig`: a module (prediction, target, valid) -> scalar.

    Raises:
        ValueError: an option of `config.depth_loss` has an impossible value.
    """
    options = dict(config.depth_loss or _DEFAULTS[config.depth_estimation_type])
    return DEPTH_LOSSES[options.pop("name")](**options)
