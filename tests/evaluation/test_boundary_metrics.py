import pytest
import torch

from open_dpt.evaluation.boundary_metrics import BoundaryMetrics, boundary_f1


def patches(seed=0, size=(12, 17)):
    """Depth 1 to 3 in blocks of three pixels: contours in all four directions at every threshold."""
    blocks = 1 + 2 * torch.rand(4, 6, generator=torch.Generator().manual_seed(seed))
    return blocks.repeat_interleave(3, 0).repeat_interleave(3, 1)[: size[0], : size[1]].clone()


def test_perfect_whatever_the_scale():
    truth = patches()
    assert boundary_f1(truth, truth) == pytest.approx(1, abs=1e-12)
    assert boundary_f1(7 * truth, truth) == pytest.approx(1, abs=1e-12)
    assert boundary_f1(torch.full_like(truth, 2), truth) == 0


def test_a_step_by_hand():
    # One step down to the right of 20 %, and one up of 40 %: of ten thresholds 1.05, 1.0722 ... 1.25 the first step is
    # above seven (to 1.1833), the second above all. Rows give two of the four directions.
    truth = torch.tensor([[1.2, 1.0, 1.4]]).repeat(3, 1)
    thresholds = [1.05 + 0.2 * step / 9 for step in range(10)]
    both = [min(0.25 + 0.25 * (t < 1.2), 0.5) for t in thresholds]
    expected = sum(t * f for t, f in zip(thresholds, both, strict=True)) / sum(thresholds)
    assert boundary_f1(truth, truth) == pytest.approx(expected)
    # A prediction without the first step has precision 1 where it speaks.
    flat = torch.tensor([[1.0, 1.0, 1.4]]).repeat(3, 1)
    assert boundary_f1(flat, truth) == pytest.approx(0.25)


def test_agrees_with_numpy(reference):
    generator = torch.Generator().manual_seed(0)
    truth, prediction = patches(), patches() * (0.85 + 0.3 * torch.rand(12, 17, generator=generator))
    valid = torch.rand(12, 17, generator=generator) < 0.9
    valid[2, 1:4] = True
    prediction[2, 2] = -prediction[2, 1]  # so small that it makes a contour, of whatever size it is negative
    truth[4, 4], truth[5, 9] = 0, torch.nan
    usable = (valid & (truth > 0)).numpy()
    expected = reference.boundary_f1(prediction.double().numpy(), truth.double().numpy(), usable)
    assert boundary_f1(prediction, truth, valid) == pytest.approx(expected) and 0.1 < expected < 0.9
    # What is masked does not matter, on neither side of a pair.
    changed = prediction.where(valid, torch.nan), truth.where(valid, 5)
    assert boundary_f1(*changed, valid) == pytest.approx(expected)


def test_unknown_predictions_make_no_contour():
    truth, prediction = patches(), patches()
    prediction[:] = torch.nan
    assert boundary_f1(prediction, truth) == 0


def test_flat_truth_is_counted_and_left_out():
    metrics = BoundaryMetrics()
    metrics.update(torch.ones(2, 4, 4), torch.ones(2, 4, 4))
    with pytest.raises(ValueError, match="more than 5%, got none in 2"):
        metrics.compute()
    small, large = patches(size=(9, 9)), patches()
    metrics.update([small, large], [small, torch.full_like(large, 2).where(large > 9, large)])
    got = metrics.compute()
    assert got == {"boundary_f1": pytest.approx(1), "images": 2, "flat_images": 2}
    other = BoundaryMetrics()
    other.update(torch.ones_like(large), large, large > 0)
    other.merge(metrics.state())
    assert other.compute()["boundary_f1"] == pytest.approx(2 / 3)


def test_shapes_must_be_one():
    with pytest.raises(ValueError, match=r"\(2, 3\), \(3, 2\)"):
        boundary_f1(torch.ones(2, 3), torch.ones(3, 2))
