"""Linear layers that keep a second copy of their weight as oneDNN multiplies it, so that no call rearranges it.

The product is that of a 1x1 convolution over the tokens, for which oneDNN has faster code than for matrices, and an
activation after it costs nothing. In bfloat16 rearranging alone takes a fifth of every product.

Legend: L tokens of all images of a batch together.
"""

from functools import lru_cache

import torch
from torch import nn

from .readout import ProjectReadout

# Fewer tokens gain nothing, and each of the small numbers would ask for a weight of its own.
MIN_TOKENS = 64
# Copies of a weight that a layer keeps; numbers of tokens that differ much can need two.
MAX_COPIES = 2

_GEOMETRY = ([0, 0], [1, 1], [1, 1], 1)  # padding, stride, dilation, groups of a 1x1 convolution


class PackedLinear(nn.Linear):
    """An `nn.Linear` in all respects, with faster inference on x86 CPUs with AVX-512.

    `weight` stays what it is, so saving, moving, training and exporting do too. The packed copy is made at the first
    call that can use it, and again after the weight has changed.
    """

    _packed: dict[bytes, torch.Tensor] | None = None
    _packed_from: tuple | None = None

    @classmethod
    def of(cls, linear: nn.Linear) -> "PackedLinear":
        """A layer that shares the parameters of `linear`."""
        packed = cls(1, 1, bias=False, device="meta")
        packed.in_features, packed.out_features = linear.in_features, linear.out_features
        packed.weight, packed.bias = linear.weight, linear.bias
        return packed.train(linear.training)

    def forward(self, features: torch.Tensor, gelu: bool = False) -> torch.Tensor:
        """(..., in_features) -> (..., out_features), with the exact GELU after it where asked for."""
        if not self._can_use_packed(features):
            projected = super().forward(features)
            return nn.functional.gelu(projected) if gelu else projected
        tokens = features.reshape(1, 1, -1, self.in_features).permute(0, 3, 1, 2)  # (1, C, 1, L), channels-last
        weight = self._packed_weight(tokens.shape[-1])
        activation, algorithm = ("gelu", "none") if gelu else ("none", "")
        projected = torch.ops.mkldnn._convolution_pointwise(
            tokens, weight, self.bias, *_GEOMETRY, activation, [], algorithm
        )
        return projected.permute(0, 2, 3, 1).reshape(*features.shape[:-1], self.out_features)

    def _can_use_packed(self, features: torch.Tensor) -> bool:
        if torch.compiler.is_compiling() or torch.jit.is_tracing():
            return False  # a graph is optimised by whoever runs it
        if not (features.dtype == self.weight.dtype and features.dtype in _dtypes() and features.device.type == "cpu"):
            return False
        learns = torch.is_grad_enabled() and (features.requires_grad or self.weight.requires_grad)
        enough = features.numel() >= MIN_TOKENS * self.in_features
        return enough and not learns and not torch.is_autocast_enabled("cpu")

    def _packed_weight(self, tokens: int) -> torch.Tensor:
        weight = self.weight.detach()
        version = None if weight.is_inference() else weight._version
        state = (id(self.weight), weight.data_ptr(), version)
        if self._packed_from != state:
            self._packed, self._packed_from = {}, state
        layout = _layout(self.out_features, self.in_features, weight.dtype, tokens, torch.get_num_threads())
        copies = self._packed  # threads may share a model: one's copy must not vanish from under another
        if (packed := copies.get(layout)) is None:
            for oldest in list(copies)[: len(copies) + 1 - MAX_COPIES]:
                copies.pop(oldest, None)
            packed = copies[layout] = _pack(weight, tokens)
        return packed

    def __getstate__(self) -> dict:
        # What is packed can be neither copied nor pickled, and need not be.
        return {key: value for key, value in self.__dict__.items() if key not in ("_packed", "_packed_from")}


def can_pack() -> bool:
    """Whether this machine and build of torch gain from packed weights."""
    return bool(_dtypes())


def pack_linears(model: nn.Module) -> int:
    """Let every linear layer of a model be a `PackedLinear`; returns how many there were."""
    found = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        # The readout multiplies with the halves of its weight itself.
        if type(child) is nn.Linear and not isinstance(parent, ProjectReadout)
    ]
    for parent, name, child in found:
        setattr(parent, name, PackedLinear.of(child))
    return len(found)


@lru_cache(maxsize=1)
def _dtypes() -> frozenset[torch.dtype]:
    operations = ("_reorder_convolution_weight", "_convolution_pointwise", "_get_mkldnn_serialized_md")
    # With AVX2 oneDNN's convolution is slower than the plain product.
    if not (
        torch.backends.mkldnn.is_available()
        and torch.backends.cpu.get_cpu_capability().startswith(("AVX512", "AMX"))
        and all(hasattr(torch.ops.mkldnn, name) for name in operations)
    ):
        return frozenset()
    half = {torch.bfloat16} if torch.ops.mkldnn._is_mkldnn_bf16_supported() else set()
    return frozenset({torch.float32} | half)


def _pack(weight: torch.Tensor, tokens: int) -> torch.Tensor:
    rows, columns = weight.shape
    return torch.ops.mkldnn._reorder_convolution_weight(
        weight.view(rows, columns, 1, 1), *_GEOMETRY, [1, columns, 1, tokens]
    )


@lru_cache(maxsize=4096)
def _layout(rows: int, columns: int, dtype: torch.dtype, tokens: int, threads: int) -> bytes:
    """What oneDNN wants of a weight for a number of tokens; another layout would be rearranged, slowly, at each call.

    Only oneDNN knows its rules, so it is asked: few layouts serve all numbers.
    """
    packed = _pack(torch.zeros(rows, columns, dtype=dtype), tokens)
    return bytes(torch.ops.mkldnn._get_mkldnn_serialized_md(packed).tolist())
