"""One resize rule for images, depth maps, label maps and predictions.

Every function works on tensors of any device. H W are pixels; sizes are (height, width). Pixel i covers the interval
[i, i + 1): all resizing aligns the outer edges of the grids (align_corners False), so image, depth, labels and
intrinsics (see geometry.py) stay registered.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

# The scale of both sides when the aspect ratio is kept, from the scales that height and width would need.
_COMMON_SCALE = {
    "minimal": lambda scale_h, scale_w: scale_w if abs(1 - scale_w) < abs(1 - scale_h) else scale_h,
    "lower_bound": max,
    "upper_bound": min,
}
RESIZE_METHODS = tuple(_COMMON_SCALE)

# Pillow's resampling codes, as stored in preprocessor_config.json, to torch's interpolation modes.
RESAMPLE_MODES = {0: "nearest", 2: "bilinear", 3: "bicubic"}

# CUDA keeps the filter of an antialiased resize in its shared memory: 48 KiB hold that of 46 to 1.
MAX_SHRINK_ON_DEVICE = 40


def target_size(
    height: int,
    width: int,
    size: tuple[int, int],
    *,
    method: str = "minimal",
    keep_aspect_ratio: bool = True,
    multiple_of: int = 1,
) -> tuple[int, int]:
    """Size that an image gets before it enters the network: the authors' rule.

    Args:
        height, width: Size of the image.
        size: (height, width) aimed at.
        method: With the aspect ratio kept, one side meets its target and the other follows. "minimal": the side that
            needs the smaller change. "lower_bound": both sides at least the target. "upper_bound": at most.
        keep_aspect_ratio: False stretches both sides to `size`.
        multiple_of: Both sides are rounded to a multiple of this, half to even; never below one multiple.

    Returns:
        (height, width).

    Source: protocols of the authors' public code (dpt/transforms.py); arXiv:2103.13413, section 4.
    """
    scale_h, scale_w = size[0] / height, size[1] / width
    if keep_aspect_ratio:
        scale_h = scale_w = _COMMON_SCALE[method](scale_h, scale_w)

    def constrain(length: float, target: int) -> int:
        steps = round(length / multiple_of)  # half to even, as numpy rounds
        if method == "upper_bound" and steps * multiple_of > target:
            steps = math.floor(length / multiple_of)
        if method == "lower_bound" and steps * multiple_of < target:
            steps = math.ceil(length / multiple_of)
        return max(steps, 1) * multiple_of

    return constrain(scale_h * height, size[0]), constrain(scale_w * width, size[1])


def resize_image(image: torch.Tensor, size: tuple[int, int], *, mode: str = "bicubic", antialias: bool = False):
    """Resize a batch of images.

    Args:
        image: RGB, shape (B, 3, H, W), uint8 or floating.
        size: (height, width) of the result.
        mode: "nearest", "bilinear" or "bicubic".
        antialias: False samples the image as OpenCV's INTER_CUBIC does (the authors): floating result, cubic overshoot
            kept. True widens the filter when shrinking, as Pillow does. A uint8 image is then resized by Pillow itself
            on the CPU, and elsewhere by the same filter with both passes rounded to 0..255 (width first; Pillow 13
            sometimes takes the height first, which shows only where a pass saturates at a sharp edge).

    Returns:
        float32 tensor of shape (B, 3, height, width), same scale as the input.
    """
    if tuple(image.shape[-2:]) == tuple(size):
        return image.float()
    if mode == "nearest":
        return resize_nearest(image, size).float()
    if not antialias:
        return F.interpolate(image.float(), size=size, mode=mode, align_corners=False)
    shrink = max(length / new for length, new in zip(image.shape[-2:], size, strict=True))
    if image.device.type != "cpu" and shrink > MAX_SHRINK_ON_DEVICE:
        return resize_image(image.cpu(), size, mode=mode, antialias=True).to(image.device)
    if image.dtype != torch.uint8:
        return F.interpolate(image.float(), size=size, mode=mode, align_corners=False, antialias=True)
    if image.device.type == "cpu":
        return torch.stack([_pillow_resize(single, size, mode) for single in image])
    return _two_pass_resize(image, size, mode)


def resize_nearest(values: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Pick the pixel under each new pixel's centre. Shape (..., H, W), any dtype; no new value can appear."""
    for dim, length in ((-2, size[0]), (-1, size[1])):
        if values.shape[dim] != length:
            values = values.index_select(dim, _nearest_indices(values.shape[dim], length).to(values.device))
    return values


