import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from open_dpt.evaluation import depth_metrics
from open_dpt.evaluation.crops import crop_mask
from open_dpt.evaluation.depth_metrics import METRICS, DepthMetrics, image_scores

SHARED = Path(__file__).parents[3] / "shared"


def image(*values):
    return torch.tensor([values], dtype=torch.float64)


def test_by_hand():
    metrics = DepthMetrics(0.1, 10)
    metrics.update(image(2.0, 4.0), image(1.0, 4.0))
    got = metrics.compute()
    assert got["abs_rel"] == got["sq_rel"] == 0.5
    assert got["rmse"] == pytest.approx(math.sqrt(0.5))
    assert got["rmse_log"] == pytest.approx(math.log(2) / math.sqrt(2))
    assert got["log10"] == pytest.approx(math.log10(2) / 2)
    assert got["silog"] == pytest.approx(100 * math.log(2) / 2)  # log errors ln 2 and 0: deviation ln 2 / 2
    assert got["log_bias"] == pytest.approx(math.log(2) / 2)
    assert got["irmse"] == pytest.approx(1000 * 0.5 / math.sqrt(2))  # 1 / 2 - 1 / 1 and 0
    assert (got["abs_error_rel"], got["sq_error_rel"]) == (50, 50)
    assert (got["delta1"], got["delta2"], got["delta3"]) == (0.5, 0.5, 0.5)
    assert (got["images"], got["pixels"]) == (1, 2)


def test_thresholds_are_powers_of_5_over_4_and_strict():
    metrics = DepthMetrics(0.1, 10)
    metrics.update(image(1.25, 1.2, 1.5, 1.9, 0.4), image(1.0, 1.0, 1.0, 1.0, 1.0))
    got = metrics.compute()
    assert [got[f"delta{k}"] for k in (1, 2, 3)] == [1 / 5, 3 / 5, 4 / 5]


def test_ratios_of_whole_millimetres_are_those_of_single_precision():
    steps = np.arange(1, 2000)
    truth, prediction = 4 * steps / 1000, 5 * steps / 1000  # 1.25 times that, which is not below 1.25
    metrics = DepthMetrics(1e-3, 20)
    assert metrics.update(torch.from_numpy(prediction)[None], torch.from_numpy(truth)[None])["delta1"] == 0
    truth, prediction = truth.astype(np.float32), prediction.astype(np.float32)
    within = (prediction / truth < 1.25).mean()  # rounding of the maps themselves
    assert metrics.update(torch.from_numpy(prediction)[None], torch.from_numpy(truth)[None])["delta1"] == within


def test_agrees_with_numpy_image_by_image(reference):
    generator = torch.Generator().manual_seed(0)
    metrics, expected = DepthMetrics(0.5, 9), []
    for size in ((3, 4), (20, 30), (7, 5)):  # an image counts once, however large
        truth = 10 * torch.rand(size, generator=generator)
        prediction = truth * (0.6 + torch.rand(size, generator=generator)) + 2 * torch.randn(size, generator=generator)
        prediction[0, 0], truth[0, 1] = torch.nan, torch.inf
        metrics.update(prediction, truth)
        expected.append(reference.depth_scores(prediction.numpy(), truth.numpy(), 0.5, 9))
    got = metrics.compute()
    assert {name: got[name] for name in METRICS} == pytest.approx(
        {name: np.mean([one[name] for one in expected]) for name in METRICS}
    )


def maps(count=4, seed=0):
    """Ragged predictions, ground truth with holes, and masks."""
    generator = torch.Generator().manual_seed(seed)
    predictions, truths, masks = [], [], []
    for number in range(count):
        size = (3 + number, 5 + number % 2)
        truths.append(10 * torch.rand(size, generator=generator))
        predictions.append(truths[-1] * (0.6 + torch.rand(size, generator=generator)))
        masks.append(torch.rand(size, generator=generator) < 0.8)
        predictions[-1][0, :3] = torch.tensor([torch.nan, torch.inf, -1.0])
        truths[-1][1, 0] = 0
    return predictions, truths, masks


def test_over_pixels_all_images_count_as_one(reference):
    predictions, truths, _ = maps()
    metrics = DepthMetrics(0.5, 9, averaging="pixel")
    metrics.update(predictions, truths)
    flat = [np.concatenate([one.numpy().ravel() for one in every]) for every in (predictions, truths)]
    got = metrics.compute()
    assert {name: got[name] for name in METRICS} == pytest.approx(reference.depth_scores(*flat, 0.5, 9))


