import math

import numpy as np
import pyarrow as pa
import pytest
import torch

from open_dpt.evaluation.aggregate import (
    aggregate,
    confusion_matrix,
    counts,
    image_score,
    iou_per_class,
    totals_of,
)
from open_dpt.evaluation.depth_metrics import DepthMetrics, image_scores
from open_dpt.evaluation.metric_table import METRICS
from open_dpt.evaluation.segmentation_metrics import SegmentationMetrics

IMAGES = {"task": "depth", "score": {"averaging": "image"}}
PIXELS = {"task": "depth", "score": {"averaging": "pixel"}}
ORDINAL = {"task": "ordinal", "score": {"ties": "wrong"}}


def classes_protocol(classes, absent_class="zero"):
    return {"task": "segmentation", "score": {"classes": classes, "absent_class": absent_class}}


def depth_row(prediction, truth, **more):
    log_error = prediction.log() - truth.log()
    row = {"status": "scored", "pixels": truth.numel(), "log_bias": log_error.mean().item()}
    row |= {name: value for name, value in image_scores(prediction, truth).items() if name in METRICS}
    return row | {"irmse": 1000 * (1 / prediction - 1 / truth).square().mean().sqrt().item()} | more


@pytest.fixture(scope="module")
def depths():
    generator = torch.Generator().manual_seed(0)
    truths = [1 + 8 * torch.rand(size, generator=generator, dtype=torch.float64) for size in (5, 60, 17)]
    return [(truth * (0.6 + torch.rand(truth.shape, generator=generator)), truth) for truth in truths]


@pytest.fixture(scope="module")
def labels():
    generator = np.random.default_rng(1)
    truths = [generator.integers(0, 4, (6, 5)) for _ in range(5)]  # class 4 of 5 occurs nowhere
    return [
        (np.where(generator.random((6, 5)) < 0.6, truth, generator.integers(0, 4, (6, 5))), truth) for truth in truths
    ]


def label_row(prediction, truth):
    cells, pixels = np.unique(np.stack([truth.ravel(), prediction.ravel()], 1), axis=0, return_counts=True)
    confusion = np.column_stack([cells, pixels]).tolist()
    return {"status": "scored", "pixels": truth.size, "confusion": confusion}


def test_depth_by_hand():
    rows = [
        {"status": "scored", "pixels": 1, "rmse": 2.0, "abs_rel": 0.5},
        {"status": "scored", "pixels": 3, "rmse": 4.0, "abs_rel": 0.1},
        {"status": "empty", "pixels": 0, "rmse": None},
    ]
    assert aggregate(rows, IMAGES) == pytest.approx({"rmse": 3, "abs_rel": 0.3})
    assert aggregate(rows, PIXELS) == pytest.approx({"rmse": math.sqrt((4 + 3 * 16) / 4), "abs_rel": 0.2})


def test_the_mean_over_images_is_that_of_the_accumulator(depths):
    metrics = DepthMetrics(0.1, 100)
    for prediction, truth in depths:
        metrics.update(prediction[None], truth[None])
    expected = metrics.compute()
    got = aggregate([depth_row(*pair) for pair in depths], IMAGES)
    assert {name: got[name] for name in got if name in expected} == pytest.approx(
        {name: expected[name] for name in expected if name in METRICS}
    )


def test_pooled_over_pixels_is_one_large_image(depths):
    got = aggregate([depth_row(*pair) for pair in depths], PIXELS)
    together = depth_row(*(torch.cat([pair[which] for pair in depths]) for which in (0, 1)))
    assert got == pytest.approx({name: together[name] for name in METRICS if name in together})
    assert got["silog"] != pytest.approx(aggregate([depth_row(*pair) for pair in depths], IMAGES)["silog"], rel=1e-3)


def test_segmentation_is_that_of_the_accumulator(labels):
    metrics = SegmentationMetrics(5)
    for prediction, truth in labels:
        metrics.update(torch.from_numpy(prediction), torch.from_numpy(truth))
    rows, expected = [label_row(*pair) for pair in labels], metrics.compute()
    got = aggregate(rows, classes_protocol(5))
    assert got == pytest.approx({name: expected[name] for name in got})
    assert got["mean_iou"] == pytest.approx(got["mean_iou_present"] * 4 / 5)
    assert aggregate(rows, classes_protocol(5, "left-out"))["mean_iou"] == got["mean_iou_present"]
    assert aggregate(rows, classes_protocol(None), classes=5) == got
    matrix = confusion_matrix(rows, 5)
    assert matrix.dtype == np.int64 and matrix.sum() == 150
    np.testing.assert_array_equal(iou_per_class(matrix), metrics.iou_per_class().numpy())


