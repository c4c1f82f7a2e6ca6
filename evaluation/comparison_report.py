"""A comparison as people read it: a Markdown table and a picture."""

import math
from pathlib import Path

from .comparison import Comparison, Score
from .metric_table import METRICS, Metric

_ARROWS = {"higher": "higher is better", "lower": "lower is better", "zero": "nearer 0 is better"}
_MOST_NAMED = 10
_COLOURS = {"better": "#16794f", "worse": "#b3261e", "": "#77767c"}


def markdown(comparison: Comparison) -> str:
    """The whole comparison as Markdown whose tables are readable as plain text, too."""
    parts = [f"# {' / '.join(comparison.names)}", ""]
    if comparison.marks:
        parts += [f"**NOT MEASURED IN ONE WAY.** {mark}." for mark in comparison.marks] + [""]
    parts += [f"{_protocols(comparison)} {_how(comparison)}", ""]
    names = list(comparison.scores)
    parts += _table(comparison, names[: comparison.main_metrics] or names)
    if 0 < comparison.main_metrics < len(names):
        parts += ["", "Further metrics, which the protocol does not print:", ""]
        parts += _table(comparison, names[comparison.main_metrics :])
    parts += [
        "",
        "**Bold** is the best value, resolved or not. A difference is resolved where its interval leaves out 0;",
    ]
    parts += ["each interval is for its metric alone, so of many some leave out 0 by chance.", ""]
    parts += [f"- {remark}" for remark in [*comparison.remarks, *_left_out(comparison)]]
    prints = ", ".join(
        f"{name} `{print_}`" for name, print_ in zip(comparison.names, comparison.fingerprints, strict=True)
    )
    return "\n".join([*parts, f"- Fingerprints: {prints}.", ""])


def draw(comparison: Comparison, path: Path) -> None:
    """Write a picture: each metric with its intervals, and the differences to the first result.

    Raises:
        ImportError: matplotlib is not installed. OSError: the file cannot be written.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError(
            "matplotlib: is needed to draw. Install it with `pip install 'open-dpt[evaluate]'`."
        ) from None
    from ..processing.writers import atomic_write

    names = list(comparison.scores)[: comparison.main_metrics or None]
    count = len(comparison.names)
    figure = Figure(figsize=(11, 0.9 + len(names) * (0.5 + 0.28 * count)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(names), 2, squeeze=False)
    for (left, right), name in zip(axes, names, strict=True):
        metric, scores = METRICS[name], comparison.scores[name]
        for row, score in enumerate(scores):
            _bar(left, row, metric, score.value, score.interval, "#26242b")
        for row, score in enumerate(scores[1:], 1):
            _bar(
                right,
                row,
                metric,
                score.difference,
                score.difference_interval,
                _COLOURS[_verdict(metric, scores[0], score)],
            )
        left.set_title(f"{metric.heading} ({_ARROWS[metric.better]})", fontsize=9, loc="left")
        right.set_title(f"difference to {comparison.names[0]}", fontsize=9, loc="left")
        right.axvline(0, color="#26242b", linewidth=0.8)
        for axis, labels in ((left, comparison.names), (right, ["", *comparison.names[1:]])):
            axis.set_yticks(range(count), labels, fontsize=8)
            axis.set_ylim(count - 0.5, -0.5)
            axis.tick_params(axis="x", labelsize=8)
            axis.locator_params(axis="x", nbins=5)
            axis.spines[["top", "right"]].set_visible(False)
    mark = "NOT MEASURED IN ONE WAY. " if comparison.marks else ""
    colours = "Green: resolved and better than the first; red: worse; grey: not resolved."
    figure.suptitle(
        f"{mark}{_protocols(comparison)}\n{_how(comparison)}\n{colours}",
        fontsize=9,
        x=0.01,
        ha="left",
        color=_COLOURS["worse"] if mark else "#26242b",
    )
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=130)


def _table(comparison: Comparison, names: list[str]) -> list[str]:
    first, *others = comparison.names
    head = ["metric", first, *(title for name in others for title in (name, f"{name} - {first}"))]
    lines = [head]
    for name in names:
        metric, scores = METRICS[name], comparison.scores[name]
        line = [f"{metric.heading}, {_ARROWS[metric.better]}", _value(metric, scores[0])]
        for score in scores[1:]:
            line += [_value(metric, score), _difference(metric, scores[0], score)]
        lines.append(line)
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    rows = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    return [rows[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *rows[1:]]


def _value(metric: Metric, score: Score) -> str:
    text = metric.text(score.value)
    low, high = (metric.text(end) for end in score.interval)
    return (f"**{text}**" if score.best else text) + f" [{low}, {high}]"


def _difference(metric: Metric, first: Score, score: Score) -> str:
    values = [metric.factor * value for value in (score.difference, *score.difference_interval)]
    # One digit more than the value has, or as many as it takes that no end of a resolved interval reads 0.
    for digits in range(metric.decimals + 1, metric.decimals + 5):
        number, low, high = (f"{value:+.{digits}f}" for value in values)
        if not score.resolved or (float(low) and float(high)):
            break
    verdict = _verdict(metric, first, score) or ("not resolved" if score.resolved is False else "too few to tell")
    return f"{number} [{low}, {high}] {verdict}"


def _verdict(metric: Metric, first: Score, score: Score) -> str:
    """ "better" or "worse" than the first result; "" where that is not resolved."""
    if not score.resolved:
        return ""
    gain = {
        "higher": score.difference,
        "lower": -score.difference,
        "zero": abs(first.value) - abs(score.value),
    }[metric.better]
    return "better" if gain > 0 else "worse"


def _protocols(comparison: Comparison) -> str:
    return f"Protocol: {'; '.join(dict.fromkeys(comparison.labels))}."


def _how(comparison: Comparison) -> str:
    drawn = f"{comparison.units} {comparison.by}s"
    common = "" if comparison.by == "image" else f" ({comparison.images} images)"
    return (
        f"Intervals are the middle {100 * comparison.level:g} % of a paired bootstrap: {drawn}{common} drawn "
        f"{comparison.resamples:,} times, seed {comparison.seed}."
    )


def _left_out(comparison: Comparison) -> list[str]:
    if not comparison.left_out:
        return []
    named = [f"{name} ({why})" for name, why in list(comparison.left_out.items())[:_MOST_NAMED]]
    more = len(comparison.left_out) - len(named)
    return [f"Left out: {len(comparison.left_out)} images: {', '.join(named)}{f' and {more} more' if more else ''}."]


def _bar(axis, row: int, metric: Metric, value: float, interval: tuple[float, float], colour: str) -> None:
    value, low, high = (metric.factor * number for number in (value, *interval))
    if all(map(math.isfinite, (value, low, high))):
        axis.plot([low, high], [row, row], color=colour, linewidth=2, solid_capstyle="butt")
        axis.plot([value], [row], "o", color=colour, markersize=5)
