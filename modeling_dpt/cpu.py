"""What the processor multiplies in hardware."""

from functools import lru_cache

import torch


@lru_cache(maxsize=1)
def bfloat16_instructions() -> str | None:
    """Name of the instructions that multiply bfloat16; None where such products would be emulated, and slow."""
    if not torch.backends.mkldnn.is_available():
        return None
    # oneDNN's own answer is yes from AVX-512 on, emulation included.
    has = torch.cpu.get_capabilities()
    return next((name for name in ("amx_bf16", "avx512_bf16") if has.get(name)), None)
