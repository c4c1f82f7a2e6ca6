import math

import numpy as np
import pytest

from open_dpt.evaluation import bootstrap
from open_dpt.evaluation.aggregate import aggregate, totals_of
from open_dpt.evaluation.bootstrap import draws, interval

IMAGES = {"task": "depth", "score": {"averaging": "image"}}


def all_draws(count, resamples, seed=0, groups=None):
    groups = np.arange(count) if groups is None else groups
    return np.concatenate(list(draws(groups, count, resamples, seed)))


def rows_of(scores):
    return [{"status": "scored", "pixels": 1, "abs_rel": float(score)} for score in scores]


def test_each_draw_takes_as_many_as_there_are_each_equally_often():
    weights = all_draws(7, 30_000)
    assert weights.shape == (30_000, 7) and (weights.sum(1) == 7).all()
    np.testing.assert_allclose(weights.mean(0), 1, atol=0.03)
    np.testing.assert_allclose(weights.var(0), 6 / 7, atol=0.03)  # multinomial


def test_images_of_one_scene_are_drawn_together():
    weights = all_draws(2, 100, groups=np.array([0, 1, 1, 0]))
    assert (weights[:, 0] == weights[:, 3]).all() and (weights[:, 1] == weights[:, 2]).all()
    assert (weights[:, 0] + weights[:, 1] == 2).all()


def test_one_seed_gives_one_outcome_whatever_the_blocks(monkeypatch):
    expected = all_draws(50, 300, seed=3)
    monkeypatch.setattr(bootstrap, "BLOCK", 50 * 7)
    np.testing.assert_array_equal(all_draws(50, 300, seed=3), expected)
    assert (all_draws(50, 300, seed=4) != expected).any()


def test_intervals_by_hand():
    assert interval(np.arange(1, 101.0), 0.9) == (5, 95)
    assert interval(np.array([math.nan, 2.0, math.nan]), 0.95) == (2, 2)
    assert interval(np.array([1.0, math.inf, math.inf]), 0.95) == (1, math.inf)
    assert all(map(math.isnan, interval(np.array([math.nan]), 0.95)))


def test_agrees_with_a_plain_loop_over_repeated_rows():
    scores = np.random.default_rng(0).lognormal(-2, 0.5, 40)
    rows, weights = rows_of(scores), all_draws(40, 200)
    plain = [
        aggregate([row for row, count in zip(rows, drawn, strict=True) for _ in range(int(count))], IMAGES)["abs_rel"]
        for drawn in weights
    ]
    found = totals_of(rows, IMAGES)(weights)["abs_rel"]
    np.testing.assert_allclose(found, plain, rtol=1e-12)
    assert interval(found, 0.95) == pytest.approx(interval(np.array(plain), 0.95))


def test_agrees_with_scipy_on_a_paired_difference_of_means():
    stats = pytest.importorskip("scipy.stats")
    generator = np.random.default_rng(0)
    first = generator.lognormal(-2, 0.5, 60)
    second = first * generator.lognormal(0.05, 0.1, 60)
    expected = stats.bootstrap(
        (first, second),
        lambda a, b, axis: b.mean(axis) - a.mean(axis),
        paired=True,
        method="percentile",
        n_resamples=8_000,
        rng=1,
    ).confidence_interval
    weights = all_draws(60, 8_000)
    one, two = (totals_of(rows_of(scores), IMAGES)(weights)["abs_rel"] for scores in (first, second))
    assert interval(two - one, 0.95) == pytest.approx(tuple(expected), rel=0.06)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    generator, count, trials, held = np.random.default_rng(0), 60, 300, 0
    truth = math.exp(-2.3 + 0.5**2 / 2)  # mean of the lognormal distribution below
    for trial in range(trials):
        rows = rows_of(generator.lognormal(-2.3, 0.5, count))
        low, high = interval(totals_of(rows, IMAGES)(all_draws(count, 400, seed=trial))["abs_rel"], 0.95)
        held += low <= truth <= high
    assert 0.90 <= held / trials <= 0.985
