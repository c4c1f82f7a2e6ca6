"""How much memory training takes: counted from the parameters, and measured."""

import sys

import torch
from torch import nn

# Numbers that an optimizer keeps for each trained parameter.
_OPTIMIZER_STATES = {"adamw": 2, "adam": 2, "sgd": 1}


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
