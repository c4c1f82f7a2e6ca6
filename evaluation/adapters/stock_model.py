"""Models of transformers with their own image processors and their own post-processing, whatever the protocol says."""

from __future__ import annotations

import copy
import inspect
import json
import re
import typing
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForDepthEstimation,
    AutoModelForSemanticSegmentation,
    AutoModelForUniversalSegmentation,
)
from transformers.utils import is_torchvision_available

from ...configuration.hub_errors import commit_of, plain_hub_errors
from ...modeling_dpt.fingerprint import fingerprint
from ..score_segmentation import check_classes
from .base import AdapterError, check_kind, describe, failures_told, short_name

if typing.TYPE_CHECKING:
    from ..protocol import InferenceRule, Protocol

# What depth models answer, by model_type. A configuration's `depth_estimation_type` "metric" makes it metres.
KIND_OF = {
    "chmv2": "depth",
    "depth_anything": "disparity",
    "depth_pro": "depth",
    "dpt": "disparity",
    "glpn": "depth",
    "prompt_depth_anything": "disparity",
    "tipsv2_dpt": "depth",
    "zoedepth": "depth",
}

# Where a task's classes are looked for, in order.
CLASSES = {
    "depth": [AutoModelForDepthEstimation],
    "segmentation": [AutoModelForSemanticSegmentation, AutoModelForUniversalSegmentation],
}

# Of the models above: need more than an image.
PROMPTED = ("oneformer", "videomt")

# Their image processors call torchvision.
NEED_TORCHVISION = ("chmv2", "depth_pro", "tipsv2_dpt", "zoedepth")

# Weights that checkpoints lack and no output depends on.
HARMLESS_MISSING = {"dpt": r"neck\.fusion_stage\.layers\.0\.residual_layer1\."}


