"""Where faster code may stand in for PyTorch's own in training: where nobody would notice."""

import torch
from torch import Tensor, nn


def learns_plainly(*tensors: Tensor) -> bool:
    """Whether all there is to these tensors is numbers on the CPU, and autograd is all that follows them."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False  # a graph is optimised by whoever runs it
    # Gradients of each image, of gradients or forwards: there is one rule for the plain way only.
    if torch._C._are_functorch_transforms_active() or torch.autograd.forward_ad._current_level >= 0:
        return False
    plain = all(type(tensor) in (Tensor, nn.Parameter) and tensor.device.type == "cpu" for tensor in tensors)
    return plain and torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
