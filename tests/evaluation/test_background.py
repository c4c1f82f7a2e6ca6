import numpy as np
import pytest
import torch

from open_dpt.evaluation.background import fill_background

N = torch.nan


def test_holes_take_the_smaller_neighbour_of_their_row_and_ends_their_own():
    depth = torch.tensor([[0.0, 4.0, -1.0, 0.0, 3.0, torch.inf, N]])
    assert fill_background(depth).tolist() == [[4, 4, 3, 3, 3, 3, 3]]


def test_rows_without_a_value_take_the_next_one_from_outside_only():
    depth = torch.tensor([[N, N], [5.0, N], [N, N], [N, 7.0], [N, N]])
    got = fill_background(depth)
    assert got[[0, 1, 3, 4]].tolist() == [[5, 5], [5, 5], [7, 7], [7, 7]]
    assert got[2].isnan().all()  # between two rows with values the kit leaves it
    assert fill_background(torch.zeros(2, 3)).isnan().all()


@pytest.mark.parametrize("share", [0.02, 0.3, 1.0])
def test_agrees_with_numpy_on_batches(reference, share):
    generator = torch.Generator().manual_seed(0)
    depth = 1 + torch.rand(6, 9, 13, generator=generator, dtype=torch.float64)
    depth[torch.rand(depth.shape, generator=generator) > share] = N
    got = fill_background(depth)
    for one, filled in zip(depth, got, strict=True):
        np.testing.assert_array_equal(filled.numpy(), reference.fill_background(one.numpy()))
    assert fill_background(depth.float()).dtype == torch.float32
