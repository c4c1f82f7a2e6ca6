"""One image through a depth protocol: windows to the pixel, 16-bit steps, and what becomes of bad predictions."""

import math

import numpy as np
import pytest
import torch

from open_dpt.evaluation.protocol import load_protocol
from open_dpt.evaluation.score_depth import quantised, score
from open_dpt.evaluation.score_ordinal import score as score_ordinal

NYU, KITTI, KBCROP = (load_protocol(name) for name in ("nyu-eigen", "kitti-eigen-garg", "kitti-eigen-garg-kbcrop"))
OFFICIAL, OWN, ALIGNED = (load_protocol(name) for name in ("kitti-official", "own-folder", "own-folder-aligned"))


def sample(depth, seen=None, **more):
    """What the evaluator hands over; `seen`: the size of the image, where it is not that of its depth."""
    size = seen or depth.shape
    return {"image": torch.zeros(3, *size, dtype=torch.uint8), "name": "a/b.png", "depth": depth.float(), **more}


def bounds(mask):
    rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
    return rows[0].item(), rows[-1].item() + 1, columns[0].item(), columns[-1].item() + 1


@pytest.mark.parametrize(
    ("size", "garg", "crop_in_full"),
    [
        ((375, 1242), (153, 371, 44, 1197), (166, 372, 56, 1185)),
        ((376, 1241), (153, 372, 44, 1196), (167, 373, 55, 1184)),
        ((374, 1238), (152, 370, 44, 1193), (165, 371, 54, 1183)),
        ((370, 1226), (151, 366, 44, 1181), (161, 367, 48, 1177)),
        ((370, 1224), (151, 366, 43, 1180), (161, 367, 47, 1176)),
    ],
)
def test_kitti_windows_when_pasted_and_when_cropped(size, garg, crop_in_full):
    truth = torch.full(size, 10.0)
    # What the prediction says is where in the crop it says it, so a shifted paste would show.
    prediction = torch.linspace(5, 20, 352)[:, None] + torch.linspace(0, 5, 1216)
    one = sample(truth, (352, 1216), image_size=size)
    top, left = size[0] - 352, (size[1] - 1216) // 2
    pasted, cropped = score(prediction, "depth", one, KITTI), score(prediction, "depth", one, KBCROP)
    assert bounds(pasted.used) == garg
    assert pasted.row["pixels"] == (garg[1] - garg[0]) * (garg[3] - garg[2])
    assert bounds(cropped.used) == (143, 349, 43, 1172)
    assert (143 + top, 349 + top, 43 + left, 1172 + left) == crop_in_full
    steps = (prediction * 256).trunc() / 256
    for scored, window in ((pasted, garg), (cropped, crop_in_full)):
        inside = np.s_[window[0] - top : window[1] - top, window[2] - left : window[3] - left]
        expected = ((steps if scored is pasted else prediction)[inside].double() - 10).abs().mean() / 10
        assert scored.row["abs_rel"] == pytest.approx(expected.item(), rel=1e-12)


def test_what_stands_for_nothing_is_shown_only_where_it_counts():
    one = sample(torch.full((375, 1242), 10.0), (352, 1216), image_size=(375, 1242))
    prediction = torch.full((352, 1216), 10.0)
    prediction[200, 600] = math.nan  # inside Garg's window
    prediction[0, 0] = math.nan
    scored = score(prediction, "depth", one, KITTI)
    assert scored.prediction[23 + 200, 13 + 600] == 1e-3
    assert scored.prediction[23, 13].isnan() and scored.prediction[:23].isnan().all()
    assert scored.prediction[23, 14] == 10


def test_a_prediction_of_the_whole_image_is_cropped_as_the_image_was():
    truth = torch.rand(375, 1242) * 40 + 1
    whole = torch.rand(375, 1242) * 40 + 1
    one = sample(truth, (352, 1216), image_size=(375, 1242))
    assert score(whole, "depth", one, KITTI).row == score(whole[23:, 13:1229], "depth", one, KITTI).row


@pytest.mark.parametrize("size", [(480, 640), (1216, 352)])
def test_any_other_size_is_an_error_that_names_both(size):
    one = sample(torch.ones(375, 1242), (352, 1216), image_size=(375, 1242))
    message = rf"a/b.png: prediction must be 352 x 1216 or 375 x 1242 .* got {size[0]} x {size[1]}"
    with pytest.raises(ValueError, match=message):
        score(torch.ones(size), "depth", one, KITTI)


def test_an_image_too_small_for_the_crop_and_a_window_for_another_size():
    with pytest.raises(ValueError, match=r"a/b.png: image_crop kb: .* at least 352 x 1216 .* 300 x 400"):
        score(torch.ones(300, 400), "depth", sample(torch.ones(300, 400)), KITTI)
    with pytest.raises(ValueError, match=r"a/b.png: crop 'eigen': is made for NYUv2 maps of 480 x 640, got 300 x 400"):
        score(torch.ones(300, 400), "depth", sample(torch.ones(300, 400)), NYU)


