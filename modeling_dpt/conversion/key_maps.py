"""Parameter names of foreign checkpoints, as data.

A table is a list of rows `(pattern, target, ...)`. `pattern` is a regular expression for a whole source key; `target`
is the name in a hub checkpoint, with backreferences. A row with several targets splits the tensor evenly along
dimension 0 (one fused query/key/value matrix becomes three); a row without a target drops the key. The first matching
row decides.

Targets are the names stock hub files carry, which transformers keeps readable; the names inside a loaded model may
change from one release of it to the next. No table refers to a timm module, so no timm version matters.
"""

import re
from collections.abc import Iterable

import torch

Row = tuple[str, ...]
Table = list[Row]


def rename(state_dict: dict[str, torch.Tensor], table: Table) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Translate the names of a state dict.

    Returns:
        The renamed state dict, and the keys no row of the table knows.
    """
    rows = [(re.compile(pattern), targets) for pattern, *targets in table]
    renamed: dict[str, torch.Tensor] = {}
    unknown: list[str] = []
    for key, tensor in state_dict.items():
        match, targets = next(((m, t) for pattern, t in rows if (m := pattern.fullmatch(key))), (None, None))
        if match is None:
            unknown.append(key)
            continue
        parts = [part.clone() for part in tensor.chunk(len(targets))] if len(targets) > 1 else [tensor]
        for target, part in zip(targets, parts, strict=False):
            renamed[match.expand(target)] = part
    return renamed, unknown


def prefixed(table: Iterable[Row], source: str = "", target: str = "") -> Table:
    """The same rows with a regular expression before every source and a name before every target."""
    return [(source + pattern, *(target + name for name in targets)) for pattern, *targets in table]


def transformer_block(source: str, target: str, *, query_key_value: str = "attention.attention") -> Table:
    """One timm transformer block in the names of a transformers layer; both arguments end where the index begins."""
    block = [
        (r"norm1\.(.+)", r"layernorm_before.\2"),
        (r"norm2\.(.+)", r"layernorm_after.\2"),
        (r"attn\.qkv\.(.+)", *(rf"{query_key_value}.{part}.\2" for part in ("query", "key", "value"))),
        (r"attn\.q_bias", f"{query_key_value}.query.bias"),
        (r"attn\.v_bias", f"{query_key_value}.value.bias"),
        (r"attn\.proj\.(.+)", r"attention.output.dense.\2"),
        (r"mlp\.fc1\.(.+)", r"intermediate.dense.\2"),
        (r"mlp\.fc2\.(.+)", r"output.dense.\2"),
    ]
    return prefixed(block, rf"{source}(\d+)\.", rf"{target}\1.")


# --- encoders in timm names, without prefix -------------------------------------------------------

# A classifier is no part of a dense predictor. `fc_norm` belongs to it as well.
CLASSIFIER: Table = [(r"(head|head_dist|pre_logits|fc_norm)\..+",)]

VIT_TOKENS: Table = [
    (r"cls_token", "dpt.embeddings.cls_token"),
    (r"dist_token", "dpt.embeddings.distillation_token"),
    (r"pos_embed", "dpt.embeddings.position_embeddings"),
    (r"norm\.(.+)", r"dpt.layernorm.\1"),
    *transformer_block(r"blocks\.", "dpt.encoder.layer."),
    *CLASSIFIER,
]

TIMM_VIT: Table = [(r"patch_embed\.proj\.(.+)", r"dpt.embeddings.patch_embeddings.projection.\1"), *VIT_TOKENS]

_BIT = "dpt.embeddings.backbone.bit."
TIMM_HYBRID: Table = [
    (r"patch_embed\.proj\.(.+)", r"dpt.embeddings.projection.\1"),
    (r"patch_embed\.backbone\.stem\.conv\.(.+)", rf"{_BIT}embedder.convolution.\1"),
    (r"patch_embed\.backbone\.stem\.norm\.(.+)", rf"{_BIT}embedder.norm.\1"),
    (r"patch_embed\.backbone\.stages\.(\d+)\.blocks\.(\d+)\.(.+)", rf"{_BIT}encoder.stages.\1.layers.\2.\3"),
    *VIT_TOKENS,
]

TIMM_BEIT: Table = [
    (r"cls_token", "backbone.embeddings.cls_token"),
    (r"patch_embed\.proj\.(.+)", r"backbone.embeddings.patch_embeddings.projection.\1"),
    (r"blocks\.(\d+)\.gamma_([12])", r"backbone.encoder.layer.\1.lambda_\2"),
    (
        r"blocks\.(\d+)\.attn\.(relative_position_bias_table)",
        r"backbone.encoder.layer.\1.attention.attention.relative_position_bias.\2",
    ),
    (r"blocks\.\d+\.attn\.relative_position_index",),
    *transformer_block(r"blocks\.", "backbone.encoder.layer."),
    # The taps come before it.
    (r"norm\..+",),
    *CLASSIFIER,
]


def timm_swin(*, downsample_opens_stage: bool = False) -> Table:
    """Swin and SwinV2. Early timm put a stage's downsampling at its end, later ones at the start of the next."""
    stage = r"layers\.(\d+)\.blocks\."
    attention = r"backbone.encoder.layers.\1.blocks.\2.attention.self"
    blocks = [
        (rf"{stage}(\d+)\.attn\.(logit_scale|relative_position_bias_table)", rf"{attention}.\3"),
        (rf"{stage}(\d+)\.attn\.cpb_mlp\.(.+)", rf"{attention}.continuous_position_bias_mlp.\3"),
        (rf"{stage}(\d+)\.attn\.qkv\.(.+)", *(rf"{attention}.{part}.\3" for part in ("query", "key", "value"))),
        (rf"{stage}(\d+)\.attn\.q_bias", f"{attention}.query.bias"),
        (rf"{stage}(\d+)\.attn\.v_bias", f"{attention}.value.bias"),
        (rf"{stage}(\d+)\.attn\.proj\.(.+)", r"backbone.encoder.layers.\1.blocks.\2.attention.output.dense.\3"),
        (rf"{stage}(\d+)\.mlp\.fc1\.(.+)", r"backbone.encoder.layers.\1.blocks.\2.intermediate.dense.\3"),
        (rf"{stage}(\d+)\.mlp\.fc2\.(.+)", r"backbone.encoder.layers.\1.blocks.\2.output.dense.\3"),
        (rf"{stage}(\d+)\.norm1\.(.+)", r"backbone.encoder.layers.\1.blocks.\2.layernorm_before.\3"),
        (rf"{stage}(\d+)\.norm2\.(.+)", r"backbone.encoder.layers.\1.blocks.\2.layernorm_after.\3"),
    ]
    downsample = [
        (
            rf"layers\.{index + downsample_opens_stage}\.downsample\.(.+)",
            rf"backbone.encoder.layers.{index}.downsample.\1",
        )
        for index in range(8)
    ]
    return [
        (r"patch_embed\.proj\.(.+)", r"backbone.embeddings.patch_embeddings.projection.\1"),
        (r"patch_embed\.norm\.(.+)", r"backbone.embeddings.norm.\1"),
        # Buffers the model computes itself.
        (r".+\.(attn_mask|relative_position_index|relative_coords_table|k_bias)",),
        *blocks,
        *downsample,
        # The taps come before it.
        (r"norm\..+",),
        *CLASSIFIER,
    ]


