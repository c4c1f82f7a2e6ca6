"""Our models as checkpoints of transformers' own "dpt" and "depth_anything" classes."""

from collections.abc import Callable
from typing import Any

import torch
from transformers import (
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
)
from transformers import DPTConfig as StockConfig
from transformers import DPTForDepthEstimation as StockDepthModel
from transformers import DPTForSemanticSegmentation as StockSegmentationModel
from transformers.modeling_utils import PreTrainedModel

from ...configuration import DPTConfig

Limit = tuple[str, Callable[[DPTConfig], bool], str]

_LABELS = ("id2label", "label2id")
_SHARED_KEYS = (
    "reassemble_factors",
    "neck_hidden_sizes",
    "fusion_hidden_size",
    "head_in_index",
    "initializer_range",
)
_DPT_KEYS = (
    *_SHARED_KEYS,
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "hidden_act",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "layer_norm_eps",
    "image_size",
    "patch_size",
    "num_channels",
    "is_hybrid",
    "qkv_bias",
    "backbone_out_indices",
    "readout_type",
    "use_batch_norm_in_fusion_residual",
    "use_bias_in_fusion_residual",
    "add_projection",
    "use_auxiliary_head",
    "auxiliary_loss_weight",
    "semantic_loss_ignore_index",
    "semantic_classifier_dropout",
    "neck_ignore_stages",
    "backbone_featmap_shape",
)

# What the stock classes can express: key, whether the configuration keeps to it, what it must be.
_LIMITS: list[Limit] = [
    ("depth_shift", lambda c: c.depth_shift == 0, "0"),
    ("invert_depth", lambda c: not c.invert_depth, "False"),
    ("num_prefix_tokens", lambda c: c.num_prefix_tokens == 1, "1"),
    ("normalize_taps", lambda c: _taps_as_stock(c), "None, the encoder's own habit"),
    (
        "image_size",
        lambda c: c.uses_auto_backbone or isinstance(c.image_size, int) or len(set(c.image_size)) == 1,
        "square",
    ),
]
_DPT_LIMITS: list[Limit] = [
    *_LIMITS,
    ("depth_estimation_type", lambda c: c.depth_estimation_type == "relative", "'relative'"),
    ("depth_scale", lambda c: c.depth_scale == 1, "1"),
    ("head_activation", lambda c: c.head_activation == "relu", "'relu'"),
    ("head_hidden_size", lambda c: c.head_hidden_size == 32, "32"),
    ("readout_type", lambda c: not c.is_hybrid or c.readout_type == "project", "'project' for a hybrid"),
    (
        "add_projection",
        lambda c: not c.add_projection or c.fusion_hidden_size == 256,
        "False unless fusion_hidden_size is 256",
    ),
    (
        "backbone_config",
        lambda c: not c.uses_auto_backbone or c.backbone_config.model_type in ("beit", "dinov2", "swinv2"),
        "None or a beit, dinov2 or swinv2 encoder",
    ),
]
_SEGMENTATION_LIMITS: list[Limit] = [
    # The depth head's keys mean nothing for segmentation.
    *(
        limit
        for limit in _DPT_LIMITS
        if limit[0] in ("num_prefix_tokens", "normalize_taps", "image_size", "readout_type")
    ),
    ("backbone_config", lambda c: not c.uses_auto_backbone, "None for segmentation"),
]
_DEPTH_ANYTHING_LIMITS: list[Limit] = [
    *_LIMITS,
    (
        "head_activation",
        lambda c: c.head_activation == ("relu" if c.depth_estimation_type == "relative" else "sigmoid"),
        "'relu' for relative and 'sigmoid' for metric depth",
    ),
    (
        "depth_scale",
        lambda c: c.depth_scale == 1 or (c.depth_estimation_type == "relative" and float(c.depth_scale).is_integer()),
        "1, or whole for relative depth",
    ),
    ("max_depth", lambda c: c.max_depth is None or float(c.max_depth).is_integer(), "a whole number of metres"),
]


