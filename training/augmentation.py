"""Joint augmentation of a whole batch on the device it lies on: crop, flip and resize in one sampling, then colour.

Shape legend: B batch, H W source pixels, S side of the result in pixels.
"""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor


def random_views(
    images: Tensor,
    disparities: Tensor,
    size: int,
    generator: Generator,
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
        generator: Source of all randomness, on the CPU; the same state gives the same views on every device.
        smallest_area: The part covers between this fraction and all of the image.
        largest_stretch: The aspect ratio of the part changes at most by this factor.
        flip: Mirror half of the images.
        colour: Strength of the colour jitter; 0 switches it off, 1 is a light one.

    Returns:
        Images of shape (B, 3, S, S), float32 in 0 to 1, and disparities of shape (B, S, S), float32. Disparity is
        taken from the nearest pixel, so that no value mixes the two sides of an edge.
    """
    count, device = images.shape[0], images.device
    theta = _random_crops(count, generator, smallest_area, largest_stretch, flip).to(device)
    grid = F.affine_grid(theta, [count, 1, size, size], align_corners=False)
    views = F.grid_sample(images.float().div_(255), grid, padding_mode="border", align_corners=False)
    depths = F.grid_sample(
        disparities.float()[:, None], grid, mode="nearest", padding_mode="border", align_corners=False
    )
    if colour:
        views = _jitter(views, colour, generator)
    return views, depths[:, 0]


def normalise(images: Tensor, mean: float = 0.5, std: float = 0.5) -> Tensor:
    """Images in 0 to 1 to what the model reads, -1 to 1 by default."""
    return (images - mean) / std


def _random_crops(
    count: int, generator: Generator, smallest_area: float, largest_stretch: float, flip: bool
) -> Tensor:
    """Affine maps (B, 2, 3) from the result's coordinates in [-1, 1] to the image's."""
    area, stretch, x, y, mirror = torch.rand(5, count, generator=generator)
    side = (smallest_area + (1 - smallest_area) * area).sqrt()
    stretch = largest_stretch ** (stretch - 0.5)
    width, height = (side * stretch).clamp(max=1), (side / stretch).clamp(max=1)
    sign = torch.where(mirror < 0.5, -1.0, 1.0) if flip else 1.0
    zero = torch.zeros(count)
    rows = [width * sign, zero, (2 * x - 1) * (1 - width), zero, height, (2 * y - 1) * (1 - height)]
    return torch.stack(rows, 1).view(count, 2, 3)


def _jitter(images: Tensor, strength: float, generator: Generator) -> Tensor:
    """Exposure, contrast, saturation, white balance and gamma, one draw per image."""

    def around_one(spread: float, channels: int = 1) -> Tensor:
        draw = torch.rand(images.shape[0], channels, 1, 1, generator=generator) * 2 - 1
        return torch.exp(spread * strength * draw).to(images.device)

    grey = images.mean(1, keepdim=True)
    images = torch.lerp(grey, images, around_one(0.4))
    level = grey.mean((2, 3), keepdim=True)
    images = torch.lerp(level, images, around_one(0.25)) * (around_one(0.2) * around_one(0.08, channels=3))
    return images.clamp(1e-3, 1).pow(around_one(0.2))
