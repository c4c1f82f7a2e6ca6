"""The rule of every comparison: outputs first, time afterwards, in turns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from .labels import reason_of
from .machine import ceilings
from .suites import PEERS, Options
from .timing import Times, extra_memory, take_turns

# Largest difference over largest value, to the reference in float32.
FLOAT32_TOLERANCE = 1e-5
# Other dtypes: so many times the difference of our own plain model in that dtype.
PLAIN_TOLERANCE = 2.0


@dataclass(frozen=True)
class Work:
    """What a candidate does in a round, and what comes out.

    Args:
        run: Called with the number of the round.
        output: Its answer, to compare with the reference; None: there is nothing to compare.
        frees_memory: Gives back after a call what it took for it, so that its need can be seen.
        judged: Is not timed where its answer is too far off; else the difference is only told, for arithmetic of
            another kind, such as int8.
    """

    run: Callable[[int], Any]
    output: Callable[[], Tensor] | None
    frees_memory: bool = True
    judged: bool = True


@dataclass(frozen=True)
class Reference:
    """The right answer, and how far from it an answer may be (largest difference over largest value)."""

    values: Tensor
    tolerance: float

    def difference(self, output: Tensor) -> float:
        """Infinite where the shapes differ or a value is not finite."""
        output = output.detach().float().cpu()
        if output.shape != self.values.shape or not output.isfinite().all():
            return float("inf")
        return float((output - self.values).abs().max() / self.values.abs().max())


def reference_for(plain: Tensor, in_dtype: Tensor | None) -> Reference:
    """The reference and tolerance from our plain model's answers in float32 and in the dtype that is measured.

    Raises:
        ValueError: an answer is flat or not finite, so that comparing with it would say nothing.
    """
    for answer, dtype in ((plain, "float32"), (in_dtype, "this dtype")):
        if answer is not None and not answer.isfinite().all():
            raise ValueError(f"reference: our plain model's answer in {dtype} is not finite; choose another dtype.")
    reference = Reference(plain.detach().float().cpu(), FLOAT32_TOLERANCE)
    if reference.values.std() <= 1e-3 * reference.values.abs().max():
        raise ValueError(
            "reference: the model's answer is the same everywhere; choose other weights or another input."
        )
    if in_dtype is None:
        return reference
    return Reference(reference.values, PLAIN_TOLERANCE * reference.difference(in_dtype))


def compare_and_time(
    candidates: dict[str, Callable[[], Work]],
    reference: Reference | None,
    options: Options,
    *,
    dtype: torch.dtype,
    images: int,
    flop: int | None = None,
    warm_up: int = 0,
) -> dict[str, Any]:
    """Build candidates, compare their outputs, and time those that agree.

    Args:
        candidates: By name; a peer's name is one of `PEERS`. The first that is timed and not ours is what speeds are
            given in multiples of.
        reference: None: outputs are not compared.
        dtype: Of the operations that stand for the machine's ceiling.
        images: Done in one round.
        flop: What the network asks for in one round. The same for all: one that gets along with less is just faster.
        warm_up: Rounds that do not count, after the call that is compared.

    Returns:
        `gflop`, `ceiling` (the operation that was fastest), `ceiling_tflops` by the clock, `ceiling_tflops_cpu` by
        processor time, and `rows` (see `suites.run_suite`) in the order of `candidates`.
    """
    rows = {name: {"candidate": name} for name in candidates}
    works = {name: work for name in candidates if (work := _admitted(candidates[name], rows[name], reference))}
    products = ceilings(dtype, options.device)
    runs = {**{name: run for name, (run, _) in products.items()}, **{name: work.run for name, work in works.items()}}
    limits = {"rounds": options.rounds, "seconds": options.seconds, "warm_up": warm_up, "device": options.device}
    times, failed = take_turns(runs, **limits)
    peaks = {}
    for name, work in works.items():
        if name not in failed:
            try:
                peaks[name] = _peak(work, options.device)
            except Exception as error:  # as in `take_turns`
                failed[name] = reason_of(error)
        if name in failed:
            rows[name] = {"candidate": name, "status": "failed", "reason": failed[name]}
    rates = {name: _tflops(products[name][1], taken.summary()) for name, taken in times.items() if name in products}
    if not rates:
        raise RuntimeError(f"ceiling: {failed[next(iter(products))]}")
    ceiling = max(rates, key=rates.get)
    add_figures(rows, {name: times[name] for name in peaks})
    for name, peak in peaks.items():
        rows[name]["images_per_second"] = 1e3 * images / rows[name]["median_ms"]
        if flop:
            part = times[name].compared_with(times[ceiling])
            share = flop / products[ceiling][1]
            rows[name]["part_of_ceiling"] = share * part["times_as_fast"]
            rows[name]["part_of_ceiling_cpu"] = share * part["times_as_fast_cpu"]
        rows[name]["extra_memory_mb"] = peak
    return {"gflop": flop and flop / 1e9, "ceiling": ceiling, "rows": list(rows.values())} | {
        "ceiling_tflops": rates[ceiling][0],
        "ceiling_tflops_cpu": rates[ceiling][1],
    }


def _peak(work: Work, device: str) -> float | None:
    """What a call needs beyond what is held, in MB; None where that cannot be seen."""
    peak = extra_memory(partial(work.run, 0), device) if work.frees_memory else None
    return None if peak is None else peak / 2**20


def add_figures(rows: dict[str, dict[str, Any]], times: dict[str, Times]) -> None:
    """Write times into rows, and how many times as fast each is as the first peer, each of ours as every peer."""
    peers = [name for name in times if name in PEERS]
    for name, taken in times.items():
        rows[name] |= taken.summary()
        if peers:
            rows[name] |= {**taken.compared_with(times[peers[0]]), "as": peers[0]}
        if name not in PEERS:
            rows[name]["against"] = {peer: taken.compared_with(times[peer]) for peer in peers}


def _admitted(build: Callable[[], Work], row: dict[str, Any], reference: Reference | None) -> Work | None:
    """The candidate's work where it is there, runs, and answers what it should; `row` says which."""
    absent = PEERS[row["candidate"]].missing() if row["candidate"] in PEERS else None
    if absent:
        row |= {"status": "missing", "reason": absent}
        return None
    try:
        work = build()
        if work.output is None or reference is None:
            row |= {"status": "timed", "difference": None}
            return work
        output = work.output()
    except Exception as error:  # whatever another library raises is a finding, not our end
        row |= {"status": "failed", "reason": reason_of(error)}
        return None
    difference = reference.difference(output)
    row |= {"difference": difference, "tolerance": reference.tolerance}
    if difference <= reference.tolerance or (difference < float("inf") and not work.judged):
        row["status"] = "timed"
        return work
    found, wanted = tuple(output.shape), tuple(reference.values.shape)
    reason = (
        f"answers {found}, not {wanted}" if found != wanted else f"differs by {difference:.1e} of the largest value"
    )
    row |= {"status": "differs", "reason": f"{reason}, allowed {reference.tolerance:.1e}", "difference": None}
    if difference < float("inf"):
        row["difference"] = difference
    return None


def _tflops(flop: float, summary: dict[str, Any]) -> tuple[float, float]:
    """In a second by the clock and in a second of processor time."""
    return flop / summary["median_ms"] / 1e9, flop / summary["cpu_ms"] / 1e9


def count_flop(run: Callable[[], Any]) -> int:
    """Multiplications and additions of one call as PyTorch counts them: products of matrices and convolutions."""
    # The counter does not know the CPU's fused attention; spelled out, it is two products.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()
