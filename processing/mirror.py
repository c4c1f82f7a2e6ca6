"""A model's answer averaged with its answer for the mirrored image."""

from typing import Any

from torch import Tensor

MAPS = ("logits", "predicted_depth")


def mirror_mean(model: Any, pixel_values: Tensor) -> dict[str, Tensor]:
    """Run a model on a batch and on its mirror image, and average what it says of each pixel.

    There is no such mean over several input sizes for depth: a relative model's scale and shift change with the size.

    Args:
        model: Called as `model(pixel_values=...)`.
        pixel_values: (B, 3, h, w), normalised.

    Returns:
        predicted_depth (B, h, w) or logits (B, K, h, w), whichever the model gives. Averaged logits order the classes
        as their sum does.
    """
    outputs, mirrored = model(pixel_values=pixel_values), model(pixel_values=pixel_values.flip(-1))
    return {name: (outputs[name] + mirrored[name].flip(-1)) / 2 for name in MAPS if name in outputs}
