"""Reading `config.json` files of transformers' "dpt" and "depth_anything" models as `DPTConfig` values.

A stock file omits every key that equals the stock default, so where our default differs the stock one is filled in.
"""

import copy
from typing import Any

# Stock defaults that are not ours. Everything else either agrees or has one meaning only.
_DEFAULTS = {
    "dpt": {
        "auxiliary_loss_weight": 0.4,
        "auxiliary_head_tap": -1,
        "head_activation": "relu",
        "normalize_taps": None,
    },
    "depth_anything": {
        "backbone_config": {
            "model_type": "dinov2",
            "image_size": 518,
            "patch_size": 14,
            "hidden_size": 384,
            "num_attention_heads": 6,
            "out_indices": [9, 10, 11, 12],
            "reshape_hidden_states": False,
        },
        "patch_size": 14,
        "neck_hidden_sizes": [48, 96, 192, 384],
        "fusion_hidden_size": 64,
        "head_hidden_size": 32,
        "depth_estimation_type": "relative",
        "max_depth": 1,
        "readout_type": "ignore",
        "normalize_taps": None,
    },
}

# Keys of older files that name a hub backbone instead of describing one, and bookkeeping we have no use for.
_LEGACY = ("backbone", "use_pretrained_backbone", "use_timm_backbone", "backbone_kwargs", "reassemble_hidden_size")


def is_stock(model_type: str) -> bool:
    """Whether transformers' own DPT-type classes write this model_type."""
    return model_type in _DEFAULTS


def from_stock(config_dict: dict[str, Any]) -> dict[str, Any]:
    """Translate a stock configuration dictionary; the argument is left alone.

    Raises:
        ValueError: the file names its encoder by a hub id instead of describing it.
    """
    model_type = config_dict["model_type"]
    values = {**copy.deepcopy(_DEFAULTS[model_type]), **copy.deepcopy(config_dict), "model_type": "open_dpt"}
    if values.get("backbone") and not values.get("backbone_config"):
        raise ValueError(
            f"backbone: an encoder given by name only ({values['backbone']!r}) cannot be read. "
            "Put its configuration into 'backbone_config'."
        )
    for key in _LEGACY:
        values.pop(key, None)
    if (values.get("backbone_config") or {}).get("model_type") == "swinv2":
        # The one stock encoder without a class token; its files still say "project".
        values["readout_type"] = "ignore"
    if model_type == "depth_anything":
        _translate_depth_anything(values)
    elif not values.get("is_hybrid"):
        # Written by the stock class for every model, meaningful for hybrids only.
        values.pop("backbone_featmap_shape", None)
        values.pop("neck_ignore_stages", None)
    return values


def _translate_depth_anything(values: dict[str, Any]) -> None:
    if values["backbone_config"] is None:
        values["backbone_config"] = copy.deepcopy(_DEFAULTS["depth_anything"]["backbone_config"])
    max_depth = values.pop("max_depth") or 1
    if values["depth_estimation_type"] == "metric":
        values.update(head_activation="sigmoid", max_depth=max_depth)
    else:
        # The stock head multiplies relative output by max_depth too.
        values.update(head_activation="relu", depth_scale=float(max_depth))
