"""A 3x3 convolution with a quarter of the multiplications (Winograd's algorithm, arXiv:1509.09308, section 4).

A tile of 4x4 results is a sum of products of three polynomials: instead of multiplying out, tile and weight are
evaluated at 6x6 points, multiplied there for all channels at once, and the results interpolated.

Legend: H W size of the map, C D channels in and out, T tiles.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from .packed_weight import PackedWeight, pays_packed

# Rows and columns of results of a tile, of the map below it, and of the weight.
TILE, WINDOW, KERNEL = 4, 6, 3
# Tiles at a time: their maps stay in the processor's cache, and oneDNN has enough for its fastest products.
TILES = 144
# They are filled up to a multiple: oneDNN has to be asked about each number of tiles that it has not seen.
FILLED = 12
# With fewer channels what evaluates and interpolates costs more than the products that are saved.
MIN_CHANNELS = 96
# With fewer tiles reading the larger weight costs more.
MIN_TILES = 9


def use_winograd(module: nn.Module) -> int:
    """Let every convolution inside that gains be a `WinogradConv2d`, in place; returns how many there are.

    Called again, weights are prepared anew.
    """
    layers = [layer for layer in module.modules() if type(layer) in (nn.Conv2d, WinogradConv2d) and _gains(layer)]
    for layer in layers:
        layer.__class__ = WinogradConv2d  # whatever hangs on the layer stays
        layer._packed = PackedWeight(_weight_at_points, groups=WINDOW * WINDOW)
    return len(layers)


class WinogradConv2d(nn.Conv2d):
    """A 3x3 `nn.Conv2d`, padded by 1, in all respects, with faster float32 inference on x86 CPUs with AVX-512;
    made by `use_winograd`.

    `weight` stays what it is; its values at the 36 points are kept beside it, four times as large, and made at the
    first call that can use them. Rounds to about 2e-6 of the largest value, as a direct convolution does.
    """

    _packed: PackedWeight

    def forward(self, feature_map: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, D, H, W)."""
        down, across = (-(-side // TILE) for side in feature_map.shape[-2:])
        enough = len(feature_map) and down * across >= MIN_TILES and feature_map.dtype == torch.float32
        # A subclass has a weight that is computed, by a parametrisation for example.
        if not (enough and type(self) is WinogradConv2d and pays_packed(feature_map, self.weight)):
            return super().forward(feature_map)
        batch, _, height, width = feature_map.shape
        result = feature_map.new_empty(batch, TILE * down, TILE * across, self.out_channels)
        for image, convolved in zip(feature_map.permute(0, 2, 3, 1), result, strict=True):
            self._convolve(image, convolved.view(down, TILE, across, TILE, -1))
        return result[:, :height, :width].permute(0, 3, 1, 2)

    def _convolve(self, image: Tensor, places: Tensor) -> None:
        """(H, W, C) -> (tiles down, 4, tiles across, 4, D)."""
        down, across = places.shape[0], places.shape[2]
        step = max(1, TILES // across)
        for start in range(0, down, step):
            stop = min(start + step, down)
            windows = _windows(image, start, stop, across)  # (T, 36, C)
            at_points = torch.bmm(_POINTS_OF_WINDOW.expand(len(windows), -1, -1), windows)
            products = self._packed.multiply(at_points.flatten(1), self.weight).view(len(windows), WINDOW**2, -1)
            tiles = torch.bmm(_RESULTS.expand(len(windows), -1, -1), products)  # (T, 16, D)
            tiles = tiles[: (stop - start) * across].view(stop - start, across, TILE, TILE, self.out_channels)
            tiles = tiles.transpose(1, 2)  # (rows, 4, across, 4, D)
            if self.bias is None:
                places[start:stop] = tiles
            else:
                torch.add(tiles, self.bias, out=places[start:stop])

    def _apply(self, *args, **kwargs):
        self._packed.forget()
        return super()._apply(*args, **kwargs)


def _windows(image: Tensor, start: int, stop: int, across: int) -> Tensor:
    """What the rows `start` to `stop` of tiles read of an image (H, W, C), zeros around it and after: (T, 36, C)."""
    height, width, channels = image.shape
    first, last = TILE * start - 1, TILE * stop + 1
    zeros = (0, 0, 1, TILE * across - width + 1, max(0, -first), max(0, last - height))
    padded = pad(image[max(0, first) : last], zeros)
    windows = padded.unfold(0, WINDOW, TILE).unfold(1, WINDOW, TILE)  # (rows, across, C, 6, 6), overlapping
    windows = windows.permute(0, 1, 3, 4, 2).reshape(-1, WINDOW**2, channels)
    missing = -len(windows) % FILLED
    return pad(windows, (0, 0, 0, 0, 0, missing)) if missing else windows


def _gains(convolution: nn.Conv2d) -> bool:
    plain = nn.Conv2d(1, 1, KERNEL, padding=1, device="meta")
    same = ("kernel_size", "stride", "padding", "dilation", "groups", "padding_mode")
    channels = min(convolution.in_channels, convolution.out_channels)
    return channels >= MIN_CHANNELS and all(getattr(convolution, name) == getattr(plain, name) for name in same)


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
