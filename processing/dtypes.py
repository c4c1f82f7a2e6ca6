"""Which dtype is fast on a device: what "auto" stands for.

Told by what the processor can do, not by trying: the same machine always gives the same answer.
"""

import torch

from ..modeling_dpt.cpu import bfloat16_instructions


def choose_dtype(device: str) -> tuple[str, str]:
    """The fastest dtype that a device multiplies in hardware, and why.

    bfloat16 has the range of float32, so that no value can overflow. float16 has not: it is taken on CUDA alone, where
    the authors run their own models in it; other encoders have not been checked.

    Args:
        device: Of torch, such as "cpu" or "cuda:1".

    Returns:
        Name of a torch dtype, and the reason as half a sentence.
    """
    chosen = torch.device(device)
    if chosen.type == "cpu":
        if name := bfloat16_instructions():
            return "bfloat16", f"multiplied in hardware by this CPU ({name})"
        return "float32", "this CPU multiplies no shorter one: no amx_bf16, no avx512_bf16"
    if chosen.type != "cuda":
        return "float32", f"no shorter one has been checked on {chosen.type}"
    with torch.cuda.device(chosen):  # PyTorch tells of the current one; of AMD's it says yes to all
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bfloat16", "multiplied in hardware by this GPU"
    if torch.cuda.get_device_capability(chosen) >= (7, 0):
        return "float16", "multiplied in hardware by this GPU, as bfloat16 is not; fast, not checked on every encoder"
    return "float32", "this GPU multiplies no shorter one faster"
