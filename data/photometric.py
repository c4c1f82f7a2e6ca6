"""Random colours of an image: a curve per channel, then contrast and saturation."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Union

import torch
from torch import Tensor

# Random numbers that one image needs: whether, gamma, brightness, one for each channel, contrast, saturation.
COLOUR_DRAWS = 8

# Half widths of the ranges around 1. The first two are those of BTS (cleinc/bts); the last has the strengths of SSD,
# with a factor where SSD adds brightness, and without hue.
COLOUR_JITTERS = {
    "bts-nyu": {"gamma": 0.1, "brightness": 0.25, "colour": 0.1},
    "bts-kitti": {"gamma": 0.1, "brightness": 0.1, "colour": 0.1},
    "ssd": {"brightness": 0.125, "contrast": 0.5, "saturation": 0.5},
}


@dataclass(frozen=True)
class ColourJitter:
    """Factors drawn uniformly from 1 - x to 1 + x, for a part of the images.

    Args:
        gamma: Exponent of the values in 0 to 1.
        brightness: Factor on all channels.
        colour: Factor on each channel by itself.
        contrast: Factor on the distance from the mean grey of the image.
        saturation: Factor on the distance from the grey of the pixel.
        probability: Part of the images that are changed.

    Raises:
        ValueError: a number lies outside 0 to 1.
    """

    gamma: float = 0.0
    brightness: float = 0.0
    colour: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    probability: float = 0.5

    def __post_init__(self):
        for name, value in asdict(self).items():
            if not 0 <= value <= 1:
                raise ValueError(f"colour jitter: {name} must be from 0 to 1, got {value}. 0 switches it off.")

    @classmethod
    def of(cls, value: Union[float, str, Mapping[str, float], "ColourJitter"]) -> "ColourJitter":
        """From what a recipe says: a strength (1 = the ranges of BTS on NYU), a name in COLOUR_JITTERS, or the fields.

        Raises:
            ValueError: the name or a field is unknown.
        """
        if isinstance(value, ColourJitter):
            return value
        if isinstance(value, (int, float)):
            return cls(**{name: value * width for name, width in COLOUR_JITTERS["bts-nyu"].items()})
        names = [field.name for field in fields(cls)]
        if isinstance(value, str) and value not in COLOUR_JITTERS:
            raise ValueError(f"colour: must be a number or one of {', '.join(COLOUR_JITTERS)}, got {value!r}.")
        settings = COLOUR_JITTERS[value] if isinstance(value, str) else value
        if unknown := sorted(set(settings) - set(names)):
            raise ValueError(f"colour: knows {', '.join(names)}, got {', '.join(unknown)}.")
        return cls(**settings)

    def __call__(self, image: Tensor, draws: list[float]) -> Tensor:
        """uint8 (3, H, W) and COLOUR_DRAWS numbers in [0, 1) -> float32 (3, H, W) in 0 to 1; black stays black
        unless contrast changes."""
        if draws[0] >= self.probability:
            return image.float().div_(255)
        spread = [2 * draw - 1 for draw in draws[1:]]
        # 256 levels instead of every pixel: powers are slow.
        levels = torch.arange(256, device=image.device).div(255).pow(1 + self.gamma * spread[0])
        factors = [(1 + self.brightness * spread[1]) * (1 + self.colour * one) for one in spread[2:5]]
        curves = torch.outer(levels.new_tensor(factors), levels).clamp_(max=1)
        pixels = curves.gather(1, image.flatten(1).long()).view(image.shape)
        if self.contrast:
            pixels = torch.lerp(pixels.mean(), pixels, 1 + self.contrast * spread[5])
        if self.saturation:
            pixels = torch.lerp(pixels.mean(0, keepdim=True), pixels, 1 + self.saturation * spread[6])
        return pixels.clamp_(0, 1)
