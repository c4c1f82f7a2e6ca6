"""A 3x3 convolution with a quarter of the multiplications (Winograd's algorithm, arXiv:1509.09308, section 4).

A tile of 4x4 results is a sum of products of three polynomials: instead of multiplying out, tile and weight are
evaluated at 6x6 points, multiplied there for all channels at once, and the results interpolated. The gradient of the
map is such a convolution again; that of the weight goes the same way backwards.

Legend: B batch, H W size of the map, C D channels in and out, T tiles.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from .packed_weight import PackedWeight, packs
from .standing_in import learns

# Rows and columns of results of a tile, of the map below it, and of the weight.
TILE, WINDOW, KERNEL = 4, 6, 3
POINTS = WINDOW * WINDOW
# Tiles at a time: their maps stay in the processor's cache, and oneDNN has enough for its fastest products.
TILES = 144
# They are filled up to a multiple: oneDNN has to be asked about each number of tiles that it has not seen.
FILLED = 12
# With fewer channels what evaluates and interpolates costs more than the products that are saved.
MIN_CHANNELS = 96
# With fewer tiles reading the larger weight costs more, and for training making it.
MIN_TILES, MIN_TILES_OF_BATCH = 9, 128


def use_winograd(module: nn.Module) -> int:
    """Let the layers inside keep a second weight for inference, where it gains; returns how many there are.

    Called again, these are made anew.
    """
    layers = [layer for layer in module.modules() if type(layer) is WinogradConv2d and layer.gains]
    for layer in layers:
        layer.packed = _at_all_points()
    return len(layers)


class WinogradConv2d(nn.Conv2d):
    """A 3x3 `nn.Conv2d`, padded by 1, in all respects, but faster in float32 on x86 CPUs with AVX-512.

    In training every call makes the values of its weight at the 36 points. For inference they are kept after
    `use_winograd`, four times as large as the weight, and made at the first call that can use them. Rounds to about
    2e-6 of the largest value, as a direct convolution does. Differentiable once, where it is faster.
    """

    packed: PackedWeight | None = None

    def __init__(self, in_channels: int, out_channels: int, bias: bool = True):
        super().__init__(in_channels, out_channels, KERNEL, padding=1, bias=bias)

    @property
    def gains(self) -> bool:
        return min(self.in_channels, self.out_channels) >= MIN_CHANNELS

    def forward(self, feature_map: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, D, H, W)."""
        # A subclass has a weight that is computed, by a parametrisation for example.
        suits = self.gains and type(self) is WinogradConv2d and feature_map.dtype == torch.float32
        # Before anything depends on a size: a graph must serve all.
        if not (suits and packs(feature_map, self.weight)):
            return super().forward(feature_map)
        tiles = _tiles_along(feature_map.shape[2]) * _tiles_along(feature_map.shape[3])
        if learns(feature_map, self.weight, self.bias):
            if len(feature_map) * tiles >= MIN_TILES_OF_BATCH:
                return _Convolution.apply(feature_map, self.weight, self.bias)
        elif self.packed and len(feature_map) and tiles >= MIN_TILES:
            return _convolved(feature_map, self.packed, self.weight, self.bias)
        return super().forward(feature_map)

    def _apply(self, *args, **kwargs):
        if self.packed:
            self.packed.forget()
        return super()._apply(*args, **kwargs)


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx, feature_map, weight, bias):
        ctx.save_for_backward(feature_map, weight)
        return _convolved(feature_map, _at_all_points(), weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        feature_map, weight = ctx.saved_tensors
        of_map = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            turned = weight.flip(2, 3).transpose(0, 1)  # (C, D, 3, 3)
            of_map = _convolved(gradient, _at_all_points(), turned)
        if ctx.needs_input_grad[1]:
            of_weight = _weight_gradient(feature_map, gradient)
        if ctx.needs_input_grad[2]:
            of_bias = gradient.sum((0, 2, 3))
        return of_map, of_weight, of_bias


def _at_all_points() -> PackedWeight:
    """What `_convolved` multiplies with; of a weight that it is given then."""
    return PackedWeight(_weight_at_points, groups=POINTS)


def _convolved(feature_map: Tensor, packed: PackedWeight, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """(B, C, H, W), (D, C, 3, 3) -> (B, D, H, W)."""
    height, width = feature_map.shape[2:]
    down, across, channels = _tiles_along(height), _tiles_along(width), len(weight)
    shape = len(feature_map), channels, TILE * down, TILE * across
    result = torch.empty(shape, dtype=feature_map.dtype, device=feature_map.device, memory_format=torch.channels_last)
    for image, convolved in zip(feature_map.permute(0, 2, 3, 1), result.permute(0, 2, 3, 1), strict=True):
        places = convolved.view(down, TILE, across, TILE, channels)
        for start, stop in _strips(down, across):
            at_points = _at_points(image, start, stop, across)
            products = packed.multiply(at_points.flatten(1), weight).view(len(at_points), POINTS, channels)
            tiles = torch.bmm(_RESULTS.expand(len(products), -1, -1), products)  # (T, 16, D)
            tiles = tiles[: (stop - start) * across].view(stop - start, across, TILE, TILE, channels)
            tiles = tiles.transpose(1, 2)  # (rows, 4, across, 4, D)
            if bias is None:
                places[start:stop] = tiles
            else:
                torch.add(tiles, bias, out=places[start:stop])
    if result.shape[2:] != (height, width):
        result = result[:, :, :height, :width].clone(memory_format=torch.channels_last)
    return result  # no view: layers that follow may work in place


def _weight_gradient(feature_map: Tensor, gradient: Tensor) -> Tensor:
    """(B, C, H, W) and that of the result (B, D, H, W) -> (D, C, 3, 3)."""
    channels = gradient.shape[1], feature_map.shape[1]
    height, width = gradient.shape[2:]
    down, across = _tiles_along(height), _tiles_along(width)
    rest = (0, 0, 0, TILE * across - width, 0, TILE * down - height)
    of_points = feature_map.new_zeros(POINTS, *channels)
    for image, of_image in zip(feature_map.permute(0, 2, 3, 1), gradient.permute(0, 2, 3, 1), strict=True):
        filled = pad(of_image, rest) if any(rest) else of_image
        places = filled.unflatten(1, (across, TILE)).unflatten(0, (down, TILE))
        for start, stop in _strips(down, across):
            of_tiles = places[start:stop].transpose(1, 2).reshape(-1, TILE * TILE, channels[0])  # (T, 16, D)
            of_products = torch.bmm(_RESULTS.T.expand(len(of_tiles), -1, -1), of_tiles)  # (T, 36, D)
            at_points = _at_points(image, start, stop, across)[: len(of_tiles)]  # (T, 36, C)
            of_points.baddbmm_(of_products.permute(1, 2, 0), at_points.transpose(0, 1))
    of_taps = _POINTS_OF_WEIGHT.T @ of_points.flatten(1)
    return of_taps.view(KERNEL, KERNEL, *channels).permute(2, 3, 0, 1)


def _tiles_along(side: int) -> int:
    return -(-side // TILE)


def _strips(down: int, across: int) -> Iterator[tuple[int, int]]:
    """First and last row of tiles that are worked on together."""
    step = max(1, TILES // across)
    return ((start, min(start + step, down)) for start in range(0, down, step))


def _at_points(image: Tensor, start: int, stop: int, across: int) -> Tensor:
    """What the rows `start` to `stop` of tiles read of an image (H, W, C), zeros around it and after: (T, 36, C)."""
    height, width, channels = image.shape
    first, last = TILE * start - 1, TILE * stop + 1
    zeros = (0, 0, 1, TILE * across - width + 1, max(0, -first), max(0, last - height))
    padded = pad(image[max(0, first) : last], zeros)
    windows = padded.unfold(0, WINDOW, TILE).unfold(1, WINDOW, TILE)  # (rows, across, C, 6, 6), overlapping
    windows = windows.permute(0, 1, 3, 4, 2).reshape(-1, POINTS, channels)
    if missing := -len(windows) % FILLED:
        windows = pad(windows, (0, 0, 0, 0, 0, missing))
    return torch.bmm(_POINTS_OF_WINDOW.expand(len(windows), -1, -1), windows)


def _transforms() -> tuple[Tensor, Tensor, Tensor]:
    """A weight's 3x3 values to 6x6 points, a window's 6x6 values to them, and from products there to 4x4 results.

    Polynomials are evaluated at 0, at plus and minus the roots of 1/2 and 2, and at infinity, where only the highest
    power is left. Small points in pairs of opposite sign, whose products are 1, round least.
    """
    points = [0, 0.5**0.5, -(0.5**0.5), 2**0.5, -(2**0.5)]

    def values(coefficients: int) -> Tensor:  # of a polynomial, at the points
        powers = [[point**power for power in range(coefficients)] for point in points]
        at_infinity = [0] * (coefficients - 1) + [1]
        return torch.tensor([*powers, at_infinity], dtype=torch.float64, device="cpu")

    # A correlation is a product of polynomials, transposed.
    along_one_axis = values(KERNEL), torch.linalg.inv(values(WINDOW)).T, values(TILE).T
    return tuple(torch.kron(matrix, matrix).float() for matrix in along_one_axis)


_POINTS_OF_WEIGHT, _POINTS_OF_WINDOW, _RESULTS = _transforms()


def _weight_at_points(weight: Tensor) -> Tensor:
    """(D, C, 3, 3) -> (36*D, C)."""
    taps = weight.permute(2, 3, 0, 1).reshape(KERNEL**2, -1)
    return (_POINTS_OF_WEIGHT @ taps).view(-1, weight.shape[1])
