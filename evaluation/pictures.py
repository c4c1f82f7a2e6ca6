"""The best, the median and the worst images of a run, drawn to files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..processing.panels import depth_error_panel, ordinal_panel, segmentation_error_panel
from ..processing.writers import write_image
from .aggregate import image_score
from .metric_table import METRICS
from .scored import Scored

ROLES = ("best", "median", "worst")


class Extremes:
    """Chooses images by the first metric of the protocol, and draws them.

    The rows know only scores: whoever draws reads and predicts the chosen images again.

        extremes = Extremes(result.rows, result.protocol)
        for index in extremes.indices:
            extremes.draw("run/pictures", sample_of(index), scored_of(index), "depth")

    Args:
        rows: Per-image rows, a list of dicts or a `pyarrow.Table`.
        protocol: `Protocol`, or the dict of one.
        each: Pictures of each of ROLES; fewer where there are not so many images.
        num_labels: Classes of segmentation where the protocol leaves their number open.
    """

    def __init__(self, rows: Any, protocol: Any, each: int = 1, *, num_labels: int | None = None):
        rules = protocol if isinstance(protocol, Mapping) else protocol.to_dict()
        rows = rows if isinstance(rows, list) else rows.to_pylist()
        self._task, self._metric = rules["task"], rules["metrics"][0]
        self._num_labels = rules["score"].get("classes") or num_labels or 0
        scores = {row["index"]: image_score(row, self._metric) for row in rows if row["status"] == "scored"}
        self._scores = {index: score for index, score in scores.items() if score is not None and np.isfinite(score)}
        self._names = {row["index"]: row["name"] for row in rows}
        self._chosen = self._choose(each)

    @property
    def indices(self) -> list[int]:
        """Values of `index` in the rows, from the best image to the worst."""
        return list(self._chosen)

    def draw(self, folder: str | Path, index: int, sample: Mapping[str, Any], scored: Scored, kind: str) -> Path:
        """Write the picture of one of the chosen images.

        Args:
            folder: Made if missing.
            index: One of `indices`.
            sample: Of `read_sample`, as it was scored.
            scored: What scoring it gave.
            kind: Of the prediction, as the adapter says.

        Returns:
            The file, such as worst-1.png.

        Raises:
            OSError: it cannot be written.
        """
        role, rank = self._chosen[index]
        metric = METRICS[self._metric]
        score = f"{metric.text(self._scores[index])} {metric.unit}".strip()
        title = f"{role} of {len(self._scores)}: {metric.label} = {score}   {self._names[index]}"
        path = Path(folder) / f"{role}-{rank}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, self._panel(sample, scored, kind, title))
        return path

    def _choose(self, each: int) -> dict[int, tuple[str, int]]:
        """Index -> (role, rank from 1); no image twice."""
        sign = -1 if METRICS[self._metric].better == "higher" else 1
        zero = METRICS[self._metric].better == "zero"
        order = sorted(
            self._scores, key=lambda index: abs(self._scores[index]) if zero else sign * self._scores[index]
        )
        each = min(each, max(1, len(order) // len(ROLES)))
        middle = max(each, (len(order) - each) // 2)
        groups = (order[:each], order[middle : middle + each], order[-each:][::-1])
        chosen: dict[int, tuple[str, int]] = {}
        # The median last: where there are two images only, they are the best and the worst.
        for role, group in sorted(zip(ROLES, groups, strict=True), key=lambda pair: pair[0] == "median"):
            for rank, index in enumerate(group, 1):
                chosen.setdefault(index, (role, rank))
        return {index: chosen[index] for index in order if index in chosen}

    def _panel(self, sample: Mapping[str, Any], scored: Scored, kind: str, title: str) -> np.ndarray:
        image = _photo_on_grid(sample, tuple(scored.prediction.shape))
        if self._task == "ordinal":
            points = sample["ordinal"]
            kind = "disparity" if kind == "disparity" else "depth"
            return ordinal_panel(image, scored.prediction, points, kind=kind, title=title)
        if self._task == "segmentation":
            used = scored.truth >= 0 if scored.used is None else scored.used
            highest = max(int(scored.truth[used].max()), int(scored.prediction.max())) + 1 if used.any() else 1
            count = max(self._num_labels, highest)
            return segmentation_error_panel(
                image, scored.prediction, scored.truth, used, num_labels=count, title=title
            )
        return depth_error_panel(image, scored.prediction, scored.truth, scored.used, title=title)


def _photo_on_grid(sample: Mapping[str, Any], grid: tuple[int, int]) -> np.ndarray:
    """uint8 (H, W, 3): where the model saw a crop and the maps have the whole image's grid, black around the crop."""
    photo = np.moveaxis(np.asarray(sample["image"]), 0, -1)
    crop = sample.get("crop")
    if crop is None or grid != tuple(sample["image_size"]) or photo.shape[:2] == grid:
        return photo
    top, bottom, left, right = crop
    whole = np.zeros((*grid, 3), np.uint8)
    whole[top:bottom, left:right] = photo
    return whole
