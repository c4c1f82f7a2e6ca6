"""A training step: forward, our loss for both, backward, AdamW."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...modeling_dpt.losses import ScaleShiftInvariantLoss
from .checkpoints import load_own, load_stock, needed_flop
from .measure import Work, compare_and_time, reference_for
from .suites import OWN, Options, candidates_of

_LOADERS = {"transformers": load_stock, OWN: load_own}


def measure(case: dict[str, Any], folder: Path, options: Options) -> dict[str, Any]:
    """Steps from the weights in `folder`. They stay float32; another dtype is that of autocast."""
    generator = torch.Generator().manual_seed(0)
    batch, height, width = case["batch"], case["height"], case["width"]
    dtype = getattr(torch, case["dtype"])
    pixels = torch.randn(batch, 3, height, width, generator=generator).to(options.device)
    labels = torch.rand(batch, height, width, generator=generator).to(options.device) + 0.1

    def candidate(name: str) -> Work:
        # Peers in a loop as one writes it; ours with what `training.optimizers` takes.
        optimizer = partial(torch.optim.AdamW, lr=1e-6, fused=True if name == OWN else None)
        return _step(_LOADERS[name](folder, device=options.device), optimizer, pixels, labels, dtype)

    def plain(dtype: torch.dtype) -> Tensor:
        with torch.no_grad(), torch.autocast(pixels.device.type, dtype, enabled=dtype != torch.float32):
            return load_own(folder, device=options.device)(pixels).predicted_depth

    reference = reference_for(plain(torch.float32), None if dtype == torch.float32 else plain(dtype))
    candidates = {name: partial(candidate, name) for name in candidates_of(case["suite"], options)}
    flop = needed_flop(case["preset"], batch, (height, width), backward=True)
    return compare_and_time(candidates, reference, options, dtype=dtype, images=batch, flop=flop, warm_up=1)


def _step(
    model: nn.Module,
    make_optimizer: Callable[..., torch.optim.Optimizer],
    pixels: Tensor,
    labels: Tensor,
    dtype: torch.dtype,
) -> Work:
    """The loss is computed outside of both models: the stock class has none."""
    criterion = ScaleShiftInvariantLoss()
    optimizer = make_optimizer(model.parameters())
    valid = torch.ones_like(labels, dtype=torch.bool)
    model.train()

    def forward() -> Tensor:
        with torch.autocast(pixels.device.type, dtype, enabled=dtype != torch.float32):
            return model(pixels).predicted_depth

    def step(_: int) -> None:
        loss = criterion(forward().float(), labels, valid)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    def output() -> Tensor:
        with torch.no_grad():
            return forward()

    return Work(step, output)