# --- encoders in the names of transformers' image classifiers -------------------------------------

# The base model is called vit or deit inside a classifier and has no prefix on its own.
HUB_VIT: Table = prefixed(
    [
        (r"(embeddings\.(?:cls_token|distillation_token|position_embeddings))", r"dpt.\1"),
        (r"embeddings\.patch_embeddings\.backbone\.(.+)", r"dpt.embeddings.backbone.\1"),
        (r"(embeddings\.patch_embeddings\.projection\..+)", r"dpt.\1"),
        (r"(encoder\.layer\..+)", r"dpt.\1"),
        (r"(layernorm\..+)", r"dpt.\1"),
        (r"embeddings\.mask_token",),
        (r"pooler\..+",),
        (r"decoder\..+",),
        (r"(cls_|distillation_)?classifier\..+",),
    ],
    r"(?:vit\.|deit\.)?",
)

HUB_VIT_HYBRID: Table = [
    (r"(?:vit\.)?embeddings\.patch_embeddings\.projection\.(.+)", r"dpt.embeddings.projection.\1"),
    *HUB_VIT,
]

# --- the decoder of the authors and of MiDaS 3.1 --------------------------------------------------

DECODER: Table = [
    row
    for level in range(1, 5)
    for row in (
        (
            rf"pretrained\.act_postprocess{level}\.0\.project\.0\.(.+)",
            rf"neck.reassemble_stage.readout_projects.{level - 1}.0.\1",
        ),
        (rf"pretrained\.act_postprocess{level}\.3\.(.+)", rf"neck.reassemble_stage.layers.{level - 1}.projection.\1"),
        (rf"pretrained\.act_postprocess{level}\.4\.(.+)", rf"neck.reassemble_stage.layers.{level - 1}.resize.\1"),
        (rf"scratch\.layer{level}_rn\.(.+)", rf"neck.convs.{level - 1}.\1"),
        # Counted from the finest level there, from the deepest here.
        (rf"scratch\.refinenet{level}\.out_conv\.(.+)", rf"neck.fusion_stage.layers.{4 - level}.projection.\1"),
        (
            rf"scratch\.refinenet{level}\.resConfUnit([12])\.conv([12])\.(.+)",
            rf"neck.fusion_stage.layers.{4 - level}.residual_layer\1.convolution\2.\3",
        ),
        (
            rf"scratch\.refinenet{level}\.resConfUnit([12])\.bn([12])\.(.+)",
            rf"neck.fusion_stage.layers.{4 - level}.residual_layer\1.batch_norm\2.\3",
        ),
    )
] + [
    (r"scratch\.output_conv\.(.+)", r"head.head.\1"),
    (r"auxlayer\.(.+)", r"auxiliary_head.head.\1"),
]


def original(encoder: Table) -> Table:
    """The table of a whole authors' file, given the table of its encoder."""
    return [*prefixed(encoder, r"pretrained\.model\."), *DECODER]
