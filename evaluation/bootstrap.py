"""Drawing images again, with replacement, to see how far a total could have come out otherwise.

Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 8 and 13 (percentile intervals).
"""

import math
from collections.abc import Iterator

import numpy as np

Interval = tuple[float, float]

# Weights of one block: 8 MB as float64. Larger blocks leave the cache, and take twice as long.
BLOCK = 1_000_000


def draws(groups: np.ndarray, units: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each image is in each draw, in blocks of float64 (B, N).

    Not `scipy.stats.bootstrap`: that gives a statistic the numbers or indices that were drawn, for one statistic at a
    time. Here one draw serves every metric of every result and their differences, and totals such as IoU are sums of
    counts times weights: one matrix product. Nor need scipy be installed. On means both agree; a test checks that.

    Args:
        groups: The unit that each image belongs to, 0..units - 1. Shape (N,).
        units: What is drawn: so many, with replacement.
        resamples: Draws in all.
        seed: One seed gives one outcome.
    """
    generator = np.random.default_rng(seed)
    step = max(1, BLOCK // len(groups))
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        drawn = generator.integers(units, size=(count, units)) + units * np.arange(count)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=count * units).reshape(count, units)
        yield weights[:, groups].astype(np.float64)


def interval(drawn: np.ndarray, level: float) -> Interval:
    """The middle `level` of what was drawn; NaN, where a draw had no such score, is left out."""
    known = drawn[~np.isnan(drawn)]
    if not known.size:
        return math.nan, math.nan
    # Values that occurred: between a number and infinity there is nothing.
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    return float(low), float(high)
