import importlib.util
from pathlib import Path

import pytest
import torch

from open_dpt.modeling_dpt.losses import gradient_matching_loss


def residual(rows):
    """Prediction, target and mask of one image whose residual is `rows`."""
    prediction = torch.tensor([rows], dtype=torch.float64)
    return prediction, torch.zeros_like(prediction), torch.ones(prediction.shape, dtype=torch.bool)


def test_one_scale_by_hand():
    # Across |1-0| + |1-3|, down |3-0| + |1-1|: 6 over 4 pixels.
    assert gradient_matching_loss(*residual([[0, 1], [3, 1]]), scales=1).item() == pytest.approx(6 / 4)


def test_a_difference_needs_both_pixels():
    prediction, target, valid = residual([[0, 1], [3, 1]])
    valid[0, 1, 0] = False
    # Left: across the top |1-0|, down the right |1-1|; over 3 valid pixels.
    assert gradient_matching_loss(prediction, target, valid, scales=1).item() == pytest.approx(1 / 3)


def test_scale_k_takes_every_2_to_the_kth_pixel():
    # Scale 0: steps of 1 over 5 pixels. Scale 1: pixels 0 2 4, steps of 2 over 3. Scale 2: pixels 0 4, step 4 over 2.
    maps = residual([[0, 1, 2, 3, 4]])
    assert gradient_matching_loss(*maps, scales=3).item() == pytest.approx(4 / 5 + 4 / 3 + 4 / 2)


def test_a_constant_residual_is_free():
    assert gradient_matching_loss(*residual([[7.0] * 9] * 9)).item() == 0


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_numpy(seed):
    path = Path(__file__).parents[2] / "reference" / "losses.py"
    spec = importlib.util.spec_from_file_location("reference_losses", path)
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    generator = torch.Generator().manual_seed(seed)
    prediction, target = torch.rand(2, 3, 11, 13, generator=generator, dtype=torch.float64)
    valid = torch.rand(3, 11, 13, generator=generator) < 0.5
    valid[2] = seed == 0
    expected = reference.gradient_matching(prediction.numpy(), target.numpy(), valid.numpy(), 4)
    assert gradient_matching_loss(prediction, target, valid).item() == pytest.approx(expected)


def test_no_scale_is_refused():
    with pytest.raises(ValueError, match=r"scales: .*0"):
        gradient_matching_loss(*residual([[0, 1]]), scales=0)
