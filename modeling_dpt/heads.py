"""Heads: from a fusion output to depth or class logits (arXiv:2103.13413, supplement A).

Legend: B batch, C channels, H W pixels of the input, K classes.
"""

import torch
from torch import nn
from torch.nn.functional import interpolate

from .fusion import is_finest
from .upsampling import upsample_and_convolve
from .winograd import WinogradConv2d

_ACTIVATIONS = {"relu": nn.ReLU, "none": nn.Identity, "sigmoid": nn.Sigmoid}


class DepthHead(nn.Module):
    """(B, C, h, w) -> (B, H, W): disparity or metres, as the configuration says."""

    def __init__(self, config):
        super().__init__()
        width = config.fusion_hidden_size
        self.reads_finest = is_finest(config, config.head_in_index)
        self.projection = WinogradConv2d(width, width) if config.add_projection else None
        self.head = nn.Sequential(
            WinogradConv2d(width, config.head_channels),
            nn.Identity(),  # checkpoints count the upsampling here; its target is the input's size, so forward does it
            nn.Conv2d(config.head_channels, config.head_hidden_size, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(config.head_hidden_size, 1, kernel_size=1),
            _ACTIVATIONS[config.head_activation](),
        )
        # A ReLU output that starts negative everywhere has no gradient and never learns.
        self.head[4].init_bias = 1.0 if config.head_activation == "relu" else 0.0
        self.read_unit(config)

    def read_unit(self, config) -> None:
        """Take over what raw values mean; to be called again when the configuration changes."""
        self.scale = config.depth_scale * (config.max_depth or 1.0 if config.head_activation == "sigmoid" else 1.0)
        self.shift = config.depth_shift
        self.invert = config.invert_depth
        self.max_depth = config.max_depth

    def forward(self, feature_map: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        enlarged = _twice(feature_map) if self.reads_finest else None
        if self.projection is not None:
            feature_map = upsample_and_convolve(self.projection, feature_map, enlarged, then=nn.ReLU())
            enlarged = None
        feature_map = upsample_and_convolve(self.head[0], feature_map, enlarged)
        feature_map = upsample_and_convolve(self.head[2], feature_map, size, then=self.head[3:])
        return self._to_unit(feature_map.squeeze(1))

    def _to_unit(self, values: torch.Tensor) -> torch.Tensor:
        if self.scale == 1 and self.shift == 0 and not self.invert:
            return values
        # In float32: the scales of metric models are too small for half precision.
        depth = values.float() * self.scale + self.shift
        if self.invert:
            depth = 1 / (_raised(depth, 1 / self.max_depth) if self.max_depth else depth.clamp(min=1e-8))
        # Under autocast depth stays as exact as it is: a loss reads it next.
        return depth if torch.is_autocast_enabled(values.device.type) else depth.to(values.dtype)


def _raised(values: torch.Tensor, floor: float) -> torch.Tensor:
    """Clamp from below whose gradient is that of the identity, so that a pixel which starts there is not stuck."""
    raised = values.clamp(min=floor)
    return raised.detach() + (values - values.detach()) if torch.is_grad_enabled() else raised


class SegmentationHead(nn.Module):
    """(B, C, h, w) -> (B, K, H, W) logits. Also the auxiliary head; `level` is the fusion output that it reads."""

    def __init__(self, config, level: int, align_corners: bool = True):
        super().__init__()
        width = config.fusion_hidden_size
        self.reads_finest = is_finest(config, level)
        self.align_corners = align_corners
        self.head = nn.Sequential(
            WinogradConv2d(width, width, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Dropout(config.semantic_classifier_dropout),
            nn.Conv2d(width, config.num_labels, kernel_size=1),
        )

    def forward(self, feature_map: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        enlarged = _twice(feature_map) if self.reads_finest else None
        logits = upsample_and_convolve(self.head[0], feature_map, enlarged, then=self.head[1:])
        return interpolate(logits, size=size, mode="bilinear", align_corners=self.align_corners)


def _twice(feature_map: torch.Tensor) -> tuple[int, int]:
    height, width = feature_map.shape[-2:]
    return 2 * height, 2 * width
