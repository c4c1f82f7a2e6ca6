"""A model of ours and its processor from what a person named: hub id, folder, authors' file, or nothing."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..assets import bundled_model_path
from ..configuration import DPTConfig
from ..configuration.hub_errors import commit_of, is_known_missing
from ..modeling_dpt import DPTForDepthEstimation, DPTForSemanticSegmentation
from ..modeling_dpt.conversion import load_original
from ..modeling_dpt.fingerprint import fingerprint
from ..modeling_dpt.int8 import dtype_name
from .image_processing_dpt import DPTImageProcessor

MODEL_CLASSES = {"depth": DPTForDepthEstimation, "segmentation": DPTForSemanticSegmentation}

# What a person may write for the bundled model, besides nothing, and what it is called in print.
BUNDLED, BUNDLED_NAME = "bundled", "dpt-tiny (bundled)"

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_WEIGHT_SUFFIXES = (".pt", ".pth", ".bin", ".safetensors")


class ModelError(ValueError):
    """No model can be had from what was named. The message is one line and names it."""


class WrongTaskError(ModelError):
    """The checkpoint is made for another task."""

    def __init__(self, location: str, wanted: str, found: str):
        super().__init__(f"{location}: made for {found}, not for {wanted}.")
        self.found = found


@dataclass(frozen=True)
class Loaded:
    """A model ready to predict, and what it goes with.

    Args:
        model, processor: Of one checkpoint.
        name: What to call it.
        fingerprint: Identifies the weights wherever they lie and whatever dtype they were loaded in.
        commit: On the hub.
    """

    model: Any
    processor: Any
    name: str
    fingerprint: str
    commit: str | None = None

    def settings(self) -> dict[str, Any]:
        """What a prediction depends on, as JSON data."""
        return {
            "model": self.fingerprint,
            "dtype": dtype_name(self.model),
            "image size": dict(self.processor.size),
        }


def load_model(
    name: str | None,
    task: str | None,
    *,
    revision: str | None = None,
    device: str = "cpu",
    dtype: str = "float32",
    image_size: tuple[int, int] | None = None,
    overrides: dict | None = None,
) -> Loaded:
    """Load a model for inference.

    Args:
        name: hub id, folder, or an authors' file; None or "bundled" for the bundled model.
        task: "depth" or "segmentation"; None for what the checkpoint is made for.
        revision: branch, tag or commit of a hub id.
        device: of torch.
        dtype: name of a torch dtype, or "int8" for `quantize_int8` (CPU only).
        image_size: (height, width) that the processor resizes to, instead of its own.
        overrides: config values that replace those of an authors' file.

    Raises:
        ModelError: nothing has this name, the checkpoint is of another task (WrongTaskError), or int8 and no CPU.
        OSError: the hub cannot be asked, or a file cannot be read.
    """
    if dtype == "int8" and torch.device(device).type != "cpu":
        raise ModelError(f"int8: is for the CPU, got device {device}. Choose device cpu, or another dtype.")
    location = locate(name)
    if Path(location).is_file():
        model, preprocessing = load_original(location, **(overrides or {}))
        _agreed(location, task, "segmentation" if isinstance(model, DPTForSemanticSegmentation) else "depth")
        processor = DPTImageProcessor.for_model(model, **preprocessing)
    else:
        if overrides:
            raise ModelError(f"{location}: values can only be set for an authors' file. Edit its config.json instead.")
        config = DPTConfig.from_pretrained(location, revision=revision)
        model_class = MODEL_CLASSES[_agreed(location, task, task_of(config))]
        model = model_class.from_pretrained(location, revision=revision)
        processor = load_processor(location, revision, config)
    if image_size is not None:
        processor.size = {"height": image_size[0], "width": image_size[1]}
        processor.ensure_multiple_of = math.lcm(processor.ensure_multiple_of or 1, model.config.size_divisor)
    weights = fingerprint(model)
    model = model.to(device=device, dtype=torch.float32 if dtype == "int8" else getattr(torch, dtype)).eval()
    if dtype == "int8":
        try:
            model.quantize_int8()
        except RuntimeError as error:  # not this CPU
            raise ModelError(str(error)) from None
    called = BUNDLED_NAME if name in (None, BUNDLED) else name
    return Loaded(model, processor, called, weights, commit_of(location, revision))


def locate(name: str | None) -> str:
    """Path of a folder or file, or a hub id.

    Raises:
        ModelError: it looks like a path and nothing is there, or cannot be a hub id.
    """
    if name in (None, BUNDLED):
        return str(bundled_model_path())
    path = Path(name).expanduser()
    if path.is_dir() and not (path / "config.json").is_file():
        raise ModelError(f"{name}: this folder holds no config.json. Name the folder that a model was saved to.")
    if path.exists():
        return str(path)
    if path.suffix in _WEIGHT_SUFFIXES or not _HUB_ID.fullmatch(name) or name.startswith("."):
        raise ModelError(
            f"{name}: does not exist. Name a folder, an original .pt file, or a hub id such as Intel/dpt-large."
        )
    return name


def task_of(config: Any) -> str | None:
    """ "depth" or "segmentation" as the checkpoint says; None where it does not say."""
    names = " ".join(config.architectures or [])
    if "SemanticSegmentation" in names:
        return "segmentation"
    return "depth" if "DepthEstimation" in names or "DepthAnything" in names else None


def load_processor(location: str, revision: str | None, config: Any) -> DPTImageProcessor:
    """The checkpoint's own processor, or the default for its configuration where it has none."""
    try:
        return DPTImageProcessor.from_pretrained(location, revision=revision)
    except OSError:
        # A file that is damaged or out of reach must not turn into another preprocessing without a word.
        if not is_known_missing(location, "preprocessor_config.json", revision):
            raise
        return DPTImageProcessor.for_model(config)


def _agreed(location: str, wanted: str | None, found: str | None) -> str:
    if wanted and found and wanted != found:
        raise WrongTaskError(location, wanted, found)
    return wanted or found or "depth"
