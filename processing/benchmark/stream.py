"""A stream of images of many sizes, one after the other: what a network costs that is made ready for one size."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch._dynamo.utils import counters

from .candidates import Setting, build, joined
from .checkpoints import load_own, needed_flop
from .measure import Reference, Work, compare_and_time, reference_for
from .suites import Options, candidates_of

_PER_ROUND = ("median_ms", "low_ms", "high_ms", "fastest_ms", "cpu_ms")


def measure(case: dict[str, Any], folder: Path, options: Options) -> dict[str, Any]:
    """The network of the checkpoint in `folder` on one image of each of the sizes, in every round.

    Milliseconds are those of an image, the mean over the stream. Rows have `graphs`, compiled on the way through the
    first stream, and `first_s`, the seconds that this one took: compiling is what they are beyond a usual round.
    """
    torch.compiler.reset()  # as for a single size
    generator = torch.Generator().manual_seed(0)
    dtype = getattr(torch, case["dtype"])
    images = [torch.randn(1, 3, *size, generator=generator).to(options.device, dtype) for size in options.sizes]
    setting = Setting(folder, case["preset"], dtype, options.device, images[0], tuple(images[1:]))
    told: dict[str, dict[str, float]] = {}
    names = candidates_of(case["suite"], options)
    measured = compare_and_time(
        {name: partial(_watched, name, setting, told) for name in names},
        _reference(setting),
        options,
        dtype=dtype,
        images=len(images),
        flop=sum(needed_flop(case["preset"], 1, size) for size in options.sizes),
        warm_up=0 if torch.device(options.device).type == "cpu" else 5,
    )
    for row in measured["rows"]:
        if row["status"] == "timed":
            row |= {key: row[key] / len(images) for key in _PER_ROUND} | told[row["candidate"]]
    return {"sizes": [list(size) for size in options.sizes], **measured}


def _watched(name: str, setting: Setting, told: dict[str, dict[str, float]]) -> Work:
    """The candidate; how its first stream went is written into `told`."""
    work = build(name, setting)

    def output() -> Tensor:
        begin, graphs = time.perf_counter(), _graphs()
        answer = work.output()
        told[name] = {"first_s": time.perf_counter() - begin, "graphs": _graphs() - graphs}
        return answer

    return Work(work.run, output, work.frees_memory, work.judged)


def _graphs() -> int:
    """How many PyTorch has compiled so far."""
    return counters["stats"]["unique_graphs"]


@torch.inference_mode()
def _reference(setting: Setting) -> Reference:
    """Answers of our plain model, given what candidates are given."""
    model = load_own(setting.folder, device=setting.device)
    plain = joined(model(pixels.float()).predicted_depth for pixels in setting.images)
    if setting.dtype == torch.float32:
        return reference_for(plain, None)
    model = model.to(setting.dtype)
    return reference_for(plain, joined(model(pixels).predicted_depth for pixels in setting.images))
