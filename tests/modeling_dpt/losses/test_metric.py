import importlib.util
import math
from pathlib import Path

import pytest
import torch

from open_dpt.modeling_dpt.losses import MetricDepthLoss, gradient_matching_loss, l1_loss, log_l1_loss, silog_loss

TERMS = ["silog", "l1", "log_l1"]


@pytest.fixture(scope="module")
def reference():
    path = Path(__file__).parents[2] / "reference" / "losses.py"
    spec = importlib.util.spec_from_file_location("reference_losses", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def depths(seed=0, shape=(3, 9, 12), keep=0.6):
    generator = torch.Generator().manual_seed(seed)
    prediction, target = 0.5 + 5 * torch.rand(2, *shape, generator=generator, dtype=torch.float64)
    return prediction, target, torch.rand(shape, generator=generator) < keep


def test_by_hand():
    prediction, target = torch.tensor([[[2.0, 3.0]], [[1.0, 9.0]]]), torch.tensor([[[1.0, 3.0]], [[4.0, 0.0]]])
    valid = target > 0
    # Image 1: |2-1| and 0 over 2 pixels; image 2: |1-4| over 1. Mean of 0.5 and 3, though they have 2 and 1 pixels.
    assert l1_loss(prediction, target, valid).item() == pytest.approx((0.5 + 3) / 2)
    assert log_l1_loss(prediction, target, valid).item() == pytest.approx((math.log(2) / 2 + math.log(4)) / 2)


def test_gradients_are_matched_in_log_depth():
    # One row, residual ln(2) 0 ln(1/2): steps of ln 2 over 3 pixels; scale 1 sees pixels 0 and 2: 2 ln 2 over 2.
    prediction, target = torch.tensor([[[2.0, 5.0, 4.0]]]), torch.tensor([[[1.0, 5.0, 8.0]]])
    valid = target > 0
    loss = MetricDepthLoss("log_l1", gradient_weight=0.5, gradient_scales=2)(prediction, target, valid)
    step = math.log(2)
    assert loss.item() == pytest.approx(2 * step / 3 + 0.5 * (2 * step / 3 + 2 * step / 2))
    # A wrong scale is no wrong edge.
    assert MetricDepthLoss("silog", gradient_weight=1.0)(3 * target, target, valid) == pytest.approx(
        silog_loss(3 * target, target, valid).item(), abs=1e-6
    )


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_numpy(reference, seed):
    prediction, target, valid = depths(seed)
    arrays = prediction.numpy(), target.numpy(), valid.numpy()
    assert l1_loss(prediction, target, valid).item() == pytest.approx(reference.metric_l1(*arrays))
    assert log_l1_loss(prediction, target, valid).item() == pytest.approx(reference.metric_log_l1(*arrays))
    gradients = gradient_matching_loss(prediction.log(), target.log(), valid)
    total = MetricDepthLoss("l1", gradient_weight=0.3)(prediction, target, valid)
    assert total.item() == pytest.approx(reference.metric_l1(*arrays) + 0.3 * gradients.item())


@pytest.mark.parametrize("term", TERMS)
def test_gradients_agree_with_finite_differences(term):
    prediction, target, valid = depths(shape=(2, 4, 5))
    criterion = MetricDepthLoss(term, gradient_weight=0.5)
    assert torch.autograd.gradcheck(lambda p: criterion(p, target, valid), prediction.requires_grad_())


@pytest.mark.parametrize("term", TERMS)
def test_what_stands_at_invalid_pixels_does_not_matter(term):
    prediction, target, valid = depths()
    criterion = MetricDepthLoss(term, gradient_weight=0.5)
    before = criterion(prediction, target, valid)
    for junk in (torch.nan, torch.inf, 0.0, -1.0):
        dirty, other = prediction.clone(), target.clone()
        dirty[~valid], other[~valid] = junk, -junk
        dirty.requires_grad_()
        after = criterion(dirty, other, valid)
        after.backward()
        torch.testing.assert_close(after, before)
        assert (dirty.grad[~valid] == 0).all() and dirty.grad[valid].isfinite().all()


@pytest.mark.parametrize("term", TERMS)
def test_images_without_valid_pixels(term):
    prediction, target, valid = depths()
    criterion = MetricDepthLoss(term, gradient_weight=0.5)
    valid[1] = False
    keep = torch.tensor([0, 2])
    expected = criterion(prediction[keep], target[keep], valid[keep])
    torch.testing.assert_close(criterion(prediction, target, valid), expected)
    prediction.requires_grad_()
    loss = criterion(prediction, target, valid & False)
    loss.backward()
    assert loss == 0 and (prediction.grad == 0).all()


@pytest.mark.parametrize("term", TERMS)
def test_autocast_does_not_reach_it(term):
    prediction, target, valid = depths()
    criterion = MetricDepthLoss(term, gradient_weight=0.5)
    half = prediction.bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = criterion(half, target.float(), valid)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(criterion(half.double(), target, valid).item(), rel=1e-5)


def test_runs_as_one_graph():
    maps = depths()
    criterion = MetricDepthLoss("silog", gradient_weight=0.5, form="sqrt")
    compiled = torch.compile(criterion, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(*maps), criterion(*maps))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gradient_weight": -1}, "gradient_weight: .*-1"),
        ({"gradient_scales": 0}, "gradient_scales: .*0"),
        ({"form": "log"}, "form: .*'log'"),
        ({"variance_focus": 2}, "variance_focus: .*2"),
    ],
)
def test_impossible_options_are_named_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        MetricDepthLoss("silog", **options)


def test_shapes_that_differ_are_named():
    for loss in (l1_loss, log_l1_loss):
        with pytest.raises(ValueError, match=r"\(1, 2, 3\), \(1, 3, 2\)"):
            loss(torch.ones(1, 2, 3), torch.ones(1, 3, 2), torch.ones(1, 2, 3, dtype=torch.bool))
