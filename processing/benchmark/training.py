"""A training step: forward, our loss for both, backward, AdamW."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from ...modeling_dpt.losses import ScaleShiftInvariantLoss
from .candidates import load_own, load_stock, needed_flop, write_checkpoint
from .measure import OWN, Work, compare_and_time, reference_for
from .suites import Options, chosen_peers

_LOADERS = {"transformers": load_stock, OWN: load_own}


def cases(suite: str, options: Options) -> Iterator[dict[str, Any]]:
    """A case for each preset, size, batch size and dtype. Weights stay float32; another dtype is that of autocast."""
    names = [*chosen_peers(suite, options), OWN]
    for preset in options.presets:
        with TemporaryDirectory(prefix="open_dpt_bench_") as folder:
            write_checkpoint(preset, Path(folder))
            for height, width in options.sizes:
                for batch in options.batch_sizes:
                    for dtype in options.dtypes:
                        case = {"suite": suite, "preset": preset, "dtype": dtype}
                        case |= {"height": height, "width": width, "batch": batch}
                        shape = (batch, height, width)
                        flop = needed_flop(preset, batch, (height, width), backward=True)
                        yield case | _measure(Path(folder), names, shape, getattr(torch, dtype), flop, options)


def _measure(
    folder: Path, names: list[str], shape: tuple[int, int, int], dtype: torch.dtype, flop: int, options: Options
) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    batch, height, width = shape
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
    candidates = {name: partial(candidate, name) for name in names}
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
