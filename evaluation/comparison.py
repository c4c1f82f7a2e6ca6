"""Several results side by side: how sure each number is, and which differences are more than chance.

Paired bootstrap: images are drawn again with replacement, the same for all results, and every number is computed anew
from each draw. Intervals are percentiles of what comes out. (Efron and Tibshirani, An Introduction to the Bootstrap,
1993, chapters 8 and 13.)

    found = compare([Result.load("a"), Result.load("b")])
    found.scores["abs_rel"][1].difference_interval
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from .aggregate import aggregate, totals_of
from .bootstrap import Interval, draws, interval
from .common_images import common_rows, groups_of
from .metric_table import METRICS
from .result_files import ResultError, storable
from .results import Result, comparable, differences

# With fewer draws to choose from, percentiles are too narrow to call a difference real: three images that agree by
# chance would.
FEWEST = 20


@dataclass(frozen=True)
class Score:
    """One metric of one result.

    Attributes:
        value: On the images that all results have.
        interval: In which `value` lies at the level of the comparison.
        difference: `value` less that of the first result.
        difference_interval: In which the difference lies.
        resolved: The interval of the difference leaves out 0. None for the first result, and where there are too few
            images to tell.
        best: No other result has a better value.
    """

    value: float
    interval: Interval
    difference: float
    difference_interval: Interval
    resolved: bool | None
    best: bool


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Attributes:
        names: Of the results, in order; the first is what the others are compared with.
        labels: Their protocols.
        fingerprints: Of the results.
        scores: Metric -> one `Score` a result; the protocol's own metrics first.
        main_metrics: How many those are.
        images: Images that all results have scored.
        left_out: Images that are missing somewhere -> why.
        units: How many images or scenes there were to draw from.
        by, resamples, level, seed: As given.
        marks: Why the results may not be compared, if they were all the same.
        remarks: What a reader should know.
    """

    names: list[str]
    labels: list[str]
    fingerprints: list[str]
    scores: dict[str, list[Score]]
    main_metrics: int
    images: int
    left_out: dict[str, str]
    units: int
    by: str
    resamples: int
    level: float
    seed: int
    marks: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """JSON data."""
        return storable(asdict(self))


def compare(
    results: Sequence[Result],
    names: Sequence[str] | None = None,
    *,
    allow_different: bool = False,
    resamples: int = 10_000,
    level: float = 0.95,
    by: str = "image",
    seed: int = 0,
) -> Comparison:
    """Compare results with the first of them.

    Args:
        results: Two or more, with their rows.
        names: What to call them; the models' names by default.
        allow_different: Compare even where protocols or lists of images differ; the comparison is marked.
        resamples: Draws.
        level: Of the intervals.
        by: What is drawn: "image", or "scene" where images of one scene are so alike that they are hardly news.
        seed: Of the draws; one seed gives one outcome.

    Raises:
        ResultError: the results may not be compared, or have no image or no metric in common.
        ValueError: an option is impossible.
    """
    if len(results) < 2:
        raise ValueError(f"results: a comparison needs two or more, got {len(results)}.")
    if by not in ("image", "scene") or resamples < 1 or not 0 < level < 1:
        raise ValueError(
            f"by, resamples, level: must be 'image' or 'scene', 1 or more, and between 0 and 1, got {by!r}, "
            f"{resamples} and {level}."
        )
    names = _distinct(list(names or [result.name for result in results]))
    if not allow_different:
        comparable(results, names)
    marks = [
        f"{name} was not measured as {names[0]} was: {'; '.join(found)}"
        for name, result in zip(names[1:], results[1:], strict=True)
        if (found := differences(results[0], result))
    ]
    for name, result in zip(names, results, strict=True):
        _check_numbers(name, result)
    rows, left_out = common_rows(results, names)
    groups, units = groups_of(rows[0], by)
    values, drawn = _bootstrapped(results, rows, draws(groups, units, resamples, seed))
    metrics = [name for name in METRICS if all(name in found for found in values)]
    if not metrics:
        tasks = ", ".join(result.protocol["task"] for result in results)
        raise ResultError(f"results: need a metric that all have, got tasks {tasks}. Compare results of one task.")
    main = [name for name in results[0].protocol["metrics"] if name in metrics]
    scores = {
        name: _scores(name, [own[name] for own in values], [own[name] for own in drawn], level, units)
        for name in [*main, *(name for name in metrics if name not in main)]
    }
    return Comparison(
        names=names,
        labels=[result.protocol["label"] for result in results],
        fingerprints=[result.fingerprint for result in results],
        scores=scores,
        main_metrics=len(main),
        images=len(groups),
        left_out=left_out,
        units=units,
        by=by,
        resamples=resamples,
        level=level,
        seed=seed,
        marks=marks,
        remarks=_remarks(rows[0], units, by, results, names),
    )