class StockModel:
    """Any depth or segmentation model with its image processor.

    Args:
        model: Has `predicted_depth` in its output, or what its processor turns into class ids.
        processor: With `post_process_depth_estimation` or `post_process_semantic_segmentation`.
        task: "depth" or "segmentation".
        name: For tables.
        source, revision: Where it came from, for the record.
        kind: What depth answers mean. Default: what is known of the model_type (`KIND_OF`).

    Raises:
        AdapterError: nothing is known of the model_type, the kind does not fit, or the processor cannot post-process.
    """

    def __init__(
        self,
        model: nn.Module,
        processor: Any,
        task: str,
        *,
        name: str,
        source: str | None = None,
        revision: str | None = None,
        kind: str | None = None,
    ):
        self.model = model.eval()
        self.processor = processor
        self.name = name
        self.source = source or name
        self.revision = revision
        self._segments = task == "segmentation"
        stated = "labels" if self._segments else _stated_kind(model.config)
        if not (kind or stated):
            raise AdapterError(
                f"{name}: what a {model.config.model_type!r} model answers is not known here. "
                "State its kind (--kind): depth (metres), relative-depth or disparity."
            )
        self.kind = check_kind(kind or stated, task, name)
        told = stated or "nothing"
        self._notes = [] if self.kind == stated else [f"kind was given as {self.kind}; the model_type says {told}"]
        step = "post_process_semantic_segmentation" if self._segments else "post_process_depth_estimation"
        if not hasattr(processor, step):
            raise AdapterError(
                f"{name}: its {type(processor).__name__} has no {step}. Wrap the model in a Python adapter."
            )
        if getattr(processor, "do_center_crop", None):
            # What it cuts off would go unanswered, and its post-processing stretches the rest over the whole image.
            self.processor = processor = copy.copy(processor)
            processor.do_center_crop = False
            self._notes.append("the centre crop of its processor was turned off")
        # Its ViT takes squares only, which a processor that keeps the aspect does not give.
        keeps_aspect = model.config.model_type == "dpt" and getattr(processor, "keep_aspect_ratio", False)
        self._remedy = " Leave out stock:, or set keep_aspect_ratio to false in its processor." if keeps_aspect else ""
        self._post_process = getattr(processor, step)
        self._size_arguments = {"target_sizes", "source_sizes"} & set(inspect.signature(self._post_process).parameters)
        self._inputs = set(inspect.signature(model.forward).parameters)

    @classmethod
    def from_pretrained(
        cls,
        location: str,
        task: str,
        *,
        kind: str | None = None,
        device: str = "cpu",
        dtype: str = "float32",
        revision: str | None = None,
    ) -> StockModel:
        """Load what transformers' Auto classes find in a folder or on the hub. Remote code is never run.

        Raises:
            AdapterError: no model of this task, incomplete weights, or no processor.
            OSError: the hub cannot be asked, or a file cannot be read.
        """
        with plain_hub_errors(location, revision), failures_told(location, "be loaded", told=(OSError,)):
            config = AutoConfig.from_pretrained(location, revision=revision)
            model_class = _class_for(config, task, location)
            model, found = model_class.from_pretrained(
                location, revision=revision, dtype=getattr(torch, dtype), output_loading_info=True
            )
            _check_complete(config.model_type, found["missing_keys"], location)
            from transformers import AutoImageProcessor  # some versions have it only beside torchvision

            processor = AutoImageProcessor.from_pretrained(location, revision=revision)
        return cls(
            model.to(device),
            processor,
            task,
            name=short_name(location),
            source=location,
            revision=commit_of(location, revision),
            kind=kind,
        )

    def check(self, rows: Iterable[dict[str, Any]], protocol: Protocol) -> None:
        """See `Adapter.check`: the number of classes."""
        if self._segments:
            check_classes(self.model.config.num_labels, protocol, self.name)

    @torch.inference_mode()
    def predict(self, samples: list[dict[str, Any]], inference: InferenceRule) -> list[Tensor]:
        """See `Adapter.predict`; images that become inputs of one shape run together. The rule has no say."""
        answers: list[Any] = [None] * len(samples)
        inputs = [self._prepared(sample) for sample in samples]
        for indices in _groups(inputs):
            images = [samples[index] for index in indices]
            with failures_told(self.name, f"answer {images[0]['name']}", remedy=self._remedy):
                outputs = self._answers([inputs[index] for index in indices], images)
            for index, answer in zip(indices, outputs, strict=True):
                answers[index] = answer
        return answers

    def describe(self) -> dict[str, Any]:
        """See `Adapter.describe`."""
        return describe(
            self.name,
            self.kind,
            self.source,
            revision=self.revision,
            fingerprint=fingerprint(self.model),
            processor={"class": type(self.processor).__name__, **json.loads(self.processor.to_json_string())},
            dtype=str(self.model.dtype).removeprefix("torch."),
            device=str(self.model.device),
            notes=[f"{type(self.model).__name__} of transformers", *self._notes],
        )

    def _prepared(self, sample: dict[str, Any]) -> dict[str, Any]:
        picture = Image.fromarray(np.ascontiguousarray(sample["image"].permute(1, 2, 0).cpu().numpy()))
        with failures_told(self.name, f"answer {sample['name']}"):
            inputs = self.processor(picture, return_tensors="pt")
        return {key: value for key, value in inputs.items() if key in self._inputs}

    def _answers(self, inputs: list[dict[str, Any]], samples: list[dict[str, Any]]) -> list[Tensor]:
        batch = {key: self._placed(_joined([one[key] for one in inputs])) for key in inputs[0]}
        sizes = [tuple(sample["image"].shape[-2:]) for sample in samples]
        outputs = self._post_process(self.model(**batch), **dict.fromkeys(self._size_arguments, sizes))
        if self._segments:
            return [labels.long() for labels in outputs]
        return [output["predicted_depth"].float() for output in outputs]

    def _placed(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        return value.to(self.model.device, self.model.dtype if value.is_floating_point() else None)


def _stated_kind(config: Any) -> str | None:
    metric = getattr(config, "depth_estimation_type", None) == "metric"
    return "depth" if metric else KIND_OF.get(config.model_type)


def _class_for(config: Any, task: str, location: str) -> Any:
    found = next((auto for auto in CLASSES[task] if type(config) in auto._model_mapping), None)
    if config.model_type in NEED_TORCHVISION and not is_torchvision_available():
        raise AdapterError(
            f"{location}: transformers runs {config.model_type} with torchvision. pip install torchvision"
        )
    names = " ".join(config.architectures or [])
    # A checkpoint of another task has the same model_type; its head would be left to chance.
    other = {"depth": "Segmentation", "segmentation": "DepthEstimation"}[task]
    if found is None or other in names or config.model_type in PROMPTED:
        made = names or f"a {config.model_type!r} model"
        raise AdapterError(f"{location}: must be a {task} model that needs only an image, got {made}. Choose another.")
    return found


def _check_complete(model_type: str, missing: Iterable[str], location: str) -> None:
    harmless = HARMLESS_MISSING.get(model_type)
    if left := sorted(key for key in missing if not (harmless and re.match(harmless, key))):
        raise AdapterError(
            f"{location}: must hold all weights, got none for {left[0]} ({len(left)} missing, they would be random). "
            "Choose a checkpoint that was trained for this, or wrap the model in a Python adapter."
        )


def _groups(inputs: list[dict[str, Any]]) -> list[list[int]]:
    """Indices of images that can share a batch: one input each, of one shape."""
    groups: dict[tuple, list[int]] = {}
    for index, one in enumerate(inputs):
        shape = tuple(one["pixel_values"].shape)
        groups.setdefault(shape if shape[0] == 1 else (index, *shape), []).append(index)
    return list(groups.values())


def _joined(values: list[Any]) -> Any:
    if isinstance(values[0], Tensor):
        return torch.cat(values)
    return [one for value in values for one in value]
