"""`transformers.Trainer` fine-tunes both heads with nothing but a model, its collator and compute_metrics."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from datasets import Dataset
from PIL import Image
from transformers import Trainer, TrainingArguments

from open_dpt import DPTConfig, DPTForDepthEstimation, DPTForSemanticSegmentation, DPTImageProcessor
from open_dpt.data.samples import make_rows, read_sample
from open_dpt.evaluation.depth_metrics import METRICS
from open_dpt.evaluation.validation import (
    depth_compute_metrics,
    preprocess_logits_for_metrics,
    segmentation_compute_metrics,
)

TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "image_size": 32,
    "backbone_out_indices": [0, 1, 2, 3],
    "neck_hidden_sizes": [16, 16, 16, 16],
    "fusion_hidden_size": 16,
    "num_labels": 4,
    "semantic_classifier_dropout": 0.0,
}
METRIC = {"depth_estimation_type": "metric", "head_activation": "none", "depth_scale": 0.1, "depth_shift": 0.3}
METRIC |= {"invert_depth": True, "max_depth": 10.0}

# Its name in newer releases, and in older ones.
names = [field.name for field in dataclasses.fields(TrainingArguments)]
CHECKPOINTING = next(name for name in ("activation_checkpointing", "gradient_checkpointing") if name in names)


def pictures(count=8):
    """Images of two sizes whose brightness is their depth (1 to 5 m) and, in four steps, their class."""
    for number in range(count):
        height, width = ((40, 56), (48, 48))[number % 2]
        coarse = Image.fromarray(np.random.default_rng(number).integers(0, 255, (2, 3), dtype=np.uint8))
        grey = np.array(coarse.resize((width, height), Image.Resampling.BILINEAR))
        depth, label = 1 + 4 * grey.astype(np.float32) / 255, grey // 64
        depth[:2], label[:2] = 0, 255  # a strip nobody knows
        yield np.stack([grey] * 3, -1), depth, label


@pytest.fixture
def processor():
    return DPTImageProcessor(size=32, ensure_multiple_of=16, keep_aspect_ratio=True)


def arguments(folder, **values):
    return TrainingArguments(
        str(folder),
        max_steps=values.pop("max_steps", 40),
        learning_rate=3e-3,
        per_device_train_batch_size=4,
        per_device_eval_batch_size=4,
        logging_steps=5,
        remove_unused_columns=False,
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        save_strategy="no",
        **values,
    )


def fit(model, processor, examples, folder, compute_metrics, collator=None, **values):
    """Train, evaluate before and after, save; returns the two evaluations and the losses on the way."""
    torch.manual_seed(0)
    trainer = Trainer(
        model,
        arguments(folder, **values),
        data_collator=collator or processor.collator(model),
        train_dataset=examples,
        eval_dataset=examples,
        compute_metrics=compute_metrics,
        preprocess_logits_for_metrics=preprocess_logits_for_metrics,
        processing_class=processor,
    )
    before = trainer.evaluate()
    trainer.train()
    after = trainer.evaluate()
    trainer.save_model()
    return before, after, [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def assert_it_comes_back(model, processor, folder):
    loaded = type(model).from_pretrained(folder).eval()
    pixel_values = torch.randn(1, 3, 32, 48)
    with torch.no_grad():
        torch.testing.assert_close(loaded(pixel_values)[0], model.eval()(pixel_values)[0])
    settings = DPTImageProcessor.from_pretrained(folder).to_dict()
    assert settings.items() >= processor.to_dict().items()


def test_metric_depth(processor, tmp_path):
    examples = [{"image": image, "depth": depth} for image, depth, _ in pictures()]
    torch.manual_seed(0)
    loss = {"name": "silog", "gradient_weight": 0.1}
    model = DPTForDepthEstimation(DPTConfig(**TINY, **METRIC, depth_loss=loss))
    before, after, losses = fit(model, processor, examples, tmp_path, depth_compute_metrics("metric"))
    assert losses[-1] < 0.5 * losses[0]
    assert after["eval_abs_rel"] < 0.7 * before["eval_abs_rel"] and after["eval_delta1"] > before["eval_delta1"]
    assert {f"eval_{name}" for name in METRICS} < set(after) and after["eval_images"] == 8
    assert_it_comes_back(model, processor, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["depth_loss"] == loss


def test_relative_depth_from_rows_of_a_data_set_with_a_frozen_encoder(processor, tmp_path):
    columns = {"image": [], "depth": []}
    for number, (image, depth, _) in enumerate(pictures()):
        for name, values in (("image", image), ("depth", (1000 * depth).astype(np.uint16))):
            columns[name].append(str(tmp_path / f"{name}_{number}.png"))
            Image.fromarray(values).save(columns[name][-1])
    rows = make_rows({**columns, "depth_scale": 1000.0, "depth_kind": "metres"})
    assert isinstance(rows, Dataset)
    torch.manual_seed(0)
    model = DPTForDepthEstimation(DPTConfig(**TINY, head_activation="none"))
    model.dpt.requires_grad_(False)
    frozen = {name: value.clone() for name, value in model.dpt.state_dict().items()}
    before, after, losses = fit(
        model,
        processor,
        rows,
        tmp_path / "run",
        depth_compute_metrics("relative"),
        collator=processor.collator(model, read=read_sample),
    )
    assert losses[-1] < 0.7 * losses[0]
    assert after["eval_aligned_abs_rel"] < before["eval_aligned_abs_rel"]
    assert all(torch.equal(value, frozen[name]) for name, value in model.dpt.state_dict().items())
    assert_it_comes_back(model, processor, tmp_path / "run")


@pytest.mark.parametrize("gradient_checkpointing", [False, True])
def test_segmentation(processor, tmp_path, gradient_checkpointing):
    examples = Dataset.from_list(
        [{"image": image.tolist(), "label": label.tolist()} for image, _, label in pictures()]
    ).with_format("numpy")
    torch.manual_seed(0)
    model = DPTForSemanticSegmentation(DPTConfig(**TINY, use_batch_norm_in_fusion_residual=True))
    before, after, losses = fit(
        model,
        processor,
        examples,
        tmp_path,
        segmentation_compute_metrics(4),
        **{CHECKPOINTING: gradient_checkpointing},
        max_steps=20,
    )
    assert losses[-1] < 0.7 * losses[0]
    assert after["eval_mean_iou"] > before["eval_mean_iou"] and after["eval_pixel_accuracy"] > 0.5
    assert after["eval_pixels"] == before["eval_pixels"] > 0
    assert_it_comes_back(model, processor, tmp_path)
