"""Both scripts learn eight images by heart: near-zero loss in seconds, with the debug preset."""

import json
import math
from pathlib import Path

import pytest
from PIL import Image

REAL = Path(__file__).parents[3] / "shared" / "real"
COMMON = [
    *("--preset", "debug", "--image_size", 48, 64, "--flip", 0, "--per_device_train_batch_size", 8),
    *("--optimizer", "adamw", "--num_warmup_steps", 10, "--lr_scheduler_type", "cosine", "--max_grad_norm", 1),
    *("--checkpointing_steps", 10_000, "--eval_steps", 0, "--logging_steps", 5, "--report_to", "none"),
    *("--dataset_name", "folder", "--validation_split", "all"),
]


def learn(server, script, data, folder, *words):
    folder.mkdir(exist_ok=True)
    words = [*COMMON, "--data_dir", data, "--output_dir", folder, *words]
    run = server.run(script, words, folder / "said.txt")
    assert run.status == 0, run.text
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    return losses, json.loads((folder / "results.json").read_text())


def eight_of(images, truths, root, target):
    """Copy the middle 64 x 48 pixels of eight pairs into a folder of one's own."""
    for number, pair in enumerate(zip(images[:8], truths[:8], strict=True)):
        for path, folder in zip(pair, ("images", target), strict=True):
            (root / folder).mkdir(parents=True, exist_ok=True)
            Image.open(path).crop((136, 110, 200, 158)).save(root / folder / f"{number}.png")
    return root


def files(folder, every):
    """Every so many files: neighbours of a clip look alike."""
    found = sorted(folder.iterdir())
    if not found:
        pytest.skip("the real images beside the checkout are not there")
    return found[::every]


@pytest.fixture(params=["made", "real"])
def source(request):
    if request.param == "real" and not REAL.is_dir():
        pytest.skip("the real images beside the checkout are not there")
    return request.param


def test_metric_depth(server, source, eight_pictures, tmp_path):
    data = eight_pictures
    if source == "real":
        kitchen = REAL / "rgbd" / "train" / "kitchen"
        data = eight_of(files(kitchen / "images", 40), files(kitchen / "depths", 40), tmp_path / "data", "depths")
    words = ["--depth_estimation_type", "metric", "--max_depth", 10, "--dataset_config", "depth_scale=1000"]
    words += ["--learning_rate", 4e-3, "--max_train_steps", 120]
    losses, results = learn(server, "train_depth", data, tmp_path / "run", *words)
    assert losses[-1] < 0.05 * losses[0]
    assert results["abs_rel"] < 0.1


def test_segmentation(server, source, eight_pictures, tmp_path):
    data, labels, options = eight_pictures, 3, ["--dataset_config", "depth_scale=1000"]
    if source == "real":
        images, masks = (files(REAL / "camvid" / name / "train", 40) for name in ("images", "annotations"))
        data, labels, options = eight_of(images, masks, tmp_path / "data", "masks"), 12, []  # 11: not labelled
    words = [*options, "--num_labels", labels, "--learning_rate", 8e-3, "--max_train_steps", 150]
    words += ["--config_overrides", "semantic_classifier_dropout=0", "use_batch_norm_in_fusion_residual=true"]
    losses, results = learn(server, "train_segmentation", data, tmp_path / "run", *words)
    assert losses[-1] < 0.05 * 1.2 * math.log(labels)  # of guessing, with the auxiliary head's fifth
    assert results["pixel_accuracy"] > 0.95
