"""Network outputs at the original image size, and what a prediction means: kind, unit, which pixels are usable."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .colormaps import apply_colormap, palette
from .resize import resize_prediction
from .writers import read_depth, write_depth, write_image, write_labels

KINDS = ("disparity", "depth")
UNITS = ("relative", "metre")

# Classes resized at a time: 150 logit maps of a 4K photo would need 5 GB at once.
CLASS_CHUNK = 16

Unpad = Callable[[torch.Tensor, tuple[int, int]], torch.Tensor]


def depth_maps_at(
    outputs: Any, target_sizes: Any = None, *, mode: str = "bicubic", unpad: Unpad | None = None
) -> list[torch.Tensor]:
    """Predicted depth, float32 (height, width) per image; see `DPTImageProcessor.post_process_depth_estimation`."""
    maps = _field(outputs, "predicted_depth", ndim=3)
    results = []
    for values, size in zip(maps, _sizes(target_sizes, len(maps)), strict=True):
        values = unpad(values, size) if unpad and size else values
        results.append(resize_prediction(values[None, None], size, mode=mode)[0, 0])
    return results


def label_maps_at(
    outputs: Any, target_sizes: Any = None, *, mode: str = "bicubic", unpad: Unpad | None = None
) -> list[torch.Tensor]:
    """Class ids, int64 (height, width) per image; see `DPTImageProcessor.post_process_semantic_segmentation`."""
    logits = _field(outputs, "logits", ndim=4)
    results = []
    for scores, size in zip(logits, _sizes(target_sizes, len(logits)), strict=True):
        scores = unpad(scores, size) if unpad and size else scores
        chunks = (scores[None, start : start + CLASS_CHUNK] for start in range(0, scores.shape[0], CLASS_CHUNK))
        results.append(strongest_class(resize_prediction(chunk, size, mode=mode)[0] for chunk in chunks))
    return results


def strongest_class(chunks: Iterable[torch.Tensor]) -> torch.Tensor:
    """Id of the largest score at every pixel, the lower id of equal ones.

    Args:
        chunks: Scores (k, H, W) of a few classes at a time, in the order of the ids: all together may not fit.

    Returns:
        int64 (H, W).
    """
    best = labels = None
    start = 0
    for chunk in chunks:
        top, index = chunk.max(dim=0)
        if best is None:
            best, labels = top, index
        else:
            better = top > best
            best, labels = torch.where(better, top, best), torch.where(better, index + start, labels)
        start += len(chunk)
    return labels


@dataclass(frozen=True, eq=False)
class DepthPrediction:
    """One predicted map with its meaning.

    Attributes:
        values: float32 numpy array (H, W). Given as array or tensor of any floating type.
        kind: "disparity" (larger is nearer) or "depth" (larger is farther).
        unit: "relative" (up to a scale, and for disparity a shift, unknown per image) or "metre" (disparity: 1/metre).
        valid: True where usable, bool (H, W). Default: where values are finite.

    Raises:
        ValueError: wrong shape, kind or unit.
    """

    values: np.ndarray
    kind: str = "disparity"
    unit: str = "relative"
    valid: np.ndarray | None = None

    def __post_init__(self):
        values = _to_numpy(self.values, np.float32)
        valid = np.isfinite(values)
        if self.valid is not None:
            given = _to_numpy(self.valid, bool)
            if given.shape != values.shape:
                raise ValueError(f"valid: must have the shape of values, {values.shape}, got {given.shape}.")
            valid = valid & given
        if values.ndim != 2 or values.size == 0:
            raise ValueError(f"values: must have shape (H, W) with at least one pixel, got {values.shape}.")
        for name, allowed in (("kind", KINDS), ("unit", UNITS)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name}: must be one of {', '.join(allowed)}, got {getattr(self, name)!r}.")
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "valid", valid)

    def value_range(self, percentiles: tuple[float, float] = (0.0, 100.0)) -> tuple[float, float]:
        """Lower and upper percentile of the valid values, for one range over a whole sequence.

        Raises:
            ValueError: no pixel is valid.
        """
        if not self.valid.any():
            raise ValueError("prediction: needs at least one valid pixel, got none. Check for NaN in the output.")
        low, high = np.percentile(self.values[self.valid], percentiles)
        return float(low), float(high)

    def colorize(
        self,
        colormap: str = "ember",
        percentiles: tuple[float, float] = (1.0, 99.0),
        value_range: tuple[float, float] | None = None,
    ) -> np.ndarray:
        """Picture of the map: near is bright for both kinds, invalid pixels are black.

        Args:
            colormap: See `colormaps.COLORMAPS`.
            percentiles: Range of values that spans the colours; values beyond it saturate.
            value_range: (low, high) instead, in the unit of `values`: the same colours for every frame of a sequence.

        Returns:
            uint8 RGB (H, W, 3). A constant map gives one colour; a map without valid pixels is black.
        """
        if not self.valid.any():
            return np.zeros((*self.values.shape, 3), np.uint8)
        low, high = value_range or self.value_range(percentiles)
        if not (np.isfinite([low, high]).all() and low <= high):
            raise ValueError(f"value_range: must be finite with low <= high, got ({low}, {high}).")
        values = np.where(self.valid, self.values, low)
        # A spread at the level of float32 rounding is a constant map, not a picture.
        if high - low <= 1e-6 * max(abs(low), abs(high)):
            nearness = np.full(values.shape, 0.5, np.float32)
        else:
            nearness = np.clip((values - low) / (high - low), 0, 1)
        if self.kind == "depth":
            nearness = 1 - nearness
        picture = apply_colormap(nearness, colormap)
        picture[~self.valid] = 0
        return picture

    def save(self, path: str | Path, format: str | None = None, **options) -> Path:
        """Write the map to one file, completely or not at all.

        Args:
            path: Target; its folder must exist. An existing file is replaced.
            format: "png16", "color", "npy", "npz" or "pfm". Default by suffix: .png is png16, .jpg/.jpeg/.webp color.
            options: png16: `scale`, `value_range` (see `writers.write_png16`). color: as `colorize`.

        Returns:
            The path.

        Raises:
            ValueError: unknown format. OSError: the file cannot be written (disk full, no permission, no folder).
        """
        path = Path(path)
        if (format or _COLOR_SUFFIXES.get(path.suffix.lower())) == "color":
            write_image(path, self.colorize(**options))
        else:
            write_depth(path, self.values, self.valid, self.kind, self.unit, format=format, **options)
        return path

    @classmethod
    def load(cls, path: str | Path) -> "DepthPrediction":
        """Read back what `save` wrote as png16 or npz (kind and unit included), npy or pfm (they are the defaults)."""
        return cls(**read_depth(Path(path)))


@dataclass(frozen=True, eq=False)
class SegmentationPrediction:
    """One predicted label map.

    Attributes:
        labels: int64 numpy array (H, W) of class ids.
        id2label: Name per class id; its length sets the palette.
    """

    labels: np.ndarray
    id2label: dict[int, str] | None = None

    def __post_init__(self):
        labels = _to_numpy(self.labels, np.int64)
        if labels.ndim != 2 or labels.size == 0:
            raise ValueError(f"labels: must have shape (H, W) with at least one pixel, got {labels.shape}.")
        object.__setattr__(self, "labels", labels)

    @property
    def colors(self) -> np.ndarray:
        """uint8 (K, 3): ADE20K's colours for 150 classes, generated ones otherwise; ids beyond are black."""
        highest = int(self.labels.max()) + 1
        colors = palette(len(self.id2label) if self.id2label else highest)
        return np.pad(colors, ((0, max(highest - len(colors), 0)), (0, 0)))

    def colorize(self) -> np.ndarray:
        """uint8 RGB (H, W, 3)."""
        return self.colors[self.labels]

    def overlay(self, image: Any, opacity: float = 0.5) -> np.ndarray:
        """Colours mixed over the image.

        Args:
            image: PIL image or uint8 RGB array of the same size.
            opacity: 0 shows the image, 1 the colours.

        Returns:
            uint8 RGB (H, W, 3).

        Raises:
            ValueError: sizes differ.
        """
        image = np.asarray(image.convert("RGB") if hasattr(image, "convert") else image)
        if image.shape != (*self.labels.shape, 3):
            raise ValueError(f"image: must have shape {(*self.labels.shape, 3)} as the labels, got {image.shape}.")
        return np.rint(image * (1 - opacity) + self.colorize() * opacity).astype(np.uint8)

    def save(self, path: str | Path, image: Any = None, opacity: float = 0.5) -> Path:
        """Write class ids as a palette PNG (16-bit grey beyond 256 ids), or with `image` the overlay."""
        path = Path(path)
        if image is not None:
            write_image(path, self.overlay(image, opacity))
        else:
            write_labels(path, self.labels, self.colors)
        return path


