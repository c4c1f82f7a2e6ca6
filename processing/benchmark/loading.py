"""Loading a checkpoint: each turn is a process of its own that imports, loads, and says what it took."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from .labels import reason_of
from .measure import add_figures
from .suites import OWN, Options, candidates_of
from .timing import FEWEST_ROUNDS, Times

# Runs alone. The checksum shows that the same weights are there; it also reads them from the file, which a mapped
# file puts off.
_CHILD = """
import sys, time
start = time.perf_counter()
from {module} import DPTForDepthEstimation
imported, cpu = time.perf_counter(), time.process_time()
model = DPTForDepthEstimation.from_pretrained(sys.argv[1])
loaded, cpu = time.perf_counter(), time.process_time() - cpu
import json, resource, torch
held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
with torch.inference_mode():
    total = sum(float(value.double().abs().sum()) for value in model.parameters())
summed = time.perf_counter()
print(json.dumps({{"import": imported - start, "load": loaded - imported, "read": summed - loaded, "cpu": cpu,
                  "peak": held, "checksum": total}}))
"""
# Of a process: it ends badly, cannot be started, or says something else.
_FAILURES = (subprocess.CalledProcessError, OSError, ValueError, IndexError)
_MODULES = {"transformers": "transformers", OWN: "open_dpt"}


def measure(case: dict[str, Any], folder: Path, options: Options) -> dict[str, Any]:
    """Only rows; `median_ms` is of from_pretrained alone, in files that are in the system's cache."""
    names = candidates_of(case["suite"], options)
    rows = {name: {"candidate": name} for name in names}
    first = {}
    for name in names:
        try:
            first[name] = _load(name, folder)
        except _FAILURES as error:
            rows[name] |= {"status": "failed", "reason": reason_of(error)}
    right = first[OWN]["checksum"] if OWN in first else None
    for name, taken in first.items():
        difference = abs(taken["checksum"] / right - 1) if right else 0.0
        rows[name] |= {"status": "timed" if difference < 1e-9 else "differs", "difference": difference}
        if rows[name]["status"] == "differs":
            rows[name]["reason"] = "the sum of its weights is another"
    turns: dict[str, list[dict]] = {name: [] for name in first if rows[name]["status"] == "timed"}
    begin = time.perf_counter()
    for number in range(options.rounds):
        if number >= FEWEST_ROUNDS and time.perf_counter() - begin > options.seconds:
            break
        for name in list(turns):
            try:
                turns[name].append(_load(name, folder))
            except _FAILURES as error:
                rows[name] = {"candidate": name, "status": "failed", "reason": reason_of(error)}
                del turns[name]
    times = {name: Times(*zip(*((t["load"], t["cpu"]) for t in taken), strict=True)) for name, taken in turns.items()}
    add_figures(rows, times)
    for name, taken in turns.items():
        middle = sorted(taken, key=lambda one: one["import"])[len(taken) // 2]
        rows[name] |= {
            "import_ms": 1e3 * middle["import"],
            "read_ms": 1e3 * sorted(one["read"] for one in taken)[len(taken) // 2],
            "peak_memory_mb": max(one["peak"] for one in taken) / 2**20,
        }
    return {"rows": list(rows.values())}


def _load(name: str, folder: Path) -> dict[str, float]:
    command = [sys.executable, "-c", _CHILD.format(module=_MODULES[name]), str(folder)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
