"""validate_depth and validate_segmentation: what is compared with what, over rows on disk."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from open_dpt import DPTImageProcessor
from open_dpt.data.samples import make_rows
from open_dpt.evaluation.depth_metrics import COUNTS, METRICS
from open_dpt.evaluation.validation import (
    depth_compute_metrics,
    preprocess_logits_for_metrics,
    segmentation_compute_metrics,
    validate_depth,
    validate_segmentation,
)

SIZES = [(48, 64), (64, 48), (48, 64), (70, 90), (48, 64)]


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Five rows of three sizes with depth (red in decimetres) and labels (red // 20); the last is empty."""
    folder, generator = tmp_path_factory.mktemp("rows"), np.random.default_rng(0)
    paths = {"image": [], "depth": [], "label": []}
    for number, (height, width) in enumerate(SIZES):
        coarse = Image.fromarray(generator.integers(10, 99, (4, 5, 3), dtype=np.uint8))
        image = np.array(coarse.resize((width, height))).clip(10, 99)
        maps = {"image": image, "depth": image[..., 0].astype(np.uint16) * 100, "label": image[..., 0] // 20}
        if number == len(SIZES) - 1:
            maps["depth"], maps["label"] = maps["depth"] * 0, np.full_like(maps["label"], 255)
        for kind, values in maps.items():
            paths[kind].append(str(folder / f"{kind}_{number}.png"))
            Image.fromarray(values).save(paths[kind][-1])
    return make_rows({**paths, "depth_scale": 1000.0, "depth_kind": "metres", "label_rule": "as-is"})


class RedChannel(torch.nn.Module):
    """A model that reads depth, disparity or classes off the red channel of [0, 255] pixel values."""

    def __init__(self, kind):
        super().__init__()
        self.config = SimpleNamespace(depth_estimation_type=kind, num_labels=5, semantic_loss_ignore_index=255)
        self.config.id2label = dict(enumerate("abcde"))
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.calls = []

    device, dtype = torch.device("cpu"), torch.float32

    def forward(self, pixel_values):
        self.calls.append(tuple(pixel_values.shape))
        assert not self.training and not torch.is_grad_enabled()
        red = pixel_values[:, 0]
        if self.config.depth_estimation_type == "classes":
            return {"logits": -(red[:, None] // 20 - torch.arange(5).view(1, 5, 1, 1)).abs()}
        metric = self.config.depth_estimation_type == "metric"
        return {"predicted_depth": red / 10 if metric else 7 / red - 0.01}


@pytest.fixture
def as_it_is():
    """A processor that leaves pixels and sizes alone."""
    return DPTImageProcessor(do_resize=False, do_rescale=False, do_normalize=False)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_a_perfect_metric_model(rows, as_it_is, batch_size):
    model = RedChannel("metric").train()
    scores = validate_depth(model, as_it_is, rows, batch_size=batch_size)
    assert scores["abs_rel"] == pytest.approx(0, abs=1e-6) and scores["delta1"] == 1
    assert (scores["images"], scores["empty_images"]) == (4, 1)
    assert scores["pixels"] == sum(height * width for height, width in SIZES[:4])
    assert model.training
    assert [shape[0] for shape in model.calls].count(2) == (1 if batch_size == 2 else 0)


def test_a_relative_model_is_aligned_and_its_scores_say_so(rows, as_it_is):
    scores = validate_depth(RedChannel("relative"), as_it_is, rows)
    assert scores["aligned/abs_rel"] == pytest.approx(0, abs=1e-4)
    assert "abs_rel" not in scores and scores["images"] == 4


def test_a_perfect_segmentation_model(rows, as_it_is):
    scores = validate_segmentation(RedChannel("classes"), as_it_is, rows, per_class=True)
    assert scores["mean_iou"] == scores["pixel_accuracy"] == scores["iou/b"] == 1
    assert (scores["images"], scores["empty_images"]) == (4, 1)


def test_predictions_are_brought_to_the_size_of_the_ground_truth(rows):
    # The smallest change of each image to 64 x 64; the content is smooth, so resizing there and back changes little.
    processor = DPTImageProcessor(size=64, do_rescale=False, do_normalize=False, ensure_multiple_of=16)
    seen = []
    model = RedChannel("metric")
    scores = validate_depth(model, processor, rows, on_sample=lambda *sample: seen.append(sample))
    assert {shape[2:] for shape in model.calls} == {(64, 64)}
    assert scores["abs_rel"] < 0.05
    for index, image, prediction, truth in seen:
        assert tuple(image.shape[1:]) == prediction.shape == truth.shape == SIZES[index]
    assert sorted(index for index, *_ in seen) == [0, 1, 2, 3, 4]


def test_limit_spreads_over_the_rows_and_a_stream_gives_the_same_scores(rows, as_it_is):
    seen = []
    validate_depth(RedChannel("metric"), as_it_is, rows, limit=2, on_sample=lambda *sample: seen.append(sample[0]))
    assert seen == [0, 2]
    scores = validate_depth(RedChannel("relative"), as_it_is, rows)
    assert validate_depth(RedChannel("relative"), as_it_is, rows.to_iterable_dataset()) == scores
    assert validate_depth(RedChannel("relative"), as_it_is, rows, num_workers=1) == scores


def test_unreadable_rows_stop_or_are_counted(rows, as_it_is, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    rows = [dict(row) for row in rows.with_format(None)]
    rows[1]["image"] = {"path": str(broken), "bytes": None}
    with pytest.raises(ValueError, match=r"broken\.png: not an image") as caught:
        validate_depth(RedChannel("metric"), as_it_is, rows, num_workers=1)
    assert "\n" not in str(caught.value)
    scores = validate_depth(RedChannel("metric"), as_it_is, rows, on_unreadable="skip")
    assert (scores["images"], scores["empty_images"], scores["unreadable_images"]) == (3, 1, 1)


def test_a_metric_model_is_not_scored_against_disparity(rows, as_it_is):
    rows = [{**row, "depth_kind": "disparity"} for row in rows]
    with pytest.raises(ValueError, match=r"image_0\.png: .* metres, got disparity"):
        validate_depth(RedChannel("metric"), as_it_is, rows)
    assert validate_depth(RedChannel("relative"), as_it_is, rows)["images"] == 4
    with pytest.raises(ValueError, match=r"image_0\.png: needs labels"):
        validate_segmentation(RedChannel("classes"), as_it_is, [{**row, "label": None} for row in rows])


def test_functions_for_the_trainer(reference_batch):
    predictions, truths = reference_batch
    metric = depth_compute_metrics("metric", max_depth=20)(SimpleNamespace(predictions=truths, label_ids=truths))
    assert metric["abs_rel"] == 0 and metric["images"] == 3
    disparity = np.where(truths > 0, 1 / np.maximum(truths, 1e-6), 0)
    results = SimpleNamespace(predictions=(5 - 3 * disparity, "hidden"), label_ids=disparity)
    relative = depth_compute_metrics("relative", max_depth=100)(results)
    assert set(relative) == {f"aligned_{name}" for name in METRICS} | set(COUNTS)
    assert relative["aligned_abs_rel"] == pytest.approx(0, abs=1e-6)

    labels = torch.tensor([[[0, 1], [2, 255]]])
    logits = torch.nn.functional.one_hot(labels % 3, 3).permute(0, 3, 1, 2)
    classes = preprocess_logits_for_metrics((logits, "auxiliary"), labels)
    assert torch.equal(classes, labels % 3) and preprocess_logits_for_metrics(labels, labels) is labels
    for predictions in (classes, logits):
        results = SimpleNamespace(predictions=predictions.numpy(), label_ids=labels.numpy())
        assert segmentation_compute_metrics(3)(results)["mean_iou"] == 1


@pytest.fixture
def reference_batch():
    generator = np.random.default_rng(0)
    truths = generator.uniform(1, 9, (3, 6, 8))
    truths[:, 0] = 0
    return generator.uniform(1, 9, (3, 6, 8)), truths
