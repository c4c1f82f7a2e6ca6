"""The gradient of a convolution of an enlarged map, computed on the small map: for training on a CPU.

Autograd would keep the enlarged map, the largest tensor of a training step, and convolve at its size twice more.
Here the small map is kept, and the products are a quarter.

Legend: B batch, C D channels in and out, h w the small size, H W the large one, r c row and column of one of the nine
taps.
"""

from collections.abc import Callable, Iterator

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
        # So the gradient of each tap is made small, and then all nine go through one product with 9 D channels.
        feature_map, weight = ctx.saved_tensors
        _, needs_map, needs_weight, needs_bias, _ = ctx.needs_input_grad
        pixels = feature_map.permute(0, 2, 3, 1).flatten(1, 2)  # (B, h*w, C)
        mixing = weight.permute(2, 3, 0, 1).flatten(0, 2)  # (9 D, C)
        of_pixels = torch.empty_like(pixels, memory_format=torch.contiguous_format) if needs_map else None
        of_mixing = torch.zeros_like(mixing, dtype=torch.float32)
        if needs_map or needs_weight:
            # Image by image: of a batch the nine would be the largest tensor of a step.
            for number, of_taps in enumerate(_small_gradients(gradient, feature_map.shape[-2:])):
                if needs_map:
                    torch.mm(of_taps, mixing, out=of_pixels[number])
                if needs_weight:
                    of_mixing += of_taps.T @ pixels[number]
        of_map = of_pixels.unflatten(1, feature_map.shape[-2:]).permute(0, 3, 1, 2) if needs_map else None
        of_weight = of_mixing.view(3, 3, *weight.shape[:2]).permute(2, 3, 0, 1).to(weight.dtype)
        of_bias = gradient.sum((0, 2, 3)) if needs_bias else None
        return None, of_map, of_weight if needs_weight else None, of_bias, None


def _small_gradients(gradient: Tensor, small: torch.Size) -> Iterator[Tensor]:
    """Gradient (B, D, H, W) of the sum to those of the taps' maps before they are enlarged and shifted.

    By the transposes of the matrices that enlarge and shift, in float32.

    Yields:
        (h*w, 9 D) for each image, always in the same memory.
    """
    channels, *large = gradient.shape[1:]
    height, width = small
    rows, columns = bands(height, large[0], ROWS), bands(width, large[1], COLUMNS)
    small_gradient = gradient.new_empty(height, width, 3, 3 * channels)  # y, x, r, (c, D)
    sums = gradient.new_empty(3 * height, 3 * width * channels, dtype=torch.float32)  # (y, r), (x, c, D)
    tall = gradient.new_empty(3 * width, ROWS * channels, dtype=torch.float32)  # (x, c), (rows, D)
    for image in gradient.permute(0, 3, 2, 1):  # (W, H, D)
        sums.zero_()
        for band in rows:
            wide = image[:, band.start : band.stop].float().flatten(1)
            part = tall[:, : wide.shape[1]].zero_()
            for column in columns:
                weights = column.weights.T
                part[3 * column.first : 3 * column.last].addmm_(weights, wide[column.start : column.stop])
            strip = part.view(3 * width, -1, channels).transpose(0, 1).flatten(1)
            sums[3 * band.first : 3 * band.last].addmm_(band.weights.T, strip)
        small_gradient.copy_(sums.view(height, 3, width, 3 * channels).transpose(1, 2))
        yield small_gradient.view(height * width, 9 * channels)
