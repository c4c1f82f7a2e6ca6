"""The graph that is exported: a uint8 image of any size to the prediction at that size, in tensor operations only.

Sizes may be symbols here, so no decision in Python may depend on one. What the processor decides in Python it decides
in tensors: `check.py` compares the two before a file counts as written.

Legend: B batch, H W pixels of the image, h w pixels of the network's input, K classes.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ..post_processing import CLASS_CHUNK
from ..resize import RESAMPLE_MODES, target_size
from .metadata import ExportError
from .pillow import resize_as_pillow


class ImageToPrediction(nn.Module):
    """Processor, model and post-processing as one module.

    Args:
        model: DPTForDepthEstimation or DPTForSemanticSegmentation in eval mode.
        processor: DPTImageProcessor; its settings become constants of the graph.

    Raises:
        ExportError: the processor's rule has no form in tensor operations.
    """

    def __init__(self, model: nn.Module, processor: Any):
        super().__init__()
        if processor.do_resize and RESAMPLE_MODES[processor.resample] == "nearest":
            raise ExportError("resample: a graph resizes bilinear (2) or bicubic (3), got nearest (0).")
        self.model = model
        self.processor = processor
        self.classes = getattr(model.config, "num_labels", 0) if hasattr(model, "auxiliary_head") else 0
        factor = processor.rescale_factor if processor.do_rescale else 1.0
        normalize = processor.do_normalize
        mean, std = (processor.image_mean, processor.image_std) if normalize else ([0.0] * 3, [1.0] * 3)
        # Not parameters of the model: they stay float32 whatever its dtype is.
        self.factor = factor
        self.mean = torch.tensor(mean).view(1, 3, 1, 1)
        self.std = torch.tensor(std).view(1, 3, 1, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """RGB uint8 (B, H, W, 3) -> depth or disparity float32 (B, H, W), or class ids int64 (B, H, W)."""
        original = image.shape[1:3]
        pixels = self._resize(image.permute(0, 3, 1, 2), self._network_size(*original))
        pixels = (pixels * self.factor - self.mean) / self.std
        pixels, padding = self._pad(pixels)
        outputs = self.model(pixel_values=pixels.to(self.model.dtype))
        if not self.classes:
            return _resized(self._unpad(outputs.predicted_depth[:, None], padding), original)[:, 0]
        return _strongest_class(self._unpad(outputs.logits, padding), original)

    def _network_size(self, height: Any, width: Any) -> tuple[Any, Any]:
        rule = self.processor
        if not rule.do_resize:
            return height, width
        aim = rule.size["height"], rule.size["width"]
        options = {"method": rule.resize_method, "multiple_of": rule.ensure_multiple_of}
        if isinstance(height, int) and isinstance(width, int):
            return target_size(height, width, aim, keep_aspect_ratio=rule.keep_aspect_ratio, **options)
        if not rule.keep_aspect_ratio:  # whatever the image's size is
            return target_size(*aim, aim, keep_aspect_ratio=False, **options)
        # A token grid of one row cannot be resized with aligned corners when its size is a symbol.
        least = -(-2 * self.model.config.size_divisor // rule.ensure_multiple_of)
        return _target_size(height, width, aim, least=least, **options)

    def _resize(self, image: torch.Tensor, size: tuple[Any, Any]) -> torch.Tensor:
        rule = self.processor
        if not rule.do_resize or _same(image.shape[-2:], size):
            return image.float()
        mode = RESAMPLE_MODES[rule.resample]
        if rule.antialias:
            return resize_as_pillow(image, size, mode)
        return F.interpolate(image.float(), size=size, mode=mode, align_corners=False)

    def _pad(self, pixels: torch.Tensor) -> tuple[torch.Tensor, tuple[int, int, int, int]]:
        divisor = self.processor.size_divisor if self.processor.do_pad else None
        if not divisor:
            return pixels, (0, 0, 0, 0)
        rows, columns = (-side % divisor for side in pixels.shape[-2:])
        padding = columns // 2, columns - columns // 2, rows // 2, rows - rows // 2
        return F.pad(pixels, padding), padding

    @staticmethod
    def _unpad(maps: torch.Tensor, padding: tuple[int, int, int, int]) -> torch.Tensor:
        left, right, top, bottom = padding
        height, width = maps.shape[-2:]
        return maps[..., top : height - bottom, left : width - right]


def _same(first: tuple[Any, Any], second: tuple[Any, Any]) -> bool:
    """Whether two sizes are known to be equal; sizes that are symbols are not."""
    return all(isinstance(side, int) for side in (*first, *second)) and tuple(first) == tuple(second)


def _target_size(
    height: Any, width: Any, aim: tuple[int, int], *, method: str, multiple_of: int, least: int
) -> tuple[torch.SymInt, torch.SymInt]:
    """`resize.target_size` with the aspect ratio kept, for symbols; never below `least` multiples."""
    # In double precision and in the same order as in Python: sizes halfway between two multiples fall the same way.
    sides = [torch.full((), side, dtype=torch.float64) for side in (height, width)]
    scale_h, scale_w = (
        torch.full((), goal, dtype=torch.float64) / side for goal, side in zip(aim, sides, strict=True)
    )
    scale = {
        "minimal": lambda: torch.where((1 - scale_w).abs() < (1 - scale_h).abs(), scale_w, scale_h),
        "lower_bound": lambda: torch.maximum(scale_h, scale_w),
        "upper_bound": lambda: torch.minimum(scale_h, scale_w),
    }[method]()

    def constrain(side: torch.Tensor, goal: int) -> torch.SymInt:
        length = scale * side / multiple_of
        steps = length.round()  # half to even
        if method == "upper_bound":
            steps = torch.where(steps * multiple_of > goal, length.floor(), steps)
        if method == "lower_bound":
            steps = torch.where(steps * multiple_of < goal, length.ceil(), steps)
        count = steps.clamp(min=least).long().item()
        torch._check(count >= least)
        return count * multiple_of

    return constrain(sides[0], aim[0]), constrain(sides[1], aim[1])


def _resized(maps: torch.Tensor, size: tuple[Any, Any]) -> torch.Tensor:
    """`resize.resize_prediction` for a size that may be a symbol: (B, C, h, w) -> float32 (B, C, *size)."""
    maps = maps.float()
    if _same(maps.shape[-2:], size):
        return maps
    resized = F.interpolate(maps, size=size, mode="bicubic", align_corners=False)
    low, high = (extreme(maps, (-2, -1), keepdim=True) for extreme in (torch.amin, torch.amax))
    return torch.minimum(torch.maximum(resized, low), high)


def _strongest_class(logits: torch.Tensor, size: tuple[Any, Any]) -> torch.Tensor:
    """Logits (B, K, h, w) -> class ids int64 (B, *size), a few classes at a time as all may not fit."""
    best = labels = None
    for start in range(0, logits.shape[1], CLASS_CHUNK):
        top, index = _resized(logits[:, start : start + CLASS_CHUNK], size).max(dim=1)
        if best is None:
            best, labels = top, index
        else:
            better = top > best
            best, labels = torch.where(better, top, best), torch.where(better, index + start, labels)
    return labels
