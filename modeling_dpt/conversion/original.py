"""The authors' and MiDaS 3.1's `.pt` files: which network a file holds, read from its names and shapes.

Sources: isl-org/DPT (dpt/models.py, dpt/vit.py, run_monodepth.py) and isl-org/MiDaS 3.1 (midas/dpt_depth.py,
midas/backbones). What neither names nor shapes tell comes from the file name or from an option of the caller.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...configuration import DPTConfig
from .encoder_defaults import default_taps
from .key_maps import TIMM_BEIT, TIMM_HYBRID, TIMM_VIT, Table, original, rename, timm_swin
from .reading import listed, read_weights
from .timm_shapes import StateDict, count, heads, vit_values

_ENCODER = "pretrained.model."

# Facts about released files that their names tell and their weights do not.
FILE_NAME_HINTS: list[tuple[str, dict[str, Any]]] = [
    (
        r"dpt_(hybrid|large|base)[_-]nyu",
        {"depth_estimation_type": "metric", "invert_depth": True, "depth_scale": 0.000305, "depth_shift": 0.1378},
    ),
    (
        r"dpt_(hybrid|large|base)[_-]kitti",
        {"depth_estimation_type": "metric", "invert_depth": True, "depth_scale": 0.00006016, "depth_shift": 0.00579},
    ),
    (r"(^|[_-])ignore([_.-]|$)", {"readout_type": "ignore"}),
    (r"(^|[_-])add([_.-]|$)", {"readout_type": "add"}),
]

# How the authors prepare the input of a file, where it differs from "the size of the position embeddings".
INPUT_SIZES: list[tuple[str, tuple[int, int]]] = [
    (r"dpt_(hybrid|large|base)[_-]nyu", (480, 640)),
    (r"dpt_(hybrid|large|base)[_-]kitti", (352, 1216)),
    (r"ade20k", (480, 480)),
]

# SwinV2 scales its relative coordinates by the window it was pretrained with, which no tensor records.
SWINV2_PRETRAINED_WINDOWS = {24: [12, 12, 12, 6]}

UNSUPPORTED = [
    (r"scratch\.stem_transpose\..+", "a LeViT encoder (dpt_levit)"),
    (r"pretrained\.model\.(features\.\d+|stem\.\d+\.(conv|norm))\..+", "a Next-ViT encoder (dpt_next_vit)"),
    (r"pretrained\.layer\d\..+", "a convolutional MiDaS 2 network"),
]


@dataclass(frozen=True)
class OriginalCheckpoint:
    """An authors' file in our terms.

    config, state_dict (by hub names), task ("depth" or "segmentation"), preprocessing (keyword arguments for
    `DPTImageProcessor`), is_half (stored in half precision).
    """

    source: str
    config: DPTConfig
    state_dict: StateDict
    task: str
    preprocessing: dict[str, Any]
    is_half: bool


def read_original(path: str | Path, **overrides: Any) -> OriginalCheckpoint:
    """Read an authors' file.

    Args:
        path: `.pt` file of isl-org/DPT or MiDaS 3.1; half precision and training checkpoints included.
        overrides: `DPTConfig` keys that replace what is inferred. Heads are width / 64 unless `num_attention_heads`
            says otherwise, taps the authors' for the depth unless `backbone_out_indices` does. Keys of the encoder's
            own configuration (BEiT, Swin) are accepted beside ours.

    Raises:
        FileNotFoundError, PermissionError: the file cannot be read.
        ValueError: it is no checkpoint, of another architecture, has unknown keys, or something can only be told by an
            option; the message names it.
        TypeError: an override is no configuration key.
    """
    weights = read_weights(path)
    name = Path(path).name
    encoder = {key.removeprefix(_ENCODER): value for key, value in weights.items() if key.startswith(_ENCODER)}
    family = _family(path, weights, encoder)
    hints: dict[str, Any] = {}
    for pattern, values in FILE_NAME_HINTS:
        if re.search(pattern, name.lower()):
            hints |= values
    options = {**hints, **overrides}
    if options.get("invert_depth"):
        options.setdefault("depth_estimation_type", "metric")
    try:
        values = {**_decoder_values(weights), **family.infer(encoder, options)}
    except KeyError as error:
        raise ValueError(f"{path}: the weight {error.args[0]!r} is missing. Download the file again.") from None
    if family.readout:
        values["readout_type"] = _readout(path, weights, options)
    values = _apply_overrides(values, options, given=set(overrides))
    renamed, unknown = rename(weights, original(family.table(encoder)))
    if unknown:
        raise ValueError(f"{path}: {listed('unknown key', unknown)}. The network differs from a {family.name}.")
    task = "segmentation" if "scratch.output_conv.1.weight" in weights else "depth"
    config = DPTConfig(**values)
    preprocessing = _preprocessing(name, config, task, family)
    is_half = weights["scratch.layer1_rn.weight"].dtype == torch.float16
    return OriginalCheckpoint(str(path), config, renamed, task, preprocessing, is_half)


@torch.no_grad()
def round_window_coordinates(model: nn.Module) -> None:
    """Round the window coordinates of a SwinV2 encoder to half precision, in place.

    They are a buffer that no file stores. A network saved in half precision was halved as a whole, this buffer too,
    and 3e-5 of its output (relative) comes from that.
    """
    for name, buffer in model.named_buffers():
        if name.endswith("relative_coords_table"):
            buffer.copy_(buffer.half())


# --- families -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Family:
    """One kind of encoder: the key that gives it away, its rename table, its configuration."""

    name: str
    marker: str
    table: Callable[[StateDict], Table]
    infer: Callable[[StateDict, dict[str, Any]], dict[str, Any]]
    readout: bool = True


def _vit(encoder: StateDict, options: dict[str, Any]) -> dict[str, Any]:
    return vit_values(encoder, options.get("image_size"))


def _beit(encoder: StateDict, options: dict[str, Any]) -> dict[str, Any]:
    width = encoder["cls_token"].shape[-1]
    depth = count(encoder, r"blocks\.(\d+)\.")
    patch = encoder["patch_embed.proj.weight"].shape[-1]
    # One row for every offset inside a square window, and three for the class token.
    offsets = encoder["blocks.0.attn.relative_position_bias_table"].shape[0] - 3
    taps = options.get("backbone_out_indices") or default_taps(depth)
    return {
        "backbone_config": {
            "model_type": "beit",
            "hidden_size": width,
            "num_hidden_layers": depth,
            "num_attention_heads": heads(width),
            "intermediate_size": encoder["blocks.0.mlp.fc1.weight"].shape[0],
            "image_size": (math.isqrt(offsets) + 1) // 2 * patch,
            "patch_size": patch,
            "layer_norm_eps": 1e-6,
            "use_relative_position_bias": True,
            "layer_scale_init_value": 0.1 if "blocks.0.gamma_1" in encoder else 0.0,
            "reshape_hidden_states": False,
            "out_indices": [tap + 1 for tap in taps],
        }
    }


def _swin(encoder: StateDict, options: dict[str, Any]) -> dict[str, Any]:
    stages = count(encoder, r"layers\.(\d+)\.")
    block = "layers.{}.blocks.0.attn."
    table = encoder[block.format(0) + "relative_position_bias_table"]
    window = (math.isqrt(table.shape[0]) + 1) // 2
    heads = [encoder[block.format(stage) + "relative_position_bias_table"].shape[1] for stage in range(stages)]
    # The taps are block outputs as they are, without the norm that transformers puts behind a stage.
    return {**_swin_values(encoder, options, "swin", stages, heads, window), "normalize_taps": False}


def _swinv2(encoder: StateDict, options: dict[str, Any]) -> dict[str, Any]:
    stages = count(encoder, r"layers\.(\d+)\.")
    block = "layers.{}.blocks.0.attn.logit_scale"
    heads = [encoder[block.format(stage)].shape[0] for stage in range(stages)]
    mask = encoder.get("layers.0.blocks.1.attn_mask")
    window = math.isqrt(mask.shape[1]) if mask is not None else options.get("window_size")
    if not window:
        raise ValueError("window_size: cannot be read from this SwinV2 file. Pass window_size=...")
    values = _swin_values(encoder, options, "swinv2", stages, heads, window)
    values["backbone_config"]["pretrained_window_sizes"] = SWINV2_PRETRAINED_WINDOWS.get(window, [0] * stages)
    return values


def _swin_values(
    encoder: StateDict, options: dict[str, Any], model_type: str, stages: int, heads: list[int], window: int
) -> dict[str, Any]:
    width, _, patch, _ = encoder["patch_embed.proj.weight"].shape
    mask = encoder.get("layers.0.blocks.1.attn_mask")
    image_size = options.get("image_size")
    if image_size is None and mask is not None:
        image_size = math.isqrt(mask.shape[0]) * window * patch
    if image_size is None:
        raise ValueError("image_size: cannot be read from this Swin file. Pass image_size=384, say.")
    hidden = encoder["layers.0.blocks.0.mlp.fc1.weight"].shape[0]
    return {
        "readout_type": "ignore",
        "backbone_config": {
            "model_type": model_type,
            "image_size": image_size,
            "patch_size": patch,
            "embed_dim": width,
            "depths": [count(encoder, rf"layers\.{stage}\.blocks\.(\d+)\.") for stage in range(stages)],
            "num_heads": heads,
            "window_size": window,
            "mlp_ratio": hidden / width,
            "out_features": [f"stage{stage + 1}" for stage in range(stages)],
        },
    }


def _swin_table(encoder: StateDict) -> Table:
    return timm_swin(downsample_opens_stage="layers.0.downsample.reduction.weight" not in encoder)


_FAMILIES = [
    _Family("MiDaS SwinV2", "layers.0.blocks.0.attn.logit_scale", _swin_table, _swinv2, readout=False),
    _Family("MiDaS Swin", "layers.0.blocks.0.attn.relative_position_bias_table", _swin_table, _swin, readout=False),
    _Family("MiDaS BEiT", "blocks.0.attn.relative_position_bias_table", lambda _: TIMM_BEIT, _beit),
    _Family("DPT-Hybrid", "patch_embed.backbone.stem.conv.weight", lambda _: TIMM_HYBRID, _vit),
    _Family("DPT with a ViT", "pos_embed", lambda _: TIMM_VIT, _vit),
]


def _family(path: str | Path, weights: StateDict, encoder: StateDict) -> _Family:
    for pattern, what in UNSUPPORTED:
        if any(re.fullmatch(pattern, key) for key in weights):
            raise ValueError(f"{path}: {what} is not supported. Convert a ViT, hybrid, BEiT, Swin or SwinV2 file.")
    for family in _FAMILIES:
        if family.marker in encoder:
            return family
    some = ", ".join(sorted(weights)[:3])
    raise ValueError(f"{path}: the layout of DPT or MiDaS 3.1 (pretrained.*, scratch.*) is required, got {some}, ...")


# --- parts ----------------------------------------------------------------------------------------


def _decoder_values(weights: StateDict) -> dict[str, Any]:
    unit = "scratch.refinenet1.resConfUnit1."
    convs = [weights[f"scratch.layer{level}_rn.weight"] for level in range(1, 5)]
    values = {
        "neck_hidden_sizes": [conv.shape[1] for conv in convs],
        "fusion_hidden_size": convs[0].shape[0],
        "use_batch_norm_in_fusion_residual": unit + "bn1.weight" in weights,
        "use_bias_in_fusion_residual": unit + "conv1.bias" in weights,
        "use_auxiliary_head": "auxlayer.0.weight" in weights,
    }
    if "scratch.output_conv.1.weight" in weights:
        values["num_labels"] = weights["scratch.output_conv.4.weight"].shape[0]
    else:
        values["head_hidden_size"] = weights["scratch.output_conv.2.weight"].shape[0]
    return values


def _readout(path: str | Path, weights: StateDict, options: dict[str, Any]) -> str:
    if any(re.fullmatch(r"pretrained\.act_postprocess\d\.0\.project\.0\.weight", key) for key in weights):
        return "project"
    readout = options.get("readout_type")
    if readout is None:
        raise ValueError(
            f"{path}: readout_type cannot be read from it, ignore and add have no weights. Pass readout_type='ignore' "
            "or 'add'."
        )
    return readout


def _apply_overrides(values: dict[str, Any], options: dict[str, Any], given: set[str]) -> dict[str, Any]:
    encoder = dict(values.get("backbone_config") or {})
    is_hybrid = values.get("is_hybrid", False)
    ours = set(DPTConfig().to_dict()) | {"num_labels", "id2label", "label2id", "non_negative"}
    for key, value in options.items():
        if key == "backbone_config":
            encoder |= value
        elif encoder and not is_hybrid and key in encoder:
            encoder[key] = value
        elif key == "backbone_out_indices" and encoder and not is_hybrid:
            continue  # the family has read it
        elif key in ours:
            values[key] = value
        elif key in given:
            raise TypeError(f"from_original: {key!r} is no configuration key. See DPTConfig for the names there are.")
    return {**values, "backbone_config": encoder} if encoder else values


def _preprocessing(name: str, config: DPTConfig, task: str, family: _Family) -> dict[str, Any]:
    size = next((size for pattern, size in INPUT_SIZES if re.search(pattern, name.lower())), None)
    if size is None:
        side = 480 if task == "segmentation" and config.image_size == 384 else config.image_size
        size = (side, side) if isinstance(side, int) else tuple(side)
    return {
        "size": {"height": size[0], "width": size[1]},
        "keep_aspect_ratio": family.readout,  # Swin runs on its fixed square
        "ensure_multiple_of": 32,
        "resize_method": "minimal",
        "resample": 3,
        "antialias": False,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }
