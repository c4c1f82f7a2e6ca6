"""Fusion: merge the levels from deepest to finest (arXiv:2103.13413, section 3.2 and supplement A).

`FusionStage.layers[0]` is the deepest level: the order of transformers' checkpoints, the reverse of the authors'
refinenet1 to refinenet4.
"""

import torch
from torch import nn

from .upsampling import upsample
from .winograd import WinogradConv2d


class FusionStage(nn.Module):
    """One `FusionLayer` a level; every output has the size of the next finer level.

    The last is to be twice as large as its input but left at its size: heads upsample it with their first convolution.
    """

    def __init__(self, config):
        super().__init__()
        self.layers = nn.ModuleList(FusionLayer(config) for _ in config.neck_hidden_sizes)

    def forward(self, maps: list[torch.Tensor]) -> list[torch.Tensor]:
        """Maps of equal width, finest first, to the outputs of all levels, deepest first."""
        outputs: list[torch.Tensor] = []
        for layer, skip, finer in zip(self.layers, maps[::-1], [*maps[-2::-1], None], strict=True):
            size = None if finer is None else finer.shape[-2:]
            outputs.append(layer(skip, outputs[-1] if outputs else None, size))
        return outputs


def is_finest(config, level: int) -> bool:
    """Whether output `level` of the fusion stage is the last, which is yet to be upsampled."""
    levels = len(config.neck_hidden_sizes)
    return level % levels == levels - 1


class FusionLayer(nn.Module):
    """Add the refined skip to the coarser output, refine, project, upsample."""

    def __init__(self, config):
        super().__init__()
        self.projection = nn.Conv2d(config.fusion_hidden_size, config.fusion_hidden_size, kernel_size=1)
        self.residual_layer1 = ResidualUnit(config)
        self.residual_layer2 = ResidualUnit(config)

    def forward(self, skip: torch.Tensor, coarser: torch.Tensor | None, size: tuple[int, int] | None) -> torch.Tensor:
        """skip (B, C, h, w), coarser the same or None -> (B, C, *size), of unchanged size for None."""
        merged = skip if coarser is None else coarser + self.residual_layer1(skip)
        # The authors project after upsampling. A 1x1 convolution commutes with it and is four times cheaper before.
        projected = self.projection(self.residual_layer2(merged))
        return projected if size is None else upsample(projected, size)


class ResidualUnit(nn.Module):
    """x + conv(relu(conv(relu(x)))), with batch norm after each convolution where configured (segmentation)."""

    def __init__(self, config):
        super().__init__()
        width, norm = config.fusion_hidden_size, config.use_batch_norm_in_fusion_residual
        bias = config.use_bias_in_fusion_residual
        bias = not norm if bias is None else bias
        self.convolution1 = WinogradConv2d(width, width, bias=bias)
        self.convolution2 = WinogradConv2d(width, width, bias=bias)
        self.batch_norm1 = nn.BatchNorm2d(width) if norm else nn.Identity()
        self.batch_norm2 = nn.BatchNorm2d(width) if norm else nn.Identity()

    def forward(self, feature_map: torch.Tensor) -> torch.Tensor:
        refined = self.batch_norm1(self.convolution1(feature_map.relu()))
        return feature_map + self.batch_norm2(self.convolution2(refined.relu()))