def _bootstrapped(
    results: Sequence[Result], rows: list[list[dict]], blocks: Iterable[np.ndarray]
) -> tuple[list[dict[str, float]], list[dict[str, np.ndarray]]]:
    """Of each result: its metrics, and what becomes of them in every draw (R,)."""
    functions = [
        totals_of(own, result.protocol, classes=result.data.get("classes"))
        for own, result in zip(rows, results, strict=True)
    ]
    values = [function(np.ones((1, len(rows[0])))) for function in functions]
    blocks_drawn = [[function(weights) for function in functions] for weights in blocks]
    drawn = [
        {name: np.concatenate([found[index][name] for found in blocks_drawn]) for name in values[index]}
        for index in range(len(results))
    ]
    return [{name: float(value[0]) for name, value in own.items()} for own in values], drawn


def _scores(name: str, values: list[float], drawn: list[np.ndarray], level: float, units: int) -> list[Score]:
    better = METRICS[name].better
    rank = {"higher": lambda value: -value, "lower": lambda value: value, "zero": abs}[better]
    top = min((rank(value) for value in values if not math.isnan(value)), default=math.nan)
    found = []
    for index, (value, values_drawn) in enumerate(zip(values, drawn, strict=True)):
        with np.errstate(invalid="ignore"):  # both infinite
            difference = np.subtract(value, values[0])
            apart = interval(values_drawn - drawn[0], level)
        found.append(
            Score(
                value=float(value),
                interval=interval(values_drawn, level),
                difference=float(difference),
                difference_interval=apart,
                resolved=None if index == 0 or units < FEWEST else apart[0] > 0 or apart[1] < 0,
                best=rank(value) == top,
            )
        )
    return found


def _check_numbers(name: str, result: Result) -> None:
    """A number that was edited by hand must not be compared."""
    scores = aggregate(result.rows, result.protocol, classes=result.data.get("classes"))
    for metric, value in result.metrics.items():
        if metric in scores and not np.isclose(value, scores[metric], rtol=1e-9, atol=1e-12, equal_nan=True):
            raise ResultError(
                f"{name}: {metric} must be what its rows give, {scores[metric]:.6g}, got {value:.6g}. Evaluate again."
            )


def _remarks(rows: list[dict], units: int, by: str, results: Sequence[Result], names: Sequence[str]) -> list[str]:
    found = []
    if units < FEWEST:
        found.append(f"Only {units} {by}s: too few to say which difference is real; intervals are too narrow.")
    scenes = {row.get("scene") for row in rows}
    if by == "image" and None not in scenes and 1 < len(scenes) <= len(rows) / 2:
        found.append(
            f"The images are of {len(scenes)} scenes; those of one scene are alike, which makes intervals too narrow. "
            "Draw by scene (--by scene) to see what it changes."
        )
    for name, result in zip(names, results, strict=True):
        scored = result.counts.get("images")
        if scored != len(rows):
            found.append(
                f"{name} has scored {scored} images; its numbers here are those of the {len(rows)} in common."
            )
    return found


def _distinct(names: list[str]) -> list[str]:
    if len(set(names)) == len(names):
        return names
    return [f"{name} ({number})" for number, name in enumerate(names, 1)]
