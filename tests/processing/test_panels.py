import numpy as np
import torch

from open_dpt.processing import panels
from open_dpt.processing.colormaps import diverging, palette
from open_dpt.processing.panels import (
    FULL_ERROR,
    depth_error_map,
    depth_error_panel,
    depth_panel,
    label_error_map,
    ordinal_panel,
    segmentation_error_panel,
    segmentation_panel,
)


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


def test_captions_say_how_far_the_colours_reach(monkeypatch):
    captions = []
    monkeypatch.setattr(panels, "_sheet", lambda title, told, tiles: captions.extend(told))
    truth = np.append(np.linspace(1, 5, 101, dtype=np.float32), [0, np.nan, 0]).reshape(8, 13)
    depth_error_panel(np.zeros((8, 13, 3), np.uint8), truth, truth, truth > 0)
    assert captions[1:3] == ["ground truth: bright 1.04 m, dark 4.96 m", "prediction in the same colours"]


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


WHITE, GREY, OUTLINE = [255, 255, 255], [150, 150, 150], [0, 200, 120]


def maps_of(panel, size, count=4):
    """Pictures of a one-line sheet: below title and captions."""
    height, width = size
    return [panel[-height:, start : start + width] for start in range(0, count * (width + 4), width + 4)]


def test_single_known_pixels_are_seen_in_a_small_picture():
    truth = np.zeros((80, 80), np.float32)
    truth[1::10, 1::10] = np.linspace(1, 9, 64).reshape(8, 8)
    _, expected, _ = tiles(depth_panel(np.zeros((80, 80, 3), np.uint8), np.ones((80, 80)), truth, height=16))
    assert (expected.sum(2) > 0).sum() == 64  # even the farthest is not quite black


def test_the_error_map_tells_too_near_from_too_far():
    truth = np.array([[2.0, 2.0, 2.0, 2.0, 0.0, 2.0, 2.0]])
    prediction = np.array([[2.0, 2.0 / FULL_ERROR, 2.0 * FULL_ERROR, 0.02, 2.0, np.nan, 2.0]])
    used = np.array([[True] * 6 + [False]])
    right, near, far, nearer, *unknown = depth_error_map(prediction, truth, used)[0].tolist()
    assert min(right) > 240 and max(right) - min(right) < 3
    assert near[0] > 180 > 100 > near[2] and far[2] > 180 > 100 > far[0]
    assert near == nearer
    assert unknown == [GREY] * 3


def test_both_signs_of_an_error_are_equally_strong():
    strength = np.array([0.25, 0.5, 1.0])
    warm, cold = (diverging(sign * strength).astype(float).mean(-1) for sign in (1, -1))
    np.testing.assert_allclose(warm, cold, atol=25)
    assert (np.diff(warm) < 0).all() and (
        diverging(np.array([1.0, 7.0, -9.0])) == diverging(np.array([1, 1, -1]))
    ).all()


def test_wrong_labels_are_red():
    truth, prediction = np.array([[1, 1, 2]]), np.array([[1, 0, 0]])
    right, wrong, left_out = label_error_map(prediction, truth, np.array([[True, True, False]]))[0]
    assert wrong[0] > 180 > 100 > wrong[1] and right.min() > 230 and left_out.tolist() == GREY


def test_a_sheet_outlines_what_counted():
    truth = torch.full((40, 60), 2.0)
    truth[5, 5] = 0
    used = torch.zeros(40, 60, dtype=torch.bool)
    used[10:30, 20:50] = True
    image = torch.full((3, 40, 60), 77, dtype=torch.uint8)
    panel = depth_error_panel(image, truth * 1.1, truth, used, title="worst of 3", height=40)
    photo, *maps = maps_of(panel, (40, 60))
    assert (photo == 77).all()
    for map_ in maps:
        line = (map_ == OUTLINE).all(-1)
        assert line[10, 20:50].all() and line[29, 20:50].all() and line[10:30, 20].all() and line[10:30, 49].all()
        assert line.sum() == 2 * 30 + 2 * 18
    assert maps[0][5, 5].tolist() == [0, 0, 0] and maps[2][5, 5].tolist() == GREY
    assert (panel[:25] != 255).any()  # the title


def test_gaps_between_scattered_pixels_are_no_outline():
    used = np.zeros((160, 160), bool)
    used[40:120:4, 40:120:4] = True
    truth = np.where(used, 3.0, 0.0)
    panel = depth_error_panel(np.zeros((160, 160, 3), np.uint8), np.full((160, 160), 3.0), truth, used, height=160)
    line = (maps_of(panel, (160, 160))[3] == OUTLINE).all(-1)
    assert line[40, 40:117].all() and not line[42:115, 42:115].any()


def test_wide_pictures_stand_two_by_two():
    maps = np.ones((20, 80))
    panel = depth_error_panel(np.zeros((20, 80, 3), np.uint8), maps, maps, maps > 0, height=20)
    assert panel.shape[1] == 2 * 80 + 4 and panel.shape[0] > 2 * 20
    panel = depth_error_panel(np.zeros((20, 20, 3), np.uint8), maps, maps, maps > 0, height=20)
    assert panel.shape[1] == 4 * 20 + 3 * 4


def test_nothing_that_counts_still_makes_a_picture():
    nothing = np.zeros((8, 8))
    assert depth_error_panel(np.zeros((8, 8, 3), np.uint8), nothing + 1, nothing, nothing > 0).shape[0] > 240
    assert segmentation_error_panel(np.zeros((8, 8, 3), np.uint8), nothing, nothing, nothing > 0, num_labels=2).any()


def test_labels_beside_their_errors():
    truth, prediction = np.zeros((10, 10), int), np.zeros((10, 10), int)
    truth[:, 5:], prediction[:, 8:] = 2, 2
    used = np.ones((10, 10), bool)
    used[0] = False
    panel = segmentation_error_panel(np.zeros((10, 10, 3)), prediction, truth, used, num_labels=3, height=10)
    _, expected, found, error = maps_of(panel, (10, 10))
    colours = palette(3)
    assert (expected[1:, 5:] == colours[2]).all() and (expected[0] == 0).all() and (found[:, 5:8] == colours[0]).all()
    assert (error[0] == GREY).all() and (error[1:, 5:8, 0] > error[1:, 5:8, 1]).all() and error[1:, :5].min() > 230


def test_pairs_are_marked_where_they_lie():
    points = torch.tensor([[10, 10, 30, 50, 1], [30, 10, 10, 50, -1]])  # A farther, then A nearer
    panel = ordinal_panel(np.zeros((40, 60, 3), np.uint8), np.zeros((40, 60)), points, height=80)
    for tile in maps_of(panel, (80, 120), count=2):
        for (row, column), red in {(10, 10): False, (30, 50): True, (30, 10): True, (10, 50): False}.items():
            colour = tile[2 * row + 1, 2 * column + 1].astype(int)
            assert (colour[0] > colour[2]) == red
