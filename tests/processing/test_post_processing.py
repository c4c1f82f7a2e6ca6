"""Outputs return to image size in float32; predictions know what they mean and how to look."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from open_dpt import DPTImageProcessor
from open_dpt.processing import DepthPrediction, SegmentationPrediction, palette
from open_dpt.processing.post_processing import CLASS_CHUNK

PROCESSOR = DPTImageProcessor()


def depth_outputs(dtype=torch.float32):
    torch.manual_seed(0)
    return SimpleNamespace(predicted_depth=torch.rand(2, 12, 16).to(dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("sizes", [[(30, 41), (7, 9)], torch.tensor([[30, 41], [7, 9]]), None])
def test_depth_at_the_original_sizes(dtype, sizes):
    results = PROCESSOR.post_process_depth_estimation(depth_outputs(dtype), sizes)
    shapes = [tuple(result["predicted_depth"].shape) for result in results]
    assert shapes == ([(12, 16)] * 2 if sizes is None else [(30, 41), (7, 9)])
    assert all(result["predicted_depth"].dtype == torch.float32 for result in results)


def test_cubic_by_default_and_bilinear_offered():
    outputs = depth_outputs()
    for options, mode in (({}, "bicubic"), ({"mode": "bilinear"}, "bilinear")):
        (first, _) = PROCESSOR.post_process_depth_estimation(outputs, [(30, 41)] * 2, **options)
        expected = torch.nn.functional.interpolate(outputs.predicted_depth[:1, None], (30, 41), mode=mode)[0, 0]
        low, high = outputs.predicted_depth[0].aminmax()
        torch.testing.assert_close(first["predicted_depth"], expected.clamp(low, high))


@pytest.mark.parametrize("classes", [1, CLASS_CHUNK, 3 * CLASS_CHUNK + 1])
def test_labels_equal_the_argmax_of_resized_logits(classes):
    logits = torch.randn(2, classes, 8, 10)
    results = PROCESSOR.post_process_semantic_segmentation({"logits": logits}, [(24, 20), (5, 4)], mode="bilinear")
    for index, size in enumerate([(24, 20), (5, 4)]):
        resized = torch.nn.functional.interpolate(logits[index : index + 1], size, mode="bilinear")
        chosen = resized[0].gather(0, results[index][None])[0]
        torch.testing.assert_close(chosen, resized[0].amax(0))  # of two that round alike, either
    (first, _) = PROCESSOR.post_process_semantic_segmentation({"logits": logits.bfloat16()})
    assert first.shape == (8, 10) and first.dtype == torch.int64


def test_wrong_outputs_and_sizes():
    with pytest.raises(ValueError, match=r"one \(height, width\) per output \(2\), got 1"):
        PROCESSOR.post_process_depth_estimation(depth_outputs(), [(3, 4)])
    with pytest.raises(ValueError, match="pairs"):
        PROCESSOR.post_process_depth_estimation(depth_outputs(), [3, 4])
    with pytest.raises(ValueError, match="positive"):
        PROCESSOR.post_process_depth_estimation(depth_outputs(), [(3, 4), (0, 4)])
    with pytest.raises(ValueError, match="must hold logits with 4 dimensions, got NoneType"):
        PROCESSOR.post_process_semantic_segmentation(depth_outputs())
    with pytest.raises(ValueError, match=r"predicted_depth with 3 dimensions, got shape \(4, 4\)"):
        PROCESSOR.post_process_depth_estimation({"predicted_depth": torch.zeros(4, 4)})


RAMP = np.linspace(1, 5, 200, dtype=np.float32).reshape(10, 20)


def brightness(picture):
    return picture.astype(int).sum(-1)


def test_prediction_checks_its_meaning():
    prediction = DepthPrediction(torch.tensor([[1.0, float("nan")]], dtype=torch.bfloat16), valid=[[True, True]])
    assert prediction.values.dtype == np.float32 and prediction.valid.tolist() == [[True, False]]
    with pytest.raises(ValueError, match="kind: must be one of disparity, depth, got 'height'"):
        DepthPrediction(RAMP, kind="height")
    with pytest.raises(ValueError, match=r"unit: .* got 'feet'"):
        DepthPrediction(RAMP, unit="feet")
    with pytest.raises(ValueError, match=r"got \(2, 3, 4\)"):
        DepthPrediction(np.zeros((2, 3, 4)))
    with pytest.raises(ValueError, match=r"valid: must have the shape"):
        DepthPrediction(RAMP, valid=np.ones((2, 2)))


def test_near_is_bright_for_both_kinds():
    disparity = brightness(DepthPrediction(RAMP, "disparity").colorize())
    depth = brightness(DepthPrediction(RAMP, "depth", "metre").colorize())
    assert disparity.flat[0] < disparity.flat[100] < disparity.flat[-1]
    assert depth.flat[0] > depth.flat[100] > depth.flat[-1]


def test_constant_maps_stay_constant():
    noisy = np.full((8, 8), 3.0, np.float32)
    noisy[::2] = np.nextafter(np.float32(3.0), np.float32(4.0))
    for values in (np.zeros((8, 8)), noisy):
        assert len(np.unique(DepthPrediction(values).colorize().reshape(-1, 3), axis=0)) == 1


def test_outliers_do_not_darken_the_picture():
    spiked = RAMP.copy()
    spiked[0, 0] = 1e6
    plain, picture = DepthPrediction(RAMP).colorize(), DepthPrediction(spiked).colorize()
    assert abs(brightness(plain) - brightness(picture))[1:].mean() < 10
    assert brightness(DepthPrediction(spiked).colorize(percentiles=(0, 100)))[1:].max() < 70


def test_a_fixed_range_gives_equal_values_equal_colours():
    first, second = DepthPrediction(RAMP), DepthPrediction(RAMP[:5])
    assert (first.colorize()[:5] != second.colorize()).any()
    fixed = first.value_range()
    assert fixed == (1.0, 5.0)
    np.testing.assert_array_equal(first.colorize(value_range=fixed)[:5], second.colorize(value_range=fixed))
    with pytest.raises(ValueError, match=r"low <= high, got \(5, 1\)"):
        first.colorize(value_range=(5, 1))


def test_invalid_pixels_are_black_and_do_not_count():
    values = RAMP.copy()
    values[0] = np.inf
    picture = DepthPrediction(values).colorize()
    assert (picture[0] == 0).all() and (picture[1:] > 0).any(-1).all()
    nothing = DepthPrediction(np.full((3, 3), np.nan))
    assert (nothing.colorize() == 0).all()
    with pytest.raises(ValueError, match="at least one valid pixel"):
        nothing.value_range()


def test_segmentation_overlay():
    labels = np.array([[0, 1], [2, 0]])
    prediction = SegmentationPrediction(torch.from_numpy(labels), dict.fromkeys(range(150), ""))
    np.testing.assert_array_equal(prediction.colorize(), palette(150)[labels])
    image = Image.new("RGB", (2, 2), (200, 100, 0))
    np.testing.assert_array_equal(prediction.overlay(image, opacity=0), np.array(image))
    np.testing.assert_array_equal(prediction.overlay(image, opacity=1), prediction.colorize())
    assert prediction.overlay(image)[0, 0].tolist() == [160, 110, 60]
    with pytest.raises(ValueError, match=r"got \(3, 2, 3\)"):
        prediction.overlay(Image.new("RGB", (2, 3)))


def test_ids_beyond_the_names_do_not_change_the_colours():
    prediction = SegmentationPrediction(np.array([[0, 255]]), dict.fromkeys(range(150), ""))
    assert prediction.colorize().tolist() == [[[120, 120, 120], [0, 0, 0]]]
