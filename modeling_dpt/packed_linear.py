"""Linear layers that keep a second copy of their weight as oneDNN multiplies it, so that no call rearranges it.

In bfloat16 on a CPU rearranging the weight takes a fifth of every product; float32 gains too little to pay the memory.
"""

import torch
from torch import nn

from .readout import ProjectReadout


class PackedLinear(nn.Linear):
    """An `nn.Linear` in all respects, with faster inference in bfloat16 on x86 CPUs that multiply it in hardware.

    `weight` stays what it is, so saving, moving, training and exporting do too. The packed copy is made at the first
    call that can use it, and again after the weight has changed.
    """

    _packed: torch.Tensor | None = None
    _packed_from: tuple | None = None

    @classmethod
    def of(cls, linear: nn.Linear) -> "PackedLinear":
        """A layer that shares the parameters of `linear`."""
        packed = cls(1, 1, bias=False, device="meta")
        packed.in_features, packed.out_features = linear.in_features, linear.out_features
        packed.weight, packed.bias = linear.weight, linear.bias
        return packed.train(linear.training)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        if not self._can_use_packed(features):
            return super().forward(features)
        return torch.ops.mkldnn._linear_pointwise(features, self._packed_weight(), self.bias, "none", [], "")

    def _can_use_packed(self, features: torch.Tensor) -> bool:
        if torch.compiler.is_compiling() or torch.jit.is_tracing():
            return False  # a graph is optimised by whoever runs it
        if not (features.dtype == self.weight.dtype == torch.bfloat16 and features.device.type == "cpu"):
            return False
        learns = torch.is_grad_enabled() and (features.requires_grad or self.weight.requires_grad)
        return not learns and not torch.is_autocast_enabled("cpu") and features.numel() > 0

    def _packed_weight(self) -> torch.Tensor:
        weight = self.weight.detach()
        version = None if weight.is_inference() else weight._version
        state = (id(self.weight), weight.data_ptr(), version)
        if self._packed_from != state:
            self._packed = torch.ops.mkldnn._reorder_linear_weight(weight)
            self._packed_from = state
        return self._packed

    def __getstate__(self) -> dict:
        # What is packed can be neither copied nor pickled, and need not be.
        return {key: value for key, value in self.__dict__.items() if key not in ("_packed", "_packed_from")}


def can_pack() -> bool:
    """Whether this machine and build of torch gain from packed weights."""
    return (
        torch.backends.mkldnn.is_available()
        and torch.backends.cpu.get_cpu_capability().startswith(("AVX512", "AMX"))
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
        and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )


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
