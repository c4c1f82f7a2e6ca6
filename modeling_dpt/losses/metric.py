"""Losses for depth in metres: L1, log-L1 or SILog, each with gradient matching where ground truth is dense.

Reduction: mean over the valid pixels of each image, then mean over the images that have any.
"""

from collections.abc import Callable

from torch import Tensor, nn

from ..alignment import check_maps, masked_mean
from .gradient_matching import check_gradient_options, gradient_matching_loss
from .reduction import in_full_precision, mean_over_images
from .silog import check_silog_options, masked_log, silog_loss


@in_full_precision
def l1_loss(prediction: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Mean absolute difference in metres, which far pixels dominate.

    Args:
        prediction: Depth in metres. Shape (B, H, W).
        target: Depth in metres. Shape (B, H, W).
        valid: True where target is usable. Shape (B, H, W), bool.

    Returns:
        Scalar. 0 with zero gradients if nothing is valid.

    Raises:
        ValueError: the shapes differ, or valid is not bool.
    """
    check_maps(prediction, target, valid)
    return mean_over_images(masked_mean((prediction - target).abs(), valid), valid)


@in_full_precision
def log_l1_loss(prediction: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Mean absolute difference of natural logarithms: relative errors, equal weight for near and far.

    Arguments, result and errors as in `l1_loss`; depth below a micrometre is taken for one.
    """
    check_maps(prediction, target, valid)
    return mean_over_images(
        masked_mean((masked_log(prediction, valid) - masked_log(target, valid)).abs(), valid), valid
    )


TERMS: dict[str, Callable[..., Tensor]] = {"silog": silog_loss, "l1": l1_loss, "log_l1": log_l1_loss}


def _no_options() -> None:
    """Of a term without options."""


_CHECKS: dict[str, Callable[..., None]] = {"silog": check_silog_options, "l1": _no_options, "log_l1": _no_options}


class MetricDepthLoss(nn.Module):
    """A term on metres + gradient matching of the same maps in log depth.

    The DPT paper keeps gradient matching on NYUv2 and drops it on KITTI, whose ground truth is too sparse for
    neighbours; in which space and with what weight it does not say. Log depth is chosen here: its residual is the log
    ratio that SILog is made of, an edge counts by the ratio of the depths beside it whether near or far (in disparity
    near edges would drown the others, in metres far ones), and a wrong global scale costs nothing.

    Args:
        term: A key of TERMS.
        gradient_weight: Weight of the gradient matching term; 0 leaves it out.
        gradient_scales: Number of its scales; 4 in arXiv:1907.01341.
        options: Of the term: variance_focus and form of `silog_loss`.

    Raises:
        ValueError: an option has an impossible value. TypeError: the term has no such option.
    """

    def __init__(self, term: str, gradient_weight: float = 0.0, gradient_scales: int = 4, **options):
        super().__init__()
        check_gradient_options(gradient_weight, gradient_scales)
        _CHECKS[term](**options)
        self.term, self.options = term, options
        self.gradient_weight, self.gradient_scales = gradient_weight, gradient_scales

    def forward(self, prediction: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        """Maps of shape (B, H, W) to a scalar."""
        loss = TERMS[self.term](prediction, target, valid, **self.options)
        if self.gradient_weight:
            gradients = _log_gradients(prediction, target, valid, scales=self.gradient_scales)
            loss = loss + self.gradient_weight * gradients
        return loss

    def extra_repr(self) -> str:
        weights = {name: getattr(self, name) for name in ("gradient_weight", "gradient_scales")}
        return ", ".join([repr(self.term), *(f"{name}={value!r}" for name, value in (self.options | weights).items())])


@in_full_precision
def _log_gradients(prediction: Tensor, target: Tensor, valid: Tensor, *, scales: int) -> Tensor:
    check_maps(prediction, target, valid)
    return gradient_matching_loss(masked_log(prediction, valid), masked_log(target, valid), valid, scales=scales)
