"""Metric depth scores as the authors' evaluator computes them: per image, then the mean over images.

Source: the formulas on which the public BTS, AdaBins and ZoeDepth evaluators agree (tables 2 and 3 of the DPT paper
come from the first), and those of the KITTI depth prediction benchmark.

Shape legend: B images, N pixels of one of them, H W its size.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .streaming import StreamingSums, as_maps, exact_device

METRICS = (
    "abs_rel",
    "sq_rel",
    "rmse",
    "rmse_log",
    "log_bias",
    "log10",
    "silog",
    "irmse",
    "abs_error_rel",
    "sq_error_rel",
    "delta1",
    "delta2",
    "delta3",
)
COUNTS = ("images", "pixels", "empty_images", "nan_pixels", "nonpositive_pixels", "infinite_pixels")
# Sums over pixels from which METRICS follow; `_moments` makes them, `_scores` reads them.
MOMENTS = 13
# Devices that pick out the usable pixels and compute with those only; others would have to wait for their number.
PICKING = ("cpu",)

Maps = Tensor | Sequence[Tensor]


class DepthMetrics(StreamingSums):
    """Sums in float64 on the device of the maps; those of several processes add up.

    Args:
        min_depth, max_depth: Metres. Ground truth strictly between them counts; predictions are clamped to them.
            max_depth may be infinite.
        averaging: "image" scores each image and takes the mean of the scores (the published protocols); "pixel" takes
            all pixels of all images as one image.
        unusable: What a prediction that is NaN, zero or negative counts as: "minimum" is min_depth, "excluded" leaves
            the pixel out.

    Raises:
        ValueError: not 0 < min_depth < max_depth, or an unknown choice.
    """

    def __init__(
        self, min_depth: float = 1e-3, max_depth: float = 10.0, averaging: str = "image", unusable: str = "minimum"
    ):
        if not 0 < min_depth < max_depth:
            raise ValueError(
                f"min_depth, max_depth: must be 0 < min_depth < max_depth in metres, got {min_depth} and {max_depth}."
            )
        if averaging not in ("image", "pixel") or unusable not in ("minimum", "excluded"):
            raise ValueError(
                "averaging, unusable: must be 'image' or 'pixel', and 'minimum' or 'excluded', got "
                f"{averaging!r} and {unusable!r}."
            )
        self.min_depth, self.max_depth, self.averaging, self.unusable = min_depth, max_depth, averaging, unusable
        super().__init__((len(METRICS) if averaging == "image" else MOMENTS) + len(COUNTS))

    def update(self, prediction: Maps, truth: Maps, valid: Maps | None = None) -> dict[str, float] | None:
        """Add one image or a batch.

        Args:
            prediction: Metres. One map (H, W), a batch (B, H, W), or a list of maps of any sizes. Plus infinity is
                far; NaN and what is not positive goes by `unusable`, and all three are counted.
            truth: Metres; 0, negative, infinite or NaN where unknown. Shapes as prediction.
            valid: False where truth is not to be used. Shapes as prediction, bool.

        Returns:
            Of one map its scores, or None if it has no usable pixel, in which case it is only counted. Of a batch
            None: nothing waits for the device.

        Raises:
            ValueError: the shapes differ.
        """
        single = isinstance(prediction, Tensor) and prediction.ndim == 2
        _check_shapes(prediction, truth, valid)
        if isinstance(prediction, Tensor) and prediction.ndim == 3 and exact_device(prediction).type not in PICKING:
            moments, counts = self._measure(prediction.detach(), truth.detach(), valid)
        else:
            maps = as_maps(prediction), as_maps(truth)
            valids = [None] * len(maps[0]) if valid is None else as_maps(valid)
            measured = [self._measure(p[None], g[None], v) for p, g, v in zip(*maps, valids, strict=True)]
            if not measured:
                return None
            device = measured[0][0].device
            moments, counts = (torch.cat([one[part].to(device) for one in measured]) for part in (0, 1))
        scores = _scores(moments)
        self._add(torch.cat([(scores if self.averaging == "image" else moments).sum(0), counts.sum(0)]))
        if not single or not counts[0, 0]:
            return None
        return dict(zip(METRICS, scores[0].tolist(), strict=True))

    def compute(self) -> dict[str, float]:
        """METRICS over everything added, and COUNTS.

        Errors are relative to the ground truth g of a prediction p: abs_rel mean |p - g| / g, sq_rel mean
        (p - g)^2 / g, rmse in metres, rmse_log and log_bias (its mean, positive is too far) of ln p - ln g, log10 mean
        |log10 p - log10 g|, silog 100 times the standard deviation of ln p - ln g, irmse of 1 / p - 1 / g in 1/km,
        abs_error_rel and sq_error_rel (the KITTI benchmark's, which divides by g^2) in percent, delta1 to delta3
        fractions of max(p / g, g / p) below 1.25, 1.25^2 and 1.25^3.

        Raises:
            ValueError: no image had a usable pixel.
        """
        sums = self._sums.cpu()
        totals, counts = sums[: -len(COUNTS)], dict(zip(COUNTS, sums[-len(COUNTS) :].tolist(), strict=True))
        if not counts["images"]:
            raise ValueError(
                f"ground truth: needs an image with a pixel between {self.min_depth:g} and {self.max_depth:g} m, got "
                f"none in {counts['empty_images']:.0f}. Check the unit of the depth maps (depth_scale), the crop and "
                "max_depth."
            )
        if self.averaging == "image":
            totals = totals / counts["images"]
        else:
            pixels, log, log_square = totals[0], totals[4], totals[5]
            totals[6] = (log_square - log.square() / pixels).clamp(min=0)
            totals = _scores(totals)
        return dict(zip(METRICS, totals.tolist(), strict=True)) | counts

    def _measure(self, prediction: Tensor, truth: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        """Of (B, H, W) the MOMENTS (B, MOMENTS) and COUNTS (B, COUNTS)."""
        device = exact_device(prediction)
        truth = truth.to(device)
        # In single precision, as evaluators do: 1 mm from a file, 0.00100000005 m, is not beyond 1e-3. False for NaN.
        compared = truth.float()
        usable = (compared > self.min_depth) & (compared < self.max_depth)
        if valid is not None:
            usable &= valid.to(device).bool().view_as(usable)
        prediction = prediction.to(device)
        if device.type in PICKING:
            prediction, truth, usable = prediction[usable][None], truth[usable][None], usable[usable][None]
        prediction, truth, usable = prediction.double().flatten(1), truth.double().flatten(1), usable.flatten(1)
        kinds = prediction.isnan(), prediction <= 0, prediction == math.inf
        kinds = [(kind & usable).sum(1) for kind in kinds]
        if self.unusable == "excluded":
            usable = usable & (prediction > 0)
        prediction = torch.where(prediction.isnan(), self.min_depth, prediction).clamp(self.min_depth, self.max_depth)
        pixels = usable.sum(1)
        counts = torch.stack([(pixels > 0), pixels, (pixels == 0), *kinds], 1).double()
        return _moments(prediction, truth, usable), counts


def image_scores(prediction: Tensor, truth: Tensor) -> dict[str, float]:
    """METRICS of one image, as `DepthMetrics.compute` defines them.

    Args:
        prediction, truth: Its usable pixels in metres, positive. One shape, any.

    Raises:
        ValueError: there is no pixel, or the shapes differ.
    """
    if prediction.shape != truth.shape or not truth.numel():
        raise ValueError(
            f"prediction, truth: must be pixels of one image, as many of both, got {tuple(prediction.shape)} and "
            f"{tuple(truth.shape)}."
        )
    device = exact_device(prediction)
    prediction, truth = (values.detach().to(device).double().reshape(1, -1) for values in (prediction, truth))
    scores = _scores(_moments(prediction, truth, torch.ones_like(truth, dtype=torch.bool)))
    return dict(zip(METRICS, scores[0].tolist(), strict=True))


def _moments(prediction: Tensor, truth: Tensor, usable: Tensor) -> Tensor:
    """Sums over the usable pixels of (B, N) float64: (B, MOMENTS)."""
    # 1 m for both where nothing counts: every error there is 0, and no logarithm or quotient goes wrong.
    prediction, truth = torch.where(usable, prediction, 1.0), torch.where(usable, truth, 1.0)
    error = prediction - truth
    relative = error / truth
    log = prediction.log() - truth.log()
    pixels = usable.sum(1)
    # Not from the sum of squares: that would leave a millionth of a scale factor in silog.
    deviation = torch.where(usable, log - log.sum(1, keepdim=True) / pixels[:, None].clamp(min=1), 0.0)
    # In single precision, as evaluators do: depths from files, 1 mm apart, have ratios that are 1.25 but for rounding.
    ratio = torch.maximum(prediction / truth, truth / prediction).float()
    sums = [
        pixels,
        relative.abs().sum(1),
        (error * relative).sum(1),
        error.square().sum(1),
        log.sum(1),
        log.square().sum(1),
        deviation.square().sum(1),
        log.abs().sum(1),
        (1 / prediction - 1 / truth).square().sum(1),
        relative.square().sum(1),
        *(((ratio < 1.25**k) & usable).sum(1) for k in (1, 2, 3)),
    ]
    return torch.stack([value.double() for value in sums], 1)


def _scores(moments: Tensor) -> Tensor:
    """METRICS from (..., MOMENTS); all 0 without a pixel."""
    means = moments[..., 1:] / moments[..., :1].clamp(min=1)
    abs_rel, sq_rel, square, log, log_square, variance, log_abs, inverse_square, rel_square, *within = means.unbind(-1)
    scores = {
        "abs_rel": abs_rel,
        "sq_rel": sq_rel,
        "rmse": square.sqrt(),
        "rmse_log": log_square.sqrt(),
        "log_bias": log,
        "log10": log_abs / math.log(10),
        "silog": 100 * variance.sqrt(),
        "irmse": 1000 * inverse_square.sqrt(),
        "abs_error_rel": 100 * abs_rel,
        "sq_error_rel": 100 * rel_square,
    }
    scores |= {f"delta{k}": part for k, part in enumerate(within, 1)}
    return torch.stack([scores[name] for name in METRICS], -1)


def _check_shapes(prediction: Maps, truth: Maps, valid: Maps | None) -> None:
    shapes = [_shapes(maps) for maps in (prediction, truth, valid) if maps is not None]
    if len({len(of_one) for of_one in shapes}) > 1:
        raise ValueError(f"prediction, truth: must be as many maps, got {' and '.join(str(len(s)) for s in shapes)}.")
    for of_image in zip(*shapes, strict=True):
        if len(of_image[0]) != 2 or len(set(of_image)) > 1:
            raise ValueError(
                f"prediction, truth: must have one shape (height, width), got {' and '.join(map(str, of_image))}. "
                "Resize the prediction to the ground truth."
            )


def _shapes(maps: Maps) -> list[tuple[int, ...]]:
    """Of one map or a batch as a list with one shape per map."""
    if isinstance(maps, Tensor) and maps.ndim != 3:
        return [tuple(maps.shape)]
    return [tuple(one.shape) for one in maps]
