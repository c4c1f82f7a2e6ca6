"""Pairs of points: which one is farther, says the prediction, and which one is."""

from typing import Any

from torch import Tensor

from .crops import crop_box
from .ordinal_metrics import whdr_counts
from .protocol import Protocol
from .scored import Scored


def score(prediction: Tensor, kind: str, sample: dict[str, Any], protocol: Protocol) -> Scored:
    """Score one image. Nothing is aligned: order is all that counts.

    Args:
        prediction: Of any kind of `aligning.align`, at the size of the image. Shape (H, W).
        kind: "disparity" (larger is nearer), or "depth" or "relative-depth" (larger is farther).
        sample: Of `read_sample`, with ordinal: (row a, column a, row b, column b, 1 where a is farther or -1).
        protocol: Of the task "ordinal".

    Returns:
        Row with pairs, wrong (by the protocol's rule of ties) and ties.

    Raises:
        ValueError: the prediction has another size.
    """
    size = tuple(sample.get("image_size") or sample["image"].shape[-2:])
    row = {"status": "scored", "reason": None}
    points = sample.get("ordinal")
    if points is None or not len(points):
        return Scored(row | {"status": "empty", "reason": "no pair of points", "pairs": 0, "wrong": 0, "ties": 0})
    top, bottom, left, right = crop_box(protocol.image_crop, size)
    if tuple(prediction.shape) != size or (bottom - top, right - left) != size:
        got = " x ".join(map(str, prediction.shape))
        raise ValueError(
            f"{sample.get('name')}: prediction must be {size[0]} x {size[1]} as its image is, got {got}. Resize it."
        )
    # The sign keeps the order; 1 / depth would make equal what is far.
    wrong, ties, pairs = whdr_counts(prediction if kind == "disparity" else -prediction, points, protocol.score.ties)
    return Scored(row | {"pairs": pairs, "wrong": wrong, "ties": ties}, prediction)
