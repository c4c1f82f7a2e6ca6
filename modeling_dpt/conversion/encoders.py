"""Encoders from image-classification and self-supervised checkpoints, to start a new DPT from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_BACKBONE_MAPPING, MODEL_FOR_BACKBONE_MAPPING_NAMES

from ...configuration.configuration_dpt import ENCODERS_WITH_READOUT
from .encoder_defaults import default_neck_sizes, default_taps
from .key_maps import HUB_VIT, HUB_VIT_HYBRID, TIMM_HYBRID, TIMM_VIT, Table, rename
from .reading import one_line, read_hub_json, read_hub_weights, read_weights
from .timm_shapes import is_hybrid, square_side, vit_values

# What a ViT's config.json leaves out. DeiT and the rest agree.
_VIT_DEFAULTS = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "patch_size": 16,
    "num_channels": 3,
    "qkv_bias": True,
}

# model_type -> rename table, prefix tokens, defaults that differ. These run in the native encoder.
_NATIVE: dict[str, tuple[Table, int, dict[str, Any]]] = {
    "vit": (HUB_VIT, 1, {}),
    "vit_mae": (HUB_VIT, 1, {}),
    "vit_msn": (HUB_VIT, 1, {"layer_norm_eps": 1e-6}),
    "deit": (HUB_VIT, 2, {}),
    "vit-hybrid": (HUB_VIT_HYBRID, 1, {}),
}

# Parameters a backbone adds to the checkpoint it is loaded from; they start from their defaults.
_MAY_BE_NEW = ("hidden_states_norms.", "mask_token", "layernorm.")


@dataclass(frozen=True)
class Encoder:
    """An encoder read from a checkpoint: configuration values, and weights by hub names or a loaded backbone."""

    values: dict[str, Any]
    state_dict: dict[str, torch.Tensor] | None = None
    backbone: nn.Module | None = None


def read_encoder(name: str | Path, overrides: dict[str, Any], hub_options: dict[str, Any]) -> Encoder:
    """Read the encoder of a folder, hub repository or timm weight file.

    Raises:
        OSError: it cannot be reached or read.
        ValueError: it is of an architecture that cannot feed a DPT; the message names it.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return _timm_encoder(name, read_weights(path), overrides)
    raw = read_hub_json(name, "config.json", **hub_options)
    if raw is None:
        raise FileNotFoundError(
            f"{name}: config.json is missing. Give a model folder, a hub id or a timm weight file."
        )
    model_type = raw.get("model_type")
    if model_type is None and "architecture" in raw:
        return _timm_encoder(name, read_hub_weights(name, **hub_options), overrides)
    if model_type in _NATIVE:
        return _native_encoder(name, model_type, raw, read_hub_weights(name, **hub_options), overrides)
    if model_type in MODEL_FOR_BACKBONE_MAPPING_NAMES:
        return _auto_encoder(name, overrides, hub_options)
    raise ValueError(
        f"{name}: model_type must be one of {', '.join(_NATIVE)} or of AutoBackbone (beit, dinov2, swin, ...), "
        f"got {model_type!r}. Choose an image encoder."
    )


def _native_encoder(
    name: str | Path, model_type: str, raw: dict[str, Any], weights: dict[str, torch.Tensor], overrides: dict[str, Any]
) -> Encoder:
    table, prefix, defaults = _NATIVE[model_type]
    state_dict = _renamed(name, weights, table)
    values = {key: raw.get(key, value) for key, value in (_VIT_DEFAULTS | defaults).items()}
    values["num_prefix_tokens"] = prefix
    stem = raw.get("backbone_config") if model_type == "vit-hybrid" else None
    if model_type == "vit-hybrid":
        stem = {**(stem or {}), "model_type": "bit", "out_features": ["stage1", "stage2", "stage3"]}
        stem.pop("out_indices", None)
        stem.pop("stage_names", None)
        values["patch_size"] = 16  # its own counts pixels of the stem's output
    return Encoder(_with_decoder(values, state_dict, stem, overrides), state_dict)


