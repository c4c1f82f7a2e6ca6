"""Timing in turns: A, B, C, A, B, C, ... so that whatever else the machine does meets all alike."""

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .labels import reason_of

# Fewer rounds give no median worth the name, however long they take.
FEWEST_ROUNDS = 3


@dataclass(frozen=True)
class Times:
    """Seconds of every round: by the clock, and of this process's processors (all threads together)."""

    wall: tuple[float, ...]
    cpu: tuple[float, ...]

    def summary(self) -> dict[str, Any]:
        """Median, quartiles and extremes in milliseconds."""
        low, median, high = np.percentile(self.wall, [25, 50, 75])
        milliseconds = {
            "median_ms": median,
            "low_ms": low,
            "high_ms": high,
            "fastest_ms": min(self.wall),
            "cpu_ms": np.median(self.cpu),
        }
        return {"rounds": len(self.wall), **{key: 1e3 * float(value) for key, value in milliseconds.items()}}

    def compared_with(self, other: "Times") -> dict[str, float]:
        """Median over rounds of the other's time divided by this one's: drift of the machine cancels.

        By the clock, and by the processors' time, which others on the machine change less.
        """
        return {
            "times_as_fast": float(np.median(np.divide(other.wall, self.wall))),
            "times_as_fast_cpu": float(np.median(np.divide(other.cpu, self.cpu))),
        }


def take_turns(
    runs: dict[str, Callable[[int], Any]], *, rounds: int, seconds: float, warm_up: int = 1, device: str = "cpu"
) -> tuple[dict[str, Times], dict[str, str]]:
    """Time functions in turns. One that raises takes no further turn.

    Args:
        runs: Called with the number of the round; those of warm-up are below 0.
        rounds: At most so many,
        seconds: and no new one after so long, but never fewer than three (or `rounds`).
        warm_up: Rounds that are not timed.
        device: Of torch; awaited before the clock is read.

    Returns:
        Times of those that went through, and the reasons of those that raised.
    """
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    failed: dict[str, str] = {}
    begin = time.perf_counter()
    for number in range(-warm_up, rounds):
        if number == 0:
            begin = time.perf_counter()
        if number >= FEWEST_ROUNDS and time.perf_counter() - begin > seconds:
            break
        for name in list(taken):
            try:
                pair = _time(partial(runs[name], number), device)
            except Exception as error:  # out of memory, say: the others go on
                failed[name] = reason_of(error)
                del taken[name]
            else:
                taken[name] += [pair] if number >= 0 else []
    return {name: Times(*zip(*pairs, strict=True)) for name, pairs in taken.items()}, failed


def _time(run: Callable[[], Any], device: str) -> tuple[float, float]:
    await_device(device)
    start, start_cpu = time.perf_counter(), time.process_time()
    run()
    await_device(device)
    return time.perf_counter() - start, time.process_time() - start_cpu


def await_device(device: str) -> None:
    """Wait for what was sent to an accelerator; calls return before it is done."""
    kind = torch.device(device).type
    if kind == "cuda":
        torch.cuda.synchronize(device)
    elif kind != "cpu":
        getattr(torch, kind).synchronize()


def extra_memory(run: Callable[[], Any], device: str = "cpu") -> int | None:
    """Bytes that `run` needs at its peak beyond what is held before it; None where the system does not tell."""
    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        await_device(device)
        return torch.cuda.max_memory_allocated(device) - before
    try:
        ctypes.CDLL(None).malloc_trim(0)  # memory that was freed but kept by the allocator would hide the need
        Path("/proc/self/clear_refs").write_text("5")  # sets the peak to what is held now
        before = _kilobytes("VmRSS")
        run()
        return 1024 * max(0, _kilobytes("VmHWM") - before)
    except (OSError, AttributeError, KeyError):
        return None


def _kilobytes(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int({line.split(":")[0]: line.split()[1] for line in lines if line.endswith("kB")}[key])
