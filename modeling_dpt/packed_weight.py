"""Weights as oneDNN multiplies them, so that no product rearranges its weight.

Every product here is that of a 1x1 convolution over tokens, for which oneDNN has faster code than for matrices. In
bfloat16 rearranging alone takes a fifth of every product.

Legend: L tokens, G groups of channels with a weight each, C D channels in and out of a group.
"""

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from .cpu import bfloat16_instructions
from .standing_in import learns, only_numbers

# Copies of a weight that are kept; numbers of tokens that differ much can need two.
MAX_COPIES = 2

MAX_LAYOUTS = 4096
_layouts: dict[tuple, bytes] = {}
_GEOMETRY = ([0, 0], [1, 1], [1, 1])  # padding, stride, dilation of a 1x1 convolution


def can_pack() -> bool:
    """Whether this machine and build of torch gain from packed weights."""
    return bool(_dtypes())


def pays_packed(features: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    """Whether a layer should multiply with a packed weight: on a CPU, for inference, in a dtype that gains by it."""
    return packs(features, weight) and not learns(features, weight, bias)


def packs(features: Tensor, weight: Tensor) -> bool:
    """Whether a product with a packed weight is possible and gains."""
    # Changes of a tensor made in inference mode go uncounted.
    if not only_numbers(features, weight) or weight.is_inference() or torch.is_autocast_enabled("cpu"):
        return False
    return features.dtype == weight.dtype and features.dtype in _dtypes()


class PackedWeight:
    """Packed copies of a layer's weight: made when they are first needed, and again after the weight has changed.

    Changes that PyTorch does not count, through `weight.data` or `weight.numpy()`, go unnoticed until `forget`.

    Args:
        factor: From the weight to what is multiplied with, (G*D, C); None: the weight itself.
        groups: G.
    """

    def __init__(self, factor: Callable[[Tensor], Tensor] | None = None, groups: int = 1):
        self.factor, self.groups = factor, groups
        self.copies: dict[bytes, Tensor] = {}
        self._made_from: tuple | None = None

    def multiply(
        self, tokens: Tensor, weight: Tensor, bias: Tensor | None = None, activation: tuple[str, str] = ("none", "")
    ) -> Tensor:
        """(L, G*C) -> (L, G*D).

        Args:
            tokens: Contiguous.
            weight: The layer's, (D, C, ...).
            bias: (G*D,)
            activation: Name and algorithm of what comes after the product at no cost.
        """
        packed = self._for_tokens(weight, len(tokens))
        name, algorithm = activation
        product = torch.ops.mkldnn._convolution_pointwise(
            tokens[None, None].permute(0, 3, 1, 2), packed, bias, *_GEOMETRY, self.groups, name, [], algorithm
        )  # (1, G*D, 1, L), channels-last
        return product.permute(0, 2, 3, 1)[0, 0]

    def forget(self) -> None:
        """Make the copies anew when they are next needed."""
        self.copies, self._made_from = {}, None

    def _for_tokens(self, weight: Tensor, tokens: int) -> Tensor:
        identity, weight = id(weight), weight.detach()
        state = (identity, weight.data_ptr(), weight._version)
        if self._made_from != state:
            self.copies, self._made_from = {}, state
        # Another layout than oneDNN wants would be rearranged, slowly, at each call. Only oneDNN knows its rules: what
        # it chose for a weight of this shape and so many tokens is remembered. Few layouts serve all numbers.
        case = (*weight.shape[:2], self.groups, weight.dtype, tokens, torch.get_num_threads())
        copies = self.copies  # threads may share a model: one's copy must not vanish from under another
        if (packed := copies.get(_layouts.get(case))) is None:
            factor = weight if self.factor is None else self.factor(weight)
            packed = _pack(factor, self.groups, tokens)
            if len(_layouts) >= MAX_LAYOUTS:
                _layouts.clear()
            layout = _layouts[case] = _layout(packed)
            copies[layout] = packed
            for oldest in list(copies)[:-MAX_COPIES]:
                copies.pop(oldest, None)
        return packed

    def __reduce__(self) -> tuple:
        # What is packed can be neither copied nor pickled, and need not be.
        return type(self), (self.factor, self.groups)


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
    return frozenset({torch.float32, torch.bfloat16} if bfloat16_instructions() else {torch.float32})


def _pack(factor: Tensor, groups: int, tokens: int) -> Tensor:
    rows, columns = factor.shape
    return torch.ops.mkldnn._reorder_convolution_weight(
        factor.view(rows, columns, 1, 1), *_GEOMETRY, groups, [1, groups * columns, 1, tokens]
    )


def _layout(packed: Tensor) -> bytes:
    return bytes(torch.ops.mkldnn._get_mkldnn_serialized_md(packed).tolist())
