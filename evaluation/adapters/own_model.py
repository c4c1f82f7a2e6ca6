"""Our own models, run as the protocol's inference rule says."""

from __future__ import annotations

import copy
import typing
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from ...modeling_dpt import DPTForDepthEstimation, DPTForSemanticSegmentation
from ...modeling_dpt.fingerprint import fingerprint
from ...modeling_dpt.int8 import dtype_name
from ...processing import DPTImageProcessor, predict_depth, predict_segmentation
from ...processing.multi_scale import MultiScale
from ...processing.settings import DEFAULTS, ENCODER_SETTINGS
from ..score_segmentation import check_classes
from .base import check_kind, describe

if typing.TYPE_CHECKING:
    from ..protocol import InferenceRule, Protocol

KIND_OF_TYPE = {"relative": "disparity", "metric": "depth"}

# The authors' sides are multiples of 32 for every encoder whose own divisor allows it (arXiv:2103.13413, public code).
AUTHORS_MULTIPLE = 32

# Encoders whose authors trained and ran them on one grid of square inputs: no protocol changes that.
FIXED_GRIDS = [encoder for encoder, values in ENCODER_SETTINGS.items() if values.get("keep_aspect_ratio") is False]


class OwnModel:
    """A DPT model of ours with its processor.

    Args:
        model: DPTForDepthEstimation or DPTForSemanticSegmentation; runs in its own dtype, on its own device.
        processor: DPTImageProcessor of the model.
        name: For tables.
        source, revision: Where it came from, for the record. Default: the name, and nothing.
        kind: What depth answers mean, where the checkpoint's `depth_estimation_type` is wrong about it.
        fingerprint: Of the weights as they are stored, for a model that was prepared since. Default: of the model.

    Raises:
        AdapterError: no such kind.
    """

    def __init__(
        self,
        model: DPTForDepthEstimation | DPTForSemanticSegmentation,
        processor: DPTImageProcessor,
        *,
        name: str,
        source: str | None = None,
        revision: str | None = None,
        kind: str | None = None,
        fingerprint: str | None = None,
    ):
        self.model = model
        self.processor = processor
        self.name = name
        self.source = source or name
        self.revision = revision
        self._fingerprint = fingerprint
        self._segments = isinstance(model, DPTForSemanticSegmentation)
        stated = "labels" if self._segments else KIND_OF_TYPE[model.config.depth_estimation_type]
        self.kind = check_kind(kind or stated, "segmentation" if self._segments else "depth", name)
        self._notes = [] if self.kind == stated else [f"kind was given as {self.kind}; the checkpoint says {stated}"]
        encoder = getattr(getattr(model.config, "backbone_config", None), "model_type", None)
        self._fixed_grid = encoder in FIXED_GRIDS
        if self._fixed_grid:
            self._notes.append(f"a {encoder} encoder keeps its processor's size and resize rule")

    def check(self, rows: Iterable[dict[str, Any]], protocol: Protocol) -> None:
        """See `Adapter.check`: the number of classes."""
        if self._segments:
            check_classes(self.model.config.num_labels, protocol, self.name)

    def predict(self, samples: list[dict[str, Any]], inference: InferenceRule) -> list[Tensor]:
        """See `Adapter.predict`; images that become inputs of one shape run together."""
        images = [sample["image"] for sample in samples]
        options = {"batch_size": max(len(images), 1), "mode": inference.output_resize, "flip": inference.flip}
        processor = self.processor_for(inference)
        if not self._segments:
            return [
                torch.from_numpy(answer.values) for answer in predict_depth(self.model, processor, images, **options)
            ]
        answers = predict_segmentation(self.model, processor, images, strategy=_strategy(inference), **options)
        return [torch.from_numpy(answer.labels) for answer in answers]

    def processor_for(self, inference: InferenceRule) -> DPTImageProcessor:
        """The processor with the sizes of the rule; its own if the rule has none or the encoder's grid is fixed."""
        if inference.size is None or self._fixed_grid:
            return self.processor
        processor = copy.copy(self.processor)
        processor.do_resize, processor.resample, processor.antialias = True, 3, False  # bicubic as the authors resize
        divisor = self.model.config.size_divisor
        processor.size = dict(zip(("height", "width"), inference.size, strict=True))
        processor.ensure_multiple_of = divisor if AUTHORS_MULTIPLE % divisor else AUTHORS_MULTIPLE
        processor.resize_method = inference.resize_method
        processor.keep_aspect_ratio = inference.keep_aspect_ratio
        return processor

    def describe(self) -> dict[str, Any]:
        """See `Adapter.describe`."""
        return describe(
            self.name,
            self.kind,
            self.source,
            revision=self.revision,
            fingerprint=self._fingerprint or fingerprint(self.model),
            processor={"class": "DPTImageProcessor", **{key: getattr(self.processor, key) for key in DEFAULTS}},
            dtype=dtype_name(self.model),
            device=str(self.model.device),
            uses_protocol_inference=True,
            notes=list(self._notes),
        )


def _strategy(inference: InferenceRule) -> MultiScale | None:
    if inference.scales is None:
        return None
    # Null means the published value, except for base_size, where it means the image's own size.
    given = {key: getattr(inference, key) for key in ("window", "stride", "combine") if getattr(inference, key)}
    return MultiScale(inference.scales, base_size=inference.base_size, **given)
