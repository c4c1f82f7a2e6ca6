"""Multi-scale gradient matching: edges of the residual are errors of shape.

Source: Ranftl et al., TPAMI, arXiv:1907.01341, eq. 11, with the sampling of the authors' public gist.
"""

import torch
from torch import Tensor

from ..alignment import check_maps
from .reduction import in_full_precision, mean_over_images


@in_full_precision
def gradient_matching_loss(prediction: Tensor, target: Tensor, valid: Tensor, *, scales: int = 4) -> Tensor:
    """Mean absolute difference between neighbours in the residual, summed over scales.

    Scale k looks at every 2^k-th pixel of every 2^k-th row; a difference counts only where both pixels are valid. At
    each scale the sum is divided by the number of valid pixels that scale looks at.

    Args:
        prediction: Disparity, aligned with target (see `ScaleShiftInvariantLoss`). Shape (B, H, W).
        target: Disparity. Shape (B, H, W).
        valid: True where target is usable. Shape (B, H, W), bool.
        scales: Number of scales K; 4 in the paper.

    Returns:
        Scalar: per image the sum over scales, then the mean over images with any valid pixel. 0 with zero gradients if
        nothing is valid.

    Raises:
        ValueError: the shapes differ, valid is not bool, or there is no scale.
    """
    check_maps(prediction, target, valid)
    check_gradient_options(0, scales, "scales")
    residual = torch.where(valid, prediction - target, 0.0)
    per_image = residual.new_zeros(residual.shape[0])
    for scale in range(scales):
        step = 2**scale
        per_image = per_image + _mean_gradient(residual[:, ::step, ::step], valid[:, ::step, ::step])
    return mean_over_images(per_image, valid)


def _mean_gradient(residual: Tensor, valid: Tensor) -> Tensor:
    """Sum of |dx R| + |dy R| over valid pixel pairs, divided by the number of valid pixels. Shape (B,)."""
    across = (residual[:, :, 1:] - residual[:, :, :-1]).abs() * (valid[:, :, 1:] & valid[:, :, :-1])
    down = (residual[:, 1:] - residual[:, :-1]).abs() * (valid[:, 1:] & valid[:, :-1])
    total = across.flatten(1).sum(1) + down.flatten(1).sum(1)
    return total / valid.flatten(1).sum(1).clamp(min=1)


def check_gradient_options(weight: float, scales: int, name: str = "gradient_scales") -> None:
    """Raise ValueError unless a loss can add this term so weighted; `name` is what the caller calls the scales."""
    if weight < 0:
        raise ValueError(f"gradient_weight: must be 0 or more, got {weight}. Pass 0 to leave the term out.")
    if scales < 1:
        raise ValueError(f"{name}: must be 1 or more, got {scales}. The paper uses 4.")
