"""Cross-field checks of `DPTConfig`: every message names key, value and what is allowed."""

from collections.abc import Iterable
from typing import Any

from .depth_losses import check_depth_loss

_CHOICES = {
    "readout_type": ("ignore", "add", "project"),
    "head_activation": ("relu", "none", "sigmoid"),
    "depth_estimation_type": ("relative", "metric"),
    "num_prefix_tokens": (1, 2),
}

_POSITIVE = ("num_channels", "fusion_hidden_size", "head_hidden_size", "initializer_range")
_POSITIVE_NATIVE = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "patch_size")


def validate(config) -> None:
    """Check a `DPTConfig`.

    Raises:
        ValueError: a value is impossible by itself or beside the others.
    """
    for key, allowed in _CHOICES.items():
        _require(getattr(config, key) in allowed, config, key, "one of " + ", ".join(map(repr, allowed)))
    for key in _POSITIVE if config.uses_auto_backbone else _POSITIVE + _POSITIVE_NATIVE:
        value = getattr(config, key)
        _require(_is_number(value) and value > 0, config, key, "a positive number")
    for key in ("hidden_dropout_prob", "attention_probs_dropout_prob", "semantic_classifier_dropout"):
        value = getattr(config, key)
        _require(_is_number(value) and 0 <= value < 1, config, key, "in [0, 1)")
    _validate_image_size(config)
    _validate_encoder(config)
    _validate_levels(config)
    _validate_heads(config)


def _validate_image_size(config) -> None:
    size = config.image_size
    sides = [size] if isinstance(size, int) else list(size) if isinstance(size, Iterable) else []
    fine = len(sides) in (1, 2) and all(isinstance(side, int) and side > 0 for side in sides)
    _require(fine, config, "image_size", "a positive integer or [height, width]")
    if not config.uses_auto_backbone:
        fine = all(side % config.patch_size == 0 for side in sides)
        _require(fine, config, "image_size", f"a multiple of patch_size={config.patch_size}")


def _validate_encoder(config) -> None:
    if config.uses_auto_backbone:
        _require(config.num_prefix_tokens == 1, config, "num_prefix_tokens", "1 with backbone_config")
        if not config.has_readout_token:
            kind = config.backbone_config.model_type
            _require(config.readout_type == "ignore", config, "readout_type", f"'ignore': {kind!r} has no class token")
        _validate_auto_backbone(config.backbone_config, config.normalize_taps)
        return
    width, heads = config.hidden_size, config.num_attention_heads
    _require(width % heads == 0, config, "hidden_size", f"a multiple of num_attention_heads={heads}")
    taps, blocks = config.backbone_out_indices, config.num_hidden_layers
    fine = isinstance(taps, list) and all(isinstance(tap, int) and 0 <= tap < blocks for tap in taps)
    _require(fine, config, "backbone_out_indices", f"0-based blocks below num_hidden_layers={blocks}")
    if config.is_hybrid:
        stem = config.backbone_config
        _require(taps[:2] == [0, 1], config, "backbone_out_indices", "[0, 1, block, block] with is_hybrid=True")
        _require(config.neck_ignore_stages == [0, 1], config, "neck_ignore_stages", "[0, 1] with is_hybrid=True")
        if len(config.stem_channels) != 3:
            kind, channels = stem.model_type, config.stem_channels
            raise ValueError(
                "backbone_config: must be a convolutional stem with three out_features with is_hybrid=True, "
                f"got {kind!r} with channels {channels}."
            )
        _require(config.patch_size == 16, config, "patch_size", "16 with is_hybrid=True, the stride of the stem")
        widths = config.stem_channels[:2]
        fine = list(config.neck_hidden_sizes[:2]) == widths
        _require(fine, config, "neck_hidden_sizes", f"{widths} in its first two levels, the widths of the stem")
        taps = taps[2:]
    _require(taps == sorted(set(taps)), config, "backbone_out_indices", "strictly increasing")


# transformers reads the position table of these as a square, whatever image_size says.
_SQUARE_ENCODERS = ("beit", "dinov2", "dinov2_with_registers")
# Encoders that can normalise what we tap.
_NORMALISING_ENCODERS = ("convnext", "convnextv2", "focalnet", "maskformer-swin", "swin")


def _validate_auto_backbone(encoder, normalize_taps: bool | None) -> None:
    kind, size = encoder.model_type, getattr(encoder, "image_size", None)
    if kind in _SQUARE_ENCODERS and isinstance(size, Iterable) and len(set(size)) != 1:
        raise ValueError(f"backbone_config.image_size: must be square with a {kind!r} encoder, got {list(size)}.")
    if normalize_taps and not hasattr(encoder, "apply_layernorm") and kind not in _NORMALISING_ENCODERS:
        raise ValueError(f"normalize_taps: must be None or False with a {kind!r} encoder, got {normalize_taps}.")


def _validate_levels(config) -> None:
    levels = len(config.neck_hidden_sizes)
    _require(levels > 0, config, "neck_hidden_sizes", "at least one level")
    fine = all(isinstance(size, int) and size > 0 for size in config.neck_hidden_sizes)
    _require(fine, config, "neck_hidden_sizes", "positive integers")
    if config.uses_auto_backbone:
        taps, key = getattr(config.backbone_config, "out_indices", None), "backbone_config.out_indices"
    else:
        taps, key = config.backbone_out_indices, "backbone_out_indices"
    if taps is not None and len(taps) != levels:
        raise ValueError(f"{key}: must have one tap for each of the {levels} neck_hidden_sizes, got {list(taps)}.")
    if not config.is_hierarchical:
        factors = config.reassemble_factors
        _require(len(factors) == levels, config, "reassemble_factors", f"one factor for each of {levels} levels")
        fine = all(_is_number(f) and f > 0 and max(f, 1 / f) == round(max(f, 1 / f)) for f in factors)
        _require(fine, config, "reassemble_factors", "whole numbers or one over a whole number")
    for key in ("head_in_index", "auxiliary_head_tap"):
        if key == "auxiliary_head_tap" and not config.use_auxiliary_head:
            continue
        value = getattr(config, key)
        fine = isinstance(value, int) and -levels <= value < levels
        _require(fine, config, key, f"an index into the {levels} fusion outputs, {-levels} to {levels - 1}")


def _validate_heads(config) -> None:
    _require(config.fusion_hidden_size % 2 == 0, config, "fusion_hidden_size", "even")
    depth = config.max_depth
    _require(depth is None or (_is_number(depth) and depth > 0), config, "max_depth", "None or positive metres")
    if config.head_activation == "sigmoid" and config.depth_estimation_type == "metric":
        _require(depth is not None, config, "max_depth", "given in metres for a metric model with a sigmoid head")
    if config.invert_depth:
        fine = config.depth_scale > 0
        _require(fine, config, "depth_scale", "positive with invert_depth=True")
    check_depth_loss(config.depth_loss, config.depth_estimation_type)
    weight = config.auxiliary_loss_weight
    _require(_is_number(weight) and weight >= 0, config, "auxiliary_loss_weight", "zero or more")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _require(fine: bool, config, key: str, requirement: str) -> None:
    if not fine:
        raise ValueError(f"{key}: must be {requirement}, got {getattr(config, key)!r}.")
