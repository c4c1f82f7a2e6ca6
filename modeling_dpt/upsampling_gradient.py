"""The gradient of a convolution of an enlarged map, computed on the small map: for training on a CPU.

Autograd would keep the enlarged map, the largest tensor of a training step, and convolve at its size twice more.
Here the small map is kept, and the products are a quarter.

Legend: B batch, C D channels in and out, h w the small size, H W the large one.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

Forward = Callable[[Tensor, Tensor, Tensor | None, tuple[int, int]], Tensor]


def with_small_gradient(
    forward: Forward, feature_map: Tensor, weight: Tensor, bias: Tensor | None, size: tuple[int, int]
) -> Tensor:
    """Bilinear upsampling (corners aligned) and a 3x3 convolution, differentiable once.

    Args:
        forward: Computes it, of the other arguments.
        feature_map: (B, C, h, w).
        weight: (D, C, 3, 3), of the same dtype.
        bias: (D,) or None.
        size: (H, W).

    Returns:
        (B, D, H, W).
    """
    return _SmallGradient.apply(forward, feature_map, weight, bias, size)


class _SmallGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, forward, feature_map, weight, bias, size):
        ctx.save_for_backward(feature_map, weight)
        return forward(feature_map, weight, bias, size)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        # The convolution is a sum of nine shifted 1x1 convolutions, and a 1x1 convolution commutes with upsampling.
        # So the gradient of each tap is made small, and then all nine go through one 1x1 convolution of 9 D channels.
        feature_map, weight = ctx.saved_tensors
        _, needs_map, needs_weight, needs_bias, _ = ctx.needs_input_grad
        of_taps = _small_gradients(gradient, feature_map.shape[-2:])
        mixing = weight.permute(2, 3, 0, 1).flatten(0, 2)[..., None, None]  # (9 D, C, 1, 1)
        of_map, of_mixing, _ = torch.ops.aten.convolution_backward(
            of_taps,
            feature_map,
            mixing,
            None,
            [1, 1],
            [0, 0],
            [1, 1],
            False,
            [0, 0],
            1,
            [needs_map, needs_weight, False],
        )
        of_weight = of_mixing.view(3, 3, *weight.shape[:2]).permute(2, 3, 0, 1) if needs_weight else None
        of_bias = gradient.sum((0, 2, 3)) if needs_bias else None
        return None, of_map, of_weight, of_bias, None


def _small_gradients(gradient: Tensor, small: torch.Size) -> Tensor:
    """Gradient (B, D, H, W) of the sum to that of each tap's map before it is enlarged and shifted: (B, 9 D, h, w)."""
    batch, channels, height, width = gradient.shape
    padded = pad(gradient.contiguous(memory_format=torch.channels_last), (1, 1, 1, 1))
    parts = []
    for tap in range(9):
        row, column = 2 - tap // 3, 2 - tap % 3
        # Copied: given a view, PyTorch would go through the plain layout, which takes ten times as long.
        shifted = padded[..., row : row + height, column : column + width]
        shifted = shifted.contiguous(memory_format=torch.channels_last)
        shape = (batch, channels, *small)
        parts.append(torch.ops.aten.upsample_bilinear2d_backward(shifted, (height, width), shape, True))
    return torch.cat(parts, dim=1)
