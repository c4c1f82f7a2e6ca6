"""Suites of the bare network: latency, throughput, and cost against image size."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from .candidates import Setting, build, load_own, needed_flop, own_names, write_checkpoint
from .measure import Reference, compare_and_time, reference_for
from .suites import Options, chosen_peers


def cases(suite: str, options: Options) -> Iterator[dict[str, Any]]:
    """A case for each preset, dtype, size and number of images."""
    names = [*chosen_peers(suite, options), *own_names(options.ways)]
    for preset in options.presets:
        with TemporaryDirectory(prefix="open_dpt_bench_") as folder:
            write_checkpoint(preset, Path(folder))
            for size in options.sizes:
                for batch in options.batch_sizes:
                    for dtype in options.dtypes:
                        case = {"suite": suite, "preset": preset, "dtype": dtype}
                        case |= {"height": size[0], "width": size[1], "batch": batch}
                        yield case | _measure(case, Path(folder), names, options)


def _measure(case: dict[str, Any], folder: Path, names: list[str], options: Options) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    dtype = getattr(torch, case["dtype"])
    exact = torch.randn(case["batch"], 3, case["height"], case["width"], generator=generator).to(options.device)
    setting = Setting(folder, case["preset"], dtype, options.device, exact.to(dtype))
    candidates = {name: partial(build, name, setting) for name in names}
    flop = needed_flop(case["preset"], case["batch"], (case["height"], case["width"]))
    on_cpu = torch.device(options.device).type == "cpu"
    return compare_and_time(
        candidates,
        _reference(setting),
        options,
        dtype=dtype,
        images=case["batch"],
        flop=flop,
        warm_up=0 if on_cpu else 5,  # there kernels are chosen, graphs recorded, clocks raised
    )


@torch.inference_mode()
def _reference(setting: Setting) -> Reference:
    """Answer of our plain model, given what candidates are given."""
    model = load_own(setting.folder, device=setting.device)
    plain = model(setting.pixels.float()).predicted_depth
    if setting.dtype == torch.float32:
        return reference_for(plain, None)
    return reference_for(plain, model.to(setting.dtype)(setting.pixels).predicted_depth)
