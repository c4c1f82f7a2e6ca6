import importlib.util
import math
from pathlib import Path

import pytest
import torch

from open_dpt.modeling_dpt.losses import segmentation_loss

# One pixel of class 1 with probability 3/4, one ignored.
LOGITS = torch.tensor([[[[0.0, 9.0]], [[math.log(3), -9.0]]]])
LABELS = torch.tensor([[[1, 255]]])


def test_by_hand():
    assert segmentation_loss(LOGITS, LABELS).item() == pytest.approx(-math.log(0.75))


def test_auxiliary_by_hand():
    # Both classes equally likely in the auxiliary head: ln 2, weighted 0.2.
    loss = segmentation_loss(LOGITS, LABELS, torch.zeros(1, 2, 1, 2))
    assert loss.item() == pytest.approx(-math.log(0.75) + 0.2 * math.log(2))


def test_agrees_with_numpy_and_finite_differences():
    path = Path(__file__).parents[2] / "reference" / "losses.py"
    spec = importlib.util.spec_from_file_location("reference_losses", path)
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    generator = torch.Generator().manual_seed(0)
    logits, auxiliary = torch.randn(2, 2, 4, 3, 5, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 4, (2, 3, 5), generator=generator)
    labels[0, :2] = 255  # the images weigh by their labelled pixels
    arrays = [(scores.numpy(), labels.numpy(), 255) for scores in (logits, auxiliary)]
    expected = reference.cross_entropy(*arrays[0]) + 0.4 * reference.cross_entropy(*arrays[1])
    loss = segmentation_loss(logits, labels, auxiliary, auxiliary_weight=0.4)
    assert loss.item() == pytest.approx(expected)
    inputs = logits.requires_grad_(), auxiliary.requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: segmentation_loss(a, labels, b, auxiliary_weight=0.4), inputs)


def test_everything_ignored_gives_zero_with_zero_gradients():
    logits = LOGITS.clone().requires_grad_()
    loss = segmentation_loss(logits, torch.full_like(LABELS, 255), logits)
    loss.backward()
    assert loss.item() == 0 and (logits.grad == 0).all()


def test_half_precision_is_computed_in_float32():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert segmentation_loss(LOGITS.half(), LABELS).dtype == torch.float32


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.zeros(1, 2, 2, dtype=torch.long), r"\(1, 2, 2\) for logits \(1, 2, 1, 2\)"),
        (torch.zeros(1, 1, 2), "float32"),
        (torch.tensor([[[1, 7]]]), "below 2 .* got 7"),
        (torch.tensor([[[1, -1]]]), "below 2 .* got -1"),
    ],
)
def test_unusable_labels_are_named(labels, message):
    with pytest.raises(ValueError, match=message):
        segmentation_loss(LOGITS, labels)
