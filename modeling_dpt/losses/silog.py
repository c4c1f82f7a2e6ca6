"""Scale-invariant logarithmic loss for metric depth.

Sources: Eigen et al. (2014), the form the DPT paper names for its metric models; BTS takes the square root.
"""

from typing import Literal

import torch
from torch import Tensor

from ..alignment import check_maps, masked_mean
from .reduction import in_full_precision, mean_over_images

FORMS = ("eigen", "sqrt")

# Depth below a micrometre is taken for one, to keep the logarithm finite.
_SMALLEST_DEPTH = 1e-6
# Below this the square root is straightened: its slope is infinite at 0.
_SMALLEST_SQUARE = 1e-12


@in_full_precision
def silog_loss(
    prediction: Tensor,
    target: Tensor,
    valid: Tensor,
    *,
    variance_focus: float = 0.5,
    form: Literal["eigen", "sqrt"] = "eigen",
) -> Tensor:
    """Compare depths by their log ratio g = ln prediction - ln target.

    Args:
        prediction: Depth in metres. Shape (B, H, W).
        target: Depth in metres, positive where valid. Shape (B, H, W).
        valid: True where target is usable. Shape (B, H, W), bool.
        variance_focus: The lambda of the paper. 0 is the mean square log error, 1 ignores a global scale. Eigen et al.
            train with 0.5, BTS with 0.85.
        form: "eigen": mean(g^2) - lambda * mean(g)^2. "sqrt": 10 * its square root, as BTS.

    Returns:
        Scalar: per image over its valid pixels, then the mean over images with any. 0 with zero gradients if nothing
        is valid.

    Raises:
        ValueError: the shapes differ, valid is not bool, form is unknown or variance_focus is outside [0, 1].
    """
    check_maps(prediction, target, valid)
    check_silog_options(variance_focus, form)
    log_ratio = masked_log(prediction, valid) - masked_log(target, valid)
    mean = masked_mean(log_ratio, valid)
    # mean(g^2) - lambda mean(g)^2, written so that rounding cannot make it negative.
    variance = masked_mean((log_ratio - mean[:, None, None]).square(), valid)
    per_image = variance + (1 - variance_focus) * mean.square()
    if form == "sqrt":
        per_image = 10 * torch.where(
            per_image > _SMALLEST_SQUARE,
            per_image.clamp(min=_SMALLEST_SQUARE).sqrt(),
            per_image / _SMALLEST_SQUARE**0.5,
        )
    return mean_over_images(per_image, valid)


def masked_log(depth: Tensor, valid: Tensor) -> Tensor:
    """Natural logarithm where valid, 0 elsewhere."""
    # Masked before the logarithm: its gradient at an invalid 0 would be infinite times zero.
    return torch.where(valid, depth, 1.0).clamp(min=_SMALLEST_DEPTH).log()


def check_silog_options(variance_focus: float = 0.5, form: str = "eigen") -> None:
    """Raise ValueError unless `silog_loss` takes them."""
    if form not in FORMS:
        raise ValueError(f"form: must be one of {', '.join(FORMS)}, got {form!r}. The paper uses 'eigen'.")
    if not 0 <= variance_focus <= 1:
        raise ValueError(f"variance_focus: must be in [0, 1], got {variance_focus}. Eigen et al. use 0.5.")
