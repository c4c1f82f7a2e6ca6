"""A convolution of an enlarged map, by whichever way is faster.

Legend: B batch, C D channels in and out, K channels of the result, h w the small size, H W the large one.
"""

import torch
from torch import nn
from torch.nn.functional import interpolate

from .convolving_first import convolved_first
from .standing_in import only_numbers
from .upsampling_gradient import with_small_gradient
from .winograd import WinogradConv2d

# With fewer channels what upsamples costs more than the products that are saved.
MIN_CHANNELS = 128
# Nor does it pay for inference where an enlarged map has fewer bytes, measured on AVX-512: half precision multiplies
# fast, and saves where maps outgrow the cache.
MIN_ENLARGED_BYTES = {torch.float32: 2 * 2**20, torch.bfloat16: 16 * 2**20}


def upsample_and_convolve(
    convolution: nn.Conv2d, feature_map: torch.Tensor, size: tuple[int, int] | None, then: nn.Module | None = None
) -> torch.Tensor:
    """Bilinear upsampling (corners aligned) of (B, C, h, w) to size (H, W), a 3x3 convolution, and what comes then.

    Args:
        convolution: D channels, of the map's size.
        feature_map: (B, C, h, w).
        size: (H, W); None for no upsampling.
        then: Layers that work pixel by pixel: activations, 1x1 convolutions, batch norm. For inference they are called
            on strips of the map, while they are in the cache; hooks inside switch that off.

    Returns:
        (B, K, H, W).
    """
    then = then or nn.Identity()
    if size is None:
        return then(convolution(feature_map))
    if not _pays(convolution, feature_map, size):
        return then(convolution(upsample(feature_map, size)))
    tensors = [feature_map, convolution.weight, convolution.bias]
    autocast, learns = torch.is_autocast_enabled("cpu"), torch.is_grad_enabled()
    if not (autocast or learns or convolution.training or _is_watched(then)):
        return convolved_first(*tensors, size, then)
    if autocast:
        tensors = [tensor if tensor is None else tensor.to(torch.get_autocast_dtype("cpu")) for tensor in tensors]
    with torch.autocast("cpu", enabled=False):
        convolved = with_small_gradient(convolved_first, *tensors, size) if learns else convolved_first(*tensors, size)
    return then(convolved)


def upsample(feature_map: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Bilinear upsampling of (B, C, h, w) to size (H, W), corners aligned."""
    return interpolate(feature_map, size=size, mode="bilinear", align_corners=True)


def _pays(convolution: nn.Conv2d, feature_map: torch.Tensor, size: tuple[int, int]) -> bool:
    """Whether the products saved at the large size are worth more than what takes their place."""
    # Graphics cards multiply faster than they add.
    if not only_numbers(feature_map, convolution.weight):
        return False
    # A subclass, as of an adapter, may do more than multiply, and a hook wants the whole map.
    if type(convolution) not in (nn.Conv2d, WinogradConv2d) or _is_watched(convolution):
        return False
    batch, channels, height, width = feature_map.shape
    if channels < MIN_CHANNELS or size[0] * size[1] < 3 * height * width or not batch:
        return False
    dtypes = {feature_map.dtype, convolution.weight.dtype}
    if torch.is_autocast_enabled("cpu"):
        dtypes = {torch.get_autocast_dtype("cpu")}
    dtype = dtypes.pop()
    if dtypes or dtype not in MIN_ENLARGED_BYTES:
        return False
    if torch.is_grad_enabled():  # more channels out: the gradients of nine taps would outgrow the enlarged map
        return 2 * convolution.out_channels <= channels
    return channels * size[0] * size[1] * dtype.itemsize >= MIN_ENLARGED_BYTES[dtype]


def _is_watched(module: nn.Module) -> bool:
    return any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())
