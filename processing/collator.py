"""Batches for `transformers.Trainer`: images and ground truth of any size in, tensors of one size out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .image_io import image_tensor, load_depth_map, load_label_map
from .image_processing_dpt import DPTImageProcessor
from .resize import resize_nearest

TARGETS = ("depth", "disparity", "label")
FITS = ("crop", "stretch")


@dataclass
class DPTCollator:
    """Makes a batch for a model from examples, as the `data_collator` of a `transformers.Trainer`.

    An example is a dictionary with "image" and one of "depth", "disparity" or "label": paths, PIL images, arrays or
    tensors as `DPTImageProcessor` takes them, ground truth as large as its image. Depth and disparity are missing
    where <= 0 or not finite, and where an optional bool map "valid" is False. Other keys do nothing, but the Trainer
    must pass the columns on: `TrainingArguments(remove_unused_columns=False)`.

    Every batch has one size, so that the Trainer can join the predictions of an evaluation. Nothing is drawn at
    random: augment before, in the data set.

    Args:
        processor: The model's. Says how images are resized and normalised.
        targets: What the model learns: "depth" in metres, "disparity" or "label"; or the model itself. Disparity is
            made from depth where examples have only that.
        size: (height, width) of the batches, rounded to what the processor allows; default: the processor's own.
        fit: "crop" scales each image until it covers the size and cuts out the middle, so that shapes stay as they are
            at inference. "stretch" shows whole images, distorted.
        depth_scale: Stored depth / depth_scale = metres; an example's own "depth_scale" goes before.
        read: Turns an item of the data set into an example, or None where it is one already. For the rows of
            `open_dpt.data.load_data` it is `open_dpt.data.samples.read_sample`.

    Raises:
        ValueError: targets or fit is unknown.
    """

    processor: DPTImageProcessor
    targets: Any
    size: tuple[int, int] | None = None
    fit: str = "crop"
    depth_scale: float = 1.0
    read: Callable[[Any], dict] | None = None

    def __post_init__(self):
        if hasattr(self.targets, "config"):
            self.targets = _targets_of(self.targets)
        for name, allowed in (("targets", TARGETS), ("fit", FITS)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name}: must be one of {', '.join(allowed)}, got {getattr(self, name)!r}.")
        height, width = self.size or (self.processor.size["height"], self.processor.size["width"])
        stretch = {"size": (height, width), "keep_aspect_ratio": False, "do_pad": False, "do_resize": True}
        self.size = self.processor.geometry(height, width, **stretch).output
        # Ground truth that `read` gives has been through its data set's own label rule already.
        self._options = stretch | {
            "size": self.size,
            "do_reduce_labels": self.read is None and self.processor.do_reduce_labels,
        }
        if self.fit == "crop":
            self._options |= {"keep_aspect_ratio": True, "resize_method": "lower_bound"}

    def __call__(self, examples: list[Any]) -> dict[str, Tensor]:
        """The batch.

        Returns:
            pixel_values float32 (B, 3, h, w); labels: float32 (B, h, w), 0 where missing, with valid_mask bool
            (B, h, w), or for "label" int64 (B, h, w), 255 where ignored.

        Raises:
            ValueError: an example lacks what is to be learned, or cannot be read; the message names it.
        """
        samples = [self._sample(example if self.read is None else self.read(example)) for example in examples]
        return {key: torch.stack([sample[key] for sample in samples]) for key in samples[0]}

    def _sample(self, example: dict) -> dict[str, Tensor]:
        name = str(example.get("name", "example"))
        if "image" not in example:
            raise ValueError(
                f"{name}: must have an 'image', got {', '.join(example) or 'nothing'}. Rename the columns; with a "
                "Trainer, set remove_unused_columns=False."
            )
        image = image_tensor(example["image"], name=name)
        if self.targets == "label":
            maps = {"segmentation_maps": _wanted(example, "label", load_label_map, name)}
        else:
            maps = self._depth(example, name)
        for values in maps.values():
            if values.shape != image.shape[-2:]:
                raise ValueError(
                    f"{name}: ground truth must be as large as its image, {tuple(image.shape[-2:])}, got "
                    f"{tuple(values.shape)}. Resize one to the other first."
                )
        valid = maps.pop("valid", None)
        prepared = self.processor([image], **{key: [values] for key, values in maps.items()}, **self._options)
        sample = {"pixel_values": prepared["pixel_values"][0]}
        sample["labels"] = prepared["labels" if self.targets == "label" else "depth_maps"][0]
        if valid is not None:
            sample["valid_mask"] = resize_nearest(valid, tuple(sample["labels"].shape))
        return {key: self._middle(values) for key, values in sample.items()}

    def _middle(self, values: Tensor) -> Tensor:
        top, left = ((have - want) // 2 for have, want in zip(values.shape[-2:], self.size, strict=True))
        return values[..., top : top + self.size[0], left : left + self.size[1]]

    def _depth(self, example: dict, name: str) -> dict[str, Tensor]:
        given = "depth" if self.targets == "depth" or example.get("disparity") is None else "disparity"
        values = _wanted(example, given, load_depth_map, name)
        valid = values > 0
        if example.get("valid") is not None:
            marked = torch.as_tensor(example["valid"]).bool()
            # Marked disparity of 0 is known, too: as far as can be.
            valid = marked if given == "disparity" else valid & marked
        if given == "depth":
            values = values / (example.get("depth_scale") or self.depth_scale)
            values = torch.where(valid, 1 / values, 0.0) if self.targets == "disparity" else values
        return {"depth_maps": torch.where(valid, values, 0.0), "valid": valid}


def _wanted(example: dict, key: str, load: Callable[..., Tensor], name: str) -> Tensor:
    if example.get(key) is None:
        raise ValueError(f"{name}: must have {key!r}, got {', '.join(example)}. Rename the columns.")
    return load(example[key], name=name)


def _targets_of(model: Any) -> str:
    if hasattr(model, "auxiliary_head"):
        return "label"
    return "depth" if model.config.depth_estimation_type == "metric" else "disparity"
