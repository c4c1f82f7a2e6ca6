"""Scale and shift: what "relative" output is known up to, and how to remove it.

Shape legend: B batch, H W pixels, N = H * W.

Every function works per image over the pixels where `valid` is True, ignores whatever stands elsewhere (NaN included),
is differentiable, and gives scale 0 and shift 0 for an image whose fit is singular or that has no valid pixel.
"""

import torch
from torch import Tensor


def align_least_squares(prediction: Tensor, target: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Fit scale and shift that map prediction onto target by least squares.

    Args:
        prediction: Disparity, arbitrary unit. Shape (B, H, W).
        target: Disparity, any unit, say 1/m. Shape (B, H, W).
        valid: True where target is usable. Shape (B, H, W), bool.

    Returns:
        scale (B,) and shift (B,), in the unit of target. Both 0 where the fit is singular, as in the authors' gist.

    Raises:
        ValueError: the shapes differ, or valid is not bool.

    Source: Ranftl et al., TPAMI, arXiv:1907.01341, eq. 2 to 4.
    """
    check_maps(prediction, target, valid)
    prediction, target = _masked(prediction, valid), _masked(target, valid)
    mean_prediction, mean_target = masked_mean(prediction, valid), masked_mean(target, valid)
    # Centring first keeps the digits that n * sum(x^2) - sum(x)^2 would cancel.
    centred = _masked(prediction - mean_prediction[:, None, None], valid)
    variance = masked_mean(centred.square(), valid)
    covariance = masked_mean(centred * (target - mean_target[:, None, None]), valid)
    rounding = 4 * torch.finfo(prediction.dtype).eps * mean_prediction.detach().abs()
    singular = variance <= rounding.square()
    scale = torch.where(singular, 0.0, covariance / torch.where(singular, 1.0, variance))
    shift = torch.where(singular, 0.0, mean_target - scale * mean_prediction)
    return scale, shift


def align_robust(prediction: Tensor, target: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Fit scale and shift that give prediction the median and the mean absolute deviation of target.

    The paper aligns a relative model this way before metric fine-tuning (arXiv:2103.13413, section 4.1).

    Args:
        prediction: Disparity, arbitrary unit. Shape (B, H, W).
        target: Disparity, any unit. Shape (B, H, W).
        valid: True where target is usable. Shape (B, H, W), bool.

    Returns:
        scale (B,) and shift (B,), in the unit of target. Both 0 where prediction is constant.

    Raises:
        ValueError: the shapes differ, or valid is not bool.

    Source: Ranftl et al., TPAMI, arXiv:1907.01341, eq. 5 and 6.
    """
    check_maps(prediction, target, valid)
    centre, deviation = location_and_scale(prediction, valid)
    target_centre, target_deviation = location_and_scale(target, valid)
    singular = deviation <= 0
    scale = torch.where(singular, 0.0, target_deviation / torch.where(singular, 1.0, deviation))
    shift = torch.where(singular, 0.0, target_centre - scale * centre)
    return scale, shift


def median_scale(prediction: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Ratio of the medians, for depth that is known up to scale but not shift.

    Args:
        prediction: Depth, arbitrary unit. Shape (B, H, W).
        target: Depth in metres. Shape (B, H, W).
        valid: True where target is usable. Shape (B, H, W), bool.

    Returns:
        scale (B,), metres per unit of prediction. 0 where the median of prediction is not positive.

    Raises:
        ValueError: the shapes differ, or valid is not bool.
    """
    check_maps(prediction, target, valid)
    median = masked_median(prediction, valid)
    singular = median <= 0
    return torch.where(singular, 0.0, masked_median(target, valid) / torch.where(singular, 1.0, median))


def location_and_scale(values: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Median and mean absolute deviation from it, per image over valid pixels: two tensors of shape (B,)."""
    centre = masked_median(values, valid)
    deviation = masked_mean((_masked(values, valid) - centre[:, None, None]).abs(), valid)
    return centre, deviation


def masked_mean(values: Tensor, valid: Tensor) -> Tensor:
    """Mean of (B, H, W) values per image over valid pixels, shape (B,); 0 where there are none."""
    return _masked(values, valid).flatten(1).sum(1) / valid.flatten(1).sum(1).clamp(min=1)


def masked_median(values: Tensor, valid: Tensor) -> Tensor:
    """Median of (B, H, W) values per image over valid pixels, shape (B,); 0 where there are none.

    Of an even number of values it is the lower middle one, as `torch.median` has it: always a value that occurs.
    """
    flat, usable = values.flatten(1), valid.flatten(1)
    empty = ~usable.any(1, keepdim=True)
    # nanmedian selects in linear time; sorting would cost ten times as much at training sizes.
    return torch.where(usable, flat, torch.where(empty, 0.0, torch.nan).to(flat.dtype)).nanmedian(1).values


def check_maps(prediction: Tensor, target: Tensor, valid: Tensor) -> None:
    """Raise ValueError unless all three are (B, H, W) of one size and valid is bool."""
    shapes = [tuple(tensor.shape) for tensor in (prediction, target, valid)]
    if len(shapes[0]) != 3 or len(set(shapes)) != 1:
        raise ValueError(
            "prediction, target, valid: must all have one shape (batch, height, width), got "
            f"{shapes[0]}, {shapes[1]}, {shapes[2]}. Resize or squeeze them to the same shape."
        )
    if valid.dtype != torch.bool:
        raise ValueError(f"valid: must be a bool tensor, got {valid.dtype}. Pass for example `target > 0`.")


def _masked(values: Tensor, valid: Tensor) -> Tensor:
    # where() instead of a product: 0 * NaN is NaN, forward and backward.
    return torch.where(valid, values, 0.0)