@pytest.mark.parametrize("averaging", ["image", "pixel"])
@pytest.mark.parametrize("unusable", ["minimum", "excluded"])
def test_maps_lists_and_padded_batches_give_the_same(averaging, unusable):
    predictions, truths, masks = maps()
    one_by_one, as_list, as_batch = (DepthMetrics(0.5, 9, averaging, unusable) for _ in range(3))
    for triple in zip(predictions, truths, masks, strict=True):
        one_by_one.update(*triple)
    assert as_list.update(predictions, truths, masks) is None
    padded = [torch.zeros(len(every), 9, 9, dtype=every[0].dtype) for every in (predictions, truths, masks)]
    for every, batch in zip((predictions, truths, masks), padded, strict=True):
        for one, place in zip(every, batch, strict=True):
            place[: one.shape[0], : one.shape[1]] = one
    as_batch.update(*padded)
    assert as_list.compute() == pytest.approx(one_by_one.compute(), rel=1e-12)
    assert as_batch.compute() == pytest.approx(one_by_one.compute(), rel=1e-12)
    DepthMetrics().update([], [])


@pytest.mark.parametrize("averaging", ["image", "pixel"])
def test_devices_that_do_not_pick_pixels_get_the_same(averaging, monkeypatch):
    predictions, truths, masks = (torch.stack([m[0]] * 3) for m in maps(1))
    masks[1] = False
    picked, masked = DepthMetrics(0.5, 9, averaging), DepthMetrics(0.5, 9, averaging)
    picked.update(predictions, truths, masks)
    monkeypatch.setattr(depth_metrics, "PICKING", ())
    masked.update(predictions, truths, masks)
    assert masked.compute() == pytest.approx(picked.compute(), rel=1e-12)
    assert masked.compute()["empty_images"] == 1


def test_scores_of_one_image_are_those_of_the_accumulator():
    (prediction,), (truth,), _ = maps(1)
    usable = (truth > 0.5) & (truth < 9)
    expected = DepthMetrics(0.5, 9).update(prediction, truth)
    clamped = prediction.nan_to_num(0.5).clamp(0.5, 9)[usable]
    assert image_scores(clamped, truth[usable]) == pytest.approx(expected, rel=1e-12)
    assert image_scores(clamped.half(), truth[usable])["abs_rel"] == pytest.approx(expected["abs_rel"], rel=1e-2)
    with pytest.raises(ValueError, match=r"got \(0,\) and \(0,\)"):
        image_scores(torch.ones(0), torch.ones(0))


def test_what_is_unknown_or_out_of_range_does_not_count():
    metrics = DepthMetrics(1, 10)
    truth = image(0.0, -1.0, math.nan, math.inf, 1.0, 10.0, 5.0, 4.0)
    valid = torch.tensor([[True] * 7 + [False]])
    metrics.update(torch.full_like(truth, 5.0), truth, valid)
    assert metrics.compute()["pixels"] == 1 and metrics.compute()["abs_rel"] == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_millimetre_out_of_a_file_is_not_beyond_a_millimetre(dtype):
    metrics = DepthMetrics(1e-3, 10)
    metrics.update(torch.ones(1, 2), torch.tensor([[1.0, 5.0]]).div(torch.tensor([[1000.0, 1.0]])).to(dtype))
    assert metrics.compute()["pixels"] == 1


def test_predictions_are_clamped_and_nan_is_counted():
    metrics = DepthMetrics(1, 10)
    metrics.update(image(math.inf, -math.inf, math.nan, 99.0), image(5.0, 5.0, 5.0, 5.0))
    got = metrics.compute()
    assert got["abs_rel"] == pytest.approx((1 + 0.8 + 0.8 + 1) / 4)
    assert (got["nan_pixels"], got["nonpositive_pixels"], got["infinite_pixels"]) == (1, 1, 1)


def test_unusable_predictions_can_be_left_out_but_stay_counted():
    metrics = DepthMetrics(1, 10, unusable="excluded")
    metrics.update(image(math.nan, 0.0, -2.0, 6.0), image(5.0, 5.0, 5.0, 5.0))
    got = metrics.compute()
    assert (got["abs_rel"], got["pixels"]) == (pytest.approx(0.2), 1)
    assert (got["nan_pixels"], got["nonpositive_pixels"]) == (1, 2)
    assert metrics.update(image(math.nan), image(5.0)) is None
    assert metrics.compute()["empty_images"] == 1


def test_without_a_largest_depth_nothing_is_capped():
    metrics = DepthMetrics(1e-3, math.inf)
    metrics.update(image(300.0, 1.0), image(200.0, math.inf))
    assert metrics.compute()["abs_rel"] == 0.5 and metrics.compute()["pixels"] == 1


