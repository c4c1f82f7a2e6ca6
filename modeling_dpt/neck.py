"""Neck: reassemble, bring every level to one width, fuse."""

import torch
from torch import nn

from .fusion import FusionStage
from .reassemble import ReassembleStage
from .winograd import WinogradConv2d


class Neck(nn.Module):
    """From the encoder's taps to the fusion outputs, deepest first; the last one before its upsampling."""

    def __init__(self, config):
        super().__init__()
        self.reassemble_stage = None if config.is_hierarchical else ReassembleStage(config)
        self.convs = nn.ModuleList(
            WinogradConv2d(channels, config.fusion_hidden_size, bias=False) for channels in config.neck_hidden_sizes
        )
        self.fusion_stage = FusionStage(config)

    def forward(self, taps: tuple[torch.Tensor, ...], grid: tuple[int, int]) -> list[torch.Tensor]:
        """Taps, finest first, tokens (B, L, D) on a grid (h, w) or maps (B, C, h, w) -> maps (B, fusion, h', w')."""
        maps = taps if self.reassemble_stage is None else self.reassemble_stage(taps, grid)
        return self.fusion_stage([conv(feature_map) for conv, feature_map in zip(self.convs, maps, strict=True)])
