"""Bringing a prediction to metres: what is unknown of it is fitted to each image's ground truth.

Source: Ranftl et al., TPAMI, arXiv:1907.01341, and the first author's public evaluation scripts for least squares in
disparity; the same paper's eq. 5 and 6 for the robust fit.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..modeling_dpt.alignment import align_least_squares, align_robust, masked_mean, median_scale
from .streaming import exact_device

# (depth in metres (H, W), scale, shift); NaN where the prediction was not usable. None: nothing was fitted.
Aligned = tuple[Tensor, float | None, float | None]
Fit = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def align(
    name: str,
    prediction: Tensor,
    kind: str,
    truth: Tensor,
    usable: Tensor,
    cap: float | None = None,
) -> Aligned:
    """Depth in metres from a prediction of any kind.

    Args:
        name: A key of ALIGNMENTS.
        prediction: Metres ("depth"), depth in another unit ("relative-depth"), or "disparity" (larger is nearer), as
            `kind` says. Shape (H, W). Depth is inverted where the fit is made in disparity.
        truth: Metres. Shape (H, W); only its usable pixels are read.
        usable: Pixels to fit. Shape (H, W), bool. NaN and infinite predictions are left out of the fit, and depth that
            is not positive where it must be inverted.
        cap: Metres. Aligned disparity below 1 / cap, negative too, becomes that.

    Returns:
        depth float64 (H, W) on the device of the prediction (the CPU where that has no float64); scale and shift of
        the fit. Both 0 where the fit is singular (a constant prediction), as in the authors' script: a disparity of 0
        everywhere, so the cap.

    Raises:
        ValueError: the kind cannot be aligned in this way; the message says what can be done.
    """
    check_alignable(name, kind)
    device = exact_device(prediction)
    truth, usable = truth.to(device).double(), usable.to(device)
    return ALIGNMENTS[name](prediction.detach().to(device).double(), kind, truth, usable, cap)


def check_alignable(name: str, kind: str) -> None:
    """Raise ValueError, saying what can be done, if predictions of `kind` cannot be aligned by `name`."""
    if name == "none" and kind != "depth":
        raise ValueError(
            f"alignment none: needs predictions in metres, got {kind}. Use --align least-squares-disparity, or a "
            "protocol that aligns (zero-shot-..., own-folder-aligned)."
        )
    if name in ("median", "least-squares-depth") and kind == "disparity":
        raise ValueError(
            f"alignment {name}: fits depth, and disparity without scale and shift cannot be turned into depth first. "
            "Use least-squares-disparity or robust-disparity."
        )


def affine_disparity(
    disparity: Tensor, truth: Tensor, usable: Tensor, cap: float, fit: Fit = align_least_squares, *, mean: bool = False
) -> Aligned:
    """Fit scale and shift of a disparity to 1 / truth, then invert it.

    Args:
        disparity: Any unit. Shape (H, W), float64.
        truth, usable: As in `align`.
        cap: Metres.
        fit: From (1, H, W) prediction, target and mask to scale and shift.
        mean: A constant disparity gets its best fit, the mean of 1 / truth, instead of 0.
    """
    usable = (usable & disparity.isfinite())[None]
    target = torch.where(usable, 1 / truth[None], 0.0)
    scale, shift = fit(disparity[None], target, usable)
    if scale == 0:  # not a product: 0 * infinity is NaN
        shift = masked_mean(target, usable) if mean else shift
        aligned = torch.where(disparity.isnan(), disparity, shift)
    else:
        aligned = scale * disparity + shift
    return 1 / aligned.clamp(min=1 / cap), scale.item(), shift.item()


def _none(prediction, kind, truth, usable, cap) -> Aligned:
    return prediction, None, None


def _median(prediction, kind, truth, usable, cap) -> Aligned:
    scale = median_scale(prediction[None], truth[None], (usable & prediction.isfinite())[None])
    return scale * prediction, scale.item(), 0.0


def _depth_least_squares(prediction, kind, truth, usable, cap) -> Aligned:
    scale, shift = align_least_squares(prediction[None], truth[None], (usable & prediction.isfinite())[None])
    return scale * prediction + shift, scale.item(), shift.item()


def _disparity_with(fit: Fit) -> Callable[..., Aligned]:
    def aligned(prediction, kind, truth, usable, cap) -> Aligned:
        return affine_disparity(_as_disparity(prediction, kind), truth, usable, cap or math.inf, fit)

    return aligned


ALIGNMENTS: dict[str, Callable[..., Aligned]] = {
    "none": _none,
    "median": _median,
    "least-squares-disparity": _disparity_with(align_least_squares),
    "least-squares-depth": _depth_least_squares,
    "robust-disparity": _disparity_with(align_robust),
}


def _as_disparity(prediction: Tensor, kind: str) -> Tensor:
    return prediction if kind == "disparity" else torch.where(prediction > 0, 1 / prediction, torch.nan)
