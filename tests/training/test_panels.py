import numpy as np
import pytest
import torch

from open_dpt.processing.colormaps import palette
from open_dpt.training.panels import SpreadPanels, depth_panel, segmentation_panel


def tiles(panel, count=3, gap=4):
    width = (panel.shape[1] - gap * (count - 1)) // count
    return [panel[:, start : start + width] for start in range(0, panel.shape[1], width + gap)]


def test_one_colour_is_one_value_in_truth_and_prediction():
    truth = np.linspace(1, 5, 48, dtype=np.float32).reshape(6, 8)
    prediction = np.full((6, 8), truth[2, 3])
    panel = depth_panel(np.zeros((6, 8, 3), np.uint8), prediction, truth, height=6)
    assert panel.shape == (6, 3 * 8 + 2 * 4, 3)
    assert panel.dtype == np.uint8
    _, expected, found = tiles(panel)
    assert (found == expected[2, 3]).all()
    assert (panel[:, 8:12] == 255).all()


def test_near_is_bright_for_both_kinds_and_missing_truth_is_black():
    values = torch.tensor([[1.0, 2.0], [4.0, 0.0]])
    valid = torch.tensor([[True, True], [False, True]])
    image = torch.full((3, 2, 2), 200, dtype=torch.uint8)
    for kind, near, far in (("depth", (0, 0), (0, 1)), ("disparity", (0, 1), (0, 0))):
        photo, expected, found = tiles(depth_panel(image, values.bfloat16(), values, valid, kind=kind, height=2))
        assert (photo == 200).all()
        assert expected[near].sum() > expected[far].sum()
        assert (expected[1] == 0).all()
        assert (found[0] == expected[0]).all()


def test_a_sample_without_truth_still_makes_a_picture():
    prediction = np.linspace(1, 2, 16).reshape(4, 4)
    _, expected, found = tiles(depth_panel(np.zeros((4, 4, 3), np.uint8), prediction, np.zeros((4, 4)), height=4))
    assert (expected == 0).all()
    assert len(np.unique(found.reshape(-1, 3), axis=0)) > 4
    assert depth_panel(np.zeros((4, 4, 3), np.uint8), np.full((4, 4), np.nan), np.zeros((4, 4))).shape[0] == 240


def test_labels_keep_their_colours():
    truth = np.array([[0, 1], [2, 255]])
    prediction = torch.tensor([[0, 0], [2, 1]])
    photo, expected, found = tiles(
        segmentation_panel(np.zeros((20, 20, 3)), prediction, truth, num_labels=3, height=4)
    )
    colours = palette(3)
    assert (expected[::2, ::2] == np.stack([colours[[0, 1]], np.stack([colours[2], [0, 0, 0]])])).all()
    assert (found[::2, ::2] == np.stack([colours[[0, 0]], colours[[2, 1]]])).all()
    assert photo.shape == (4, 4, 3)


def test_pictures_are_spread_over_an_evaluation():
    drawn = []
    panels = SpreadPanels(lambda *maps: drawn.append(maps[0]), wanted=3, total=10)
    for index in range(10):
        panels(index, index, None, None)
    assert drawn == [0, 3, 6]
    assert list(panels.pictures) == ["validation_0", "validation_1", "validation_2"]


@pytest.mark.parametrize(("wanted", "total", "expected"), [(0, 10, 0), (4, 2, 2)])
def test_no_more_pictures_than_wanted_or_there(wanted, total, expected):
    panels = SpreadPanels(lambda *maps: None, wanted, total)
    for index in range(total):
        panels(index, None, None, None)
    assert len(panels.pictures) == expected
