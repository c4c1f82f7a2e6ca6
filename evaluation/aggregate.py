"""From per-image rows to totals: the one place where a protocol's averaging happens.

Shape legend: N rows; R resamples; K classes.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .metric_table import DEPTH_METRICS

# Fields of rows that are summed over images.
SUMMED_COUNTS = ("pixels", "nan_pixels", "nonpositive_pixels", "infinite_pixels", "pairs", "ties")

Totals = Callable[[np.ndarray], dict[str, np.ndarray]]


def aggregate(rows: Any, protocol: Any, *, classes: int | None = None) -> dict[str, float]:
    """Totals over the images that were scored.

    Depth: mean over images, or over the pixels of all images where the protocol says so (roots are taken last). Where
    only some images have a score (boundary_f1), the mean is over those; a score that none has is left out.
    Segmentation: from the confusion counts of all images. Ordinal: wrong pairs over all pairs.

    Args:
        rows: Per-image rows, a list of dicts or a `pyarrow.Table`.
        protocol: `Protocol`, or the dict of one.
        classes: Number of classes where the protocol leaves it open.

    Returns:
        Metric -> value. Fractions stay fractions: `metric_table` knows how to print.

    Raises:
        ValueError: no row was scored, or a class id is too large.
    """
    totals = totals_of(rows, protocol, classes=classes)
    return {name: float(values[0]) for name, values in totals(np.ones((1, _length(rows)))).items()}


def totals_of(rows: Any, protocol: Any, *, classes: int | None = None) -> Totals:
    """`aggregate` for rows that count more or less often: a function from weights (R, N) to metric -> float64 (R,).

    It works on all resamples at once and needs a few arrays of the size of the weights. A class that a resample misses
    by chance is left out of that resample's mean_iou: as 0 it would bias the resamples, not spread them.
    """
    rules = protocol if isinstance(protocol, Mapping) else protocol.to_dict()
    scored = _scored(rows)
    if not scored.any():
        found = ", ".join(f"{count} {name}" for name, count in counts(rows).items())
        raise ValueError(f"rows: need an image that was scored, got {found}. Check the data set and its unit.")
    totals = _totals(rows, rules, classes)
    return lambda weights: totals(weights * scored.astype(np.float64))


def counts(rows: Any) -> dict[str, int]:
    """What the rows hold: images (scored), empty and unreadable ones, and sums of pixels and pairs.

    `pixels` are those that counted; `nan_pixels`, `nonpositive_pixels` and `infinite_pixels` the predictions among
    them that are no depth. Where only some images have a score, `images_with_NAME` says how many.
    """
    status = _column(rows, "status")
    found = {name: status.count(word) for name, word in _STATUS.items()}
    for name in SUMMED_COUNTS:
        values = [value for value in _column(rows, name) if value is not None]
        found |= {name: int(sum(values))} if values else {}
    for name in DEPTH_METRICS:
        having = sum(value is not None for value in _column(rows, name))
        found |= {f"images_with_{name}": having} if 0 < having < found["images"] else {}
    return found


def confusion_matrix(rows: Any, classes: int) -> np.ndarray:
    """Pixels of each [true class, predicted class] over all images, int64 (K, K).

    Raises:
        ValueError: a class id is not below K.
    """
    cells, _ = _cells(rows, classes)
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (cells[:, 0], cells[:, 1]), cells[:, 2])
    return matrix


def iou_per_class(confusion: np.ndarray) -> np.ndarray:
    """Intersection over union, float64 (K,); NaN for a class that is neither labelled nor predicted."""
    return _iou(np.diagonal(confusion), confusion.sum(1), confusion.sum(0))


def image_score(row: Mapping[str, Any], metric: str) -> float | None:
    """The score of one image, to rank images by; None where it has none."""
    if metric == "whdr":
        return row["wrong"] / row["pairs"] if row.get("pairs") else None
    return row.get({"mean_iou_present": "mean_iou"}.get(metric, metric))


_STATUS = {"images": "scored", "empty": "empty", "unreadable": "unreadable"}


def _totals(rows: Any, rules: Mapping, classes: int | None) -> Totals:
    """Function from weights (R, N), 0 where not scored, to metric -> (R,)."""
    if rules["task"] == "depth":
        return _depth_totals(rows, rules["score"]["averaging"] == "pixel")
    if rules["task"] == "ordinal":
        return _ordinal_totals(rows)
    return _segmentation_totals(rows, rules["score"]["classes"] or classes, rules["score"]["absent_class"])


def _depth_totals(rows: Any, by_pixel: bool) -> Totals:
    columns = {name: _numbers(rows, name) for name in DEPTH_METRICS}
    columns = {name: column for name, column in columns.items() if column[1].any()}
    rules = {name: DEPTH_METRICS[name].pooled if by_pixel else "images" for name in columns}
    # What is averaged: of a root its square, of silog the mean square log ratio.
    averaged = {
        name: values if rules[name] in ("images", "mean") else values**2 for name, (values, _) in columns.items()
    }
    if "silog" in columns and by_pixel:
        averaged["silog"] = columns["rmse_log"][0] ** 2
    groups = {pooled: [name for name in columns if (rules[name] != "images") == pooled] for pooled in (False, True)}
    pixels = _numbers(rows, "pixels")[0]

    def totals(weights: np.ndarray) -> dict[str, np.ndarray]:
        means = {}
        for pooled, names in groups.items():
            if names:
                known = np.stack([columns[name][1] for name in names], axis=1)
                values = np.stack([averaged[name] for name in names], axis=1)
                means |= dict(zip(names, _means(weights * pixels if pooled else weights, values, known), strict=True))
        if rules.get("silog") == "silog":
            means["silog"] = 1e4 * np.maximum(means["silog"] - means["log_bias"] ** 2, 0)
        return {name: np.sqrt(means[name]) if rules[name] in ("root", "silog") else means[name] for name in columns}

    return totals


def _means(weights: np.ndarray, values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Weighted means of the known values (N, M), float64 (M, R)."""
    # An image without weight must not matter, and 0 * inf would.
    endless = np.isposinf(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = (weights @ np.where(endless, 0.0, values)) / (weights @ known.astype(np.float64))
        return np.where(weights @ endless.astype(np.float64) > 0, means + np.inf, means).T


def _segmentation_totals(rows: Any, classes: int | None, absent_class: str) -> Totals:
    cells, image = _cells(rows, classes)
    classes = classes or int(cells[:, :2].max(initial=0)) + 1
    correct = cells[:, 0] == cells[:, 1]
    sums = np.zeros((3, len(_column(rows, "status")), classes))  # right, labelled, predicted pixels of each image
    np.add.at(sums[0], (image[correct], cells[correct, 0]), cells[correct, 2])
    for kind in (0, 1):
        np.add.at(sums[1 + kind], (image, cells[:, kind]), cells[:, 2])
    occurring = int((sums[1:].sum((0, 1)) > 0).sum())

    def totals(weights: np.ndarray) -> dict[str, np.ndarray]:
        right, labelled, predicted = (weights @ part for part in sums)
        iou = _iou(right, labelled, predicted)
        present = np.nansum(iou, axis=1) / np.maximum((~np.isnan(iou)).sum(1), 1)
        return {
            "pixel_accuracy": right.sum(1) / np.maximum(labelled.sum(1), 1),
            "mean_iou": present * occurring / classes if absent_class == "zero" else present,
            "mean_iou_present": present,
        }

    return totals


def _ordinal_totals(rows: Any) -> Totals:
    wrong, pairs = (_numbers(rows, name)[0] for name in ("wrong", "pairs"))
    return lambda weights: {"whdr": (weights @ wrong) / np.maximum(weights @ pairs, 1)}


def _iou(right: np.ndarray, labelled: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return right / (labelled + predicted - right)


def _cells(rows: Any, classes: int | None) -> tuple[np.ndarray, np.ndarray]:
    """All [true, predicted, pixels] of the scored images, int64 (C, 3), and the row each comes from (C,)."""
    lists = [cells or [] for cells in _column(rows, "confusion")]
    lists = [cells if use else [] for cells, use in zip(lists, _scored(rows), strict=True)]
    image = np.repeat(np.arange(len(lists)), [len(cells) for cells in lists])
    cells = np.array([cell for cells in lists for cell in cells], np.int64).reshape(-1, 3)
    if classes is not None and cells.size and not 0 <= cells[:, :2].min() <= cells[:, :2].max() < classes:
        stray = next(cell for cell in cells[:, :2].flatten().tolist() if not 0 <= cell < classes)
        raise ValueError(f"confusion: class ids must be within 0..{classes - 1}, got {stray}. Check the class count.")
    return cells, image


def _numbers(rows: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    """(values with 0 where there is none, True where there is one); only of scored images."""
    column = _column(rows, name)
    known = _scored(rows) & np.array([value is not None for value in column], bool)
    return np.array([value if use else 0 for value, use in zip(column, known, strict=True)], np.float64), known


def _length(rows: Any) -> int:
    return len(rows) if isinstance(rows, list) else rows.num_rows


def _scored(rows: Any) -> np.ndarray:
    return np.array([status == "scored" for status in _column(rows, "status")], bool)


def _column(rows: Any, name: str) -> list:
    if isinstance(rows, list):
        return [row.get(name) for row in rows]
    return rows.column(name).to_pylist() if name in rows.column_names else [None] * rows.num_rows