def test_images_without_ground_truth_are_counted_and_left_out():
    metrics = DepthMetrics(1, 10)
    assert metrics.update(image(1.0, 1.0), image(0.0, 0.0)) is None
    with pytest.raises(ValueError, match=r"ground truth: .* between 1 and 10 m, got none in 1\. Check the unit"):
        metrics.compute()
    metrics.update(image(5.0), image(5.0))
    got = metrics.compute()
    assert (got["images"], got["empty_images"], got["delta1"]) == (1, 1, 1)


def test_states_of_two_processes_add_up():
    together, parts = DepthMetrics(), [DepthMetrics(), DepthMetrics()]
    for number in range(5):
        prediction, truth = 1 + torch.rand(2, 4, 4, generator=torch.Generator().manual_seed(number))
        together.update(prediction, truth)
        parts[number % 2].update(prediction, truth)
    parts[0].merge(parts[1].state())
    assert parts[0].compute() == pytest.approx(together.compute())


def test_eigen_and_garg_windows():
    eigen = crop_mask("eigen", 480, 640)
    assert eigen.sum() == 426 * 560 and eigen[45, 41] and eigen[470, 600] and not eigen[44, 41] and not eigen[471, 41]
    # The published factors, worked out for the sizes that KITTI has.
    for size, (top, bottom, left, right) in {
        (375, 1242): (153, 371, 44, 1197),
        (352, 1216): (143, 349, 43, 1172),
    }.items():
        garg = crop_mask("garg", *size)
        assert garg[top:bottom, left:right].all() and garg.sum() == (bottom - top) * (right - left)
    assert crop_mask(None, 3, 4).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: crop_mask("eigen", 240, 320), "480 x 640, got 240 x 320"),
        (lambda: crop_mask("gark", 240, 320), "eigen, garg, got 'gark'"),
        (lambda: DepthMetrics(1, 1), "got 1 and 1"),
        (lambda: DepthMetrics().update(torch.ones(2, 3), torch.ones(3, 2)), r"\(2, 3\) and \(3, 2\)"),
        (lambda: DepthMetrics().update(torch.ones(6), torch.ones(6)), r"\(6,\) and \(6,\)"),
        (lambda: DepthMetrics().update([torch.ones(2, 3)] * 2, [torch.ones(2, 3)]), "got 2 and 1"),
        (lambda: DepthMetrics().update(torch.ones(2, 3), torch.ones(2, 3), torch.ones(1, 3)), r"\(1, 3\)"),
        (lambda: DepthMetrics(averaging="mean"), "'mean' and 'minimum'"),
    ],
)
def test_what_cannot_be_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.skipif(not (SHARED / "golden/metrics").is_dir(), reason="needs the golden metrics beside the project")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])  # ratios of exactly 1.25 must not hang on it
@pytest.mark.parametrize("name", ["nyu", "kitti"])
def test_agrees_with_the_evaluator_of_the_authors(name, dtype):
    folder, scale, most = SHARED / "golden/metrics", *{"nyu": (1000, 10), "kitti": (256, 80)}[name]
    metrics = DepthMetrics(1e-3, most)
    for path in sorted((folder / name / "pred").glob("*.png")):
        prediction = torch.from_numpy(np.array(Image.open(path)).astype(dtype)) / scale
        truth = torch.from_numpy(np.array(Image.open(_truth(name, path.stem))).astype(dtype)) / scale
        if name == "kitti":  # predicted in the benchmark crop, scored on the full grid
            pasted = torch.zeros_like(truth)
            left = (truth.shape[1] - 1216) // 2
            pasted[truth.shape[0] - 352 :, left : left + 1216] = prediction
            prediction = pasted
        metrics.update(prediction, truth, crop_mask({"nyu": "eigen", "kitti": "garg"}[name], *truth.shape))
    expected = json.loads((folder / "expected.json").read_text())[name]
    got = metrics.compute()
    published = {key: value for key, value in expected.items() if key != "protocol"}
    assert len(published) == 9
    assert {key: got[key] for key in published} == pytest.approx(published, abs=2e-6)


def _truth(name: str, stem: str) -> Path:
    if name == "nyu":
        scene, number = stem.split("_rgb_")
        return SHARED / f"real/nyu/official_splits/test/{scene}/sync_depth_{number}.png"
    drive, frame = stem.rsplit("_", 1)
    return SHARED / f"real/kitti/{drive}/proj_depth/groundtruth/image_02/{frame}.png"
