"""`open-dpt info`: what a checkpoint is, before its weights are downloaded."""

import argparse
import re
from pathlib import Path
from typing import Any

SUMMARY = "architecture, size, input rule, output kind and licence of a model"
DESCRIPTION = """What a model is: architecture, parameters, input rule, output kind and unit, licence where stated.

MODEL is a hub id, a folder, an authors' .pt file, or the name of a preset such as dpt-large. Of a hub id only the
small files are fetched."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", nargs="?", help="default: the bundled model")
    parser.add_argument("--revision", help="branch, tag or commit of a hub id")


def run(arguments: argparse.Namespace) -> int:
    rows = describe(arguments.model, arguments.revision)
    width = max(len(key) for key in rows)
    for key, value in rows.items():
        print(f"{key:<{width}}  {value}")
    return 0


def describe(name: str | None, revision: str | None = None) -> dict[str, str]:
    """Rows for people, in order.

    Raises:
        ModelError: nothing has this name.
        OSError: the hub cannot be asked.
    """
    import torch

    import open_dpt

    from ..configuration import PRESETS
    from ..modeling_dpt.conversion.original import read_original
    from ..processing.loading import BUNDLED_NAME, MODEL_CLASSES, load_processor, locate, task_of
    from .models import quiet_libraries

    quiet_libraries()
    licence = None
    if name in PRESETS and not Path(name).exists():
        config, task, title = open_dpt.DPTConfig.from_preset(name), None, f"{name} (preset, no weights)"
        processor = open_dpt.DPTImageProcessor.for_model(config)
    elif name and Path(name).is_file():
        checkpoint = read_original(locate(name))
        config, task, title = checkpoint.config, checkpoint.task, f"{name} (authors' file)"
        processor = open_dpt.DPTImageProcessor.for_model(config, **checkpoint.preprocessing)
    else:
        location = locate(name)
        config = open_dpt.DPTConfig.from_pretrained(location, revision=revision)
        task, title = task_of(config), name or BUNDLED_NAME
        processor = load_processor(location, revision, config)
        licence = licence_of(name, revision)
    model_class = MODEL_CLASSES[task or "depth"]
    with torch.device("meta"):
        parameters = sum(parameter.numel() for parameter in model_class(config).parameters())
    return {
        "model": title,
        "class": model_class.__name__,
        "encoder": _encoder(config),
        "decoder": f"readout {config.readout_type}, fusion width {config.fusion_hidden_size}",
        "parameters": f"{parameters / 1e6:.1f} M",
        "input": _input(config, processor),
        "output": _output(config, task),
        "licence": licence or "not stated; ask whoever published it",
    }


def _encoder(config: Any) -> str:
    if config.uses_auto_backbone:
        return f"{config.backbone_config.model_type} (transformers AutoBackbone)"
    kind = "ResNet stem and ViT" if config.is_hybrid else "ViT"
    return f"{kind}, {config.num_hidden_layers} layers of width {config.hidden_size}, patch {config.patch_size}"


def _input(config: Any, processor: Any) -> str:
    size = processor.size
    aspect = f"aspect kept ({processor.resize_method})" if processor.keep_aspect_ratio else "aspect not kept"
    return (
        f"RGB, sides multiples of {config.size_divisor}; processor aims at "
        f"{size['height']} x {size['width']}, {aspect}, multiples of {processor.ensure_multiple_of}"
    )


def _output(config: Any, task: str | None) -> str:
    if task == "segmentation":
        return f"logits of {config.num_labels} classes, (batch, {config.num_labels}, height, width)"
    if config.depth_estimation_type == "metric":
        limit = f", up to {config.max_depth:g}" if config.max_depth else ""
        return f"depth in metres{limit}, (batch, height, width)"
    return "disparity up to scale and shift, larger is nearer, no unit, (batch, height, width)"


def licence_of(name: str | None, revision: str | None) -> str | None:
    """The licence that the header of the model card states, of a folder or hub id; None where there is none."""
    from transformers.utils import cached_file

    from ..processing.loading import locate

    location = locate(name)
    if Path(location).is_file():
        return None
    try:
        card = cached_file(location, "README.md", revision=revision, _raise_exceptions_for_missing_entries=False)
    except OSError:
        return None
    if card is None:
        return None
    header = re.match(r"---\n(.*?)\n---", Path(card).read_text(encoding="utf-8", errors="replace"), re.DOTALL)
    stated = header and re.search(r"^licen[sc]e:\s*(.+?)\s*$", header.group(1), re.MULTILINE)
    return stated.group(1).strip("'\"") if stated else None
