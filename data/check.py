"""Open every file of a data set and say what is in it, and what looks wrong before a training run shows it."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from .label_rules import IGNORED
from .layout import name_some
from .readers import SampleError, read_map
from .samples import read_sample, spread

# Median distance of a picture in metres that is not a mistake of the scale: from a macro shot to an aerial one.
PLAUSIBLE_METRES = (0.1, 200.0)
# A class map has far fewer ids than a grey picture has levels.
MOST_IDS = 200
# Rows whose stored values are looked at too, for mistakes that scaled values hide.
STORED_LOOKS = 20


@dataclass
class Measured:
    """One sample in numbers, or the reason why it cannot be used."""

    index: int
    name: str
    error: str | None = None
    size: tuple[int, int] = (0, 0)
    scene: str | None = None
    has_intrinsics: bool = False
    valid: float | None = None  # share of the pixels
    kind: str | None = None  # "depth" in metres or "disparity"
    depth: tuple[float, float, float] | None = None  # lowest, median, highest of the valid pixels
    labels: dict[int, int] = field(default_factory=dict)  # pixels by id


@dataclass
class Report:
    """What a data set holds.

    Args:
        measured: Every sample that was opened.
        class_names: In the order of the ids; empty where unknown.
        problems: What has to be mended, one line each.
        notes: What may be right.
    """

    measured: list[Measured]
    class_names: list[str]
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def usable(self) -> list[Measured]:
        return [each for each in self.measured if each.error is None]

    @property
    def label_counts(self) -> Counter[int]:
        """Pixels by label, the ignored ones among them."""
        total: Counter[int] = Counter()
        for each in self.usable:
            total.update(each.labels)
        return total


def check_rows(
    rows: Sequence[dict[str, Any]],
    class_names: Sequence[str] = (),
    *,
    limit: int | None = None,
    workers: int | None = None,
    on_sample: Callable[[Measured], Any] | None = None,
) -> Report:
    """Open the files of a data set.

    Args:
        rows: Of `load_data`, raw.
        class_names: In the order of the ids; empty where unknown.
        limit: Open only so many rows, evenly spaced.
        workers: Threads; by default one a core, at most 8.
        on_sample: Called with each result as it comes, in order.

    Raises:
        ImportError: a file's format needs a package that is not installed.
    """
    measured = []
    indices = spread(len(rows), limit)
    with ThreadPoolExecutor(workers or min(8, os.cpu_count() or 1)) as pool:
        for result in _in_order(pool, lambda index: _measure(index, rows[index]), indices):
            measured.append(result)
            if on_sample is not None:
                on_sample(result)
    report = Report(measured, list(class_names))
    report.problems += [f"row {each.index}: {each.error}" for each in measured if each.error is not None]
    for find in _CHECKS:
        find(report)
    if report.usable:
        _check_stored(report, [rows[each.index] for each in report.usable[:STORED_LOOKS]])
    return report


def _in_order(pool: ThreadPoolExecutor, function: Callable, items: Iterable) -> Iterator:
    """`pool.map` that does not take all items at once."""
    items = iter(items)
    while chunk := list(islice(items, 64)):
        yield from pool.map(function, chunk)


def _measure(index: int, row: dict[str, Any]) -> Measured:
    try:
        sample = read_sample(row)
    except SampleError as error:
        return Measured(index, "", error=str(error))
    result = Measured(index, sample["name"], scene=sample["scene"], has_intrinsics="intrinsics" in sample)
    result.size = tuple(sample["image"].shape[-2:])
    result.kind = next((kind for kind in ("depth", "disparity") if kind in sample), None)
    if result.kind is not None:
        values = sample[result.kind][sample["valid"]].numpy()
        result.valid = values.size / sample["valid"].numel()
        if values.size:
            result.depth = (float(values.min()), float(np.median(values)), float(values.max()))
    if "label" in sample:
        ids, counts = sample["label"].unique(return_counts=True)
        result.labels = dict(zip(ids.tolist(), counts.tolist(), strict=True))
    return result


# Checks: each adds to the problems and notes of a report.


def _check_scale(report: Report) -> None:
    medians = [each.depth[1] for each in report.usable if each.kind == "depth" and each.depth]
    if not medians:
        return
    low, high = PLAUSIBLE_METRES
    typical = float(np.median(medians))
    if not low <= typical <= high:
        # 2 m lies in the middle of the range on a logarithmic axis, near enough.
        factor = 10 ** abs(round(math.log10(typical / 2)))
        direction = "small" if typical > high else "large"
        report.problems.append(
            f"depth: typical distance is {typical:.3g} m, outside {low:g} to {high:g} m. "
            f"depth_scale looks about {factor} times too {direction}."
        )
        return
    _tell(
        report.problems,
        f"depth: median outside {low:g} to {high:g} m",
        [each for each in report.usable if each.kind == "depth" and each.depth and not low <= each.depth[1] <= high],
    )


def _check_empty_and_constant(report: Report) -> None:
    maps = [each for each in report.usable if each.kind is not None]
    _tell(report.problems, "depth: no valid pixel", [each for each in maps if each.depth is None])
    constant = [each for each in maps if each.depth is not None and each.depth[0] == each.depth[2]]
    _tell(report.problems, "depth: one value everywhere", constant)
    unlabelled = [each for each in report.usable if each.labels and set(each.labels) == {IGNORED}]
    _tell(report.problems, "labels: every pixel is ignored", unlabelled)


def _check_ids(report: Report) -> None:
    counts = report.label_counts
    ids = sorted(set(counts) - {IGNORED})
    if not ids:
        return
    if len(ids) > MOST_IDS:
        report.problems.append(
            f"labels: {len(ids)} different ids, as many as a grey picture has levels. Convert colours to class ids."
        )
    elif report.class_names:
        outside = {number for number in ids if number >= len(report.class_names)}
        shown = ", ".join(map(str, sorted(outside)[:10])) + (", ..." if len(outside) > 10 else "")
        _tell(
            report.problems,
            f"labels: ids outside the {len(report.class_names)} classes ({shown})",
            [each for each in report.usable if outside & set(each.labels)],
        )
        absent = [name for number, name in enumerate(report.class_names) if number not in counts]
        if absent:
            report.notes.append(f"labels: {len(absent)} classes do not occur ({name_some(absent)}).")
    else:
        report.notes.append(
            f"labels: ids {ids[0]} to {ids[-1]} without names. Put a classes.txt beside the data, or pass id2label."
        )


def _check_sizes(report: Report) -> None:
    small = [each for each in report.usable if min(each.size) < 32]
    _tell(report.notes, "image: less than 32 pixels high or wide", small)


_CHECKS = (_check_scale, _check_empty_and_constant, _check_ids, _check_sizes)


def _check_stored(report: Report, rows: Iterable[dict[str, Any]]) -> None:
    """Mistakes that only show in the values as they are stored."""
    coarse = full = 0
    for row in rows:
        if row.get("depth") is None:
            continue
        stored = read_map(row["depth"])
        values = stored.values
        if values.dtype.kind == "u" and not stored.in_units:
            coarse += values.dtype.itemsize == 1 and row.get("depth_kind") == "metres"
            full += bool((values == np.iinfo(values.dtype).max).mean() > 0.01) and values.dtype.itemsize > 1
    if coarse:
        report.problems.append("depth: stored in 8 bits, which knows 255 distances. Store 16-bit PNG or float arrays.")
    if full:
        report.problems.append(
            "depth: many pixels hold the highest number that fits (65535). Where that means missing, store 0 instead."
        )


def _tell(lines: list[str], what: str, samples: Sequence[Measured]) -> None:
    if samples:
        lines.append(f"{what}: {len(samples)} of the samples: {name_some([each.name for each in samples])}.")
