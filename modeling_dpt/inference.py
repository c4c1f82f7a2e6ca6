"""Preparing a model for inference: same results, less work."""

import logging

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .backbones.hybrid import fold_weight_standardization
from .fusion import ResidualUnit
from .heads import SegmentationHead
from .packed_linear import pack_linears
from .packed_weight import can_pack
from .winograd import use_winograd

logger = logging.getLogger(__name__)


class InferenceMixin:
    """Adds `optimize_for_inference` to a model."""

    has_folded_weights = False

    def optimize_for_inference(self):
        """Prepare this model for inference where it is: the same answers, within 1e-5 relative in float32.

        Eval mode, gradients off, convolutions channels-last, batch norm folded into the convolutions before it; a
        hybrid's stem standardises its weights now instead of at every call. Train and save before: there is no way
        back from folding, and a model with folded weights refuses to be saved.

        On a CPU with AVX-512 the weights of linear layers are kept a second time, as the CPU multiplies them, and the
        neck's 3x3 convolutions need a quarter of the products in float32, with a second weight of four times the size.
        These are made at the first call that needs them, and again when the weights have changed; after a change
        through `weight.data`, which PyTorch does not count, call this again. Other devices need no more memory.

        What was done is logged.

        Returns:
            The model itself.
        """
        self.eval().requires_grad_(False)
        norms, standardised = fold_batch_norm(self), fold_weight_standardization(self)
        for part in self.modules():  # an encoder can be saved by itself, too
            if isinstance(part, InferenceMixin):
                part.has_folded_weights |= bool(norms or standardised)
        self.to(memory_format=torch.channels_last)
        done = ["eval mode", "gradients off", "channels-last", f"{norms} batch norms folded"]
        if standardised:
            done.append(f"{standardised} weights standardised")
        if can_pack() and self.device.type == "cpu":
            done.append(f"{pack_linears(self)} linear layers packed")
            neck = getattr(self, "neck", nn.Identity())  # the encoder alone has none
            done.append(f"{use_winograd(neck)} convolutions with fewer products in float32")
        logger.info("optimize_for_inference: %s", ", ".join(done))
        return self

    def refuse_folded_weights(self, action: str) -> None:
        """Raises RuntimeError where weights are no longer what the configuration says of them."""
        if self.has_folded_weights:
            raise RuntimeError(
                f"{action}: optimize_for_inference has folded weights, which would be read as others. "
                "Save the model before it, or load it again."
            )


@torch.no_grad()
def fold_batch_norm(model: nn.Module) -> int:
    """Fold every batch norm of the decoder into its convolution, in place; returns how many there were."""
    folded = 0
    for module in model.modules():
        if isinstance(module, ResidualUnit):
            for number in (1, 2):
                folded += _fold(module, f"convolution{number}", f"batch_norm{number}")
        elif isinstance(module, SegmentationHead):
            folded += _fold(module.head, "0", "1")
    return folded


def _fold(parent: nn.Module, convolution: str, norm: str) -> bool:
    children = dict(parent.named_children())
    if not (isinstance(children[convolution], nn.Conv2d) and isinstance(children[norm], nn.BatchNorm2d)):
        return False
    # In float32: a product of two numbers that are rounded to half precision is rounded once more.
    dtype = children[convolution].weight.dtype
    fused = fuse_conv_bn_eval(children[convolution].float(), children[norm].float()).to(dtype)
    setattr(parent, convolution, fused)
    setattr(parent, norm, nn.Identity())
    return True
