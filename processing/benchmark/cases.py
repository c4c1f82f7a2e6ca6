"""Measuring one case after the other, so that one that fails does not end the rest."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from .checkpoints import write_checkpoint
from .labels import reason_of
from .suites import SUITES, Options, candidates_of

_NO_CEILING = {"gflop": None, "ceiling": None, "ceiling_tflops": None, "ceiling_tflops_cpu": None}


def measure_cases(cases: list[dict[str, Any]], options: Options) -> Iterator[dict[str, Any]]:
    """Each case with what was measured; all of a network have one checkpoint."""
    for _, group in groupby(cases, lambda case: case["preset"]):
        with TemporaryDirectory(prefix="open_dpt_bench_") as folder:
            for case in group:
                yield _NO_CEILING | case | _measure(case, Path(folder), options)


@contextmanager
def _whole_float32() -> Iterator[None]:
    """On CUDA no TF32, which has fewer digits and is not used by all."""
    backends = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [backend.allow_tf32 for backend in backends]
    try:
        for backend in backends:
            backend.allow_tf32 = False
        yield
    finally:
        for backend, allowed in zip(backends, before, strict=True):
            backend.allow_tf32 = allowed


def _measure(case: dict[str, Any], folder: Path, options: Options) -> dict[str, Any]:
    """What the suite measures, or rows that say why it could not."""
    module = importlib.import_module(f".{SUITES[case['suite']].module}", __package__)
    try:
        if not (folder / "config.json").exists():
            write_checkpoint(case["preset"], folder)
        with _whole_float32():
            return module.measure(case, folder, options)
    except Exception as error:  # out of memory, a full disk, a model that answers nothing: the next case goes on
        failed = {"status": "failed", "reason": reason_of(error)}
        return {"rows": [{"candidate": name, **failed} for name in candidates_of(case["suite"], options)]}
