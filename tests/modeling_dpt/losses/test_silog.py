import importlib.util
import math
from pathlib import Path

import pytest
import torch

from open_dpt.modeling_dpt.losses import silog_loss

# Log ratios ln 2 and 0: mean ln(2)/2, mean square ln(2)^2/2.
PREDICTION, TARGET = torch.tensor([[[2.0, 3.0]]]), torch.tensor([[[1.0, 3.0]]])
VALID = torch.ones(1, 1, 2, dtype=torch.bool)


def test_eigen_by_hand():
    loss = silog_loss(PREDICTION, TARGET, VALID)
    assert loss.item() == pytest.approx(math.log(2) ** 2 * (1 / 2 - 0.5 / 4))


def test_square_root_by_hand():
    loss = silog_loss(PREDICTION, TARGET, VALID, variance_focus=0.85, form="sqrt")
    assert loss.item() == pytest.approx(10 * math.log(2) * math.sqrt(1 / 2 - 0.85 / 4))


def test_with_variance_focus_1_a_global_scale_is_free():
    target = torch.linspace(1, 2, 32, dtype=torch.float64).view(2, 4, 4)
    valid = torch.ones(2, 4, 4, dtype=torch.bool)
    assert silog_loss(3 * target, target, valid, variance_focus=1.0).item() == pytest.approx(0, abs=1e-12)
    assert silog_loss(3 * target, target, valid).item() == pytest.approx(0.5 * math.log(3) ** 2)


@pytest.mark.parametrize(("form", "variance_focus"), [("eigen", 0.5), ("sqrt", 0.85)])
def test_agrees_with_numpy_and_finite_differences(form, variance_focus):
    path = Path(__file__).parents[2] / "reference" / "losses.py"
    spec = importlib.util.spec_from_file_location("reference_losses", path)
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    generator = torch.Generator().manual_seed(0)
    prediction, target = 0.5 + 5 * torch.rand(2, 2, 5, 6, generator=generator, dtype=torch.float64)
    valid = torch.rand(2, 5, 6, generator=generator) < 0.6
    options = {"form": form, "variance_focus": variance_focus}
    loss = silog_loss(prediction, target, valid, **options)
    expected = reference.silog(prediction.numpy(), target.numpy(), valid.numpy(), variance_focus, form)
    assert loss.item() == pytest.approx(expected)
    assert torch.autograd.gradcheck(lambda p: silog_loss(p, target, valid, **options), prediction.requires_grad_())


@pytest.mark.parametrize("form", ["eigen", "sqrt"])
@pytest.mark.parametrize("case", ["nothing valid", "perfect", "zero depth where invalid", "zero prediction"])
def test_gradients_stay_finite(form, case):
    prediction, target, valid = torch.ones(2, 3, 3), torch.ones(2, 3, 3), torch.ones(2, 3, 3, dtype=torch.bool)
    if case == "nothing valid":
        valid &= False
    if case == "zero depth where invalid":
        valid[0, 0] = False
        prediction[0, 0] = target[0, 0] = 0
    if case == "zero prediction":
        prediction[0, 0] = 0
    prediction.requires_grad_()
    loss = silog_loss(prediction, target, valid, form=form)
    loss.backward()
    assert prediction.grad.isfinite().all()
    assert (loss > 0) == (case == "zero prediction")


def test_autocast_does_not_reach_it():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = silog_loss(PREDICTION.bfloat16(), TARGET, VALID)
    assert loss.dtype == torch.float32 and loss.item() == pytest.approx(math.log(2) ** 2 * 3 / 8)


@pytest.mark.parametrize(("options", "message"), [({"form": "log"}, "'log'"), ({"variance_focus": 2}, "got 2")])
def test_impossible_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        silog_loss(PREDICTION, TARGET, VALID, **options)