def _timm_encoder(name: str | Path, weights: dict[str, torch.Tensor], overrides: dict[str, Any]) -> Encoder:
    state_dict = _renamed(name, weights, TIMM_HYBRID if is_hybrid(weights) else TIMM_VIT)
    try:
        values = vit_values(weights, overrides.get("image_size"))
    except KeyError as error:
        raise ValueError(
            f"{name}: a timm ViT has a weight {error.args[0]!r}, this file has not. Choose another."
        ) from None
    return Encoder(_with_decoder(values, state_dict, values.pop("backbone_config", None), overrides), state_dict)


def _with_decoder(
    values: dict[str, Any], state_dict: dict[str, torch.Tensor], stem: dict[str, Any] | None, overrides: dict[str, Any]
) -> dict[str, Any]:
    """Complete a native encoder's values by the image size its positions are for and by the authors' decoder sizes."""
    tokens = state_dict["dpt.embeddings.position_embeddings"].shape[1] - values["num_prefix_tokens"]
    width = values["hidden_size"]
    values = {
        **values,
        "image_size": overrides.get("image_size") or square_side(tokens) * values["patch_size"],
        "backbone_out_indices": list(default_taps(values["num_hidden_layers"], hybrid=stem is not None)),
        "neck_hidden_sizes": list(default_neck_sizes(width)),
    }
    if stem is not None:
        stem = AutoConfig.for_model(**{**stem, **overrides.get("backbone_config", {})})
        sizes = [*stem.hidden_sizes[:2], width, width]
        values |= {"is_hybrid": True, "backbone_config": stem, "neck_hidden_sizes": sizes}
    return {**values, **{key: value for key, value in overrides.items() if key != "backbone_config"}}


def _auto_encoder(name: str | Path, overrides: dict[str, Any], hub_options: dict[str, Any]) -> Encoder:
    # Not AutoBackbone.from_pretrained: that asks the network even for a folder.
    try:
        config = AutoConfig.from_pretrained(str(name), **hub_options)
        plain = getattr(config, "num_hidden_layers", None) if config.model_type in ENCODERS_WITH_READOUT else None
        if taps := overrides.get("backbone_out_indices"):
            config.out_indices = [tap + 1 for tap in taps]
        elif plain:
            config.out_indices = [tap + 1 for tap in default_taps(plain)]
        else:
            config.out_indices = list(range(len(config.stage_names)))[-4:]
        backbone, info = MODEL_FOR_BACKBONE_MAPPING[type(config)].from_pretrained(
            str(name), config=config, output_loading_info=True, dtype=torch.float32, **hub_options
        )
    except OSError as error:
        raise OSError(f"{name}: {one_line(error)}") from None
    absent = sorted(key for key in info["missing_keys"] if not any(new in key for new in _MAY_BE_NEW))
    if absent:
        raise ValueError(
            f"{name}: {len(absent)} encoder weights are missing, such as {absent[0]}. Check the checkpoint."
        )
    backbone.config.name_or_path = ""  # would be saved with the model
    values = {
        "backbone_config": backbone.config,
        "readout_type": "project" if plain else "ignore",
        "neck_hidden_sizes": list(default_neck_sizes(config.hidden_size) if plain else backbone.channels),
        **{key: value for key, value in overrides.items() if key != "backbone_out_indices"},
    }
    return Encoder(values, backbone=backbone)


def _renamed(name: str | Path, weights: dict[str, torch.Tensor], table: Table) -> dict[str, torch.Tensor]:
    state_dict, unknown = rename(weights, table)
    if unknown:
        some = ", ".join(unknown[:5])
        raise ValueError(
            f"{name}: {len(unknown)} unknown encoder keys ({some}). A plain ViT, DeiT or hybrid is required."
        )
    return state_dict
