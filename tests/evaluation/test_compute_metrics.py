"""compute_metrics in the hands of the real Trainer: all at once, and batch by batch with nothing kept."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import Trainer, TrainingArguments

from open_dpt.evaluation.boundary_metrics import boundary_f1
from open_dpt.evaluation.crops import crop_mask
from open_dpt.evaluation.depth_metrics import METRICS, DepthMetrics
from open_dpt.evaluation.segmentation_metrics import SegmentationMetrics
from open_dpt.evaluation.validation import (
    depth_compute_metrics,
    preprocess_logits_for_metrics,
    segmentation_compute_metrics,
)

SHARED = Path(__file__).parents[3] / "shared"
TRAINERS_OWN = ["eval_loss", "eval_runtime", "eval_samples_per_second", "eval_steps_per_second"]
TRAINERS_OWN += ["eval_model_preparation_time"]


class Copier(torch.nn.Module):
    """Answers with what the example holds: maps of depth, or class ids as logits."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def forward(self, answer, labels=None):
        return {"loss": self.weight, "predictions": answer, "auxiliary": answer[:, :1]}


def blocks(generator, size=(12, 16)):
    """Depth with sharp edges."""
    values = 1 + 5 * torch.rand(size[0] // 4, size[1] // 4, generator=generator)
    return values.repeat_interleave(4, 0).repeat_interleave(4, 1)


@pytest.fixture(scope="module")
def depths():
    generator = torch.Generator().manual_seed(0)
    truths = [blocks(generator) for _ in range(7)]
    answers = [truth * torch.exp(0.2 * torch.randn(truth.shape, generator=generator)) for truth in truths]
    truths[2][:3] = 0
    truths[4][:] = 0
    answers[5][0, :2] = torch.tensor([torch.nan, -1.0])
    return answers, truths


def evaluate(answers, labels, compute_metrics, folder, **values):
    arguments = TrainingArguments(
        str(folder),
        per_device_eval_batch_size=2,
        remove_unused_columns=False,
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        **values,
    )
    trainer = Trainer(
        Copier(),
        arguments,
        eval_dataset=[{"answer": one, "labels": label} for one, label in zip(answers, labels, strict=True)],
        compute_metrics=compute_metrics,
        preprocess_logits_for_metrics=preprocess_logits_for_metrics,
    )
    scores = [trainer.evaluate() for _ in range(2)]
    for every in scores:
        for name in list(every):
            value = every.pop(name)
            if name.startswith("eval_") and name not in TRAINERS_OWN:
                every[name.removeprefix("eval_")] = value
    assert scores[0] == scores[1]  # nothing is left over from one evaluation to the next
    return scores[0]


MODES = [{}, {"batch_eval_metrics": True}, {"eval_do_concat_batches": False}]
modes = pytest.mark.parametrize("mode", MODES, ids=["at-once", "streaming", "list"])


@modes
@pytest.mark.parametrize("averaging", ["image", "pixel"])
def test_metric_depth(depths, tmp_path, mode, averaging):
    metrics = DepthMetrics(averaging=averaging)
    metrics.update(*depths)
    scored = [pair for pair in zip(*depths, strict=True) if pair[1].any()]
    compute = depth_compute_metrics("metric", averaging=averaging, boundaries=True)
    got = evaluate(*depths, compute, tmp_path, **mode)
    boundary = np.mean([boundary_f1(*pair) for pair in scored])
    assert got == pytest.approx(metrics.compute() | {"boundary_f1": boundary}, rel=1e-6)
    assert (got["images"], got["empty_images"], got["nan_pixels"]) == (6, 1, 1)


@modes
def test_relative_depth_is_aligned_image_by_image(depths, tmp_path, mode):
    truths = [torch.where(truth > 0, 1 / truth, 0.0) for truth in depths[1]]
    answers = [(number + 2) * truth + number for number, truth in enumerate(truths)]
    got = evaluate(answers, truths, depth_compute_metrics("relative", boundaries=True), tmp_path, **mode)
    assert got["aligned_abs_rel"] == pytest.approx(0, abs=1e-5) and got["aligned_delta1"] == 1
    assert got["aligned_boundary_f1"] > 0.9 and got["images"] == 6
    assert not {"abs_rel", "boundary_f1", "aligned_images"} & set(got)


@modes
def test_segmentation(tmp_path, mode):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(7, 4, 6, 8, generator=generator)
    labels = torch.randint(0, 4, (7, 6, 8), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < 0.2] = 255
    metrics = SegmentationMetrics(4)
    metrics.update(logits.argmax(1), labels)
    names = dict(enumerate(["wall", "floor", "tree", "sky"]))
    got = evaluate(logits, labels, segmentation_compute_metrics(4, id2label=names), tmp_path, **mode)
    iou = metrics.iou_per_class().tolist()
    assert got == pytest.approx(metrics.compute() | {f"iou_{names[index]}": value for index, value in enumerate(iou)})


@pytest.mark.skipif(not (SHARED / "golden/metrics").is_dir(), reason="needs the golden metrics beside the project")
def test_agrees_with_the_evaluator_of_the_authors(tmp_path):
    answers, truths = [], []
    for path in sorted((SHARED / "golden/metrics/nyu/pred").glob("*.png")):
        scene, number = path.stem.split("_rgb_")
        truth = SHARED / f"real/nyu/official_splits/test/{scene}/sync_depth_{number}.png"
        for maps, file in ((answers, path), (truths, truth)):
            maps.append(torch.from_numpy(np.array(Image.open(file)).astype(np.float32)) / 1000)
        truths[-1] *= crop_mask("eigen", 480, 640)
    expected = json.loads((SHARED / "golden/metrics/expected.json").read_text())["nyu"]
    del expected["protocol"]
    got = evaluate(answers, truths, depth_compute_metrics(), tmp_path, batch_eval_metrics=True)
    assert {key: got[key] for key in expected} == pytest.approx(expected, abs=2e-6)


def test_what_the_trainer_pads_with_does_not_count():
    # Batches of 2 x 2 and 3 x 3 pixels, joined as the Trainer does.
    labels = np.full((2, 3, 3), -100)
    labels[0, :2, :2], labels[1] = [[0, 1], [255, 1]], np.arange(9).reshape(3, 3) % 2
    results = SimpleNamespace(predictions=labels, label_ids=labels)
    assert segmentation_compute_metrics(2)(results)["pixels"] == 3 + 9
    truths = np.where(labels == -100, -100.0, 2.0)
    results = SimpleNamespace(predictions=truths, label_ids=truths)
    for kind in ("metric", "relative"):
        assert depth_compute_metrics(kind)(results)["pixels"] == 4 + 9


def test_batch_by_batch_nothing_is_said_before_the_end():
    compute = depth_compute_metrics("metric")
    batch = SimpleNamespace(predictions=torch.full((2, 3, 4), 2.0), label_ids=torch.ones(2, 3, 4))
    assert compute(batch, compute_result=False) == {}
    assert compute(batch, compute_result=True)["images"] == 4
    assert compute(batch)["images"] == 2
    assert set(METRICS) < set(compute(batch))
