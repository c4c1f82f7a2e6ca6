"""From a sample as it was read to what a network trains on: crop, rescale, rotate, mirror and colour, maps included.

One affine map takes source pixels to result pixels; image, maps and intrinsics all follow it. Coordinates are (x, y)
in pixels from the centre of the top left pixel, as in `processing.geometry`.

torch alone warps. kornia was tried (0.9): its containers draw from the global generator, pad class ids with 0, leave
intrinsics alone and do not antialias; rotating and cropping an NYU sample took 11.6 ms of one core, 7.9 ms here.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ..processing.geometry import IGNORE_LABEL, MISSING_DEPTH, crop_intrinsics
from .photometric import COLOUR_DRAWS, ColourJitter

TARGETS = ("depth", "disparity", "label")
CROPS = ("kb", "nyu-border")
# Random numbers that one sample needs: size, angle, mirror, row and column of the crop, then the colours.
_DRAWS = 5 + COLOUR_DRAWS

_NYU_SIZE, _NYU_BOX = (480, 640), (43, 45, 608, 472)  # left, top, right, bottom, as in PIL
_KB_SIZE = (352, 1216)


@dataclass
class TrainTransform:
    """Random view of a sample at one size. Everything random comes from the generator of the call.

    Args:
        size: (height, width) of the result in pixels.
        targets: What `labels` holds. "depth" in metres; "disparity" in 1/m or, for samples with relative disparity,
            in any scale; "label" for class ids.
        rescale: Range of a factor on the size that `rescale_to` gives, drawn uniformly.
        rescale_to: None keeps the sample's own size, "cover" makes it just large enough for the result, a number is
            its longer side in pixels (then drawn as an integer: 520 and (0.5, 2.0) give 260 to 1040, as Zhang et al.).
            The aspect ratio is kept.
        rotation: Largest angle in degrees, to both sides, about the image's centre.
        flip: Probability of mirroring left to right.
        crop_first: None; "kb", the 352 x 1216 pixels at the bottom centre (KITTI benchmark); "nyu-border", columns 43
            to 607 and rows 45 to 471 of a 480 x 640 image (BTS).
        colour: Colour jitter: a strength (0 none, 1 as BTS on NYU), a name of `photometric.COLOUR_JITTERS`, or a
            mapping with the fields of `photometric.ColourJitter`.
        image_mean, image_std: Of the values in 0 to 1, for all channels or each.
        min_depth, max_depth: Metric depth counts as valid strictly between them, in metres.

    Raises:
        ValueError: a setting makes no sense.
    """

    size: tuple[int, int]
    targets: str = "depth"
    rescale: tuple[float, float] = (1.0, 1.0)
    rescale_to: int | str | None = None
    rotation: float = 0.0
    flip: float = 0.5
    crop_first: str | None = None
    colour: float | str | Mapping[str, float] | ColourJitter = 0.0
    image_mean: float | tuple[float, ...] = 0.5
    image_std: float | tuple[float, ...] = 0.5
    min_depth: float = 0.0
    max_depth: float | None = None

    def __post_init__(self):
        self.size, self.rescale = tuple(self.size), tuple(self.rescale)
        self.colour = ColourJitter.of(self.colour)
        to, low, high = self.rescale_to, *self.rescale
        _require(len(self.size) == 2 and min(self.size) >= 1, "size", "two positive numbers of pixels", self.size)
        _require(self.targets in TARGETS, "targets", f"one of {', '.join(TARGETS)}", self.targets)
        _require(0 < low <= high, "rescale", "two positive factors, the smaller one first", self.rescale)
        good = to is None or to == "cover" or (isinstance(to, int) and to >= 1)
        _require(good, "rescale_to", '"cover", a number of pixels or None', to)
        _require(0 <= self.rotation <= 180, "rotation", "an angle from 0 to 180 degrees", self.rotation)
        _require(0 <= self.flip <= 1, "flip", "a probability", self.flip)
        _require(
            self.crop_first in (None, *CROPS), "crop_first", f"None or one of {', '.join(CROPS)}", self.crop_first
        )
        _require(
            0 <= self.min_depth < self._max_depth, "min_depth", "below max_depth and not negative", self.min_depth
        )

    def __call__(self, sample: dict, generator: Generator) -> dict[str, Tensor]:
        """A view of one sample, on the device on which its tensors lie.

        Args:
            sample: As `data.samples.read_sample` gives it. It is not changed.
            generator: On the CPU. Each call takes the same number of values from it.

        Returns:
            pixel_values: Normalised, black outside the image. Shape (3, h, w), float32.
            labels: Depth or disparity with 0 where missing, float32, or class ids with 255 where ignored, int64. Each
                is the value of the nearest pixel, never a mixture. Shape (h, w).
            valid_mask: True where depth or disparity is usable; absent for class ids. Shape (h, w), bool.
            intrinsics: M K with M the map from source to result pixels, if the sample has K. Camera points keep
                projecting to the pixels that show them; a mirrored or rotated camera is no longer upper triangular
                with positive focal lengths. Shape (3, 3), float64.

        Raises:
            ValueError: the sample lacks the target, or has not the size that `crop_first` is made for.
        """
        draws = torch.rand(_DRAWS, generator=generator, dtype=torch.float64).tolist()
        box, target = self._first_crop(sample), self._target(sample)
        if target.shape != sample["image"].shape[-2:]:  # depth_own_size
            (height, width), got = sample["image"].shape[-2:], tuple(target.shape)
            raise ValueError(
                f"{_name(sample)}: ground truth must be as large as its image, {height} x {width}, got "
                f"{got[0]} x {got[1]}. Read it with resize_maps=True."
            )
        image, target = _cut(sample["image"], box), _cut(target, box)
        view = self._view(image.shape[-2:], *draws[:5])

        index, inside = view.nearest(image.device)
        pixels = self.colour(view.image(image), draws[5:]).mul_(inside)
        mean, std = (pixels.new_tensor(value).view(-1, 1, 1) for value in (self.image_mean, self.image_std))
        labels = target.flatten().index_select(0, index.flatten()).view(self.size)
        labels = torch.where(inside, labels, IGNORE_LABEL if self.targets == "label" else torch.nan)
        result = {"pixel_values": pixels.sub_(mean).div_(std), "labels": labels}
        if self.targets != "label":
            valid = ~labels.isnan()
            result |= {"labels": torch.where(valid, labels, MISSING_DEPTH), "valid_mask": valid}
        if sample.get("intrinsics") is not None:
            matrix = crop_intrinsics(sample["intrinsics"].double(), box[1], box[0])
            result["intrinsics"] = view.matrix.to(matrix.device) @ matrix
        return result

    @property
    def _max_depth(self) -> float:
        return math.inf if self.max_depth is None else self.max_depth

    def _first_crop(self, sample: dict) -> tuple[int, int, int, int]:
        """Left, top, right, bottom."""
        height, width = sample["image"].shape[-2:]
        if self.crop_first == "nyu-border":
            fits, wanted, box = (height, width) == _NYU_SIZE, "exactly 480 x 640", _NYU_BOX
        elif self.crop_first == "kb":
            fits, wanted = height >= _KB_SIZE[0] and width >= _KB_SIZE[1], "at least 352 x 1216"
            top, left = height - _KB_SIZE[0], (width - _KB_SIZE[1]) // 2
            box = (left, top, left + _KB_SIZE[1], height)
        else:
            return 0, 0, width, height
        if not fits:
            raise ValueError(
                f"{_name(sample)}: crop_first={self.crop_first!r} needs images of {wanted} pixels, got "
                f"{height} x {width}. Leave crop_first out for this data."
            )
        return box

    def _target(self, sample: dict) -> Tensor:
        """The map to predict, int64, or float32 with NaN where it is not usable."""
        if self.targets == "label" and sample.get("label") is not None:
            return sample["label"]
        if self.targets != "label" and (depth := sample.get("depth")) is not None:
            known = _usable(sample, depth) & (depth > self.min_depth) & (depth < self._max_depth)
            return torch.where(known, 1 / depth if self.targets == "disparity" else depth, torch.nan)
        if self.targets == "disparity" and (disparity := sample.get("disparity")) is not None:
            return torch.where(_usable(sample, disparity), disparity, torch.nan)
        has = [key for key in ("depth", "disparity", "label") if sample.get(key) is not None]
        raise ValueError(
            f"{_name(sample)}: training needs its {self.targets}, got {' and '.join(has) or 'an image only'}. "
            "Choose the data or the task accordingly."
        )

    def _view(self, source: tuple[int, int], scale: float, angle: float, mirror: float, row: float, column: float):
        """The view that five numbers in [0, 1) stand for."""
        (height, width), (low, high) = source, self.rescale
        if isinstance(self.rescale_to, int):
            low, high = (int(self.rescale_to * factor + 0.5) for factor in (low, high))
            factor = max(1, low + int(scale * (high - low + 1))) / max(source)
        else:
            fit = max(self.size[0] / height, self.size[1] / width) if self.rescale_to == "cover" else 1
            factor = fit * (low + scale * (high - low))
        resized = tuple(max(1, int(side * factor + 0.5)) for side in source)
        top, left = (int(at * (max(0, r - s) + 1)) for at, r, s in zip((row, column), resized, self.size, strict=True))
        angle = math.radians(self.rotation * (2 * angle - 1))
        return _View(tuple(source), resized, self.size, top, left, angle, mirror < self.flip)


@dataclass(frozen=True)
class _View:
    """Source -> resized -> rotated about its centre -> cropped at (top, left), or padded -> mirrored."""

    source: tuple[int, int]
    resized: tuple[int, int]
    size: tuple[int, int]
    top: int
    left: int
    angle: float
    mirrored: bool

    @property
    def matrix(self) -> Tensor:
        """Source pixels to result pixels. Shape (3, 3), float64."""
        matrix = self._matrix(self.source)
        mirror = [[-1, 0, self.size[1] - 1], [0, 1, 0], [0, 0, 1]]
        return matrix.new_tensor(mirror) @ matrix if self.mirrored else matrix

    def _matrix(self, source: tuple[int, int]) -> Tensor:
        """Pixels of the source, or of its resized copy, to those of the result before it is mirrored."""
        (height, width), (rows, columns) = source, self.resized
        sy, sx = rows / height, columns / width
        # Outer edges stay in place, and an edge is half a pixel from its centre.
        scale = torch.tensor([[sx, 0, (sx - 1) / 2], [0, sy, (sy - 1) / 2], [0, 0, 1]], dtype=torch.float64)
        cos, sin, y, x = math.cos(self.angle), math.sin(self.angle), (rows - 1) / 2, (columns - 1) / 2
        turn = [[cos, sin, x - cos * x - sin * y], [-sin, cos, y + sin * x - cos * y], [0, 0, 1]]
        crop = [[1, 0, -self.left], [0, 1, -self.top], [0, 0, 1]]
        return scale.new_tensor(crop) @ scale.new_tensor(turn) @ scale

    def _source_points(self, source: tuple[int, int], device: torch.device) -> tuple[Tensor, Tensor]:
        """Where each result pixel lies in the source, x and y; (1, w) and (h, 1) without rotation, (h, w) with."""
        (a, b, c), (d, e, f), _ = torch.linalg.inv(self._matrix(source)).tolist()
        # Without rotation, pixels can lie exactly between two others, and all of them should choose the same side.
        precision = torch.float32 if self.angle else torch.float64
        x, y = (torch.arange(count, device=device, dtype=precision) for count in self.size[::-1])
        x, y = (x.flip(0) if self.mirrored else x)[None], y[:, None]
        return (a * x + (b * y + c), d * x + (e * y + f)) if self.angle else (a * x + c, e * y + f)

    def nearest(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Index of each result pixel in the flattened source, and whether it lies inside. Shape (h, w) each."""
        height, width = self.source
        x, y = ((at + 0.5).floor().int() for at in self._source_points(self.source, device))
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        return y.clamp(0, height - 1) * width + x.clamp(0, width - 1), inside

    def image(self, image: Tensor) -> Tensor:
        """uint8 (3, H, W) -> (3, h, w): antialiased where it shrinks, bilinear, edge pixels repeated outside."""
        reduced = self.resized if not self.angle or max(self.resized) < max(self.source) else self.source
        if reduced != self.source:
            # uint8 with the channels last is the fast way on a CPU; other devices have none for uint8.
            on_cpu = image.device.type == "cpu"
            image = image[None].contiguous(memory_format=torch.channels_last) if on_cpu else image[None].float()
            image = _to_uint8(F.interpolate(image, reduced, mode="bilinear", antialias=True)[0])
        if not self.angle:
            image = image[:, self.top :, self.left :][:, : self.size[0], : self.size[1]]
            image = F.pad(image, (0, self.size[1] - image.shape[2], 0, self.size[0] - image.shape[1]))
            return image.flip(-1) if self.mirrored else image
        x, y = self._source_points(reduced, image.device)
        height, width = reduced
        grid = torch.stack([(2 / width) * x + (1 / width - 1), (2 / height) * y + (1 / height - 1)], -1)
        warped = F.grid_sample(image[None].float(), grid[None], padding_mode="border", align_corners=False)
        return _to_uint8(warped[0])


def _to_uint8(image: Tensor) -> Tensor:
    return image if image.dtype == torch.uint8 else image.round().clamp(0, 255).to(torch.uint8)


def _cut(values: Tensor, box: tuple[int, int, int, int]) -> Tensor:
    left, top, right, bottom = box
    return values[..., top:bottom, left:right]


def _usable(sample: dict, values: Tensor) -> Tensor:
    valid = sample.get("valid")
    return values.isfinite() if valid is None else values.isfinite() & valid


def _name(sample: dict) -> str:
    return str(sample.get("name") or "sample")


def _require(good: bool, setting: str, wanted: str, value: object) -> None:
    if not good:
        raise ValueError(f"{setting}: must be {wanted}, got {value!r}.")
