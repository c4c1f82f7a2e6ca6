"""Measuring one case after the other, so that one that fails does not end the rest."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from .candidates import write_checkpoint
from .suites import SUITES, Options

_NO_CEILING = {"gflop": None, "ceiling": None, "ceiling_tflops": None, "ceiling_tflops_cpu": None}


def measure_cases(cases: list[dict[str, Any]], options: Options) -> Iterator[dict[str, Any]]:
    """Each case with what was measured; all of a network have one checkpoint."""
    for preset, group in groupby(cases, lambda case: case["preset"]):
        with TemporaryDirectory(prefix="open_dpt_bench_") as folder:
            write_checkpoint(preset, Path(folder))
            for case in group:
                yield _NO_CEILING | case | _measure(case, Path(folder), options)


def _measure(case: dict[str, Any], folder: Path, options: Options) -> dict[str, Any]:
    module = importlib.import_module(f".{SUITES[case['suite']].module}", __package__)
    return module.measure(case, folder, options)
