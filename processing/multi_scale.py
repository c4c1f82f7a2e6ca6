"""Class ids from several sizes of an image, each seen through sliding windows: the test protocol of Zhang et al.

Legend: H W pixels of the image, h w of a resized one, K classes, B windows.

Source: the multi-size evaluation of PyTorch-Encoding, which the DPT paper's semantic segmentation builds on. The paper
only says "multi-scale inference": whether it mirrored images, too, is not known.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .image_io import ImageError, image_tensor
from .post_processing import CLASS_CHUNK, strongest_class

COMBINATIONS = ("exp-of-sum", "mean-probability")

# Scores of all sizes are kept until they are added up: about 1 GiB for a photo and 150 classes at the default sizes.
MAX_SCORE_BYTES = 2**33

# exp(88) is about the largest float32.
LARGEST_EXPONENT = 88.0

Forward = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class MultiScale:
    """How an image is looked at; the defaults are the published protocol without its mirrored half.

    An image is resized (bilinear, align_corners=True) so that its long side is ceil(base_size * scale) and the other
    side keeps the aspect, rounded half up. Windows start at multiples of the stride, the last one where it first
    reaches the border; what lies beyond the image is black. Overlaps are averaged, margins cut off, scores brought to
    the image's size (bilinear, align_corners=True) and added up over the scales; the largest wins.

    Args:
        scales: Sizes of the image, as factors.
        flip: Mirror every window, too. Zhang et al. do.
        base_size: Long side at scale 1, in pixels; None for the image's own.
        window: Side of the square windows, in pixels; a multiple of what the model divides its input by.
        stride: Distance of windows, in pixels; None for two thirds of a window, rounded down.
        combine: "exp-of-sum", as published: exp(logits), or exp(logits + mirrored logits). It is no probability: sure
            pixels count more. "mean-probability": mean of softmax over mirror, windows and scales.

    Raises:
        ValueError: an argument is impossible.
    """

    scales: tuple[float, ...] = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
    flip: bool = False
    base_size: int | None = 520
    window: int = 480
    stride: int | None = None
    combine: str = "exp-of-sum"

    def __post_init__(self):
        object.__setattr__(self, "scales", tuple(self.scales))
        if not self.scales or not all(0 < scale < math.inf for scale in self.scales):
            raise ValueError(f"scales: must be one or more positive numbers, got {self.scales}.")
        for name, value in (
            ("base_size", 1 if self.base_size is None else self.base_size),
            ("window", self.window or 0),
        ):
            if value < 1:
                raise ValueError(f"{name}: must be 1 pixel or more, got {getattr(self, name)}.")
        if self.stride is None:
            object.__setattr__(self, "stride", max(int(self.window * 2.0 / 3.0), 1))
        if not 1 <= self.stride <= self.window:
            raise ValueError(
                f"stride: must be 1 to {self.window} (window), got {self.stride}. A longer one leaves gaps."
            )
        if self.combine not in COMBINATIONS:
            raise ValueError(f"combine: must be one of {', '.join(COMBINATIONS)}, got {self.combine!r}.")

    @classmethod
    def of_window(cls, window: int, **values) -> "MultiScale":
        """The published proportions, 520 to 480, for models of another input size; `values` as for the constructor."""
        return cls(**({"base_size": math.ceil(window * 520 / 480), "window": window} | values))

    @torch.no_grad()
    def labels(self, forward: Forward, pixels: Tensor, black: Tensor, *, batch_size: int = 1) -> Tensor:
        """Class id of every pixel.

        Args:
            forward: From normalised windows (B, 3, window, window) to logits (B, K, ., .) of any floating type; logits
                of another size than the window are resized to it (bilinear, align_corners=True).
            pixels: The image, normalised, float32 (3, H, W).
            black: What black becomes when it is normalised, (3,).
            batch_size: Windows that run together.

        Returns:
            int64 (H, W).

        Raises:
            ValueError: a logit is NaN or infinite.
            ImageError: the scores of this image would need more than MAX_SCORE_BYTES.
        """
        return strongest_class(self._chunks(forward, pixels, black, batch_size))

    @torch.no_grad()
    def scores(self, forward: Forward, pixels: Tensor, black: Tensor, *, batch_size: int = 1) -> Tensor:
        """Score of every class at every pixel, float32 (K, H, W); arguments and errors as `labels`.

        Probabilities for "mean-probability". For "exp-of-sum" sums of exponentials as they are; only if one could
        exceed float32, which takes an exponent above 80, all of the image are divided by one number. That moves no
        class before another, but what is then more than 180 exponents below the largest becomes 0.
        """
        return torch.cat(list(self._chunks(forward, pixels, black, batch_size)))

    def _chunks(self, forward: Forward, pixels: Tensor, black: Tensor, batch_size: int) -> Iterator[Tensor]:
        """Scores of a few classes at a time, (k, H, W): those of 150 classes may not fit for a large photo."""
        original = tuple(pixels.shape[-2:])
        sizes = [self._size_at(scale, original) for scale in self.scales]
        parts = [self._at(size, sum(map(math.prod, sizes)), forward, pixels, black, batch_size) for size in sizes]
        highest = max(offset for _, offset in parts)
        for start in range(0, len(parts[0][0]), CLASS_CHUNK):
            total = pixels.new_zeros(())
            for scores, offset in parts:
                chunk = _resize(scores[None, start : start + CLASS_CHUNK], original)[0]
                total = total + chunk * math.exp(offset - highest)
            yield total / len(parts) if self.combine == "mean-probability" else total

    def _size_at(self, scale: float, original: tuple[int, int]) -> tuple[int, int]:
        height, width = original
        long = math.ceil((self.base_size or max(original)) * scale)
        if height > width:
            return long, max(int(width * long / height + 0.5), 1)
        return max(int(height * long / width + 0.5), 1), long

    def _at(
        self, size: tuple[int, int], area: int, forward: Forward, pixels: Tensor, black: Tensor, batch_size: int
    ) -> tuple[Tensor, float]:
        """Scores of the image at one size, (K, h, w), divided by exp(offset), and the offset.

        Args:
            size: (h, w).
            area: Pixels of the image at all sizes together.
        """
        starts = [window_starts(length, self.window, self.stride) for length in size]
        bottom, right = (last[-1] + self.window for last in starts)
        canvas = black.to(pixels).view(3, 1, 1).repeat(1, bottom, right)
        canvas[:, : size[0], : size[1]] = _resize(pixels[None], size)[0]
        places = list(product(*starts))
        # Room for all that is added: this many windows at most, at as many scales.
        limit = LARGEST_EXPONENT - math.log(len(places) * len(self.scales))
        total, offset = None, 0.0
        for first in range(0, len(places), batch_size):
            corners = places[first : first + batch_size]
            windows = torch.stack([self._cut(canvas, corner) for corner in corners])
            answers = [_logits(forward, windows)]
            if self.flip:
                answers.append(_logits(forward, windows.flip(-1)).flip(-1))
            if total is None:
                classes = answers[0].shape[1]
                _check_memory(classes, area, tuple(pixels.shape[-2:]))
                total = answers[0].new_zeros(classes, *size)
            for corner, *seen in zip(corners, *answers, strict=True):
                part = self._cut(total, corner)  # ends at the image's border
                seen = [logits[:, : part.shape[1], : part.shape[2]] for logits in seen]
                if self.combine == "mean-probability":
                    part += reduce(torch.add, [logits.softmax(0) for logits in seen]) / len(seen)
                    continue
                # One offset for the whole image, 0 unless needed: it changes no order of classes at any pixel.
                exponents = reduce(torch.add, seen)
                higher = max(offset, exponents.max().item() - limit)
                if higher > offset:
                    total *= math.exp(offset - higher)
                    offset = higher
                part += torch.exp(exponents - offset if offset else exponents)
        covered = _cover(size[0], starts[0], self.window)[:, None] * _cover(size[1], starts[1], self.window)
        return total.div_(covered.to(total)), offset

    def _cut(self, maps: Tensor, corner: tuple[int, int]) -> Tensor:
        top, left = corner
        return maps[:, top : top + self.window, left : left + self.window]


def segment_image(
    model: torch.nn.Module, processor: Any, image: Any, strategy: MultiScale, *, batch_size: int = 1
) -> Tensor:
    """Class id of every pixel of one image.

    Args:
        model: DPTForSemanticSegmentation, ours or stock; runs in its own dtype, on its own device.
        processor: Its DPTImageProcessor. Only its mean, its standard deviation and its rescaling are used.
        image: As in `image_io.load_image`.
        strategy: How the image is looked at.
        batch_size: Windows that run together.

    Returns:
        int64 (H, W), on the device of the model.

    Raises:
        As `MultiScale.labels` and `image_io.load_image`.
    """
    parameter = next(parameter for parameter in model.parameters() if parameter.is_floating_point())
    pixels = image_tensor(image, keep_values=not processor.do_rescale).to(parameter.device).float()
    factor = processor.rescale_factor if processor.do_rescale else 1.0
    mean, std = (processor.image_mean, processor.image_std) if processor.do_normalize else ([0.0] * 3, [1.0] * 3)
    mean, std = pixels.new_tensor(mean), pixels.new_tensor(std)
    pixels = (pixels * factor - mean.view(3, 1, 1)) / std.view(3, 1, 1)

    def forward(windows: Tensor) -> Tensor:
        return model(pixel_values=windows.to(parameter.dtype))["logits"]

    return strategy.labels(forward, pixels, -mean / std, batch_size=batch_size)


def window_starts(length: int, window: int, stride: int) -> list[int]:
    """First pixel of every window along one side of an image.

    They are multiples of the stride; the last window is the first that reaches the border and may stick out.
    """
    return [index * stride for index in range(math.ceil(max(length - window, 0) / stride) + 1)]


def _cover(length: int, starts: list[int], window: int) -> Tensor:
    """How many windows see each pixel of one side, (length,)."""
    position = torch.arange(length)[:, None]
    first = torch.tensor(starts)
    return ((first <= position) & (position < first + window)).sum(1)


def _logits(forward: Forward, windows: Tensor) -> Tensor:
    logits = forward(windows).float()
    highest = logits.max()
    if not highest.isfinite():
        raise ValueError(f"logits: must be finite, got {highest.item()}. Use float32, or check the weights.")
    return _resize(logits, tuple(windows.shape[-2:]))


def _resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=True)


def _check_memory(classes: int, area: int, original: tuple[int, int]) -> None:
    if (needed := classes * area * 4) > MAX_SCORE_BYTES:
        raise ImageError(
            f"image: the scores of {classes} classes must fit into {MAX_SCORE_BYTES / 2**30:.0f} GiB, got "
            f"{original[0]} x {original[1]} pixels that need {needed / 2**30:.1f}. Set base_size, or shrink the image."
        )
