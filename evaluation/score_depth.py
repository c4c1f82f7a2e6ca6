"""One depth map against its ground truth, step by step as a protocol says.

Shape legend: H W pixels of the image; h w of the grid on which truth and prediction are compared.
"""

import math
from typing import Any

import torch
from torch import Tensor

from ..processing.resize import resize_prediction
from .aligning import align
from .background import fill_background
from .boundary_metrics import boundary_f1
from .crops import crop_box, crop_mask
from .depth_metrics import image_scores
from .protocol import DepthScoreRule, Protocol
from .scored import Scored
from .streaming import exact_device
from .unit_check import median_ratio

Span = tuple[float | None, float | None]

# Largest value of a 16-bit PNG.
PNG_LIMIT = 65535
# Part of the pixels whose truth must be known for boundaries to mean something.
DENSE = 0.99


def score(prediction: Tensor, kind: str, sample: dict[str, Any], protocol: Protocol) -> Scored:
    """Score one image.

    The steps, in this order: size, 16-bit quantisation (metres only), the grid, what counts there, alignment, unusable
    predictions, the clamp, the scores.

    Args:
        prediction: Metres ("depth"), another unit ("relative-depth") or "disparity", as `kind` says. Shape that of the
            image as the model saw it, or of the whole image. NaN where unknown.
        sample: Of `read_sample`, with depth at the size of the whole image, or (with image_crop none) of its own;
            `image_size`, (H, W) of the whole image where `image` holds a crop of it.
        protocol: Of the task "depth".

    Returns:
        Row with pixels (that counted), nan_pixels, infinite_pixels, nonpositive_pixels (predictions as given on pixels
        with truth that counts; None for disparity, where 0 and below is nothing odd), median_ratio (prediction / truth
        before any range or clamp, where both are metres), scale, shift (of the alignment, or None), METRICS of
        `depth_metrics`, delta_outliers1 (percent of pixels beyond 1.25) and boundary_f1 (None unless the truth is
        dense). Infinite predictions are unusable, as NaN is, where the range of predictions has no end.

    Raises:
        ValueError: the prediction has another size, the truth is not in metres, or the crop, window or alignment does
            not fit; the message names the image.
    """
    try:
        return _score(prediction, kind, sample, protocol)
    except ValueError as error:
        raise ValueError(f"{sample.get('name')}: {error}") from None


def _score(prediction: Tensor, kind: str, sample: dict[str, Any], protocol: Protocol) -> Scored:
    rule = protocol.score
    size = tuple(sample.get("image_size") or sample["image"].shape[-2:])
    row = {"status": "empty", "reason": None, "pixels": 0}
    truth = _truth(sample)
    if truth is None:
        return Scored(row | {"reason": "no ground truth"})
    device = exact_device(prediction)
    truth = truth.to(device)
    known = truth.isfinite() & (truth > 0)
    if sample.get("valid") is not None:
        known &= sample["valid"].to(device)
    given = prediction.detach().to(device)
    values = quantised(given, protocol.quantisation.scale) if protocol.quantisation and kind == "depth" else given
    maps, truth, known = _on_grid(torch.stack([given, values]), truth, known, size, protocol)
    # In single precision, as evaluators do: 1 mm from a PNG, 0.00100000005 m, is not beyond 0.001.
    used = known & _inside(truth.float(), rule.truth_range)
    used &= crop_mask(rule.window, *truth.shape).to(device)
    row |= _counts(maps[0][used], kind)
    truth = torch.where(known, truth, 0.0).double()
    in_metres = kind == "depth" and protocol.alignment == "none"
    row["median_ratio"] = median_ratio(maps[0][known], truth[known]) if in_metres else None
    if not used.any():
        return Scored(row | {"reason": _why_empty(known, rule)}, None, truth, used)
    depth, scale, shift = align(protocol.alignment, maps[1], kind, truth, used, rule.prediction_range[1])
    depth = _usable_depth(depth, rule)
    used &= ~depth.isnan()
    row |= {"scale": scale, "shift": shift, "pixels": int(used.sum())}
    if not used.any():
        return Scored(row | {"reason": "no usable prediction where ground truth counts"}, depth, truth, used)
    scores = image_scores(depth[used], truth[used])
    scores["delta_outliers1"] = 100 * (1 - scores["delta1"])
    scores["boundary_f1"] = boundary_f1(depth, truth, known) if known.double().mean() >= DENSE else None
    # To be looked at: what stands for nothing, such as the surroundings of a crop, only where it counted.
    shown = torch.where(used | ~maps[1].isnan(), depth, torch.nan)
    return Scored(row | {"status": "scored"} | scores, shown, truth, used)