_COLOR_SUFFIXES = dict.fromkeys((".jpg", ".jpeg", ".webp"), "color")


def _field(outputs: Any, name: str, ndim: int) -> torch.Tensor:
    value = outputs.get(name) if hasattr(outputs, "get") else getattr(outputs, name, None)
    if not isinstance(value, torch.Tensor) or value.ndim != ndim:
        got = f"shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else type(value).__name__
        raise ValueError(f"outputs: must hold {name} with {ndim} dimensions, got {got}. Pass the model's output.")
    return value.detach()


def _sizes(target_sizes: Any, count: int) -> list[tuple[int, int] | None]:
    if target_sizes is None:
        return [None] * count
    sizes = target_sizes.tolist() if isinstance(target_sizes, (torch.Tensor, np.ndarray)) else list(target_sizes)
    if len(sizes) != count:
        raise ValueError(f"target_sizes: must be one (height, width) per output ({count}), got {len(sizes)}.")
    try:
        sizes = [(int(height), int(width)) for height, width in sizes]
    except (TypeError, ValueError):
        raise ValueError(f"target_sizes: must hold (height, width) pairs, got {target_sizes!r}.") from None
    if any(min(size) < 1 for size in sizes):
        raise ValueError(f"target_sizes: must be positive, got {sizes}.")
    return sizes


def _to_numpy(values: Any, dtype) -> np.ndarray:
    if isinstance(values, torch.Tensor):
        values = values.detach()
        values = (values.float() if values.is_floating_point() else values).cpu().numpy()
    return np.asarray(values).astype(dtype, copy=False)
