"""Checkpoints in and out: hub layouts, the authors' files, encoders to start from, transformers' own classes."""

from pathlib import Path
from typing import Any

import torch

from .mixin import CheckpointMixin
from .original import OriginalCheckpoint, read_original
from .remote_stub import place_stub

__all__ = ["CheckpointMixin", "OriginalCheckpoint", "load_original", "place_stub", "read_original"]


def load_original(path: str | Path, *, dtype: torch.dtype = torch.float32, **overrides: Any):
    """The model an authors' `.pt` file holds, of the class its task asks for, and how its input is prepared.

    Returns:
        The model (`DPTForDepthEstimation` or `DPTForSemanticSegmentation`) and keyword arguments for
        `DPTImageProcessor`.

    Raises:
        As `DPTForDepthEstimation.from_original`.
    """
    from .. import DPTForDepthEstimation, DPTForSemanticSegmentation

    checkpoint = read_original(path, **overrides)
    model_class = DPTForDepthEstimation if checkpoint.task == "depth" else DPTForSemanticSegmentation
    return model_class._from_original(checkpoint, dtype), checkpoint.preprocessing
