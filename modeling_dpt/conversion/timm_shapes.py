"""Configuration values read off the names and shapes of a timm ViT or hybrid ViT."""

import math
import re
from typing import Any

import torch

from .encoder_defaults import HEAD_WIDTH, default_taps

StateDict = dict[str, torch.Tensor]
_STEM = "patch_embed.backbone."


def is_hybrid(weights: StateDict) -> bool:
    """The tokens come from a convolutional stem."""
    return _STEM + "stem.conv.weight" in weights


def vit_values(weights: StateDict, image_size: int | list[int] | None = None) -> dict[str, Any]:
    """`DPTConfig` values of a native encoder.

    Raises:
        KeyError: a weight every ViT has is missing.
        ValueError: the position embeddings are no square grid and `image_size` is not given.
    """
    width = weights["cls_token"].shape[-1]
    depth = count(weights, r"blocks\.(\d+)\.")
    hybrid = is_hybrid(weights)
    patch = 16 if hybrid else weights["patch_embed.proj.weight"].shape[-1]
    prefix = 2 if "dist_token" in weights else 1
    values = {
        "hidden_size": width,
        "num_hidden_layers": depth,
        "num_attention_heads": heads(width),
        "intermediate_size": weights["blocks.0.mlp.fc1.weight"].shape[0],
        "qkv_bias": "blocks.0.attn.qkv.bias" in weights,
        "layer_norm_eps": 1e-6,
        "num_prefix_tokens": prefix,
        "patch_size": patch,
        "image_size": image_size or square_side(weights["pos_embed"].shape[1] - prefix) * patch,
        "backbone_out_indices": list(default_taps(depth, hybrid=hybrid)),
    }
    if hybrid:
        values |= {"is_hybrid": True, "backbone_config": _stem_values(weights)}
    return values


def count(weights: StateDict, pattern: str) -> int:
    """How many different indices the group of the pattern takes at the start of the keys."""
    prefix = re.compile(pattern)
    return len({match.group(1) for key in weights if (match := prefix.match(key))})


def heads(width: int) -> int:
    """Attention heads of an encoder of this width."""
    return max(1, width // HEAD_WIDTH)


def square_side(tokens: int) -> int:
    """Side of the square grid that many position embeddings are for.

    Raises:
        ValueError: it is no square.
    """
    side = math.isqrt(tokens)
    if side * side != tokens:
        raise ValueError(f"image_size: {tokens} position embeddings are no square. Pass image_size=[height, width].")
    return side


def _stem_values(weights: StateDict) -> dict[str, Any]:
    stages = range(count(weights, re.escape(_STEM) + r"stages\.(\d+)\."))
    return {
        "model_type": "bit",
        "global_padding": "same",
        "layer_type": "bottleneck",
        "embedding_dynamic_padding": True,
        "depths": [count(weights, rf"{re.escape(_STEM)}stages\.{stage}\.blocks\.(\d+)\.") for stage in stages],
        "hidden_sizes": [weights[f"{_STEM}stages.{stage}.blocks.0.conv3.weight"].shape[0] for stage in stages],
        "embedding_size": weights[_STEM + "stem.conv.weight"].shape[0],
        "out_features": [f"stage{stage + 1}" for stage in stages],
    }
