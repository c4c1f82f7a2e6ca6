"""Alignments against their NumPy twins, and what they do with constant, missing and impossible predictions."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from open_dpt.evaluation.aligning import ALIGNMENTS, align
from open_dpt.evaluation.protocol import ALIGNMENTS as NAMED

CAP = 10.0

_SPEC = importlib.util.spec_from_file_location(
    "reference_alignment", Path(__file__).parents[1] / "reference" / "alignment.py"
)
twin = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(twin)


@pytest.fixture
def scene():
    """Truth in metres with holes, what counts of it, and a disparity that is affine to 1 / truth but noisy."""
    generator = np.random.default_rng(0)
    truth = generator.uniform(0.5, 12, (20, 30))
    truth[:3] = 0
    usable = (truth > 0) & (truth < CAP)
    disparity = 300 * np.divide(1, truth, where=truth > 0, out=np.ones_like(truth)) - 40
    return truth, usable, disparity + generator.normal(0, 30, truth.shape)


def run(name, prediction, kind, truth, usable, cap=CAP):
    depth, scale, shift = align(
        name, torch.from_numpy(prediction), kind, torch.from_numpy(truth), torch.from_numpy(usable), cap
    )
    assert depth.dtype == torch.float64
    return depth.numpy(), scale, shift


def test_protocols_know_the_same_names():
    assert set(NAMED) == set(ALIGNMENTS)


@pytest.mark.parametrize(
    ("name", "fit"), [("least-squares-disparity", twin.least_squares), ("robust-disparity", twin.robust)]
)
def test_disparity_as_the_authors_fit_it(scene, name, fit):
    truth, usable, disparity = scene
    depth, scale, shift = run(name, disparity, "disparity", truth, usable)
    expected, expected_scale, expected_shift = twin.depth_from_disparity(disparity, truth, usable, CAP, fit)
    np.testing.assert_allclose([scale, shift], [expected_scale, expected_shift], rtol=1e-9)
    np.testing.assert_allclose(depth, expected, rtol=1e-9)
    assert (scale * disparity + shift < 0).any() and depth.max() == CAP  # negative disparity is at the cap


@pytest.mark.parametrize("kind", ["depth", "relative-depth"])
def test_depth_is_inverted_where_the_fit_is_in_disparity(scene, kind):
    truth, usable, _ = scene
    prediction = np.where(truth > 0, 1 / (0.1 / np.maximum(truth, 0.1) + 0.02), -1.0)
    depth, scale, shift = run("least-squares-disparity", prediction, kind, truth, usable)
    np.testing.assert_allclose(depth[usable], truth[usable], rtol=1e-9)
    np.testing.assert_allclose([scale, shift], [10, -0.2], rtol=1e-9)
    assert np.isnan(depth[~(truth > 0)]).all()  # what is no depth has no disparity


def test_least_squares_in_depth(scene):
    truth, usable, _ = scene
    prediction = truth * 0.25 + 3 + np.random.default_rng(1).normal(0, 0.1, truth.shape)
    depth, scale, shift = run("least-squares-depth", prediction, "relative-depth", truth, usable, None)
    expected = twin.least_squares(prediction[usable], truth[usable])
    np.testing.assert_allclose([scale, shift], expected, rtol=1e-9)
    np.testing.assert_allclose(depth, scale * prediction + shift, rtol=1e-12)


def test_median(scene):
    truth, usable, _ = scene
    depth, scale, shift = run("median", truth * 7, "depth", truth, usable, None)
    np.testing.assert_allclose(depth[usable], truth[usable], rtol=1e-12)
    assert (scale, shift) == (pytest.approx(1 / 7), 0)


def test_none_keeps_metres(scene):
    truth, usable, _ = scene
    depth, scale, shift = run("none", truth, "depth", truth, usable)
    assert (depth == truth).all() and scale is None and shift is None


@pytest.mark.parametrize("value", [0.0, 0.3, 1e6 / 3])
def test_a_constant_disparity_is_at_the_cap(scene, value):
    truth, usable, _ = scene
    depth, scale, shift = run("least-squares-disparity", np.full_like(truth, value), "disparity", truth, usable)
    assert (depth == CAP).all() and (scale, shift) == (0, 0)


@pytest.mark.parametrize("name", sorted({*ALIGNMENTS} - {"none"}))
def test_what_is_not_known_does_not_take_part_in_the_fit(scene, name):
    truth, usable, disparity = scene
    kind = "disparity" if name.endswith("disparity") else "depth"
    known = run(name, disparity, kind, truth, usable & (np.arange(30) > 4))
    for unknown in (np.nan, np.inf):
        disparity[:, :5] = unknown
        depth, scale, shift = run(name, disparity, kind, truth, usable)
        np.testing.assert_allclose([scale, shift], known[1:], rtol=1e-12)
        np.testing.assert_allclose(depth[:, 5:], known[0][:, 5:], rtol=1e-12)
        assert np.isnan(depth[:, :5]).all() == np.isnan(unknown)


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("none", "disparity", "needs predictions in metres, got disparity. Use --align least-squares-disparity"),
        ("none", "relative-depth", "needs predictions in metres, got relative-depth"),
        ("median", "disparity", "Use least-squares-disparity or robust-disparity"),
        ("least-squares-depth", "disparity", "cannot be turned into depth"),
    ],
)
def test_kinds_that_cannot_be_aligned_so(scene, name, kind, message):
    truth, usable, disparity = scene
    with pytest.raises(ValueError, match=message):
        run(name, disparity, kind, truth, usable)
