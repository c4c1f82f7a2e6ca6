"""Reassemble: tokens of a plain transformer to feature maps at several strides (arXiv:2103.13413, section 3.2).

Legend: B batch, L = prefix + h*w tokens, D width, C channels of a level, h w token grid.
"""

import torch
from torch import nn

from .readout import ProjectReadout, add, ignore


class ReassembleStage(nn.Module):
    """Readout, concatenate, resample: one map a level.

    Levels in `config.neck_ignore_stages` (the stem stages of a hybrid) are maps already and pass through.
    """

    def __init__(self, config):
        super().__init__()
        self.prefix = config.num_prefix_tokens if config.has_readout_token else 0
        self.readout = {"ignore": ignore, "add": add}.get(config.readout_type)
        passing = set(config.neck_ignore_stages)
        levels = enumerate(zip(config.neck_hidden_sizes, config.reassemble_factors, strict=True))
        self.layers = nn.ModuleList(
            nn.Identity() if level in passing else ReassembleLayer(config.encoder_hidden_size, channels, factor)
            for level, (channels, factor) in levels
        )
        if config.readout_type == "project":
            self.readout_projects = nn.ModuleList(
                nn.Identity() if level in passing else ProjectReadout(config.encoder_hidden_size, config.hidden_act)
                for level in range(len(self.layers))
            )

    def forward(self, taps: tuple[torch.Tensor, ...], grid: tuple[int, int]) -> list[torch.Tensor]:
        """Taps, (B, L, D) tokens or (B, C, h, w) maps, to maps (B, C, h', w'); grid is (h, w)."""
        return [
            layer(tap if tap.ndim == 4 else self._tokens_to_map(tap, level, grid))
            for level, (tap, layer) in enumerate(zip(taps, self.layers, strict=True))
        ]

    def _tokens_to_map(self, tokens: torch.Tensor, level: int, grid: tuple[int, int]) -> torch.Tensor:
        readout = self.readout or self.readout_projects[level]
        tokens = readout(tokens[:, self.prefix :], tokens[:, : self.prefix])  # (B, h*w, D)
        # A view: the map is channels-last in memory, which convolutions like.
        return tokens.unflatten(1, grid).permute(0, 3, 1, 2)  # (B, D, h, w)


class ReassembleLayer(nn.Module):
    """1x1 convolution to the level's channels, then resampling: (B, D, h, w) -> (B, C, h*factor, w*factor)."""

    def __init__(self, hidden_size: int, channels: int, factor: float):
        super().__init__()
        self.projection = nn.Conv2d(hidden_size, channels, kernel_size=1)
        self.resize = _resample(channels, factor)

    def forward(self, feature_map: torch.Tensor) -> torch.Tensor:
        return self.resize(self.projection(feature_map))


def _resample(channels: int, factor: float) -> nn.Module:
    if factor > 1:
        # The paper says 3x3 transposed convolutions; the authors' code and all checkpoints have kernel = stride.
        return nn.ConvTranspose2d(channels, channels, kernel_size=int(factor), stride=int(factor))
    if factor < 1:
        return nn.Conv2d(channels, channels, kernel_size=3, stride=round(1 / factor), padding=1)
    return nn.Identity()
