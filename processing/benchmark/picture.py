"""Cases as a picture: bars of milliseconds for each, lines for cost against size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..writers import atomic_write
from .labels import case_title, short
from .suites import OWN

_COLUMNS = 2
_COLOURS = {OWN: "#16794f", "": "#b9b8bf"}
_MARKERS = "osD^vP"
_TITLE, _BAR = 0.5, 0.24  # inches


def draw(cases: list[dict[str, Any]], path: Path) -> None:
    """Write a picture with a panel for each case, and one for all sizes of a network.

    Raises:
        ImportError: matplotlib is not installed. OSError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = _panels(cases)
    rows = [panels[start : start + _COLUMNS] for start in range(0, len(panels), _COLUMNS)]
    heights = [max(_height(panel) for panel in row) for row in rows] or [1.0]
    figure = Figure(figsize=(11, sum(heights) + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle("median milliseconds with quartiles, shorter is better; times as fast as the first", fontsize=9)
    grid = figure.subplots(len(heights), _COLUMNS, squeeze=False, height_ratios=heights)
    for axes in grid.flat:
        axes.set_axis_off()
    for row, line, height in zip(rows, grid, heights, strict=False):
        for panel, axes in zip(row, line, strict=False):
            axes.set_axis_on()
            axes.spines[["top", "right"]].set_visible(False)
            axes.tick_params(labelsize=8)
            if len(panel) > 1:
                _draw_lines(axes, panel)
            else:
                _draw_bars(axes, panel[0], slots=(height - _TITLE) / _BAR)
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=110)


def _panels(cases: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Cases that are drawn together: those of the suite of sizes, where there are several; others alone."""
    sizes = [case for case in cases if case["suite"] == "size"]
    if len(sizes) < 2:
        return [[case] for case in cases]
    first = cases.index(sizes[0])
    kept = [case for number, case in enumerate(cases) if number == first or case["suite"] != "size"]
    return [sizes if case is cases[first] else [case] for case in kept]


def _height(panel: list[dict[str, Any]]) -> float:
    """In inches."""
    return 3.2 if len(panel) > 1 else _TITLE + _BAR * max(1, len(_timed(panel[0])))


def _timed(case: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for row in case["rows"] if row["status"] == "timed"]


def _draw_bars(axes: Any, case: dict[str, Any], slots: float) -> None:
    """Room for `slots` bars, so that all are as thick as those beside."""
    rows = _timed(case)
    values = [row["median_ms"] for row in rows]
    spread = [
        [row["median_ms"] - row["low_ms"] for row in rows],
        [row["high_ms"] - row["median_ms"] for row in rows],
    ]
    colours = [_COLOURS.get(row["candidate"].split(",")[0], _COLOURS[""]) for row in rows]
    axes.barh(range(len(rows)), values, xerr=spread, color=colours, height=0.72, error_kw={"linewidth": 0.8})
    for number, row in enumerate(rows):
        factor = f", {row['times_as_fast']:.2f}x" if "times_as_fast" in row else ""
        axes.annotate(
            f"{short(row['median_ms'])} ms{factor}",
            (row["high_ms"], number),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    axes.set_yticks(range(len(rows)), [row["candidate"] for row in rows])
    axes.set_ylim(slots - 0.5, -0.5)
    axes.set_xlim(0, 1.35 * max((row["high_ms"] for row in rows), default=1.0))  # room for what stands beside
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    axes.set_title(case_title(case), fontsize=9, loc="left")


def _draw_lines(axes: Any, cases: list[dict[str, Any]]) -> None:
    lines: dict[str, list[tuple[int, float]]] = {}
    for case in cases:
        for row in _timed(case):
            label = f"{row['candidate']}, {case['preset']}, {case['dtype']}"
            lines.setdefault(label, []).append((case["height"] * case["width"], row["median_ms"]))
    for number, (label, points) in enumerate(lines.items()):
        colour = _COLOURS.get(label.split(",")[0], _COLOURS[""])
        marker = _MARKERS[number % len(_MARKERS)]
        axes.loglog(*zip(*sorted(points), strict=True), marker=marker, markersize=4, color=colour, label=label)
        above = number < len(lines) / 2
        for pixels, milliseconds in points:
            place = {"xytext": (-3 if above else 3, 6 if above else -12), "textcoords": "offset points"}
            axes.annotate(
                short(milliseconds), (pixels, milliseconds), **place, fontsize=8, ha="right" if above else "left"
            )
    sizes = {case["height"] * case["width"]: f"{case['height']}x{case['width']}" for case in cases}
    axes.set_xticks(list(sizes), list(sizes.values()))
    axes.set_yticks([])
    axes.minorticks_off()
    axes.margins(x=0.12, y=0.15)
    axes.set_title("size: ms against image size", fontsize=9, loc="left")
    if lines:
        axes.legend(fontsize=8, frameon=False)
