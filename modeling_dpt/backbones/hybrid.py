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


class StandardizedConv2d(nn.Conv2d):
    """The stem's convolution with a weight that is standardised already; parameter names stay.

    A saved model stays valid: standardising once more changes nothing.
    """

    @classmethod
    @torch.no_grad()
    def of(cls, convolution: nn.Conv2d) -> "StandardizedConv2d":
        """What transformers' `WeightStandardizedConv2d` computes at every call, computed once, to the bit."""
        self = cls(1, 1, 1, bias=False, device="meta")
        for name in ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups"):
            setattr(self, name, getattr(convolution, name))
        flat = convolution.weight.reshape(1, self.out_channels, -1)
        weight = batch_norm(flat, None, None, training=True, momentum=0.0, eps=convolution.eps)
        weight = weight.reshape(convolution.weight.shape)
        # Channels-last is a quarter faster in half precision; in float32 group norm loses digits in it.
        if weight.dtype != torch.float32:
            weight = weight.contiguous(memory_format=torch.channels_last)
        self.weight = nn.Parameter(weight, requires_grad=convolution.weight.requires_grad)
        self.bias, self.pad = convolution.bias, convolution.pad
        return self.train(convolution.training)

    def forward(self, feature_map: torch.Tensor) -> torch.Tensor:
        return super().forward(feature_map if self.pad is None else self.pad(feature_map))


def fold_weight_standardization(model: nn.Module) -> int:
    """Standardise the weights of BiT convolutions for good, in place; returns how many there were."""
    # A class of the stem alone: models without it need not import it.
    from transformers.models.bit.modeling_bit import WeightStandardizedConv2d

    found = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if type(child) is WeightStandardizedConv2d
    ]
    for parent, name, child in found:
        setattr(parent, name, StandardizedConv2d.of(child))
    return len(found)
