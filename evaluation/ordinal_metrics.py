"""WHDR: how often a disparity map is wrong about which of two points is farther.

Source: the test of Chen et al. on Depth in the Wild (arXiv:1604.03901), all weights 1, as in MiDaS (arXiv:1907.01341,
section 6). It asks for no alignment and knows no "equally far".
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .streaming import StreamingSums, as_maps

TIES = ("as-nearer", "wrong")


class OrdinalMetrics(StreamingSums):
    """Counted pairs of points; those of several processes add up exactly.

    Args:
        ties: See `whdr_counts`.

    Raises:
        ValueError: unknown ties.
    """

    def __init__(self, ties: str = "as-nearer"):
        _check_ties(ties)
        self.ties = ties
        super().__init__(4, torch.int64)

    def update(self, disparity: Tensor | Sequence[Tensor], points: Any) -> None:
        """Add one image or several.

        Args:
            disparity: One map (H, W), or a list of maps of any sizes, or (B, H, W).
            points: Of one map what `whdr_counts` takes; else a list of that.

        Raises:
            ValueError: as `whdr_counts`, or not as many maps as lists of points.
        """
        points = [points] if isinstance(disparity, Tensor) and disparity.ndim == 2 else list(points)
        maps = as_maps(disparity)
        if len(maps) != len(points):
            raise ValueError(f"points: must be given for each map, got {len(points)} for {len(maps)} maps.")
        for one, of_one in zip(maps, points, strict=True):
            counts = whdr_counts(one, of_one, self.ties)
            self._add(torch.tensor([*counts, counts[2] > 0]))

    def compute(self) -> dict[str, float]:
        """whdr, the fraction of wrong pairs, and the counts wrong, ties, pairs, images (with a pair).

        Raises:
            ValueError: there was no pair.
        """
        wrong, ties, pairs, images = self._sums.tolist()
        if not pairs:
            raise ValueError("points: need a pair to be scored, got none. Check the annotations of the data set.")
        return {"whdr": wrong / pairs, "wrong": wrong, "ties": ties, "pairs": pairs, "images": images}


def whdr_counts(disparity: Tensor, points: Any, ties: str = "as-nearer") -> tuple[int, int, int]:
    """Compare a disparity map with pairs of points A and B.

    Args:
        disparity: Larger is nearer, any unit, at the size of the annotated image. Shape (H, W).
        points: Rows (row_a, column_a, row_b, column_b, relation), pixels from 0; relation is 1 where A is farther
            (">" in the annotation files) and -1 where B is ("<"). Shape (P, 5).
        ties: What equal disparities say: "as-nearer" that A is nearer, because the map says ">" only if
            disparity(B) > disparity(A); "wrong" that the map is wrong whatever the relation is. Which of the two the
            published numbers had is not known.

    Returns:
        wrong, ties, pairs. A pair with NaN at a point is wrong, and no tie.

    Raises:
        ValueError: the shapes are others, a point is outside of the map, a relation is neither 1 nor -1, unknown ties.
    """
    _check_ties(ties)
    points = torch.as_tensor(points).long().cpu().reshape(-1, 5) if len(points) else torch.zeros(0, 5).long()
    _check_points(disparity, points)
    row_a, column_a, row_b, column_b, relation = points.to(disparity.device).unbind(1)
    near_a, near_b = disparity[row_a, column_a], disparity[row_b, column_b]
    equal = near_a == near_b
    wrong = (near_b > near_a) != (relation > 0)
    wrong |= near_a.isnan() | near_b.isnan()
    if ties == "wrong":
        wrong |= equal
    return int(wrong.sum()), int(equal.sum()), len(points)


def _check_ties(ties: str) -> None:
    if ties not in TIES:
        raise ValueError(f"ties: must be one of {', '.join(TIES)}, got {ties!r}.")


def _check_points(disparity: Tensor, points: Tensor) -> None:
    if disparity.ndim != 2:
        raise ValueError(f"disparity: must have the shape (height, width), got {tuple(disparity.shape)}.")
    size = torch.tensor(disparity.shape).repeat(2)
    outside = ((points[:, :4] < 0) | (points[:, :4] >= size)).any(1) | (points[:, 4].abs() != 1)
    if outside.any():
        raise ValueError(
            "points: need rows (row_a, column_a, row_b, column_b, relation) inside the map of "
            f"{disparity.shape[0]} x {disparity.shape[1]} with relation 1 or -1, got {points[outside][0].tolist()}. "
            "Bring the prediction to the size of the annotated image, and count pixels from 0."
        )
