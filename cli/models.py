"""A model and its processor from what the user named."""

import argparse
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .messages import RequestError

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_TASK_CLASSES = {"depth": "DPTForDepthEstimation", "segmentation": "DPTForSemanticSegmentation"}
_TASK_COMMANDS = {"depth": "predict", "segmentation": "segment"}


@dataclass(frozen=True)
class Loaded:
    """A model ready to predict, the processor it goes with, and what to call it."""

    model: Any
    processor: Any
    name: str

    def fingerprint(self) -> str:
        """Identifies the weights wherever they lie."""
        from ..modeling_dpt.fingerprint import fingerprint

        return fingerprint(self.model)

    def settings(self) -> dict[str, Any]:
        """What a prediction depends on, as JSON data."""
        return {
            "model": self.fingerprint(),
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "image size": dict(self.processor.size),
        }


def load_for(arguments: argparse.Namespace, task: str) -> Loaded:
    """Load the model that the shared options of a command name."""
    return load(
        arguments.model,
        task,
        revision=arguments.revision,
        device=resolve_device(arguments.device),
        dtype=arguments.dtype,
        image_size=arguments.image_size,
    )


def load(
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
        name: hub id, folder, or an authors' file; None for the bundled model.
        task: "depth" or "segmentation"; None for what the checkpoint is made for.
        revision: branch, tag or commit of a hub id.
        device: as `resolve_device` returns it.
        dtype: name of a torch dtype.
        image_size: (height, width) that the processor resizes to, instead of its own.
        overrides: config values that replace those of an authors' file.

    Raises:
        RequestError: nothing has this name, or the checkpoint is of another task.
        OSError: the hub cannot be asked, or a file cannot be read.
    """
    import torch

    import open_dpt

    from ..modeling_dpt.conversion import load_original

    quiet_libraries()
    location = locate(name)
    if Path(location).is_file():
        model, preprocessing = load_original(location, **(overrides or {}))
        found = "segmentation" if isinstance(model, open_dpt.DPTForSemanticSegmentation) else "depth"
        _agreed(location, task, found)
        processor = open_dpt.DPTImageProcessor.for_model(model, **preprocessing)
    else:
        if overrides:
            raise RequestError(
                f"{location}: values can only be set for an authors' file. Edit its config.json instead."
            )
        config = open_dpt.DPTConfig.from_pretrained(location, revision=revision)
        model_class = model_class_of(_agreed(location, task, task_of(config)))
        model = model_class.from_pretrained(location, revision=revision)
        processor = load_processor(location, revision, config)
    if image_size is not None:
        processor.size = {"height": image_size[0], "width": image_size[1]}
        processor.ensure_multiple_of = math.lcm(processor.ensure_multiple_of or 1, model.config.size_divisor)
    model = model.to(device=device, dtype=getattr(torch, dtype)).eval()
    return Loaded(model, processor, name or "dpt-tiny (bundled)")


def locate(name: str | None) -> str:
    """Path of a folder or file, or a hub id.

    Raises:
        RequestError: it looks like a path and nothing is there, or cannot be a hub id.
    """
    from ..assets import bundled_model_path

    if name is None:
        return str(bundled_model_path())
    path = Path(name).expanduser()
    if path.is_dir() and not (path / "config.json").is_file():
        raise RequestError(f"{name}: this folder holds no config.json. Name the folder that a model was saved to.")
    if path.exists():
        return str(path)
    if path.suffix in (".pt", ".pth", ".bin", ".safetensors") or not _HUB_ID.fullmatch(name) or name.startswith("."):
        raise RequestError(
            f"{name}: does not exist. Name a folder, an original .pt file, or a hub id such as Intel/dpt-large."
        )
    return name


def resolve_device(name: str) -> str:
    """Turn "auto" into the fastest device there is, and check a named one.

    Raises:
        RequestError: this machine or this build of torch has no such device.
    """
    import torch

    has = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return next(kind for kind, present in has.items() if present)
    try:
        device = torch.device(name)
    except RuntimeError:
        raise RequestError(f"--device: unknown device {name!r}. Choose auto, cpu, cuda, cuda:N or mps.") from None
    missing = not has.get(device.type, True)
    if missing or (device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()):
        there = ", ".join(kind for kind, present in has.items() if present)
        raise RequestError(f"--device: {name} is not available to this torch. Available: {there}.")
    return name


def quiet_libraries() -> None:
    """Keep progress bars and advice of the libraries out of the way; errors still come through."""
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging

    hub_logging.set_verbosity_error()
    logging.set_verbosity_error()
    logging.disable_progress_bar()


def task_of(config: Any) -> str | None:
    """ "depth" or "segmentation" as the checkpoint says; None where it does not say."""
    names = " ".join(config.architectures or [])
    if "SemanticSegmentation" in names:
        return "segmentation"
    return "depth" if "DepthEstimation" in names or "DepthAnything" in names else None


def model_class_of(task: str) -> type:
    """The class for "depth" or "segmentation"."""
    import open_dpt

    return getattr(open_dpt, _TASK_CLASSES[task])


def load_processor(location: str, revision: str | None, config: Any) -> Any:
    """The checkpoint's own processor, or the default for its configuration where it has none."""
    from ..configuration.hub_errors import is_known_missing
    from ..processing import DPTImageProcessor

    try:
        return DPTImageProcessor.from_pretrained(location, revision=revision)
    except OSError:
        # A file that is damaged or out of reach must not turn into another preprocessing without a word.
        if not is_known_missing(location, "preprocessor_config.json", revision):
            raise
        return DPTImageProcessor.for_model(config)


def _agreed(location: str, wanted: str | None, found: str | None) -> str:
    if wanted and found and wanted != found:
        raise RequestError(f"{location}: made for {found}, not for {wanted}. Use `open-dpt {_TASK_COMMANDS[found]}`.")
    return wanted or found or "depth"
