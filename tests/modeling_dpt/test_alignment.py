import numpy as np
import pytest
import torch

from open_dpt.modeling_dpt.alignment import (
    align_least_squares,
    align_robust,
    masked_mean,
    masked_median,
    median_scale,
)


def sparse_batch(seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    prediction, target = torch.rand(2, 4, 7, 9, generator=generator, dtype=dtype)
    return prediction, target, torch.rand(4, 7, 9, generator=generator) < 0.5


def test_least_squares_agrees_with_numpy():
    prediction, target, valid = sparse_batch()
    scale, shift = align_least_squares(prediction, target, valid)
    for index in range(4):
        x, y = prediction[index][valid[index]].numpy(), target[index][valid[index]].numpy()
        expected = np.linalg.lstsq(np.stack([x, np.ones_like(x)], 1), y, rcond=None)[0]
        np.testing.assert_allclose([scale[index], shift[index]], expected, rtol=1e-9)


@pytest.mark.parametrize("align", [align_least_squares, align_robust])
def test_recovers_an_affine_map_behind_a_large_offset(align):
    # In float32, n * sum(x^2) - sum(x)^2 would lose the answer.
    prediction, _, valid = sparse_batch(dtype=torch.float32)
    scale, shift = align(prediction + 100, 3 * prediction - 2, valid)
    torch.testing.assert_close(scale, torch.full((4,), 3.0), rtol=1e-3, atol=0)
    torch.testing.assert_close(shift, torch.full((4,), -302.0), rtol=1e-3, atol=0)


def test_robust_gives_median_and_deviation_of_the_target():
    prediction, target, valid = sparse_batch()
    scale, shift = align_robust(prediction, target, valid)
    aligned = scale[:, None, None] * prediction + shift[:, None, None]
    torch.testing.assert_close(masked_median(aligned, valid), masked_median(target, valid))
    centre = masked_median(target, valid)[:, None, None]
    torch.testing.assert_close(
        masked_mean((aligned - centre).abs(), valid), masked_mean((target - centre).abs(), valid)
    )


def test_median_scale_by_hand():
    prediction, target = torch.tensor([[[1.0, 2.0, 9.0]]]), torch.tensor([[[5.0, 1.0, 7.0]]])
    valid = torch.tensor([[[True, True, True]]])
    assert median_scale(prediction, target, valid).item() == 2.5


@pytest.mark.parametrize("align", [align_least_squares, align_robust])
@pytest.mark.parametrize("case", ["constant", "nothing valid", "one pixel"])
def test_singular_fits_give_zero_and_finite_gradients(align, case):
    prediction, target, valid = sparse_batch(dtype=torch.float32)
    if case == "constant":
        prediction = torch.full_like(prediction, 0.1)
    else:
        valid &= False
        valid[:, 3, 3] = case == "one pixel"
    prediction.requires_grad_()
    scale, shift = align(prediction, target, valid)
    (scale.sum() + shift.sum()).backward()
    assert (scale == 0).all() and (shift == 0).all() and prediction.grad.isfinite().all()


def test_median_is_the_lower_one_of_the_valid_values():
    values = torch.tensor([[[4.0, 1.0, 3.0, 2.0, -50.0]]])
    valid = torch.tensor([[[True, True, True, True, False]]])
    assert masked_median(values, valid).item() == 2  # not 2.5, and not 1 as with the invalid -50
    assert masked_median(values, valid & False).item() == 0


@pytest.mark.parametrize("align", [align_least_squares, align_robust, median_scale])
def test_shapes_that_differ_are_named(align):
    valid = torch.ones(1, 2, 3, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"\(1, 2, 3\), \(2, 3\), \(1, 2, 3\)"):
        align(torch.zeros(1, 2, 3), torch.zeros(2, 3), valid)
