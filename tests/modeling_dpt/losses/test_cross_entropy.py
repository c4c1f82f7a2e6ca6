import math

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
