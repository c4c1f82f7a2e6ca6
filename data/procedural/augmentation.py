"""Joint augmentation of a whole batch on the device it lies on: crop, flip and resize in one sampling, then colour.

Shape legend: B batch, H W source pixels, S side of the result in pixels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

# Random numbers that one image needs: 5 for its crop, 4 for its colours, 3 for its white balance.
DRAWS = 12


def random_views(
    images: Tensor,
    disparities: Tensor,
    size: int,
    draws: Tensor,
    *,
    smallest_area: float = 0.4,
    largest_stretch: float = 1.15,
    flip: bool = True,
    colour: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Cut a random part out of each image and its disparity map, at one size for the batch.

    Args:
        images: RGB, 0 to 255. Shape (B, 3, H, W), uint8.
        disparities: Disparity of every pixel. Shape (B, H, W), any float type.
        size: Side S of the square result in pixels.
        draws: All the randomness, uniform in [0, 1), on the CPU. Shape (B, DRAWS).
        smallest_area: The part covers between this fraction and all of the image.
        largest_stretch: The aspect ratio of the part changes at most by this factor.
        flip: Mirror half of the images.
        colour: Strength of the colour jitter; 0 switches it off, 1 is a light one.

    Returns:
        Images of shape (B, 3, S, S), float32 in 0 to 1, and disparities of shape (B, S, S), float32. Disparity is
        taken from the nearest pixel, so that no value mixes the two sides of an edge.
    """
    count, device = images.shape[0], images.device
    theta = _crops(draws[:, :5], smallest_area, largest_stretch, flip).to(device)
    grid = F.affine_grid(theta, [count, 1, size, size], align_corners=False)
    views = F.grid_sample(images.float().div_(255), grid, padding_mode="border", align_corners=False)
    depths = F.grid_sample(
        disparities.float()[:, None], grid, mode="nearest", padding_mode="border", align_corners=False
    )
    if colour:
        views = _jitter(views, (colour * (2 * draws[:, 5:] - 1)).to(device))
    return views, depths[:, 0]


def normalise(images: Tensor, mean: float = 0.5, std: float = 0.5) -> Tensor:
    """Images in 0 to 1 to what the model reads, -1 to 1 by default."""
    return (images - mean) / std


def _crops(draws: Tensor, smallest_area: float, largest_stretch: float, flip: bool) -> Tensor:
    """Affine maps (B, 2, 3) from the result's coordinates in [-1, 1] to the image's."""
    area, stretch, x, y, mirror = draws.unbind(1)
    side = (smallest_area + (1 - smallest_area) * area).sqrt()
    stretch = largest_stretch ** (stretch - 0.5)
    width, height = (side * stretch).clamp(max=1), (side / stretch).clamp(max=1)
    sign = torch.where(mirror < 0.5, -1.0, 1.0) if flip else 1.0
    zero = torch.zeros_like(x)
    rows = [width * sign, zero, (2 * x - 1) * (1 - width), zero, height, (2 * y - 1) * (1 - height)]
    return torch.stack(rows, 1).view(-1, 2, 3)


def _jitter(images: Tensor, draws: Tensor) -> Tensor:
    """Saturation, contrast, exposure, gamma and white balance by draws (B, 7) in -1 to 1, times the strength."""
    saturation, contrast, exposure, gamma = (
        torch.exp(spread * draws[:, index, None, None, None]) for index, spread in enumerate((0.4, 0.25, 0.2, 0.2))
    )
    white = torch.exp(0.08 * draws[:, 4:, None, None])
    grey = images.mean(1, keepdim=True)
    images = torch.lerp(grey, images, saturation)
    images = torch.lerp(grey.mean((2, 3), keepdim=True), images, contrast) * (exposure * white)
    return images.clamp(1e-3, 1).pow(gamma)
