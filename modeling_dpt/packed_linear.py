"""Linear layers that keep a second copy of their weight as the CPU multiplies it, and an activation at no cost.

Legend: L tokens of all images of a batch together.
"""

import torch
from torch import nn

from .packed_weight import PackedWeight, pays_packed
from .readout import ProjectReadout

# Fewer tokens gain nothing, and each of the small numbers would ask for a weight of its own.
MIN_TOKENS = 64


class PackedLinear(nn.Linear):
    """An `nn.Linear` in all respects, with faster inference on x86 CPUs with AVX-512.

    `weight` stays what it is, so saving, moving, training and exporting do too.
    """

    _packed: PackedWeight

    @classmethod
    def of(cls, linear: nn.Linear) -> "PackedLinear":
        """A layer that shares the parameters of `linear`."""
        packed = cls(1, 1, bias=False, device="meta")
        packed.in_features, packed.out_features = linear.in_features, linear.out_features
        packed.weight, packed.bias = linear.weight, linear.bias
        packed._packed = PackedWeight()
        return packed.train(linear.training)

    def forward(self, features: torch.Tensor, gelu: bool = False) -> torch.Tensor:
        """(..., in_features) -> (..., out_features), with the exact GELU after it where asked for."""
        enough = features.numel() >= MIN_TOKENS * self.in_features
        if not (enough and pays_packed(features, self.weight)):
            projected = super().forward(features)
            return nn.functional.gelu(projected) if gelu else projected
        tokens = features.reshape(-1, self.in_features)  # (L, C)
        projected = self._packed.multiply(tokens, self.weight, self.bias, ("gelu", "none") if gelu else ("none", ""))
        return projected.view(*features.shape[:-1], self.out_features)


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
