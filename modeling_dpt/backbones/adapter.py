"""Encoders of transformers.AutoBackbone: their taps as tokens (class token first) or as feature maps.

Legend: B batch, C channels, h w token grid, R register tokens, D width.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from transformers import AutoBackbone

from ..modeling_outputs import DPTModelOutput


def build_encoder(config) -> nn.Module:
    """The AutoBackbone encoder of a configuration; one of convolutions is not asked for a kind of attention."""
    if not has_attention(config):
        config._attn_implementation = "eager"
    return AutoBackbone.from_config(config)


def has_attention(config) -> bool:
    """Whether the encoder of an AutoBackbone configuration can choose its attention implementation."""
    return AutoBackbone._model_mapping[type(config)]._supports_sdpa


def make_backbone(config) -> nn.Module:
    """The encoder `config.backbone_config` describes.

    Raises:
        ValueError: its feature maps or norms are not what the configuration says.
    """
    backbone = build_encoder(config.backbone_config)
    kind, channels = config.backbone_config.model_type, list(backbone.channels)
    if config.is_hierarchical and list(config.neck_hidden_sizes) != channels:
        raise ValueError(
            f"neck_hidden_sizes: must be {channels}, the channels of the {kind!r} encoder's taps, "
            f"got {config.neck_hidden_sizes}."
        )
    # Norms that transformers adds to the stages of Swin and ConvNeXt; MiDaS and the paper have none.
    if config.normalize_taps is False and hasattr(backbone, "hidden_states_norms"):
        for stage in backbone.hidden_states_norms:
            backbone.hidden_states_norms[stage] = nn.Identity()
    return backbone


def run_backbone(
    backbone: nn.Module, pixel_values: torch.Tensor, output_hidden_states: bool, output_attentions: bool
) -> DPTModelOutput:
    """Run the encoder on (B, 3, H, W); taps are tokens (B, 1 + h*w, D) or (B, h*w, D), or maps (B, C, h, w).

    Raises:
        ValueError: attention was asked of an encoder that gives none.
    """
    if output_attentions:
        with _eager_attention(backbone.config):
            output = backbone.forward_with_filtered_kwargs(
                pixel_values, output_hidden_states=output_hidden_states, output_attentions=True
            )
        if not output.attentions:
            kind = backbone.config.model_type
            raise ValueError(f"output_attentions: a {kind!r} encoder gives no attention, got True. Leave it out.")
    else:
        output = backbone.forward_with_filtered_kwargs(pixel_values, output_hidden_states=output_hidden_states)
    return DPTModelOutput(
        taps=_taps(backbone.config, output),
        hidden_states=output.hidden_states if output_hidden_states else None,
        attentions=output.attentions,
    )


def unused_parameters(backbone: nn.Module) -> Iterator[nn.Parameter]:
    """Parameters that no tap depends on: those of masked pretraining and a final norm nobody reads."""
    config = backbone.config
    names = {"mask_token"}
    if not getattr(config, "apply_layernorm", False):
        names |= _FINAL_NORMS.get(config.model_type, set())
    for name, parameter in backbone.named_parameters():
        if name in names or name.rpartition(".")[0] in names or name.rpartition(".")[2] in names:
            yield parameter
    if hasattr(config, "num_hidden_layers") and not hasattr(config, "depths"):
        for name, parameter in backbone.named_parameters():
            block = next((int(part) for part in name.split(".") if part.isdigit()), -1)
            # out_indices count the embedding as 0
            if block >= max(backbone.out_indices):
                yield parameter


# Where the final norm lives, of encoders that have one their feature maps do not pass through.
_FINAL_NORMS = {
    "beit": {"beit.layernorm"},
    "dinov2": {"layernorm"},
    "dinov2_with_registers": {"layernorm"},
    "swin": {"swin.layernorm"},
}


def _taps(config, output) -> tuple[torch.Tensor, ...]:
    maps = output.feature_maps
    if config.model_type == "dinov3_vit":
        # It keeps class token and patch tokens apart and drops the registers itself.
        return tuple(
            torch.cat([cls[:, None], patches], dim=1) for cls, patches in zip(output.cls_tokens, maps, strict=True)
        )
    registers = getattr(config, "num_register_tokens", 0)
    if registers and maps[0].ndim == 3:
        return tuple(torch.cat([tap[:, :1], tap[:, 1 + registers :]], dim=1) for tap in maps)  # drop R
    return tuple(maps)


@contextmanager
def _eager_attention(config) -> Iterator[None]:
    # Only eager attention can return probabilities; the encoder reads its implementation at every call.
    configured = config._attn_implementation
    config._attn_implementation_internal = "eager"
    try:
        yield
    finally:
        config._attn_implementation_internal = configured