def test_whdr_is_wrong_pairs_over_all_pairs():
    rows = [
        {"status": "scored", "pairs": 1, "wrong": 1, "ties": 0},
        {"status": "scored", "pairs": 3, "wrong": 0, "ties": 1},
    ]
    assert aggregate(rows, ORDINAL) == {"whdr": 0.25}
    assert image_score(rows[0], "whdr") == 1 and image_score({"pairs": 0, "wrong": 0}, "whdr") is None
    assert METRICS["whdr"].text(0.1082) == "10.82"


@pytest.mark.parametrize("protocol", [IMAGES, PIXELS])
def test_weights_are_repeated_rows(depths, protocol):
    rows = [depth_row(*pair) for pair in depths]
    rows[1]["boundary_f1"] = 0.5
    rows.append({"status": "unreadable"})
    weights = np.array([[1, 2, 0, 1], [0, 1, 2, 5], [3, 0, 0, 0], [1, 1, 1, 1]])
    got = totals_of(rows, protocol)(weights)
    for index, counted in enumerate(weights):
        repeated = [row for row, count in zip(rows, counted, strict=True) for _ in range(count)]
        expected = aggregate(repeated, protocol)
        assert {name: got[name][index] for name in expected} == pytest.approx(expected)
    assert math.isnan(got["boundary_f1"][2])  # no image of that resample has one


def test_weights_are_repeated_rows_of_labels_and_pairs(labels):
    rows, weights = [label_row(*pair) for pair in labels], np.array([[1, 2, 0, 1, 1], [5, 0, 0, 0, 0]])
    ordinal = [{"status": "scored", "pairs": 2, "wrong": index % 2, "ties": 0} for index in range(5)]
    for data, protocol in ((rows, classes_protocol(5)), (ordinal, ORDINAL)):
        got = totals_of(data, protocol)(weights)
        for index, counted in enumerate(weights):
            repeated = [row for row, count in zip(data, counted, strict=True) for _ in range(count)]
            expected = aggregate(repeated, protocol)
            assert {name: values[index] for name, values in got.items()} == pytest.approx(expected)


def test_a_class_that_a_resample_misses_is_no_error_of_the_model():
    rows = [{"status": "scored", "confusion": [[label, label, 10]]} for label in (0, 0, 0, 1)]
    got = totals_of(rows, classes_protocol(4))(np.array([[4, 0, 0, 0], [1, 1, 1, 1]]))
    assert got["mean_iou"].tolist() == [0.5, 0.5]  # two of four classes occur in the data set, both perfect


def test_a_score_that_is_infinite_or_not_a_number_stays_visible():
    rows = [{"status": "scored", "pixels": 1, "rmse": value} for value in (1.0, math.inf)]
    assert aggregate(rows, IMAGES) == {"rmse": math.inf}
    assert totals_of(rows, IMAGES)(np.array([[2, 0], [1, 1]]))["rmse"].tolist() == [1, math.inf]
    assert math.isnan(aggregate([rows[0], rows[1] | {"rmse": math.nan}], IMAGES)["rmse"])


def test_counts():
    rows = [
        {"status": "scored", "pixels": 5, "nan_pixels": 2, "boundary_f1": 0.1, "abs_rel": 0.1},
        {"status": "scored", "pixels": 7, "nan_pixels": 0, "abs_rel": 0.1},
        {"status": "empty", "pixels": 0, "nan_pixels": None},
        {"status": "unreadable", "reason": "gone"},
    ]
    expected = {"images": 2, "empty": 1, "unreadable": 1, "pixels": 12, "nan_pixels": 2, "images_with_boundary_f1": 1}
    assert counts(rows) == expected
    assert counts(pa.Table.from_pylist(rows, schema=pa.Table.from_pylist(rows).schema)) == expected


def test_a_table_is_as_good_as_a_list(labels, depths):
    for rows, protocol in (
        ([label_row(*pair) for pair in labels], classes_protocol(5)),
        ([*[depth_row(*pair) for pair in depths], {"status": "empty"}], PIXELS),
    ):
        assert aggregate(pa.Table.from_pylist(rows), protocol) == aggregate(rows, protocol)


def test_refusals():
    row = {"status": "scored", "pixels": 1, "confusion": [[0, 7, 3]]}
    with pytest.raises(ValueError, match=r"need an image that was scored, got 0 images, 2 empty, 1 unreadable"):
        aggregate([{"status": "empty"}, {"status": "empty"}, {"status": "unreadable"}], IMAGES)
    with pytest.raises(ValueError, match=r"class ids must be within 0\.\.4, got 7"):
        aggregate([row], classes_protocol(5))
