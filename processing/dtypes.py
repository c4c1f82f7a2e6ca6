"""Which dtype is fast and safe on a device: what "auto" stands for.

Told by what the processor can do, not by trying: the same machine always gives the same answer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch


@dataclass(frozen=True)
class DtypeRule:
    """A dtype for devices of a kind.

    Args:
        device: Kind of device, as torch calls it.
        applies: From a device to whether it multiplies this dtype in hardware.
        dtype: Name of a torch dtype.
        reason: Half a sentence for people.
    """

    device: str
    applies: Callable[[torch.device], bool]
    dtype: str
    reason: str


def _cpu_has(capability: str) -> bool:
    return torch.backends.mkldnn.is_available() and bool(torch.cpu.get_capabilities().get(capability))


def _gpu_has(capability: tuple[int, int], device: torch.device) -> bool:
    return torch.cuda.get_device_capability(device) >= capability


_IN_HARDWARE = "multiplied in hardware by this"

# The first that applies. float16 is how the authors run their own models on GPUs; on other devices nobody has looked
# whether every value stays within its range, and whether it is any faster.
RULES = (
    DtypeRule("cpu", lambda _: _cpu_has("amx_bf16"), "bfloat16", f"{_IN_HARDWARE} CPU (amx_bf16)"),
    DtypeRule("cpu", lambda _: _cpu_has("avx512_bf16"), "bfloat16", f"{_IN_HARDWARE} CPU (avx512_bf16)"),
    DtypeRule("cpu", lambda _: True, "float32", "this CPU multiplies no shorter one: no amx_bf16, no avx512_bf16"),
    DtypeRule("cuda", partial(_gpu_has, (8, 0)), "bfloat16", f"{_IN_HARDWARE} GPU"),
    DtypeRule("cuda", partial(_gpu_has, (7, 0)), "float16", f"{_IN_HARDWARE} GPU, as bfloat16 is not"),
    DtypeRule("cuda", lambda _: True, "float32", "this GPU multiplies no shorter one faster"),
)


def choose_dtype(device: str) -> tuple[str, str]:
    """The fastest dtype whose results are still right, and why.

    Args:
        device: Of torch, such as "cpu" or "cuda:1".

    Returns:
        Name of a torch dtype, and the reason as half a sentence.
    """
    chosen = torch.device(device)
    for rule in RULES:
        if rule.device == chosen.type and rule.applies(chosen):
            return rule.dtype, rule.reason
    return "float32", f"no shorter one has been checked on {chosen.type}"
