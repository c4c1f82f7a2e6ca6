"""The gradient of a convolution of an enlarged map, computed on the small map: for training on a CPU.

Autograd would keep the enlarged map, the largest tensor of a training step, and convolve at its size twice more.
Here the small map is kept, and the products are a quarter.

Legend: B batch, C D channels in and out, h w the small size, H W the large one, r c row and column of one of the nine
taps.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .convolving_first import COLUMNS, ROWS, bands

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
    """Gradient (B, D, H, W) of the sum to that of each tap's map before it is enlarged and shifted: (B, 9 D, h, w).

    By the transposes of the matrices that enlarge and shift, in float32, channels-last.
    """
    batch, channels, *large = gradient.shape
    height, width = small
    rows, columns = bands(height, large[0], ROWS), bands(width, large[1], COLUMNS)
    small_gradients = gradient.new_empty(batch, height, width, 9 * channels)
    sums = gradient.new_empty(3 * height, 3 * width * channels, dtype=torch.float32)  # (y, r), (x, c, D)
    for image, small_gradient in zip(gradient.permute(0, 3, 2, 1), small_gradients, strict=True):  # (W, H, D)
        sums.zero_()
        for band in rows:
            wide = image[:, band.start : band.stop].to(torch.float32, memory_format=torch.contiguous_format)
            tall = wide.new_zeros(3 * width, wide[0].numel())  # (x, c), (rows, D)
            for part in columns:
                tall[3 * part.first : 3 * part.last].addmm_(part.weights.T, wide[part.start : part.stop].flatten(1))
            tall = tall.view(3 * width, -1, channels).transpose(0, 1).flatten(1)
            sums[3 * band.first : 3 * band.last].addmm_(band.weights.T, tall)
        taps = sums.view(height, 3, width, 3 * channels).transpose(1, 2)
        small_gradient.view(height, width, 3, 3 * channels).copy_(taps)
    return small_gradients.permute(0, 3, 1, 2)
