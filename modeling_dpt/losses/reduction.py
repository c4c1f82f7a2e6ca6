"""What all depth losses share: full precision, and the mean over images that have something to learn from."""

from collections.abc import Callable
from functools import wraps

import torch
from torch import Tensor


def in_full_precision(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Run a loss outside autocast, with every half-precision tensor argument raised to float32 (float64 stays)."""

    @wraps(loss)
    def wrapper(prediction: Tensor, *tensors: Tensor | None, **options) -> Tensor:
        with torch.autocast(prediction.device.type, enabled=False):
            return loss(_raise(prediction), *map(_raise, tensors), **options)

    return wrapper


def mean_over_images(per_image: Tensor, valid: Tensor) -> Tensor:
    """Mean of (B,) losses over the images with any valid pixel; 0 (with zero gradient) if there is none."""
    counted = valid.flatten(1).any(1)
    return torch.where(counted, per_image, 0.0).sum() / counted.sum().clamp(min=1)


def _raise(tensor: Tensor | None) -> Tensor | None:
    return tensor.float() if tensor is not None and tensor.dtype in (torch.float16, torch.bfloat16) else tensor
