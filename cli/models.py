"""A model and its processor from the options of a command."""

from __future__ import annotations

import argparse
import os
import sys
import typing
from typing import Any

from .messages import RequestError

if typing.TYPE_CHECKING:
    from ..processing.loading import Loaded

_TASK_COMMANDS = {"depth": "predict", "segmentation": "segment"}


def load_for(arguments: argparse.Namespace, task: str) -> Loaded:
    """Load the model that the shared options of a command name."""
    device = resolve_device(arguments.device)
    return load(
        arguments.model,
        task,
        revision=arguments.revision,
        device=device,
        dtype=resolve_dtype(arguments.dtype, device),
        image_size=arguments.image_size,
    )


def load(name: str | None, task: str | None, **options: Any) -> Loaded:
    """As `processing.loading.load_model`, without the libraries' advice, and naming the command to use instead."""
    from ..processing.loading import WrongTaskError, load_model

    quiet_libraries()
    try:
        return load_model(name, task, **options)
    except WrongTaskError as error:
        raise RequestError(f"{error} Use `open-dpt {_TASK_COMMANDS[error.found]}`.") from None


def compile_for(arguments: argparse.Namespace, model: Any) -> None:
    """Compile the model if the options ask for it, saying that it takes time."""
    if not arguments.compile:
        return
    if arguments.dtype == "int8":  # tracing it takes longer than any folder
        raise RequestError("--compile: is not for --dtype int8. Leave one of them out.")
    from ..modeling_dpt.compiling import compile_model

    compile_model(model)
    _tell("--compile: the first images take minutes; what PyTorch keeps of it makes the next run start faster")


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


def resolve_dtype(name: str, device: str) -> str:
    """Turn "auto" into the name of a dtype, saying which and why; other names stay."""
    if name != "auto":
        return name
    from ..processing.dtypes import choose_dtype

    chosen, reason = choose_dtype(device)
    _tell(f"--dtype auto: {chosen}, {reason}")
    return chosen


def _tell(line: str) -> None:
    if os.environ.get("RANK", "0") == "0":  # the first of several processes
        print(line, file=sys.stderr)


def quiet_libraries() -> None:
    """Keep progress bars and advice of the libraries out of the way; errors still come through."""
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging

    hub_logging.set_verbosity_error()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
