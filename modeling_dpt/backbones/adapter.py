"""Encoders of transformers.AutoBackbone: their taps as tokens (class token first) or as feature maps."""

import torch
from torch import nn
from transformers import AutoBackbone

from ..modeling_outputs import DPTModelOutput


def make_backbone(config) -> nn.Module:
    """The encoder `config.backbone_config` describes."""
    return AutoBackbone.from_config(config.backbone_config)


def run_backbone(
    backbone: nn.Module, pixel_values: torch.Tensor, output_hidden_states: bool, output_attentions: bool
) -> DPTModelOutput:
    """Run the encoder and put its feature maps into `taps`."""
    output = backbone.forward_with_filtered_kwargs(
        pixel_values, output_hidden_states=output_hidden_states, output_attentions=output_attentions
    )
    return DPTModelOutput(
        taps=tuple(output.feature_maps), hidden_states=output.hidden_states, attentions=output.attentions
    )
