"""DPTImageProcessor: images, label maps, depth maps and intrinsics into network inputs, and predictions back."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import BatchFeature
from transformers.image_processing_utils import BaseImageProcessor
from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING
from transformers.models.auto.video_processing_auto import VIDEO_PROCESSOR_MAPPING
from transformers.processing_utils import ImagesKwargs
from transformers.utils import IMAGE_PROCESSOR_NAME

from ..configuration import DPTConfig
from ..configuration.hub_errors import plain_hub_errors, require_answer
from .geometry import IGNORE_LABEL, MISSING_DEPTH, Geometry
from .image_io import image_tensor, load_depth_map, load_label_map
from .post_processing import depth_maps_at, label_maps_at
from .resize import RESAMPLE_MODES, resize_depth, resize_image, resize_nearest, target_size
from .settings import DEFAULTS, ENCODER_SETTINGS, validated
from .writers import atomic_write

# Larger inputs come from a thin image under "lower_bound", never from a photo.
MAX_OUTPUT_PIXELS = 2**25


class DPTImageProcessorKwargs(ImagesKwargs, total=False):
    """Keys beyond those of every transformers image processor."""

    resize_method: str
    keep_aspect_ratio: bool
    ensure_multiple_of: int
    antialias: bool
    depth_resample: str
    size_divisor: int | None
    do_reduce_labels: bool


# The name in the class statement is the one saved as `image_processor_type` and looked up by AutoImageProcessor. Under
# the name "DPTImageProcessor" it would replace the stock class for every stock checkpoint in the process.
class OpenDPTImageProcessor(BaseImageProcessor):
    """Turns images into network inputs, with everything that belongs to them, and predictions back to image size.

    Without arguments it does what the stock DPT processor does; `for_model` gives the default for our models, and
    `from_pretrained` reads stock and own files. Works in torch on the device the tensors live on.

    Args:
        do_resize: Resize at all.
        size: Size aimed at: int (square), (height, width) or {"height", "width"}.
        resize_method: "minimal", "lower_bound" or "upper_bound"; see `resize.target_size`.
        keep_aspect_ratio: False stretches to `size`.
        ensure_multiple_of: Both sides become multiples of this (the model's `config.size_divisor`).
        resample: 0 nearest, 2 bilinear, 3 bicubic.
        antialias: True as Pillow (stock), False as OpenCV (the authors).
        depth_resample: "nearest" or "bilinear" (valid-aware); see `resize.resize_depth`.
        do_rescale, rescale_factor: Multiply pixel values 0..255.
        do_normalize, image_mean, image_std: (value - mean) / std, per channel, after rescaling.
        do_pad, size_divisor: Centre-pad to a multiple: images with 0, labels with 255, depth with 0.
        do_reduce_labels: Label 0 becomes 255 (ignored), every other id one less (ADE20K).
        Other keys are kept and saved, and change nothing.

    Raises:
        ValueError: a key has an impossible value.
    """

    valid_kwargs = DPTImageProcessorKwargs
    model_input_names = ("pixel_values",)

    def __init__(self, **kwargs):
        known = {key: kwargs.pop(key, None) for key in DEFAULTS}
        # Null in a stock file means the default, too.
        known = DEFAULTS | {key: value for key, value in known.items() if value is not None}
        kwargs.pop("image_processor_type", None)
        super().__init__(**{key: value for key, value in kwargs.items() if value is not None})
        for key, value in validated(known).items():
            setattr(self, key, value)

    @classmethod
    def for_model(cls, config: Any, **overrides) -> "OpenDPTImageProcessor":
        """The default for a model or its config: the authors' resize to the model's image size and stride.

        Args:
            config: DPTConfig, or a model that has one.
            overrides: Keys of the constructor.
        """
        config = getattr(config, "config", config)
        backbone = getattr(config, "backbone_config", None)
        # A convolutional stem or encoder has no image size of its own.
        size = getattr(backbone, "image_size", None) or getattr(config, "image_size", None)
        settings = {
            "size": size,
            "keep_aspect_ratio": True,
            "ensure_multiple_of": config.size_divisor,
            "antialias": False,
        }
        settings |= ENCODER_SETTINGS.get(getattr(backbone, "model_type", None), {})
        return cls(**(settings | overrides))  # a size of None means the default

    def preprocess(
        self,
        images: Any,
        segmentation_maps: Any = None,
        depth_maps: Any = None,
        intrinsics: Any = None,
        *,
        return_tensors: str | None = None,
        device: str | torch.device | None = None,
        input_data_format: str | None = None,
        **overrides,
    ) -> BatchFeature:
        """Prepare one image or several; `processor(...)` calls this.

        Args:
            images: One or a list of path, URL, PIL image, array, tensor; see `image_io.image_tensor`. A (B, ...) array
                or tensor counts as B images.
            segmentation_maps: Class ids per image, (H, W) each; see `image_io.load_label_map`.
            depth_maps: Depth or disparity per image, (H, W) each, missing <= 0 or NaN; see `image_io.load_depth_map`.
            intrinsics: (3, 3) per image, in pixels of the original image.
            return_tensors: "pt" or "np" stacks; None gives lists of tensors, whose sizes may differ.
            device: Where to work; default: where each image lives (CPU for files).
            input_data_format: "channels_first" or "channels_last" where an array's shape leaves it open.
            overrides: Keys of the constructor, for this call.

        Returns:
            BatchFeature with pixel_values float32 (B, 3, h, w) and, where given, labels int64 (B, h, w; 255 ignored),
            depth_maps float32 (B, h, w; 0 missing, unit as given), intrinsics float32 (B, 3, 3).

        Raises:
            ValueError: unusable input, counts or sizes that do not match, mixed sizes with `return_tensors`.
            TypeError: unknown keyword or kind of source.
            OSError: a file or URL cannot be read.
        """
        settings = self._settings(overrides)
        channels = str(getattr(input_data_format, "value", input_data_format or "")).removeprefix("channels_") or None
        sources = _as_list(images, "images", single_ndim=3)
        pixels = [
            image_tensor(source, channels=channels, keep_values=not settings["do_rescale"], name=name)
            for name, source in _named(sources, "image")
        ]
        if device is not None:
            # Pinned memory is copied while the next image is looked at.
            pixels = [image.to(device, non_blocking=image.is_pinned()) for image in pixels]
        ways = [self._geometry(tuple(image.shape[-2:]), settings) for image in pixels]
        data = {"pixel_values": _transform(pixels, ways, settings)}
        if segmentation_maps is not None:
            maps = _load_maps(segmentation_maps, "segmentation_maps", load_label_map, pixels)
            data["labels"] = [
                way.pad(resize_nearest(_reduce_labels(m, settings), way.resized), IGNORE_LABEL)
                for m, way in zip(maps, ways, strict=True)
            ]
        if depth_maps is not None:
            maps = _load_maps(depth_maps, "depth_maps", load_depth_map, pixels)
            data["depth_maps"] = [
                way.pad(resize_depth(m, way.resized, mode=settings["depth_resample"]), MISSING_DEPTH)
                for m, way in zip(maps, ways, strict=True)
            ]
        if intrinsics is not None:
            matrices = _load_intrinsics(intrinsics, len(pixels))
            data["intrinsics"] = [
                way.intrinsics(matrix).float().to(image.device)
                for matrix, way, image in zip(matrices, ways, pixels, strict=True)
            ]
        return BatchFeature({key: _collate(key, values, return_tensors) for key, values in data.items()})

    def geometry(self, height: int, width: int, **overrides) -> Geometry:
        """How an image of this size is resized and padded, and the way back."""
        return self._geometry((height, width), self._settings(overrides))

    def batches(self, images: Iterable, batch_size: int = 1, **kwargs) -> Iterator[tuple[list[int], BatchFeature]]:
        """Group images of mixed sizes into batches of one input size each, instead of padding or distorting them.

        Args:
            images: As for a call.
            batch_size: Largest batch.
            kwargs: Passed to the call; no label maps, depth maps or intrinsics.

        Yields:
            (indices into `images`, BatchFeature with pixel_values (b, 3, h, w)); every index once.
        """
        kwargs.pop("return_tensors", None)
        pixels = self(list(images) if isinstance(images, Iterator) else images, **kwargs)["pixel_values"]
        for indices in group_by_shape(pixels, batch_size):
            yield indices, BatchFeature({"pixel_values": torch.stack([pixels[i] for i in indices])})

    def post_process_depth_estimation(
        self, outputs: Any, target_sizes: Any = None, mode: str = "bicubic"
    ) -> list[dict[str, torch.Tensor]]:
        """Predicted depth at the original sizes.

        Args:
            outputs: Model output with predicted_depth (B, h, w), any floating type.
            target_sizes: (height, width) per image, as list or tensor (B, 2); None keeps the network's size.
            mode: "bicubic" (the authors) or "bilinear". Each map stays within the network's own range.

        Returns:
            One {"predicted_depth": float32 (height, width)} per image.

        Raises:
            ValueError: counts do not match, or outputs hold no depth.
        """
        maps = depth_maps_at(outputs, target_sizes, mode=mode, unpad=self._unpad)
        return [{"predicted_depth": values} for values in maps]

    def post_process_semantic_segmentation(
        self, outputs: Any, target_sizes: Any = None, mode: str = "bicubic"
    ) -> list[torch.Tensor]:
        """Class ids at the original sizes: logits are resized, then the largest wins.

        Args:
            outputs: Model output with logits (B, K, h, w).
            target_sizes, mode: As in `post_process_depth_estimation`.

        Returns:
            One int64 (height, width) per image.
        """
        return label_maps_at(outputs, target_sizes, mode=mode, unpad=self._unpad)

    def collator(self, targets: Any, **options):
        """Data collator for a `transformers.Trainer` of the model `targets`; see `collator.DPTCollator`."""
        from .collator import DPTCollator

        return DPTCollator(self, targets, **options)

    @classmethod
    def get_image_processor_dict(
        cls, pretrained_model_name_or_path, **kwargs
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The settings in a folder or hub repository, and the keywords that are left; errors are one line."""
        name, revision = pretrained_model_name_or_path, kwargs.get("revision")
        with plain_hub_errors(name, revision):
            try:
                values, unused = super().get_image_processor_dict(name, **kwargs)
            except OSError:  # transformers says the same of a missing file and of a silent hub
                require_answer(name, IMAGE_PROCESSOR_NAME, revision, kwargs.get("cache_dir"))
                raise
        if not isinstance(values, dict):
            raise ValueError(
                f"{pretrained_model_name_or_path}: {IMAGE_PROCESSOR_NAME} must hold a JSON object, got a "
                f"{type(values).__name__}. Check the file, or use DPTImageProcessor.for_model(model)."
            )
        return values, unused

    @classmethod
    def register_for_auto_class(cls, auto_class="AutoImageProcessor"):
        """Nothing to do: copying this one file to the hub would leave its package behind."""

    def to_json_file(self, json_file_path) -> None:
        """Write the settings, and for a checkpoint folder the stub that makes `trust_remote_code=True` find us."""
        with atomic_write(json_file_path) as file:
            file.write(self.to_json_string().encode())
        path = Path(json_file_path)
        if path.name == IMAGE_PROCESSOR_NAME:
            from ..modeling_dpt.conversion.remote_stub import place_stub  # loads the models, which only saving needs

            place_stub(path.parent)

    def _settings(self, overrides: dict) -> dict:
        unknown = sorted(set(overrides) - set(self.valid_kwargs.__annotations__))
        if unknown:
            raise TypeError(f"{unknown[0]}: not a keyword of DPTImageProcessor. Known: {', '.join(DEFAULTS)}.")
        settings = {key: getattr(self, key) for key in DEFAULTS}
        settings |= {key: value for key, value in overrides.items() if key in DEFAULTS and value is not None}
        return validated(settings)

    def _geometry(self, original: tuple[int, int], settings: dict) -> Geometry:
        resized = original
        if settings["do_resize"]:
            resized = target_size(
                *original,
                (settings["size"]["height"], settings["size"]["width"]),
                method=settings["resize_method"],
                keep_aspect_ratio=settings["keep_aspect_ratio"],
                multiple_of=settings["ensure_multiple_of"],
            )
        if resized[0] * resized[1] > MAX_OUTPUT_PIXELS:
            raise ValueError(
                f"image: {original[0]} x {original[1]} would become {resized[0]} x {resized[1]}, more than "
                f"{MAX_OUTPUT_PIXELS:,} pixels. Use resize_method='minimal' or 'upper_bound', or a smaller size."
            )
        padding = (0, 0, 0, 0)
        if settings["do_pad"] and settings["size_divisor"]:
            rows, columns = (-side % settings["size_divisor"] for side in resized)
            padding = (rows // 2, rows - rows // 2, columns // 2, columns - columns // 2)
        return Geometry(original, resized, padding)

    def _unpad(self, maps: torch.Tensor, original: tuple[int, int]) -> torch.Tensor:
        """Cut off what `do_pad` added, where `maps` (..., h, w) have exactly the padded size."""
        way = self.geometry(*original) if self.do_pad else None
        return way.unpad(maps) if way and tuple(maps.shape[-2:]) == way.output else maps


# The public name.
DPTImageProcessor = OpenDPTImageProcessor

_BACKENDS = dict.fromkeys(("pil", "torchvision"), DPTImageProcessor)
# Not through AutoImageProcessor.register: for a config called DPTConfig that loads the stock processors first, and
# transformers then complains about torchvision.
IMAGE_PROCESSOR_MAPPING.register(DPTConfig, _BACKENDS, exist_ok=True)
# Pipelines look for a video processor too, and from our auto_map guess one in remote code that the user is then asked
# to trust. Known to have none, there is nothing to ask.
VIDEO_PROCESSOR_MAPPING.register(DPTConfig, {}, exist_ok=True)


def group_by_shape(tensors: list[torch.Tensor], batch_size: int) -> list[list[int]]:
    """Indices of tensors that can be stacked, at most `batch_size` each, in order of first appearance."""
    if not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"batch_size: must be a whole number of at least 1, got {batch_size!r}.")
    groups: dict[tuple, list[int]] = {}
    for index, tensor in enumerate(tensors):
        groups.setdefault((tuple(tensor.shape), tensor.dtype, tensor.device), []).append(index)
    return [group[i : i + batch_size] for group in groups.values() for i in range(0, len(group), batch_size)]


def _transform(pixels: list[torch.Tensor], ways: list[Geometry], settings: dict) -> list[torch.Tensor]:
    """Resize, rescale, normalise and pad; images of one size go through together."""
    result: list[torch.Tensor | None] = [None] * len(pixels)
    factor = settings["rescale_factor"] if settings["do_rescale"] else 1.0
    for indices in group_by_shape(pixels, batch_size=len(pixels)):
        way = ways[indices[0]]
        batch = torch.stack([pixels[i] for i in indices])
        mode = RESAMPLE_MODES[settings["resample"]]
        batch = resize_image(batch, way.resized, mode=mode, antialias=settings["antialias"]) * factor
        if settings["do_normalize"]:
            mean, std = (batch.new_tensor(settings[key]).view(1, 3, 1, 1) for key in ("image_mean", "image_std"))
            batch = (batch - mean) / std
        for index, image in zip(indices, way.pad(batch, 0.0), strict=True):
            result[index] = image
    return result


def _as_list(values: Any, name: str, single_ndim: int) -> list:
    if isinstance(values, (np.ndarray, torch.Tensor)):
        values = list(values) if values.ndim == single_ndim + 1 else [values]
    elif isinstance(values, (list, tuple, Iterator)):
        values = list(values)
    else:
        values = [values]
    if not values:
        raise ValueError(f"{name}: must hold at least one entry, got none.")
    return values


def _named(values: list, name: str) -> Iterator[tuple[str, Any]]:
    """Names for messages: with the index where there are several."""
    for index, value in enumerate(values):
        yield (f"{name} {index}" if len(values) > 1 else name), value


def _load_maps(sources: Any, name: str, load, pixels: list[torch.Tensor]) -> list[torch.Tensor]:
    sources = _as_list(sources, name, single_ndim=2)
    if len(sources) != len(pixels):
        raise ValueError(f"{name}: must be one per image ({len(pixels)}), got {len(sources)}.")
    maps = [load(source, name=entry) for entry, source in _named(sources, name)]
    for (entry, values), image in zip(_named(maps, name), pixels, strict=True):
        if values.shape != image.shape[-2:]:
            raise ValueError(
                f"{entry}: must have the size of its image, {image.shape[-2]} x {image.shape[-1]}, "
                f"got {values.shape[0]} x {values.shape[1]}. Resize one to the other first."
            )
    return [values.to(image.device) for values, image in zip(maps, pixels, strict=True)]


def _load_intrinsics(matrices: Any, count: int) -> list[torch.Tensor]:
    matrices = [torch.as_tensor(matrix).double() for matrix in _as_list(matrices, "intrinsics", single_ndim=2)]
    if len(matrices) != count:
        raise ValueError(f"intrinsics: must be one per image ({count}), got {len(matrices)}.")
    for name, matrix in _named(matrices, "intrinsics"):
        if matrix.shape != (3, 3) or not bool(torch.isfinite(matrix).all()):
            raise ValueError(f"{name}: must be a finite 3 x 3 matrix, got shape {tuple(matrix.shape)}.")
    return matrices


def _reduce_labels(labels: torch.Tensor, settings: dict) -> torch.Tensor:
    if not settings["do_reduce_labels"]:
        return labels
    # int64, so 0 - 1 does not wrap; negative ids are ignore marks already.
    return torch.where((labels <= 0) | (labels == IGNORE_LABEL), IGNORE_LABEL, labels - 1)


def _collate(key: str, values: list[torch.Tensor], return_tensors: Any) -> Any:
    kind = getattr(return_tensors, "value", return_tensors)
    if kind is None:
        return values
    if kind not in ("pt", "np"):
        raise ValueError(f"return_tensors: must be 'pt', 'np' or None, got {return_tensors!r}.")
    if len({value.shape for value in values}) > 1:
        sizes = sorted({f"{value.shape[-2]} x {value.shape[-1]}" for value in values})
        raise ValueError(
            f"{key}: inputs of one call must end up the same size, got {', '.join(sizes)}. "
            f"Use processor.batches(images, batch_size), return_tensors=None, or keep_aspect_ratio=False."
        )
    stacked = torch.stack(values)
    return stacked if kind == "pt" else stacked.cpu().numpy()
