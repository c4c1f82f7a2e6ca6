"""Cases as files: JSON with the machine, a Markdown table, a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..writers import atomic_write
from .suites import SUITES

FORMAT = 1

_COLOURS = {"open_dpt": "#16794f", "": "#77767c"}


def write_report(folder: Path, machine: dict[str, Any], cases: list[dict[str, Any]]) -> list[str]:
    """Write bench.json, bench.md and, where matplotlib is installed, bench.png; returns the names written."""
    folder.mkdir(parents=True, exist_ok=True)
    data = {"format": FORMAT, "machine": machine, "cases": cases}
    text = "\n".join(["# Benchmark", "", machine_line(machine), "", *tables(cases), ""])
    for name, content in {"bench.json": json.dumps(data, indent=1) + "\n", "bench.md": text}.items():
        with atomic_write(folder / name) as file:
            file.write(content.encode())
    try:
        draw(cases, folder / "bench.png")
    except ImportError:
        return ["bench.json", "bench.md"]
    return ["bench.json", "bench.md", "bench.png"]


def machine_line(machine: dict[str, Any]) -> str:
    """The machine in one line."""
    known = {key: value for key, value in machine.items() if value not in (None, [])}
    return ", ".join(
        f"{key} {' '.join(map(str, value)) if isinstance(value, list) else value}" for key, value in known.items()
    )


def case_title(case: dict[str, Any]) -> str:
    """Such as "latency: dpt-base, bfloat16, 384x384, batch 1"."""
    parts = [case["preset"], case["dtype"]]
    if case["height"]:
        parts += [f"{case['height']}x{case['width']}", f"batch {case['batch']}"]
    if case.get("photos"):
        parts.append(f"{case['photos']} photos")
    return f"{case['suite']}: {', '.join(parts)}"


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
    head = ["", "ms: median [quartiles]", "CPU ms", "times as fast (CPU)", "difference"]
    columns = [_name, _milliseconds, _cpu, _times, _difference]
    if case["suite"] == "loading":
        head += ["import ms", "first read ms", "peak MB"]
        columns += [_number("import_ms"), _number("read_ms"), _number("peak_memory_mb")]
    else:
        head += ["images/s", "of ceiling (CPU)", "more MB"]
        columns += [_rate, _part, _number("extra_memory_mb")]
    title = case_title(case)
    if case["ceiling_tflops"]:
        title += f"; products of matrices: {case['ceiling_tflops']:.3g} TFLOP/s ({case['ceiling_tflops_cpu']:.3g})"
    if case["gflop"]:
        title += f", needed: {case['gflop']:.4g} GFLOP"
    lines = [title, ""]
    if timed:
        cells = [head, *([column(row) for column in columns] for row in timed)]
        widths = [max(len(line[index]) for line in cells) for index in range(len(head))]
        padded = [
            "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
            for line in cells
        ]
        lines += [padded[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *padded[1:]]
    left_out = [f"- {row['candidate']}: {row['status']}, {row['reason']}" for row in case["rows"] if row not in timed]
    return [*lines, *([""] if timed and left_out else []), *left_out]


def draw(cases: list[dict[str, Any]], path: Path) -> None:
    """Write a picture: a bar for each candidate of each case, thin lines for quartiles; lines for cost against size.

    Raises:
        ImportError: matplotlib is not installed. OSError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    suites = list(dict.fromkeys(case["suite"] for case in cases))
    bars = {suite: _bars([case for case in cases if case["suite"] == suite]) for suite in suites}
    heights = [3.0 if suite == "size" else 0.8 + 0.22 * len(bars[suite]) for suite in suites]
    figure = Figure(figsize=(10, sum(heights) + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(suites), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, suite in zip(panels, suites, strict=True):
        axes.set_title(f"{suite}: {SUITES[suite].summary}", fontsize=10, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
        if suite == "size":
            _draw_lines(axes, [case for case in cases if case["suite"] == suite])
        else:
            _draw_bars(axes, bars[suite])
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=110)


def _bars(cases: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for case in cases:
        title = case_title(case).partition(": ")[2]
        for row in case["rows"]:
            if row["status"] == "timed":
                found.append((f"{title}, {row['candidate']}", row))
    return found


def _draw_bars(axes: Any, bars: list[tuple[str, dict[str, Any]]]) -> None:
    values = [row["median_ms"] for _, row in bars]
    spread = [
        [row["median_ms"] - row["low_ms"] for _, row in bars],
        [row["high_ms"] - row["median_ms"] for _, row in bars],
    ]
    colours = [_COLOURS.get(row["candidate"].split(",")[0], _COLOURS[""]) for _, row in bars]
    axes.barh(range(len(bars)), values, xerr=spread, color=colours, height=0.7, error_kw={"linewidth": 0.8})
    axes.set_yticks(range(len(bars)), [label for label, _ in bars])
    axes.set_ylim(len(bars) - 0.5, -0.5)
    axes.set_xlabel("ms", fontsize=8)


def _draw_lines(axes: Any, cases: list[dict[str, Any]]) -> None:
    lines: dict[str, list[tuple[int, float]]] = {}
    for case in cases:
        for row in case["rows"]:
            if row["status"] == "timed":
                label = f"{case['preset']}, {case['dtype']}, {row['candidate']}"
                lines.setdefault(label, []).append((case["height"] * case["width"], row["median_ms"]))
    for label, points in lines.items():
        axes.loglog(*zip(*sorted(points), strict=True), marker="o", markersize=4, label=label)
    axes.set_xlabel("pixels of the input", fontsize=8)
    axes.set_ylabel("ms", fontsize=8)
    if lines:
        axes.legend(fontsize=8, frameon=False)


def _name(row: dict[str, Any]) -> str:
    return row["candidate"]


def _milliseconds(row: dict[str, Any]) -> str:
    return f"{_short(row['median_ms'])} [{_short(row['low_ms'])}, {_short(row['high_ms'])}]"


def _cpu(row: dict[str, Any]) -> str:
    return _short(row["cpu_ms"])


def _times(row: dict[str, Any]) -> str:
    return f"{row['times_as_fast']:.2f} ({row['times_as_fast_cpu']:.2f})" if "times_as_fast" in row else ""


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


def _short(milliseconds: float) -> str:
    return f"{milliseconds:.2f}" if milliseconds < 10 else f"{milliseconds:.0f}"
