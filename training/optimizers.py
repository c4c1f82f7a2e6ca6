"""Parameter groups, optimizers and learning-rate schedules."""

import math
from collections.abc import Callable, Iterable

import torch
from torch import nn

# Shape of a schedule after warm-up: fraction of the peak learning rate at progress 0 (start) to 1 (end of training).
SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    "linear": lambda progress: 1.0 - progress,
    "cosine": lambda progress: 0.5 + 0.5 * math.cos(math.pi * progress),
    "polynomial": lambda progress: (1.0 - progress) ** 0.9,
    # Flat, then a straight line to zero over the last fifth: the stop may be decided late.
    "warmup_stable_decay": lambda progress: min(1.0, 5.0 * (1.0 - progress)),
}

# fused does all parameters in one pass. AdamW with weight decay 0 is Adam; Adam adds the decay to the gradient.
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adamw": lambda groups, betas, momentum: torch.optim.AdamW(groups, betas=betas, fused=True),
    "adam": lambda groups, betas, momentum: torch.optim.Adam(groups, betas=betas, fused=True),
    "sgd": lambda groups, betas, momentum: torch.optim.SGD(groups, lr=0.0, momentum=momentum),
}

_NOT_DECAYED = ("bias", "cls_token", "position_embeddings", "mask_token", "register_tokens")


def parameter_groups(
    model: nn.Module, learning_rate: float, weight_decay: float, encoder_learning_rate: float | None = None
) -> list[dict]:
    """Split trainable parameters by learning rate (encoder, rest) and by whether weight decay makes sense.

    Biases, normalisation gains, tokens and position embeddings are not decayed: their size carries no complexity.

    Args:
        model: A DPT model; its encoder is the part called `dpt`.
        learning_rate: Peak learning rate.
        weight_decay: Decay of matrices and kernels.
        encoder_learning_rate: Peak learning rate of the encoder; `learning_rate` if None.

    Returns:
        Groups for a torch optimizer, each with "params", "lr" and "weight_decay"; empty ones are left out.
    """
    encoder_learning_rate = learning_rate if encoder_learning_rate is None else encoder_learning_rate
    rates = {True: encoder_learning_rate, False: learning_rate}
    groups: dict[tuple[bool, bool], dict] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        in_encoder = name.startswith("dpt.")
        decays = parameter.ndim > 1 and not name.endswith(_NOT_DECAYED)
        empty = {"params": [], "lr": rates[in_encoder], "weight_decay": weight_decay if decays else 0.0}
        groups.setdefault((in_encoder, decays), empty)["params"].append(parameter)
    return list(groups.values())


def build_optimizer(
    groups: Iterable[dict],
    name: str = "adamw",
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    momentum: float = 0.9,
) -> torch.optim.Optimizer:
    """An optimizer of torch over `parameter_groups`.

    Args:
        groups: As `parameter_groups` returns them.
        name: A key of OPTIMIZERS. The paper: Adam for depth, SGD with momentum 0.9 for segmentation.
        betas: Of Adam and AdamW.
        momentum: Of SGD.

    Raises:
        ValueError: name is unknown.
    """
    if name not in OPTIMIZERS:
        raise ValueError(f"optimizer: must be one of {', '.join(OPTIMIZERS)}, got {name!r}.")
    return OPTIMIZERS[name](groups, betas, momentum)


def learning_rate_factor(schedule: str, progress: float, step: int, warmup_steps: int) -> float:
    """Fraction of the peak learning rate.

    Args:
        schedule: A key of SCHEDULES.
        progress: Part of the training that is done, 0 to 1 (by steps or by time, see `training.progress`).
        step: Optimizer steps done.
        warmup_steps: Steps in which the factor rises from almost 0.

    Raises:
        ValueError: schedule is unknown.
    """
    if schedule not in SCHEDULES:
        raise ValueError(f"lr_scheduler_type: must be one of {', '.join(SCHEDULES)}, got {schedule!r}.")
    warmup = min(1.0, (step + 1) / (warmup_steps + 1))
    return warmup * SCHEDULES[schedule](min(1.0, max(0.0, progress)))


def set_learning_rate(optimizer: torch.optim.Optimizer, peaks: Iterable[float], factor: float) -> None:
    """Set the learning rate of each parameter group to factor times its peak."""
    for group, peak in zip(optimizer.param_groups, peaks, strict=True):
        group["lr"] = factor * peak
