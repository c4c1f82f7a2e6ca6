"""Where faster code may stand in for PyTorch's own: where nobody would notice."""

import torch
from torch import Tensor, nn


def only_numbers(*tensors: Tensor) -> bool:
    """Whether all there is to these tensors is numbers on the CPU, and autograd alone may follow them."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False  # a graph is optimised by whoever runs it
    # Gradients of each image, of gradients or forwards: there is one rule for the plain way only.
    if torch._C._are_functorch_transforms_active() or torch.autograd.forward_ad._current_level >= 0:
        return False
    # Other kinds of tensors, such as fake ones, may hold no numbers, or more than them.
    return all(type(tensor) in (Tensor, nn.Parameter) and tensor.device.type == "cpu" for tensor in tensors)


def learns(*tensors: Tensor | None) -> bool:
    """Whether autograd follows what is computed of them."""
    return torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors)