def test_metres_are_cut_off_to_steps_of_the_png():
    metres = torch.tensor([1.2349, 1.2341, 0.0009, -3.0, math.nan, math.inf, 80.0])
    steps = quantised(metres, 1000)
    expected = torch.tensor([1.234, 1.234, 0.0, 0.0, math.nan, 65.535, 65.535])
    torch.testing.assert_close(steps, expected, equal_nan=True)


@pytest.mark.parametrize("scale", [256, 1000])
def test_what_was_read_from_a_png_keeps_its_value(scale):
    stored = torch.arange(65536)
    for dtype in (torch.float32, torch.float64):
        metres = (stored.double() / scale).to(dtype)
        assert (quantised(metres, scale) == metres).all()


def test_eigen_window_range_and_steps_of_nyu():
    truth = torch.full((480, 640), 2.0)
    truth[100, 100], truth[101, 100], truth[102, 100] = 10.0, 0.001, math.nan  # strictly inside counts
    scored = score(torch.full((480, 640), 2.20099), "depth", sample(truth), NYU)
    assert bounds(scored.used) == (45, 471, 41, 601)
    assert scored.row["pixels"] == 426 * 560 - 3
    assert scored.row["rmse"] == pytest.approx(0.2, abs=1e-6)  # 2.200 and not 2.201
    assert scored.row["delta_outliers1"] == 0 and scored.row["scale"] is None


def test_predictions_are_clamped_and_bad_ones_counted():
    truth = torch.full((480, 640), 5.0)
    prediction = torch.full((480, 640), 5.0)
    prediction[0, :] = math.nan  # outside of the window: does not count
    prediction[50, 50:53] = math.nan
    prediction[51, 50:52] = math.inf
    prediction[52, 50:54] = torch.tensor([-1.0, 0.0, -math.inf, 99.0])
    row = score(prediction, "depth", sample(truth), NYU).row
    assert (row["nan_pixels"], row["infinite_pixels"], row["nonpositive_pixels"]) == (3, 2, 3)
    # 3 NaN and 3 not positive at 1 mm, 3 at the cap.
    expected = (6 * (5 - 0.001) + 3 * 5) / 5 / (426 * 560)
    assert row["abs_rel"] == pytest.approx(expected, rel=1e-9)
    assert row["pixels"] == 426 * 560


def test_unusable_predictions_can_be_left_out():
    truth = torch.full((10, 10), 5.0)
    prediction = truth.clone()
    prediction[0, :2] = torch.tensor([math.nan, -1.0])
    left_out = OWN.with_changes({"score.unusable": "excluded"})
    row = score(prediction, "depth", sample(truth), left_out).row
    assert (row["pixels"], row["abs_rel"], row["nan_pixels"], row["nonpositive_pixels"]) == (98, 0, 1, 1)
    nothing = score(torch.full_like(truth, math.nan), "depth", sample(truth), left_out)
    assert (nothing.row["status"], nothing.row["nan_pixels"]) == ("empty", 100)
    assert "no usable prediction" in nothing.row["reason"]


def test_without_a_cap_infinity_is_unusable():
    truth = torch.full((10, 10), 5.0)
    prediction = truth.clone()
    prediction[0, 0] = math.inf
    row = score(prediction, "depth", sample(truth), OWN).row
    assert row["infinite_pixels"] == 1 and row["abs_rel"] == pytest.approx((5 - 0.001) / 5 / 100)


def test_the_benchmark_fills_in_what_is_missing_and_has_no_cap():
    truth = torch.full((352, 1216), 100.0)
    prediction = torch.full((352, 1216), 120.0)
    prediction[10, 20] = 0
    prediction[11, 20] = math.nan
    row = score(prediction, "depth", sample(truth), OFFICIAL).row
    assert row["pixels"] == 352 * 1216 and (row["nan_pixels"], row["nonpositive_pixels"]) == (1, 1)
    assert row["abs_error_rel"] == pytest.approx(20) and row["sq_error_rel"] == pytest.approx(4)
    assert row["irmse"] == pytest.approx(1000 * (1 / 100 - 1 / 120)) and row["silog"] == pytest.approx(0, abs=1e-9)


def test_disparity_is_aligned_where_truth_counts():
    truth = torch.rand(30, 40) * 20 + 1
    truth[0] = 500.0  # beyond the range: must not bend the fit
    truth[1] = 0
    disparity = 7 / truth.clamp(min=1) + 3
    disparity[0] = 99
    scored = score(disparity, "disparity", sample(truth), ALIGNED)
    assert scored.row["abs_rel"] < 1e-5 and scored.row["nonpositive_pixels"] is None
    assert scored.row["scale"] == pytest.approx(1 / 7, rel=1e-4)
    assert scored.row["shift"] == pytest.approx(-3 / 7, rel=1e-4)
    assert not scored.used[:2].any() and scored.prediction.max() <= 80


def test_relative_predictions_are_not_cut_to_steps():
    changed = NYU.with_changes({"alignment": "least-squares-disparity"})
    truth = torch.rand(480, 640) * 5 + 1
    assert score(1e-4 / truth, "disparity", sample(truth), changed).row["abs_rel"] < 1e-4