def resize_depth(depth: torch.Tensor, size: tuple[int, int], *, mode: str = "nearest") -> torch.Tensor:
    """Resize depth or disparity maps without mixing values across missing ones.

    Args:
        depth: Shape (..., H, W), floating. Missing pixels are 0.
        size: (height, width) of the result.
        mode: "nearest" (as the authors; nothing is mixed across object borders either), or "bilinear": interpolated
            where every contributing pixel is present, nearest elsewhere.

    Returns:
        Tensor of shape (..., height, width); 0 where the nearest pixel is missing.

    Raises:
        ValueError: unknown mode.
    """
    nearest = resize_nearest(depth, size)
    if mode == "nearest":
        return nearest
    if mode != "bilinear":
        raise ValueError(f"depth resize mode: must be 'nearest' or 'bilinear', got {mode!r}.")
    maps = depth.reshape(-1, 1, *depth.shape[-2:])
    smooth = F.interpolate(maps, size=size, mode="bilinear", align_corners=False)
    # Bilinear weights are not negative: the share of missing pixels is exactly 0 only if none contributes.
    missing = F.interpolate((maps == 0).to(maps.dtype), size=size, mode="bilinear", align_corners=False)
    return torch.where((missing == 0).reshape(nearest.shape), smooth.reshape(nearest.shape), nearest)


def resize_prediction(maps: torch.Tensor, size: tuple[int, int] | None, *, mode: str = "bicubic") -> torch.Tensor:
    """Bring predicted maps to another size, in float32.

    Args:
        maps: Shape (B, C, H, W), floating.
        size: (height, width), or None to keep the size.
        mode: "bicubic" (the authors), "bilinear", "nearest", or "bilinear-corners", which aligns the centres of the
            corner pixels instead of the outer edges (some published evaluations do).

    Returns:
        float32 tensor (B, C, height, width). Each map stays within its own minimum and maximum: cubic overshoot would
        turn disparity negative, and rounding would give a constant map structure. NaN spreads to the pixels that it
        has a part in, and no further.
    """
    maps = maps.float()
    if size is None or tuple(maps.shape[-2:]) == tuple(size):
        return maps
    if mode == "nearest":
        return resize_nearest(maps, size)
    if mode not in ("bicubic", "bilinear", "bilinear-corners"):
        raise ValueError(f"mode: must be 'bicubic', 'bilinear', 'bilinear-corners' or 'nearest', got {mode!r}.")
    kind, _, corners = mode.partition("-")
    resized = F.interpolate(maps, size=size, mode=kind, align_corners=bool(corners))
    # Not maps.amin(): one NaN would become the bound of the whole map.
    least, largest = (torch.where(maps.isnan(), bound, maps) for bound in (math.inf, -math.inf))
    return resized.clamp(least.amin((-2, -1), keepdim=True), largest.amax((-2, -1), keepdim=True))


def _pillow_resize(image: torch.Tensor, size: tuple[int, int], mode: str) -> torch.Tensor:
    picture = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
    resample = Image.Resampling.BICUBIC if mode == "bicubic" else Image.Resampling.BILINEAR
    return torch.from_numpy(np.array(picture.resize((size[1], size[0]), resample), np.float32)).permute(2, 0, 1)


def _two_pass_resize(image: torch.Tensor, size: tuple[int, int], mode: str) -> torch.Tensor:
    result = image.float()
    for step in ((image.shape[-2], size[1]), tuple(size)):
        if tuple(result.shape[-2:]) != step:
            result = F.interpolate(result, size=step, mode=mode, align_corners=False, antialias=True)
            result = (result + 0.5).floor().clamp(0, 255)  # half up, not half to even
    return result


def _nearest_indices(length: int, new_length: int) -> torch.Tensor:
    # Centres are summed up step by step in double precision, so that ties fall as they do in Pillow.
    steps = torch.full((new_length,), length / new_length, dtype=torch.float64)
    steps[0] /= 2
    return steps.cumsum(0).long().clamp_(max=length - 1)