def to_stock(model: PreTrainedModel, task: str) -> PreTrainedModel:
    """The stock model with the same parameters (shared, not copied), ready for its `save_pretrained`.

    Raises:
        ValueError: the stock classes cannot express the configuration; the message names the key.
    """
    config = model.config
    if task == "depth" and _is_depth_anything(config):
        _require(config, _DEPTH_ANYTHING_LIMITS, "DepthAnythingForDepthEstimation")
        stock_class, stock_config, names = DepthAnythingForDepthEstimation, _depth_anything_config(config), _HEAD_NAMES
    elif task == "depth":
        _require(config, _DPT_LIMITS, "DPTForDepthEstimation")
        stock_class, stock_config, names = StockDepthModel, _dpt_config(config), {}
    else:
        _require(config, _SEGMENTATION_LIMITS, "DPTForSemanticSegmentation")
        stock_class, stock_config, names = StockSegmentationModel, _dpt_config(config), {}
    names = {**names, **({"dpt.backbone.": "backbone."} if config.uses_auto_backbone else {})}
    state_dict = {_renamed(key, names): tensor for key, tensor in model.state_dict().items()}
    with torch.device("meta"):
        stock = stock_class(stock_config)
    stock.load_state_dict(state_dict, strict=True, assign=True)
    return stock


_HEAD_NAMES = {"head.head.0.": "head.conv1.", "head.head.2.": "head.conv2.", "head.head.4.": "head.conv3."}

# The stock processor's keys; ours has more.
PROCESSOR_KEYS = (
    "do_resize",
    "size",
    "resample",
    "ensure_multiple_of",
    "keep_aspect_ratio",
    "do_rescale",
    "rescale_factor",
    "do_normalize",
    "image_mean",
    "image_std",
    "do_pad",
    "size_divisor",
    "do_reduce_labels",
)


def stock_processor_values(processor: Any) -> dict[str, Any]:
    """Our processor's settings as the content of a stock `preprocessor_config.json`."""
    values = processor.to_dict()
    return {
        "image_processor_type": "DPTImageProcessor",
        **{key: values[key] for key in PROCESSOR_KEYS if values.get(key) is not None},
    }


def _is_depth_anything(config: DPTConfig) -> bool:
    """DINOv2 without readout is Depth Anything; its class keeps the input's size, the stock DPT class does not."""
    return (
        config.uses_auto_backbone
        and config.backbone_config.model_type == "dinov2"
        and config.readout_type == "ignore"
        and not config.add_projection
        and not config.use_batch_norm_in_fusion_residual
        and config.use_bias_in_fusion_residual is not False
    )


def _dpt_config(config: DPTConfig) -> StockConfig:
    keys = [key for key in _DPT_KEYS if not config.uses_auto_backbone or key != "backbone_out_indices"]
    values = {key: getattr(config, key) for key in keys}
    if not config.is_hybrid:
        for key in ("neck_ignore_stages", "backbone_featmap_shape"):
            values.pop(key)
    if not config.uses_auto_backbone and not isinstance(values["image_size"], int):
        values["image_size"] = values["image_size"][0]
    if config.uses_auto_backbone:
        values["readout_type"] = "project" if config.is_hierarchical else config.readout_type
        values["backbone_out_indices"] = None
    if config.backbone_config is not None:
        values["backbone_config"] = _encoder_config(config)
    return StockConfig(**values, **{key: getattr(config, key) for key in _LABELS})


def _depth_anything_config(config: DPTConfig) -> DepthAnythingConfig:
    metric = config.depth_estimation_type == "metric"
    return DepthAnythingConfig(
        **{key: getattr(config, key) for key in _SHARED_KEYS},
        backbone_config=_encoder_config(config),
        patch_size=config.patch_size,
        reassemble_hidden_size=config.backbone_config.hidden_size,
        head_hidden_size=config.head_hidden_size,
        depth_estimation_type=config.depth_estimation_type,
        max_depth=int(config.max_depth) if metric else int(config.depth_scale),
    )


def _encoder_config(config: DPTConfig) -> dict[str, Any]:
    values = config.backbone_config.to_dict()
    if "reshape_hidden_states" in values:
        values["reshape_hidden_states"] = False  # the stock neck wants tokens
    if config.normalize_taps is not None and "apply_layernorm" in values:
        values["apply_layernorm"] = config.normalize_taps
    return values


def _is_square(image_size: int | list[int]) -> bool:
    return isinstance(image_size, int) or len(set(image_size)) == 1


def _taps_as_stock(config: DPTConfig) -> bool:
    if config.uses_auto_backbone:
        return config.normalize_taps is None or hasattr(config.backbone_config, "apply_layernorm")
    return not config.normalize_taps


def _require(config: DPTConfig, limits: list[Limit], stock_class: str) -> None:
    for key, keeps, allowed in limits:
        if not keeps(config):
            value = getattr(config, key)
            value = getattr(value, "model_type", value)
            raise ValueError(
                f"{key}: must be {allowed} for transformers' {stock_class}, got {value!r}. Use save_pretrained."
            )


def _renamed(key: str, prefixes: dict[str, str]) -> str:
    for old, new in prefixes.items():
        if key.startswith(old):
            return new + key.removeprefix(old)
    return key
