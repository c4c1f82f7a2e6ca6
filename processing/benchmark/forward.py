"""Suites of the bare network: latency, throughput, and cost against image size."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch

from .candidates import Setting, build
from .checkpoints import load_own, needed_flop
from .measure import Reference, compare_and_time, reference_for
from .suites import Options, candidates_of


def measure(case: dict[str, Any], folder: Path, options: Options) -> dict[str, Any]:
    """The network of the checkpoint in `folder`, run by every candidate on the same pixels."""
    torch.compiler.reset()  # else what another case compiled would be used, or its size taken into account
    generator = torch.Generator().manual_seed(0)
    dtype = getattr(torch, case["dtype"])
    exact = torch.randn(case["batch"], 3, case["height"], case["width"], generator=generator).to(options.device)
    setting = Setting(folder, case["preset"], dtype, options.device, exact.to(dtype))
    candidates = {name: partial(build, name, setting) for name in candidates_of(case["suite"], options)}
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
