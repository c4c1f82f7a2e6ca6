"""A convolution of an enlarged map, computed on the small map where that is exact and faster.

Legend: B batch, C D channels in and out, h w the small size, H W the large one.
"""

import torch
from torch import nn
from torch.nn.functional import conv2d, interpolate

# With fewer channels the nine passes over the large map cost more than the products they save.
MIN_CHANNELS = 64


def upsample_and_convolve(convolution: nn.Conv2d, feature_map: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Bilinear upsampling (corners aligned) of (B, C, h, w) to size (H, W), then a 3x3 convolution: (B, D, H, W)."""
    if _pays(convolution, feature_map, size):
        return _convolved_first(convolution, feature_map, size)
    return convolution(interpolate(feature_map, size=size, mode="bilinear", align_corners=True))


def _convolved_first(convolution: nn.Conv2d, feature_map: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """A 3x3 convolution is a sum of nine shifted 1x1 convolutions, and a 1x1 convolution commutes with upsampling.

    So channels are mixed at the small size, each tap's map is enlarged, and the nine are added, shifted by a pixel.
    """
    total = None
    for row, column in _TAPS:
        tap = convolution.weight[:, :, row + 1, column + 1, None, None]
        mixed = conv2d(feature_map, tap, convolution.bias if total is None else None)
        enlarged = interpolate(mixed, size=size, mode="bilinear", align_corners=True)
        if total is None:
            total = enlarged
        else:
            # What the shift brings in from outside is the convolution's padding with zeros.
            inner = total[..., _kept(-row, size[0]), _kept(-column, size[1])]
            inner += enlarged[..., _kept(row, size[0]), _kept(column, size[1])]
    return total


# The centre first: it covers the whole map and brings the bias.
_TAPS = sorted(((row, column) for row in (-1, 0, 1) for column in (-1, 0, 1)), key=lambda tap: tap != (0, 0))


def _kept(shift: int, length: int) -> slice:
    return slice(max(0, shift), length + min(0, shift))


def _pays(convolution: nn.Conv2d, feature_map: torch.Tensor, size: tuple[int, int]) -> bool:
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or torch.is_grad_enabled():
        return False  # a graph of one convolution is easier to optimise and to differentiate
    # Half precision would round nine times; graphics cards multiply faster than they add.
    exact = feature_map.dtype == convolution.weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    large = feature_map.shape[1] >= MIN_CHANNELS and size[0] * size[1] >= 3 * feature_map[0, 0].numel()
    return (
        exact and large and feature_map.device.type == "cpu" and convolution.out_channels * 2 <= feature_map.shape[1]
    )
