"""Preparing a model for inference: same results, less work."""

import logging

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .backbones.hybrid import fold_weight_standardization
from .fusion import ResidualUnit
from .packed_linear import pack_linears
from .packed_weight import can_pack
from .winograd import use_winograd

logger = logging.getLogger(__name__)


class InferenceMixin:
    """Adds `optimize_for_inference` to a model."""

    def optimize_for_inference(self):
        """Switch to eval mode, fold batch norm into the convolutions before it, store convolutions channels-last.

        A hybrid's stem standardises its weights now instead of at every call. On CPUs with AVX-512 the weights of
        linear layers are kept a second time, as the CPU multiplies them, in float32 and bfloat16: made at the first
        such call, rarely twice, for numbers of tokens that differ much. There the neck's 3x3 convolutions need a
        quarter of the products in float32, and a second weight of four times the size. Other devices need no more
        memory.

        Outputs stay the same within 1e-5 relative in float32. There is no way back from folding: train, and save for
        further training, before calling this. What was done is logged.

        Returns:
            The model itself.
        """
        self.eval()
        done = ["eval mode", "channels-last", f"{fold_batch_norm(self)} batch norms folded", "gradients off"]
        self.to(memory_format=torch.channels_last)
        if standardised := fold_weight_standardization(self):
            done.append(f"{standardised} weights standardised")
        self.requires_grad_(False)
        if can_pack():
            done.append(f"{pack_linears(self)} linear layers packed for the CPU")
            neck = getattr(self, "neck", nn.Identity())  # the encoder alone has none
            done.append(f"{use_winograd(neck)} convolutions with fewer products in float32")
        logger.info("optimize_for_inference: %s", ", ".join(done))
        return self


@torch.no_grad()
def fold_batch_norm(model: nn.Module) -> int:
    """Fold every batch norm of the decoder into its convolution, in place; returns how many there were."""
    folded = 0
    for module in model.modules():
        if isinstance(module, ResidualUnit):
            for number in (1, 2):
                folded += _fold(module, f"convolution{number}", f"batch_norm{number}")
        elif isinstance(module, nn.Sequential) and len(module) > 1:
            folded += _fold(module, "0", "1")
    return folded


def _fold(parent: nn.Module, convolution: str, norm: str) -> bool:
    children = dict(parent.named_children())
    if not (isinstance(children[convolution], nn.Conv2d) and isinstance(children[norm], nn.BatchNorm2d)):
        return False
    setattr(parent, convolution, fuse_conv_bn_eval(children[convolution], children[norm]))
    setattr(parent, norm, nn.Identity())
    return True
