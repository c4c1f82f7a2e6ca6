"""Inference with 8-bit integers on a CPU: faster than bfloat16, half its memory, slightly different answers."""

import logging
from collections.abc import Callable

import torch
from torch import nn

from .backbones.vit import ViTSelfAttention
from .cpu import bfloat16_instructions
from .fingerprint import fingerprint
from .fusion import ResidualUnit
from .inference import fold_batch_norm
from .int8_attention import Int8SelfAttention
from .int8_layers import CANNOT_SAVE, Int8Conv2d, Int8Guard, Int8Linear, Int8Readout
from .packed_linear import PackedLinear
from .readout import ProjectReadout
from .winograd import WinogradConv2d

logger = logging.getLogger(__name__)

# Smaller layers cost nothing, and some of them compute positions, which are sensitive.
MIN_FEATURES = 32


class Int8Mixin(Int8Guard):
    """Adds `quantize_int8` to a model; goes before `InferenceMixin` in the bases."""

    def quantize_int8(self):
        """Let the large products be of 8-bit integers, for inference on a CPU; nothing has to be calibrated.

        These are the linear layers of the encoder and the convolutions of the neck. The rest, head and patch
        embedding among it, runs in bfloat16 where the CPU multiplies it, else in float32; the dtype of the model
        changes to that. Includes what `optimize_for_inference` does, and comes instead of it.

        There is no way back: save and train before. docs/quantization.md has speed and accuracy.

        Returns:
            The model itself.

        Raises:
            ValueError: the model is not on the CPU, or was prepared for inference already.
            RuntimeError: this CPU or this build of torch has no such products.
        """
        if self.is_int8:
            return self
        _check(self)
        # Of the weights as they are now: a quantised model has none that could be told apart.
        prints = {part: fingerprint(part) for part in self.modules() if isinstance(part, Int8Mixin)}
        self.eval().requires_grad_(False)
        fold_batch_norm(self)
        with torch.no_grad():
            linears = _quantize_encoder(self)
            readouts, convolutions = _quantize_decoder(self)
        rest = torch.bfloat16 if bfloat16_instructions() else torch.float32
        self.to(rest).optimize_for_inference()
        for part, weights_fingerprint in prints.items():  # the encoder is a model by itself, too
            part.is_int8, part.weights_fingerprint = True, weights_fingerprint
            part.register_forward_pre_hook(_require_its_dtype, with_kwargs=True)
        logger.info(
            "quantize_int8: %d linear layers and %d convolutions, the rest in %s",
            *(linears + readouts, convolutions, str(rest).removeprefix("torch.")),
        )
        return self

    def refuse_folded_weights(self, action: str) -> None:
        if self.is_int8:  # whatever else was done
            raise RuntimeError(CANNOT_SAVE)
        super().refuse_folded_weights(action)


def dtype_name(model: nn.Module) -> str:
    """What a model computes in, as people write it: a dtype of torch, or int8."""
    return "int8" if getattr(model, "is_int8", False) else str(model.dtype).removeprefix("torch.")


def _check(model: nn.Module) -> None:
    if model.device.type != "cpu":
        raise ValueError(
            f"quantize_int8: is for inference on a CPU, got a model on {model.device}. "
            'Call model.to("cpu") first, or use bfloat16 there.'
        )
    if any(isinstance(module, PackedLinear) for module in model.modules()):
        raise ValueError(
            "quantize_int8: comes instead of optimize_for_inference, got a model after it. Load it again."
        )
    if not (torch.backends.mkldnn.is_available() and hasattr(torch.ops.onednn, "qconv_pointwise")):
        raise RuntimeError("quantize_int8: needs a torch built with oneDNN, got one without. Use float32.")
    # Without them oneDNN adds pairs of products in 16 bits, which overflow: a tenth of every layer's answer is noise.
    if not (torch.cpu._is_vnni_supported() or torch.cpu.get_capabilities().get("avx_vnni")):
        raise RuntimeError(
            "quantize_int8: needs a CPU with 8-bit dot products (VNNI), got one without. Use bfloat16 or float32."
        )


def _require_its_dtype(model: nn.Module, arguments: tuple, named: dict) -> None:
    """Quantising has changed the dtype of the model, which whoever made the images need not know."""
    pixel_values = named.get("pixel_values", arguments[0] if arguments else None)
    if not isinstance(pixel_values, torch.Tensor) or torch.is_autocast_enabled("cpu"):
        return
    if pixel_values.is_floating_point() and pixel_values.dtype != model.dtype:
        required, got = (str(dtype).removeprefix("torch.") for dtype in (model.dtype, pixel_values.dtype))
        raise ValueError(
            f"pixel_values: must be {required}, as the rest of the quantised model, got {got}. "
            "Call pixel_values.to(model.dtype)."
        )


def _quantize_encoder(model: nn.Module) -> int:
    encoder = model.base_model
    attentions = _replace(encoder, lambda module: type(module) is ViTSelfAttention, Int8SelfAttention)
    return 3 * attentions + _replace(
        encoder,
        lambda module: type(module) is nn.Linear and min(module.weight.shape) >= MIN_FEATURES,
        Int8Linear.of,
    )


def _quantize_decoder(model: nn.Module) -> tuple[int, int]:
    neck = getattr(model, "neck", None)  # the encoder alone has none
    if neck is None:
        return 0, 0
    # Of the fusion stage the residual units; its 1x1 convolutions are no faster.
    units = [module for module in neck.fusion_stage.modules() if isinstance(module, ResidualUnit)]
    parts = [part for part in (neck.reassemble_stage, neck.convs, *units) if part is not None]
    readouts = [_replace(part, lambda module: isinstance(module, ProjectReadout), Int8Readout) for part in parts]
    kinds = nn.Conv2d, WinogradConv2d
    convolutions = [_replace(part, lambda module: type(module) in kinds, Int8Conv2d) for part in parts]
    return sum(readouts), sum(convolutions)


def _replace(root: nn.Module, suits: Callable[[nn.Module], bool], make: Callable[[nn.Module], nn.Module]) -> int:
    """Put what `make` makes of them in place of the modules below `root` that suit; returns how many there were."""
    found = [
        (parent, name, child) for parent in root.modules() for name, child in parent.named_children() if suits(child)
    ]
    for parent, name, child in found:
        setattr(parent, name, make(child))
    return len(found)
