"""What a run would be: its recipe, sizes and memory, and one step of it; nothing is written."""

import argparse
import time
from collections.abc import Callable

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from .loop import to_device
from .memory import memory_estimate, peak_gib
from .optimizers import set_learning_rate
from .plan import Plan
from .recipes import effective_recipe, recipe_text
from .step import train_step


def dry_run(
    args: argparse.Namespace,
    accelerator: Accelerator,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loader,
    plan: Plan,
    *,
    count: Callable[[dict], Tensor],
) -> None:
    """Print the effective recipe and what it amounts to, and take one step. Arguments as for `fit`."""
    say, device = accelerator.print, accelerator.device
    total = sum(parameter.numel() for parameter in model.parameters())
    estimate = memory_estimate(model, args.optimizer, bool(args.ema_decay))
    say(recipe_text(effective_recipe(args)))
    precision = {"no": "float32"}.get(accelerator.mixed_precision, accelerator.mixed_precision)
    say(f"model: {total / 1e6:.2f} million parameters, {precision} on {device}")
    say(f"plan: {plan}")
    say(f"memory by count, GiB: {_row(estimate)}, together {sum(estimate.values()):.2f}; activations come on top")
    before = peak_gib(device)
    model, optimizer = accelerator.prepare(model.train(), optimizer)
    peaks = [group["lr"] for group in optimizer.param_groups]
    set_learning_rate(optimizer, peaks, 1e-3)  # a first step at full rate may be wild
    batches = loader.batches()
    start = time.perf_counter()
    read = [next(batches) for _ in range(plan.accumulation)]
    loaded = time.perf_counter()
    result = train_step(
        accelerator,
        model,
        optimizer,
        [to_device(batch, device) for batch in read],
        count=count,
        max_grad_norm=args.max_grad_norm,
        seed=(args.seed, 0),
    )
    batches.close()
    end = time.perf_counter()
    shapes = ", ".join(f"{key} {tuple(value.shape)}" for key, value in read[0].items() if isinstance(value, Tensor))
    say(f"one batch: {shapes}; {sum(len(batch.get('unreadable', ())) for batch in read)} unreadable samples")
    say(
        f"one step: loss {result.loss:.5g}, gradient norm {result.gradient_norm:.4g}; {loaded - start:.1f} s to read, "
        f"{end - loaded:.1f} s to compute; peak {peak_gib(device):.2f} GiB (before it {before:.2f})"
    )


def _row(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in values.items())
