"""DPT-Hybrid: tokens from a convolutional stem whose first two stages are taps (arXiv:2103.13413, section 3.1)."""

import torch
from torch import nn

from .adapter import build_encoder
from .vit import TokenEmbeddings


class HybridEmbeddings(TokenEmbeddings):
    """Tokens of the stem's last stage at stride 16, and its first two stages as maps."""

    def __init__(self, config):
        super().__init__(config)
        self.backbone = build_encoder(config.backbone_config)
        self.projection = nn.Conv2d(self.backbone.channels[-1], config.hidden_size, kernel_size=1)

    def forward(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """(B, 3, H, W) -> tokens (B, L, D) and maps (B, C, H/4, W/4), (B, C, H/8, W/8)."""
        fine, middle, coarse = self.backbone(pixel_values).feature_maps
        return self.add_prefix_and_positions(self.projection(coarse)), (fine, middle)