def test_a_metric_protocol_refuses_disparity_and_says_what_to_do():
    with pytest.raises(ValueError, match=r"a/b.png: alignment none: .* --align least-squares-disparity"):
        score(torch.ones(480, 640), "disparity", sample(torch.ones(480, 640)), NYU)


@pytest.mark.parametrize(
    ("truth", "reason"),
    [
        (torch.zeros(480, 640), "no known pixel"),
        (torch.full((480, 640), 11.0), "no ground truth between 0.001 and 10 m inside eigen"),
        (torch.full((480, 640), math.nan), "no known pixel"),
    ],
)
def test_an_image_without_truth_is_empty_and_says_why(truth, reason):
    row = score(torch.ones(480, 640), "depth", sample(truth), NYU).row
    assert row["status"] == "empty" and reason in row["reason"] and row["pixels"] == 0
    assert "abs_rel" not in row


def test_truth_in_another_unit_or_none():
    one = sample(torch.ones(480, 640))
    del one["depth"]
    assert score(torch.ones(480, 640), "depth", one, NYU).row["reason"] == "no ground truth"
    with pytest.raises(ValueError, match=r"a/b.png: ground truth must be in metres, got disparity"):
        score(torch.ones(480, 640), "depth", one | {"disparity": torch.ones(480, 640)}, NYU)


def test_pixels_marked_invalid_do_not_count():
    truth = torch.ones(10, 10)
    valid = torch.ones(10, 10, dtype=torch.bool)
    valid[:3] = False
    assert score(truth, "depth", sample(truth, valid=valid), OWN).row["pixels"] == 70


def test_truth_of_its_own_size_gets_the_prediction_resized():
    truth = torch.full((24, 36), 3.0)
    scored = score(torch.full((48, 72), 3.0), "depth", sample(truth, (48, 72)), OWN)
    assert scored.prediction.shape == (24, 36) and scored.row["abs_rel"] == pytest.approx(0, abs=1e-7)
    assert score(truth, "depth", sample(truth, (48, 72)), OWN).row["pixels"] == 24 * 36
    hole = torch.full((48, 72), 3.0)
    hole[0, 0] = math.nan
    left_out = OWN.with_changes({"score.unusable": "excluded"})
    assert 0 < score(hole, "depth", sample(truth, (48, 72)), left_out).row["nan_pixels"] <= 4
    one = sample(truth, (352, 1216), image_size=(375, 1242))
    with pytest.raises(ValueError, match=r"a/b.png: image_crop kb: .* 375 x 1242, got 24 x 36"):
        score(torch.ones(352, 1216), "depth", one, KITTI)


def test_boundaries_need_dense_truth():
    truth = torch.ones(20, 20)
    truth[:, 10:] = 2
    assert score(truth, "depth", sample(truth), OWN).row["boundary_f1"] is not None
    truth = torch.where(torch.rand(20, 20) < 0.5, truth, 0.0)
    assert score(truth, "depth", sample(truth), OWN).row["boundary_f1"] is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("protocol", [KITTI, KBCROP, OFFICIAL, ALIGNED], ids=lambda protocol: protocol.name)
def test_a_gpu_gives_the_same_scores(protocol):
    size = (375, 1242) if protocol.image_crop == "kb" else (352, 1216)
    one = sample(torch.rand(size) * 60 + 1, (352, 1216), image_size=size)
    kind = "disparity" if protocol is ALIGNED else "depth"
    prediction = torch.rand(352, 1216) * 60
    prediction[100, 50] = math.nan
    cpu, gpu = (score(prediction.to(device), kind, one, protocol) for device in ("cpu", "cuda"))
    assert gpu.prediction.is_cuda and gpu.used.is_cuda
    assert gpu.row == pytest.approx(cpu.row, rel=1e-9)


PAIRS = torch.tensor([[0, 0, 5, 5, 1], [0, 0, 5, 5, -1], [1, 1, 1, 2, 1]])  # the last one is a tie


@pytest.fixture
def ordinal():
    changes = {"task": "ordinal", "score": {"ties": "as-nearer"}, "metrics": ["whdr"], "quantisation": None}
    return type(OWN).from_dict(OWN.to_dict() | changes)


def test_pairs_in_disparity_and_in_depth(ordinal):
    disparity = torch.ones(6, 6)
    disparity[5, 5] = 2  # B is nearer, so A is farther: the first pair is right
    one = {"image": torch.zeros(3, 6, 6), "name": "a", "ordinal": PAIRS}
    scored = score_ordinal(disparity, "disparity", one, ordinal)
    assert scored.row == {"status": "scored", "reason": None, "pairs": 3, "wrong": 2, "ties": 1}
    assert score_ordinal(1 / disparity, "depth", one, ordinal).row == scored.row
    assert score_ordinal(disparity, "disparity", one | {"ordinal": PAIRS[:0]}, ordinal).row["status"] == "empty"
    with pytest.raises(ValueError, match="a: prediction must be 6 x 6 as its image is, got 3 x 6"):
        score_ordinal(disparity[:3], "disparity", one, ordinal)
