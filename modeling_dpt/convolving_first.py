"""A 3x3 convolution of an enlarged map, computed on the small map.

The convolution is a sum of nine shifted 1x1 convolutions. A 1x1 convolution commutes with bilinear upsampling, which
multiplies by one matrix from the left and by another from the right. So channels are mixed at the small size, and two
matrices that upsample, shift by a pixel and add do the rest:

    output[i, j] = sum over x, c of columns[j, (x, c)] * sum over y, r of rows[i, (y, r)] * mixed[r, c][y, x]

Both are banded and multiplied band by band, strip by strip of rows: what lies between stays in the processor's cache,
all its threads take part, and no enlarged map of all channels is ever made.

Legend: B batch, C D channels in and out, K channels of the result, h w the small size, H W the large one, r c row and
column of one of the nine taps.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear, pad

# Output rows and columns at a time: fewer waste less of a band, more make larger products.
ROWS, COLUMNS = 16, 16


@torch.no_grad()
def convolved_first(
    feature_map: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    size: tuple[int, int],
    then: Callable[[Tensor], Tensor] = lambda strip: strip,
) -> Tensor:
    """Bilinear upsampling (corners aligned), a 3x3 convolution padded with zeros, and what comes then.

    Args:
        feature_map: (B, C, h, w), float32 or bfloat16, on the CPU.
        weight: (D, C, 3, 3), of the same dtype.
        bias: (D,) or None.
        size: (H, W).
        then: (1, D, W, rows) -> (1, K, W, rows), called on strips of the map, transposed: it must treat every pixel
            alike.

    Returns:
        (B, K, H, W), channels-last.
    """
    rows = bands(feature_map.shape[2], size[0], ROWS)
    columns = bands(feature_map.shape[3], size[1], COLUMNS)
    result = None
    for number, image in enumerate(feature_map.permute(0, 2, 3, 1)):  # (h, w, C)
        for band, tall in zip(rows, _tall_strips(image, weight, bias, rows), strict=True):
            strip = then(_widened(tall, columns).to(feature_map.dtype))
            if result is None:
                shape = (len(feature_map), strip.shape[1], *size)
                result = torch.empty(shape, dtype=strip.dtype, device=strip.device, memory_format=torch.channels_last)
            result[number, :, band.start : band.stop] = strip[0].mT
    return result


def _tall_strips(image: Tensor, weight: Tensor, bias: Tensor | None, rows: tuple["_Band", ...]) -> Iterator[Tensor]:
    """Mix the channels of an image (h, w, C) for each tap and upsample rows: (rows, 3*w, D) for each band of rows.

    In float32, also for bfloat16: what is rounded is what a bfloat16 convolution rounds, no more.
    """
    width, channels = image.shape[1], len(weight)
    weights = weight.permute(2, 3, 0, 1).reshape(3, 3 * channels, -1)  # r, (c, D), C
    # To the tap in the middle, which no shift moves past the edge.
    bias = None if bias is None else pad(bias, (channels, channels))
    most = max(band.last - band.first for band in rows)
    mixed = image.new_empty(most, 3, width * 3 * channels, dtype=torch.float32)  # y, r, (w, c, D)
    first = last = 0
    for band in rows:
        known = max(0, last - band.first)  # bands overlap by a few rows
        mixed[:known] = mixed[band.first - first :][:known].clone()
        first, last = band.first, band.last
        if known < last - first:
            fresh = image[first + known : last]
            for row in range(3):
                taps = linear(fresh.flatten(0, 1), weights[row], bias if row == 1 else None)
                mixed[known : last - first, row] = taps.view(len(fresh), -1)
        tall = band.weights @ mixed[: last - first].flatten(0, 1)
        yield tall.view(len(tall), 3 * width, channels)


def _widened(tall: Tensor, columns: tuple["_Band", ...]) -> Tensor:
    """Upsample columns: (rows, 3*w, D) to (1, D, W, rows)."""
    rows, _, channels = tall.shape
    # Columns first in memory: one large product for each band instead of many small ones.
    tall = tall.transpose(0, 1).reshape(-1, rows * channels)
    wide = tall.new_empty(columns[-1].stop, rows * channels)
    for band in columns:
        torch.mm(band.weights, tall[3 * band.first : 3 * band.last], out=wide[band.start : band.stop])
    return wide.view(-1, rows, channels).permute(2, 0, 1)[None]


class _Band(NamedTuple):
    """Rows start to stop of a matrix (large, 3*small), which are 0 outside of the positions first to last."""

    start: int
    stop: int
    first: int
    last: int
    weights: Tensor  # (stop - start, 3*(last - first))


@lru_cache(maxsize=64)
def bands(small: int, large: int, length: int) -> tuple[_Band, ...]:
    """The matrix that upsamples one axis for three taps, shifts each by -1, 0, 1 and adds them."""
    # In float32 as PyTorch computes positions, so that results agree with its own to the last digits.
    step = torch.tensor(small - 1, dtype=torch.float32, device="cpu") / max(large - 1, 1)
    every = torch.arange(large, device="cpu")
    positions = every.to(torch.float32) * step
    below = positions.long().clamp(max=small - 1)
    upsampling = torch.zeros(large, small, dtype=torch.float32, device="cpu")
    upsampling[every, below] = 1 - (positions - below)
    upsampling[every, (below + 1).clamp(max=small - 1)] += positions - below
    # What a shift brings in from outside is the convolution's padding with zeros.
    shifted = pad(upsampling, (0, 0, 1, 1))
    matrix = torch.stack([shifted[tap : tap + large] for tap in range(3)], dim=-1)  # (large, small, 3)
    bands = []
    for start in range(0, large, length):
        part = matrix[start : start + length]
        used = part.sum(dim=(0, 2)).nonzero()
        first, last = int(used[0]), int(used[-1]) + 1
        bands.append(_Band(start, start + len(part), first, last, part[:, first:last].flatten(1)))
    return tuple(bands)
