import importlib.util
from pathlib import Path

import pytest
import torch

from open_dpt.modeling_dpt.losses import ScaleShiftInvariantLoss, gradient_matching_loss, scale_shift_invariant_loss

KINDS = ["trimmed", "mae", "mse"]


@pytest.fixture(scope="module")
def reference():
    path = Path(__file__).parents[2] / "reference" / "losses.py"
    spec = importlib.util.spec_from_file_location("reference_losses", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def row(*values):
    return torch.tensor([[values]], dtype=torch.float64)


def everywhere(image):
    return torch.ones(image.shape, dtype=torch.bool)


def sparse_batch(seed=0, shape=(3, 9, 12), keep=0.4):
    generator = torch.Generator().manual_seed(seed)
    prediction = torch.rand(shape, generator=generator, dtype=torch.float64)
    target = torch.rand(shape, generator=generator, dtype=torch.float64)
    return prediction, target, torch.rand(shape, generator=generator) < keep


# Prediction 0 1 2 9: lower median 1, mean absolute deviation (1+0+1+8)/4 = 2.5, normalised -0.4 0 0.4 3.2.
# Target     0 1 2 3: lower median 1, mean absolute deviation (1+0+1+2)/4 = 1,   normalised -1   0 1   2.
# |residual| 0.6 0 0.6 1.2, sum 2.4.
PREDICTION, TARGET = row(0, 1, 2, 9), row(0, 1, 2, 3)


def test_mae_by_hand():
    loss = scale_shift_invariant_loss(PREDICTION, TARGET, everywhere(TARGET), kind="mae")
    assert loss.item() == pytest.approx(2.4 / (2 * 4))


def test_trimmed_by_hand():
    # A quarter of 4 pixels is 1: the residual 1.2 goes, the divisor stays 2 * 4.
    loss = scale_shift_invariant_loss(PREDICTION, TARGET, everywhere(TARGET), trim=0.25)
    assert loss.item() == pytest.approx(1.2 / 8)


def test_mse_by_hand():
    # Means 1 and 2, covariance 5/3, variance 2/3: scale 2.5, shift -0.5, fit -0.5 2 4.5, residuals -0.5 1 -0.5.
    prediction, target = row(0, 1, 2), row(0, 1, 5)
    loss = scale_shift_invariant_loss(prediction, target, everywhere(target), kind="mse")
    assert loss.item() == pytest.approx((0.25 + 1 + 0.25) / (2 * 3))


def test_total_by_hand():
    # Residuals 0.6 0 -0.6 1.2. Scale 0: differences 0.6 0.6 1.8 over 4 pixels; scale 1: pixels 0 and 2, 1.2 over 2;
    # scales 2 and 3: one pixel. Anchor: |0+1| |1-0| |2-1| |9-2| = 10 over 4 pixels.
    criterion = ScaleShiftInvariantLoss("mae", gradient_weight=0.5, anchor_weight=0.1)
    total = 0.3 + 0.5 * (3.0 / 4 + 1.2 / 2) + 0.1 * 10 / 4
    assert criterion(PREDICTION, TARGET, everywhere(TARGET)).item() == pytest.approx(total)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_numpy(reference, kind, seed):
    # The last one is as sparse as lidar: 3 % of the pixels.
    prediction, target, valid = sparse_batch(seed) if seed < 2 else sparse_batch(seed, (3, 40, 50), keep=0.03)
    loss = scale_shift_invariant_loss(prediction, target, valid, kind=kind)
    expected = reference.scale_shift_invariant(prediction.numpy(), target.numpy(), valid.numpy(), kind, 0.2)
    assert loss.item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_ignores_scale_and_shift_of_the_prediction(kind):
    prediction, target, valid = sparse_batch()
    criterion = ScaleShiftInvariantLoss(kind)
    moved = criterion(37 * prediction - 5, target, valid)
    torch.testing.assert_close(moved, criterion(prediction, target, valid))


@pytest.mark.parametrize("kind", ["trimmed", "mae"])
def test_ignores_scale_and_shift_of_the_target(kind):
    prediction, target, valid = sparse_batch()
    criterion = ScaleShiftInvariantLoss(kind)
    torch.testing.assert_close(criterion(prediction, 0.01 * target + 3, valid), criterion(prediction, target, valid))


def test_trims_each_image_on_its_own():
    # The second image has the larger residuals. Trimming the pooled batch, as the public gist would if it trimmed at
    # all, would take everything from it and nothing from the first.
    prediction, target, valid = sparse_batch(shape=(2, 10, 10), keep=2.0)
    prediction[0] = target[0] + 0.05 * prediction[0]
    alone = [scale_shift_invariant_loss(prediction[i : i + 1], target[i : i + 1], valid[i : i + 1]) for i in (0, 1)]
    torch.testing.assert_close(scale_shift_invariant_loss(prediction, target, valid), sum(alone) / 2)


def test_an_outlier_among_the_trimmed_fifth_costs_nothing_more():
    # Past the median an outlier still moves the scale of its image, so it is put into the normalised residual alone.
    from open_dpt.modeling_dpt.losses.scale_shift_invariant import _residual_loss

    residual = torch.arange(1.0, 11.0).view(1, 2, 5)
    larger = residual.clone()
    larger[0, 1, 4] = 1e6
    losses = [_residual_loss(r, everywhere(r), "trimmed", 0.2) for r in (residual, larger)]
    assert losses[0] == losses[1] == pytest.approx(sum(range(1, 9)) / 20)


@pytest.mark.parametrize("kind", KINDS)
def test_invalid_pixels_do_not_matter(kind):
    # An unmasked median, the other defect of the gist, would change with them.
    prediction, target, valid = sparse_batch()
    criterion = ScaleShiftInvariantLoss(kind, anchor_weight=0.1)
    before = criterion(prediction, target, valid)
    for junk in (-1e9, torch.nan, torch.inf):
        dirty, other = prediction.clone(), target.clone()
        dirty[~valid], other[~valid] = junk, torch.nan
        dirty.requires_grad_()
        after = criterion(dirty, other, valid)
        after.backward()
        torch.testing.assert_close(after, before)
        assert (dirty.grad[~valid] == 0).all() and dirty.grad[valid].isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_valid_gives_zero_with_zero_gradients(kind):
    prediction, target, valid = sparse_batch()
    prediction.requires_grad_()
    loss = ScaleShiftInvariantLoss(kind, anchor_weight=0.1)(prediction, target, valid & False)
    loss.backward()
    assert loss.item() == 0 and (prediction.grad == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_without_valid_pixels_does_not_dilute_the_mean(kind):
    prediction, target, valid = sparse_batch()
    valid[1] = False
    keep = torch.tensor([0, 2])
    criterion = ScaleShiftInvariantLoss(kind, anchor_weight=0.1)
    expected = criterion(prediction[keep], target[keep], valid[keep])
    torch.testing.assert_close(criterion(prediction, target, valid), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_agree_with_finite_differences(kind):
    prediction, target, valid = sparse_batch(shape=(2, 4, 5), keep=0.8)
    criterion = ScaleShiftInvariantLoss(kind, anchor_weight=0.1)
    assert torch.autograd.gradcheck(lambda p: criterion(p, target, valid), prediction.requires_grad_())


@pytest.mark.parametrize("constant", ["prediction", "target"])
@pytest.mark.parametrize("kind", KINDS)
def test_constant_maps_keep_everything_finite(kind, constant):
    prediction, target, valid = (tensor.float() if tensor.is_floating_point() else tensor for tensor in sparse_batch())
    {"prediction": prediction, "target": target}[constant].fill_(0.3)
    prediction.requires_grad_()
    loss = ScaleShiftInvariantLoss(kind, anchor_weight=0.1)(prediction, target, valid)
    loss.backward()
    assert loss.isfinite() and prediction.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    # A disparity of 3e4 squared or summed does not fit into float16.
    prediction, target, valid = sparse_batch()
    prediction = (3e4 * prediction).to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = ScaleShiftInvariantLoss("mse")(prediction, target.to(dtype), valid)
    assert loss.dtype == torch.float32
    exact = ScaleShiftInvariantLoss("mse")(prediction.double(), target.to(dtype).double(), valid)
    assert loss.item() == pytest.approx(exact.item(), rel=1e-4)


def test_anchor_holds_the_free_scale():
    target = TARGET.clone()
    free, held = ScaleShiftInvariantLoss("mae"), ScaleShiftInvariantLoss("mae", anchor_weight=0.1)
    valid = everywhere(target)
    torch.testing.assert_close(free(1e6 * target, target, valid), free(target, target, valid))
    normalised = target - 1
    assert held(normalised, target, valid) == 0 < held(10 * normalised, target, valid)


def test_runs_as_one_graph():
    prediction, target, valid = sparse_batch()
    criterion = ScaleShiftInvariantLoss("trimmed", anchor_weight=0.1)
    compiled = torch.compile(criterion, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(prediction, target, valid), criterion(prediction, target, valid))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "huber"}, "kind: .*'huber'"),
        ({"trim": 1.0}, r"trim: .*1\.0"),
        ({"gradient_weight": -1}, "gradient_weight: .*-1"),
        ({"anchor_weight": -2}, "anchor_weight: .*-2"),
        ({"gradient_scales": 0}, "gradient_scales: .*0"),
    ],
)
def test_impossible_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        ScaleShiftInvariantLoss(**options)


def test_shapes_that_differ_are_named():
    valid = torch.ones(2, 4, 4, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"\(2, 4, 4\), \(2, 4, 5\)"):
        scale_shift_invariant_loss(torch.zeros(2, 4, 4), torch.zeros(2, 4, 5), valid)
    with pytest.raises(ValueError, match=r"valid: .*float32"):
        gradient_matching_loss(torch.zeros(2, 4, 4), torch.zeros(2, 4, 4), valid.float())
