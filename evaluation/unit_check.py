"""Whether predictions and ground truth are in one unit: a wrong one is a clean factor, which no model is off by."""

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

# Factor: what is usually stored with it.
FACTORS = {
    100: "centimetres",
    256: "KITTI's depth PNG",
    1000: "millimetres",
    5000: "TUM's depth PNG",
}
# From which factor on a mistake is suspected, and how near it must be to one of FACTORS to be called that.
SUSPECT, NEAR = 10.0, 1.5


def median_ratio(prediction: "Tensor", truth: "Tensor") -> float | None:
    """Median of prediction / truth of one image, before anything is clamped.

    Args:
        prediction: Metres as given; what is not positive and finite is left out. Shape (N,).
        truth: Metres above 0. Shape (N,).
    """
    usable = prediction.isfinite() & (prediction > 0)
    return (prediction[usable] / truth[usable]).median().item() if usable.any() else None


def unit_problem(rows: Iterable[Mapping[str, Any]]) -> str | None:
    """One line that says by which factor predictions and truth differ, if it is one that only a wrong unit explains.

    Args:
        rows: Of the evaluation; those that have no `median_ratio` do not count.
    """
    ratios = [row["median_ratio"] for row in rows if row.get("median_ratio")]
    if not ratios:
        return None
    typical = float(np.median(ratios))
    factor = max(typical, 1 / typical)
    if factor < SUSPECT:
        return None
    one, other = "predictions are", "the ground truth"
    if typical < 1:
        one, other = "ground truth is", "the predictions"
    near = min(FACTORS, key=lambda known: abs(math.log(known / factor)))
    same = abs(math.log(near / factor)) < math.log(NEAR)
    guess = f"{near} is the factor of {FACTORS[near]}. " if same else ""
    return (
        f"units: {one} about {factor:,.0f} times {other} (median of {len(ratios)} images). {guess}"
        "Check --prediction-scale of prediction files, --kind of the model, and depth_scale of the data."
    )
