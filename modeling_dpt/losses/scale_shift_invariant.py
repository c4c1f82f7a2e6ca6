"""Scale-and-shift-invariant losses in disparity space (ssimse, ssimae, ssitrim), and the sum that trains depth.

Source: Ranftl et al., TPAMI, arXiv:1907.01341, section 5. The authors' public gist does not trim, takes the median
over masked-out zeros and pools the residuals of a whole batch; these functions follow the paper instead.

Reduction: mean over the valid pixels of each image, then mean over the images that have any, so an image counts once
however sparse its ground truth is. (The gist divides the sum over the batch by the valid pixels of the batch.)
"""

from typing import Literal

import torch
from torch import Tensor, nn

from ..alignment import align_least_squares, check_maps, location_and_scale, masked_mean
from .gradient_matching import check_gradient_options, gradient_matching_loss
from .reduction import in_full_precision, mean_over_images

Kind = Literal["trimmed", "mae", "mse"]
KINDS: tuple[str, ...] = ("trimmed", "mae", "mse")

# A map whose mean absolute deviation is below this is constant for our purposes (the gist clamps there, too).
_SMALLEST_DEVIATION = 1e-6


@in_full_precision
def scale_shift_invariant_loss(
    prediction: Tensor, target: Tensor, valid: Tensor, *, kind: Kind = "trimmed", trim: float = 0.2
) -> Tensor:
    """Distance between two disparity maps after scale and shift are taken out of both.

    Args:
        prediction: Disparity, arbitrary unit. Shape (B, H, W).
        target: Disparity, any unit. Shape (B, H, W).
        valid: True where target is usable. Shape (B, H, W), bool.
        kind: "trimmed" or "mae": both maps get median 0 and mean absolute deviation 1, absolute residuals.
            "mse": prediction is fitted to target by least squares, squared residuals, in the unit of target.
        trim: Fraction of each image's valid pixels, those with the largest residuals, that "trimmed" leaves out.

    Returns:
        Scalar, 1/(2M) * sum of the residuals of an image with M valid pixels (M counts the trimmed ones too), mean
        over images. 0 with zero gradients if nothing is valid.

    Raises:
        ValueError: the shapes differ, valid is not bool, kind is unknown or trim is outside [0, 1).

    Source: arXiv:1907.01341, eq. 1 to 8.
    """
    check_maps(prediction, target, valid)
    _check_options(kind, trim)
    prediction, target = _aligned(prediction, target, valid, kind)
    return _residual_loss(prediction - target, valid, kind, trim)


class ScaleShiftInvariantLoss(nn.Module):
    """Scale-and-shift-invariant loss + gradient matching on the same aligned maps + an anchor for the free scale.

    Args:
        kind: "trimmed" (paper), "mae" or "mse", as in `scale_shift_invariant_loss`.
        gradient_weight: Weight of the gradient matching term; 0.5 in the paper.
        gradient_scales: Number of scales of that term; 4 in the paper.
        anchor_weight: Weight of the L1 distance between the raw prediction and the normalised target (median 0, mean
            absolute deviation 1). Not in the paper: without it nothing ties down the scale of the raw output, which
            drifts when a model trains from scratch. 0 switches it off.
        trim: Fraction that "trimmed" leaves out; 0.2 in the paper.

    Raises:
        ValueError: kind is unknown, trim is outside [0, 1), a weight is negative or there is no scale.
    """

    def __init__(
        self,
        kind: Kind = "trimmed",
        gradient_weight: float = 0.5,
        gradient_scales: int = 4,
        anchor_weight: float = 0.0,
        trim: float = 0.2,
    ):
        super().__init__()
        _check_options(kind, trim)
        check_gradient_options(gradient_weight, gradient_scales)
        if anchor_weight < 0:
            raise ValueError(f"anchor_weight: must be 0 or more, got {anchor_weight}. Pass 0 to leave the term out.")
        self.kind = kind
        self.trim = trim
        self.gradient_weight = gradient_weight
        self.gradient_scales = gradient_scales
        self.anchor_weight = anchor_weight

    def forward(self, prediction: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        """Maps of shape (B, H, W) to a scalar."""
        return _weighted_sum(prediction, target, valid, options=self)

    def extra_repr(self) -> str:
        names = ("kind", "trim", "gradient_weight", "gradient_scales", "anchor_weight")
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in names)


@in_full_precision
def _weighted_sum(prediction: Tensor, target: Tensor, valid: Tensor, *, options: ScaleShiftInvariantLoss) -> Tensor:
    check_maps(prediction, target, valid)
    aligned, aligned_target = _aligned(prediction, target, valid, options.kind)
    loss = _residual_loss(aligned - aligned_target, valid, options.kind, options.trim)
    if options.gradient_weight:
        gradients = gradient_matching_loss(aligned, aligned_target, valid, scales=options.gradient_scales)
        loss = loss + options.gradient_weight * gradients
    if options.anchor_weight:
        goal = _normalised(target, valid) if options.kind == "mse" else aligned_target
        distance = masked_mean((prediction - goal).abs(), valid)
        loss = loss + options.anchor_weight * mean_over_images(distance, valid)
    return loss


def _check_options(kind: str, trim: float) -> None:
    if kind not in KINDS:
        raise ValueError(f"kind: must be one of {', '.join(KINDS)}, got {kind!r}. The paper trains with 'trimmed'.")
    if not 0 <= trim < 1:
        raise ValueError(f"trim: must be in [0, 1), got {trim}. The paper drops 0.2.")


def _aligned(prediction: Tensor, target: Tensor, valid: Tensor, kind: str) -> tuple[Tensor, Tensor]:
    """The two maps whose difference is the residual; 0 at invalid pixels."""
    if kind == "mse":
        scale, shift = align_least_squares(prediction, target, valid)
        # Masked before the product, too: its gradient for the scale has whatever stands at invalid pixels as a factor.
        prediction = scale[:, None, None] * torch.where(valid, prediction, 0.0) + shift[:, None, None]
        return torch.where(valid, prediction, 0.0), torch.where(valid, target, 0.0)
    return _normalised(prediction, valid), _normalised(target, valid)


def _normalised(values: Tensor, valid: Tensor) -> Tensor:
    centre, deviation = location_and_scale(values, valid)
    centred = torch.where(valid, values - centre[:, None, None], 0.0)
    return centred / deviation.clamp(min=_SMALLEST_DEVIATION)[:, None, None]


def _residual_loss(residual: Tensor, valid: Tensor, kind: str, trim: float) -> Tensor:
    """Sum of rho(residual) / (2 M) per image, mean over images."""
    cost = residual.square() if kind == "mse" else residual.abs()
    if kind == "trimmed" and trim:
        cost = _without_largest(cost, valid, trim)
    total, count = cost.flatten(1).sum(1), valid.flatten(1).sum(1)
    return mean_over_images(total / (2 * count.clamp(min=1)), valid)


def _without_largest(cost: Tensor, valid: Tensor, trim: float) -> Tensor:
    """The costs (B, N) of each image in rising order; the largest floor(trim * M) of its M valid ones become 0."""
    ordered = torch.where(valid, cost, torch.inf).flatten(1).sort(1).values
    count = valid.flatten(1).sum(1, keepdim=True)
    dropped = count * round(trim * 1_000_000) // 1_000_000  # in integers: 0.2 * M is not exact in floats
    rank = torch.arange(ordered.shape[1], device=ordered.device)
    return torch.where(rank < count - dropped, ordered, 0.0)