def quantised(metres: Tensor, scale: float) -> Tensor:
    """Metres as a 16-bit PNG keeps them: value * scale, cut off; NaN stays, what is too far becomes the largest value.

    What is on the grid already, as read from such a file, keeps its value: cutting off a product that rounding has put
    just below a whole number would take a step from it.
    """
    product = metres * scale
    nearest = product.round()
    steps = torch.where((nearest / scale).to(metres.dtype) == metres, nearest, product.trunc())
    return steps.clamp(0, PNG_LIMIT) / scale


def _truth(sample: dict[str, Any]) -> Tensor | None:
    if sample.get("depth") is None and sample.get("disparity") is not None:
        raise ValueError(
            "ground truth must be in metres, got disparity without a unit. Check depth_kind of the data set."
        )
    return sample.get("depth")


def _on_grid(
    maps: Tensor, truth: Tensor, known: Tensor, size: tuple[int, int], protocol: Protocol
) -> tuple[Tensor, Tensor, Tensor]:
    """Maps (n, H, W), truth and known (H, W) on the protocol's grid; NaN where nothing is predicted."""
    top, bottom, left, right = crop_box(protocol.image_crop, size)
    seen, own, got = (bottom - top, right - left), tuple(truth.shape), tuple(maps.shape[1:])
    if got == size:
        maps = maps[:, top:bottom, left:right]
    elif got not in (seen, own):
        wanted = " or ".join(f"{height} x {width}" for height, width in dict.fromkeys((seen, size)))
        raise ValueError(f"prediction must be {wanted} as its image is, got {got[0]} x {got[1]}. Resize it.")
    if own != size:
        if seen != size:
            raise ValueError(
                f"image_crop {protocol.image_crop}: needs ground truth as large as its image, {size[0]} x {size[1]}, "
                f"got {own[0]} x {own[1]}. Change image_crop to none."
            )
        return resize_prediction(maps[None], own, mode=protocol.inference.output_resize)[0], truth, known
    if protocol.score.grid == "crop":
        return maps, truth[top:bottom, left:right], known[top:bottom, left:right]
    pasted = maps.new_full((len(maps), *size), torch.nan)
    pasted[:, top:bottom, left:right] = maps
    return pasted, truth, known


def _inside(truth: Tensor, span: Span) -> Tensor:
    low, high = span
    inside = truth > (low or 0.0)
    return inside if high is None else inside & (truth < high)


def _counts(given: Tensor, kind: str) -> dict[str, int | None]:
    return {
        "nan_pixels": int(given.isnan().sum()),
        "infinite_pixels": int((given == math.inf).sum()),
        "nonpositive_pixels": None if kind == "disparity" else int((given <= 0).sum()),
    }


def _usable_depth(depth: Tensor, rule: DepthScoreRule) -> Tensor:
    """Clamped; NaN only where a pixel is to be left out."""
    low, high = rule.prediction_range
    usable = (depth > 0) & (depth.isfinite() if high is None else True)
    depth = torch.where(usable, depth, low if rule.unusable == "minimum" else torch.nan)
    if rule.unusable == "background":
        depth = fill_background(depth)
    return depth if low is None and high is None else depth.clamp(low, high)


def _why_empty(known: Tensor, rule: DepthScoreRule) -> str:
    if not known.any():
        return "ground truth has no known pixel"
    low, high = ("open" if end is None else f"{end:g}" for end in rule.truth_range)
    return f"no ground truth between {low} and {high} m" + ("" if rule.window == "none" else f" inside {rule.window}")
