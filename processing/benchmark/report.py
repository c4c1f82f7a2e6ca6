"""Cases as files: JSON with the machine, a Markdown table, a picture."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from ..writers import atomic_write
from .labels import case_title, short
from .picture import draw
from .suites import PEERS, SUITES

FORMAT = 1


def write_report(folder: Path, machine: dict[str, Any], cases: list[dict[str, Any]]) -> list[str]:
    """Write bench.json, bench.md and, where matplotlib is installed, bench.png; returns the names written."""
    folder.mkdir(parents=True, exist_ok=True)
    data = _as_json({"format": FORMAT, "machine": machine, "cases": cases})
    text = "\n".join(["# Benchmark", "", machine_line(machine), "", *summary(cases), "", *tables(cases), ""])
    for name, content in {"bench.json": json.dumps(data, indent=1, allow_nan=False) + "\n", "bench.md": text}.items():
        with atomic_write(folder / name) as file:
            file.write(content.encode())
    try:
        draw(cases, folder / "bench.png")
    except ImportError:
        return ["bench.json", "bench.md"]
    return ["bench.json", "bench.md", "bench.png"]


def _as_json(data: Any) -> Any:
    """The same with null for what is not finite, which JSON has no word for."""
    if isinstance(data, dict):
        return {key: _as_json(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_as_json(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def machine_line(machine: dict[str, Any]) -> str:
    """The machine in one line."""
    known = {key: value for key, value in machine.items() if value not in (None, [])}
    return ", ".join(
        f"{key} {' '.join(map(str, value)) if isinstance(value, list) else value}" for key, value in known.items()
    )


def tables(cases: list[dict[str, Any]]) -> list[str]:
    """Lines of Markdown: a table a case, readable as plain text, too."""
    lines: list[str] = []
    suite = None
    for case in cases:
        if case["suite"] != suite:
            suite = case["suite"]
            lines += [f"## {suite}: {SUITES[suite].summary}", ""]
        lines += [*case_table(case), ""]
    return lines[:-1]


def case_table(case: dict[str, Any]) -> list[str]:
    """One case: a title, the machine's ceiling, a table, and what was not timed and why."""
    timed = [row for row in case["rows"] if row["status"] == "timed"]
    baseline = next((row["as"] for row in timed if "as" in row), None)
    head = ["", "ms: median [quartiles]", "CPU ms"]
    columns = [_name, _milliseconds, _cpu]
    if baseline:
        head.append(f"{baseline} = 1 (CPU)")
        columns.append(_times)
    if case["suite"] == "loading":
        head += ["import ms", "first read ms", "peak MB"]
        columns += [_number("import_ms"), _number("read_ms"), _number("peak_memory_mb")]
    else:
        head.append("images/s")
        columns.append(_rate)
        if case["gflop"]:
            head.append("of ceiling (CPU)")
            columns.append(_part)
        head.append("more MB")
        columns.append(_number("extra_memory_mb"))
    if case["suite"] == "stream":
        head += ["graphs", "first round s"]
        columns += [_number("graphs"), _number("first_s")]
    head.append("difference")
    columns.append(_difference)
    lines = [f"### {case_title(case)}", ""]
    facts = []
    if case["gflop"]:
        facts.append(f"needed: {case['gflop']:.4g} GFLOP")
    if case["ceiling_tflops"]:
        facts.append(
            f"ceiling: {case['ceiling_tflops']:.3g} TFLOP/s ({case['ceiling_tflops_cpu']:.3g} a second of CPU), "
            f"a {case['ceiling']}"
        )
    if case.get("seconds"):
        facts.append(f"measured in {duration(case['seconds'])}")
    if facts:
        lines += ["; ".join(facts), ""]
    if timed:
        lines += _aligned([head, *([column(row) for column in columns] for row in timed)])
    left_out = [
        f"- {row['candidate']}: {row['status']}, {row['reason']}"
        for row in case["rows"]
        if row["status"] not in ("timed", "missing")  # what is missing is the same for all cases: see `summary`
    ]
    return [*lines, *([""] if timed and left_out else []), *left_out]


def duration(seconds: float) -> str:
    """Such as "12 s" or "3 min 5 s"."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def summary(cases: list[dict[str, Any]]) -> list[str]:
    """How many times as fast ours is as each other, a table a suite, and who was not there."""
    lines: list[str] = []
    for suite in dict.fromkeys(case["suite"] for case in cases):
        found = {
            # "dpt-base, bfloat16, 384x384, batch 1", and the way where it is not the usual one
            ",".join([case_title(case).partition(": ")[2], *row["candidate"].split(",")[1:]]): row["against"]
            for case in cases
            for row in case["rows"]
            if case["suite"] == suite and row.get("against")
        }
        peers = [name for name in PEERS if any(name in against for against in found.values())]
        if found:
            cells = [[title, *(_ratio(against.get(name)) for name in peers)] for title, against in found.items()]
            lines += [*_aligned([[suite, *peers], *cells]), ""]
    if lines:
        lines = ["## open_dpt is so many times as fast, by the clock (by CPU)", "", *lines]
    missing = dict.fromkeys(
        f"- {row['candidate']}: missing, {row['reason']}"
        for case in cases
        for row in case["rows"]
        if row["status"] == "missing"
    )
    return [*lines, *missing] if missing else lines[:-1]


def _aligned(cells: list[list[str]]) -> list[str]:
    """Lines of a Markdown table, the first row its head."""
    widths = [max(len(line[index]) for line in cells) for index in range(len(cells[0]))]
    padded = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in cells
    ]
    return [padded[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *padded[1:]]


def _name(row: dict[str, Any]) -> str:
    return row["candidate"]


def _milliseconds(row: dict[str, Any]) -> str:
    return f"{short(row['median_ms'])} [{short(row['low_ms'])}, {short(row['high_ms'])}]"


def _cpu(row: dict[str, Any]) -> str:
    return short(row["cpu_ms"])


def _times(row: dict[str, Any]) -> str:
    return _ratio(row)


def _ratio(row: dict[str, Any] | None) -> str:
    return f"{row['times_as_fast']:.2f} ({row['times_as_fast_cpu']:.2f})" if row and "times_as_fast" in row else ""


def _difference(row: dict[str, Any]) -> str:
    return "not compared" if row.get("difference") is None else f"{row['difference']:.1e}"


def _rate(row: dict[str, Any]) -> str:
    return f"{row['images_per_second']:.3g}"


def _part(row: dict[str, Any]) -> str:
    if "part_of_ceiling" not in row:
        return ""
    return f"{100 * row['part_of_ceiling']:.0f} % ({100 * row['part_of_ceiling_cpu']:.0f} %)"


def _number(key: str):
    return lambda row: "" if row.get(key) is None else f"{row[key]:.0f}"
