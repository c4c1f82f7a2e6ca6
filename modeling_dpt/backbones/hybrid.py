"""DPT-Hybrid: tokens from a convolutional stem whose first two stages are taps (arXiv:2103.13413, section 3.1)."""

import torch
from torch import nn
from torch.nn.functional import batch_norm

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


def fold_weight_standardization(model: nn.Module) -> int:
    """Standardise the weights of BiT convolutions for good, in place; returns how many there were."""
    # A class of the stem alone: models without it need not import it.
    from transformers.models.bit.modeling_bit import WeightStandardizedConv2d

    layers = [module for module in model.modules() if type(module) is WeightStandardizedConv2d]
    for layer in layers:
        layer.weight.data = _standardized(layer.weight.detach(), layer.eps)
        layer.__class__ = StandardizedConv2d  # whatever hangs on the layer stays
    return len(layers)


class StandardizedConv2d(nn.Conv2d):
    """The stem's convolution with a weight that is standardised already; made by `fold_weight_standardization`."""

    pad: nn.Module | None

    def forward(self, feature_map: torch.Tensor) -> torch.Tensor:
        return super().forward(feature_map if self.pad is None else self.pad(feature_map))


def _standardized(weight: torch.Tensor, eps: float) -> torch.Tensor:
    """What transformers' `WeightStandardizedConv2d` computes at every call, to the bit."""
    flat = weight.reshape(1, len(weight), -1)
    standardized = batch_norm(flat, None, None, training=True, momentum=0.0, eps=eps).reshape(weight.shape)
    # Channels-last is a quarter faster in half precision; in float32 group norm loses digits in it.
    if weight.dtype == torch.float32:
        return standardized
    return standardized.contiguous(memory_format=torch.channels_last)
