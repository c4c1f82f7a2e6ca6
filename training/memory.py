"""How much memory training takes: counted from the parameters, and measured. And that what is freed is kept."""

import ctypes
import os
import sys

import torch
from torch import nn

# Numbers that an optimizer keeps for each trained parameter.
_OPTIMIZER_STATES = {"adamw": 2, "adam": 2, "sgd": 1}

# Of glibc's mallopt: take nothing in pages of its own, which go back when freed; never give back the end of the heap.
_ALLOCATION = {"M_MMAP_MAX": (-4, 0), "M_TRIM_THRESHOLD": (-1, -1)}
_ENVIRONMENT = {"MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"}


def keep_freed_memory() -> bool:
    """Let this process keep the memory that it frees, until it ends.

    Every step takes the same memory anew. Asked of the system it comes page by page, set to zero: 6 % of the processor
    time of a step on a CPU (DPT-Base, batch of 4, bfloat16). The most that a process needs hardly grows.

    Returns:
        Whether it is so now: only on Linux with glibc, and where no environment variable says how memory is taken.
    """
    if sys.platform != "linux" or _ENVIRONMENT & os.environ.keys():
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(mallopt(*setting) == 1 for setting in _ALLOCATION.values())


def peak_gib(device: torch.device) -> float:
    """Most memory this process has used so far: on the GPU, or of the machine where it trains on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    try:
        import resource
    except ImportError:  # not a Unix
        return 0.0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def memory_estimate(model: nn.Module, optimizer: str, ema: bool) -> dict[str, float]:
    """GiB of everything whose size follows from the parameters (float32); activations come on top.

    Args:
        model: With `requires_grad` set as in training.
        optimizer: A key of `OPTIMIZERS`.
        ema: Whether a moving average is kept.
    """
    total = sum(parameter.numel() for parameter in model.parameters())
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    numbers = {
        "parameters": total,
        "gradients": trained,
        "optimizer": trained * _OPTIMIZER_STATES[optimizer],
        "average": total if ema else 0,
    }
    return {name: 4 * count / 2**30 for name, count in numbers.items()}
