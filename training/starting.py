"""What a training starts from: the model that the flags name, and the processor that goes with it."""

import argparse
import json
import math
from pathlib import Path
from typing import Any

import torch

from ..assets import bundled_model_path
from ..configuration import DPTConfig
from ..configuration.hub_errors import is_known_missing
from ..modeling_dpt.conversion import load_original
from ..modeling_dpt.depth_estimation import DPTForDepthEstimation
from ..modeling_dpt.modeling_tasks import DPTDensePredictor
from ..modeling_dpt.semantic_segmentation import DPTForSemanticSegmentation
from ..processing import DPTImageProcessor
from .arguments import image_size, json_items

_CLASSES = {"depth": DPTForDepthEstimation, "segmentation": DPTForSemanticSegmentation}


def start_model(args: argparse.Namespace, task: str, **values: Any) -> DPTDensePredictor:
    """Build the model of --model_name_or_path, --encoder_name_or_path or --preset.

    Encoder and neck of a checkpoint for the other task are used; the head is new then. So is a segmentation head for
    other classes.

    Args:
        args: Flags of `training.arguments`.
        task: "depth" or "segmentation".
        values: `DPTConfig` keys; --config_overrides win over them.

    Raises:
        ValueError: not exactly one start is given, or a value is impossible.
        OSError: the checkpoint cannot be found or read.
    """
    names = ("model_name_or_path", "encoder_name_or_path", "preset")
    given = [name for name in names if getattr(args, name)]
    if len(given) != 1:
        raise ValueError(f"model: give exactly one of --{', --'.join(names)}, got {' and '.join(given) or 'none'}.")
    values |= json_items(args.config_overrides, "config_overrides")
    model_class = _CLASSES[task]
    if args.preset:
        if size := image_size(args):
            values.setdefault("image_size", list(size))
        model = model_class(DPTConfig.from_preset(args.preset, **values))
    elif args.encoder_name_or_path:
        model = model_class.from_encoder_pretrained(args.encoder_name_or_path, **values)
    elif Path(location := _location(args)).is_file():
        model = _from_original(model_class, location, values)
    else:
        config = DPTConfig.from_dict(_config_dict(location) | values)
        model = model_class.from_pretrained(location, config=config, ignore_mismatched_sizes=task == "segmentation")
    model = model.float()  # weights that are trained; a checkpoint may hold halves
    if args.attn_implementation:
        model.set_attn_implementation(args.attn_implementation)
    if args.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if args.sync_batch_norm:
        if not torch.cuda.is_available():
            raise ValueError("sync_batch_norm: works on GPUs only, there is none. Leave it out.")
        model = torch.nn.SyncBatchNorm.convert_sync_batchnorm(model)
    return model.to(memory_format=torch.channels_last) if args.channels_last else model


def start_processor(args: argparse.Namespace, model: DPTDensePredictor) -> DPTImageProcessor:
    """The checkpoint's own processor, or the default for the model, at the size that evaluation is to use."""
    processor = None
    if args.model_name_or_path and not Path(location := _location(args)).is_file():
        try:
            processor = DPTImageProcessor.from_pretrained(location)
        except OSError:
            if not is_known_missing(location, "preprocessor_config.json"):
                raise
    processor = processor or DPTImageProcessor.for_model(model)
    if size := args.eval_image_size or image_size(args):
        processor.size = {"height": size[0], "width": size[-1]}
        processor.ensure_multiple_of = math.lcm(processor.ensure_multiple_of or 1, model.config.size_divisor)
    return processor


def training_size(args: argparse.Namespace, model: DPTDensePredictor, processor: DPTImageProcessor) -> tuple[int, int]:
    """(height, width) of the training crops: --image_size, or the processor's.

    Raises:
        ValueError: the model cannot take this size.
    """
    size, divisor = image_size(args) or (processor.size["height"], processor.size["width"]), model.config.size_divisor
    if any(side % divisor for side in size):
        fitting = " ".join(str(max(divisor, round(side / divisor) * divisor)) for side in size)
        raise ValueError(
            f"image_size: both sides must be multiples of {divisor} for this model, got {size[0]} x {size[1]}. "
            f"Pass --image_size {fitting}."
        )
    return size


def _location(args: argparse.Namespace) -> str:
    name = args.model_name_or_path
    return str(bundled_model_path()) if name == "bundled" else name


def _config_dict(location: str) -> dict[str, Any]:
    values, _ = DPTConfig.get_config_dict(location)
    return json.loads(json.dumps(values, default=lambda value: value.to_dict()))


def _from_original(model_class: type, path: str, values: dict[str, Any]) -> DPTDensePredictor:
    loaded, _ = load_original(path)
    if isinstance(loaded, model_class) and not {"num_labels", "id2label"} & set(values):
        return model_class.from_original(path, **values)
    model = model_class(DPTConfig.from_dict(loaded.config.to_dict() | values))
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    fitting = {name: tensor for name, tensor in loaded.state_dict().items() if tensor.shape == shapes.get(name)}
    model.load_state_dict({name: tensor for name, tensor in fitting.items() if not name.startswith("head.")}, False)
    return model
