"""A copy of a model that a graph can be made of: what its encoder decides in Python at every call is decided once."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from ...modeling_dpt.inference import fold_batch_norm

# Attention that has a form in other runtimes.
_PORTABLE_ATTENTION = ("eager", "sdpa")


def exportable(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A copy on the CPU, in eval mode, of the dtype; outputs stay the same within 1e-5 relative in float32.

    Batch norm is folded into the convolutions, and the convolutions of a ResNetV2 stem become plain ones. Input sides
    must be multiples of `config.size_divisor`, as everywhere.
    """
    model = copy.deepcopy(model).to(device="cpu", dtype=torch.float32).eval().requires_grad_(False)
    fold_batch_norm(model)
    if getattr(model, "auxiliary_head", None) is not None:
        model.auxiliary_head = None  # only losses read it
    for module in model.modules():
        for name, child in list(module.named_children()):
            if type(child).__name__ == "WeightStandardizedConv2d":
                setattr(module, name, _plain_convolution(child))
            elif type(child).__name__ == "DynamicPad2d":
                setattr(module, name, nn.ConstantPad2d(_same_padding(child), child.value))
    if getattr(model.config, "_attn_implementation", "sdpa") not in _PORTABLE_ATTENTION:
        model.set_attn_implementation("sdpa")
    return model.to(dtype)


@contextmanager
def resizing_positions() -> Iterator[None]:
    """Let encoders of transformers always resize their position embeddings instead of comparing sizes.

    They do so while `torch.jit` traces; torch.export has no such sign that they know.
    """
    is_tracing = torch.jit.is_tracing
    torch.jit.is_tracing = lambda: True
    try:
        yield
    finally:
        torch.jit.is_tracing = is_tracing


@torch.no_grad()
def _plain_convolution(layer: nn.Conv2d) -> nn.Module:
    """A convolution whose weights are standardised at every call, with weights that are."""
    weight = layer.weight
    flat = weight.flatten(1)
    variance, mean = torch.var_mean(flat, dim=1, keepdim=True, correction=0)
    plain = nn.Conv2d(
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size,
        layer.stride,
        layer.padding,
        layer.dilation,
        layer.groups,
        bias=layer.bias is not None,
    )
    plain.weight.copy_(((flat - mean) * (variance + layer.eps).rsqrt()).reshape_as(weight))
    if layer.bias is not None:
        plain.bias.copy_(layer.bias)
    plain.requires_grad_(False)
    if layer.pad is None:
        return plain
    return nn.Sequential(nn.ConstantPad2d(_same_padding(layer.pad), layer.pad.value), plain)


def _same_padding(pad: nn.Module) -> tuple[int, int, int, int]:
    """(left, right, top, bottom) that make a layer's output the input's size over its stride, which divides it."""
    rows, columns = (
        max((kernel - 1) * dilation + 1 - stride, 0)
        for kernel, stride, dilation in zip(pad.kernel_size, pad.stride, pad.dilation, strict=True)
    )
    return columns // 2, columns - columns // 2, rows // 2, rows - rows // 2
