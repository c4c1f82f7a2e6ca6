"""Linear layers that keep a second copy of their weight as the CPU multiplies it, and an activation at no cost.

Legend: L tokens of all images of a batch together.
"""

import torch
from torch import nn

from .packed_weight import PackedWeight, pays_packed

# Fewer tokens gain nothing, and each of the small numbers would ask for a weight of its own.
MIN_TOKENS = 64


def pack_linears(model: nn.Module) -> int:
    """Let every linear layer of a model be a `PackedLinear`, in place; returns how many there are.

    Called again, weights are packed anew.
    """
    layers = [module for module in model.modules() if type(module) in (nn.Linear, PackedLinear)]
    for layer in layers:
        layer.__class__ = PackedLinear  # whatever hangs on the layer stays
        layer._packed = PackedWeight()
    return len(layers)


class PackedLinear(nn.Linear):
    """An `nn.Linear` in all respects, with faster inference on x86 CPUs with AVX-512; made by `pack_linears`.

    `weight` stays what it is, so saving, moving, training and exporting do too.
    """

    _packed: PackedWeight

    def forward(self, features: torch.Tensor, gelu: bool = False) -> torch.Tensor:
        """(..., in_features) -> (..., out_features), with the exact GELU after it where asked for."""
        enough = features.numel() >= MIN_TOKENS * self.in_features
        # A subclass has a weight that is computed, by a parametrisation for example.
        if not (enough and type(self) is PackedLinear and pays_packed(features, self.weight, self.bias)):
            projected = super().forward(features)
            return nn.functional.gelu(projected) if gelu else projected
        tokens = features.reshape(-1, self.in_features)  # (L, C)
        projected = self._packed.multiply(tokens, self.weight, self.bias, ("gelu", "none") if gelu else ("none", ""))
        return projected.view(*features.shape[:-1], self.out_features)

    def _apply(self, *args, **kwargs):
        self._packed.forget()
        return super()._apply(*args, **kwargs)
