"""Two processes (gloo) train to the weights of one with twice the batch, and one process goes on where two were."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

STEPS = 6
# Relative to the largest weight of a tensor, or 1e-3. Measured: 2e-7 (sums in another order round otherwise);
# with the mean of the batches' means in place of the mean over all images it would be 6e-2.
TOLERANCE = 1e-5

COMMON = [
    *("--preset", "debug", "--dataset_name", "folder", "--dataset_config", "depth_scale=1000"),
    *("--max_train_steps", STEPS, "--image_size", 32, "--rescale", 1.0, 1.5, "--rotation", 10, "--colour", 1),
    *("--optimizer", "sgd", "--learning_rate", 3e-3, "--lr_scheduler_type", "polynomial", "--max_grad_norm", 1.0),
    *("--checkpointing_steps", 3, "--checkpoints_total_limit", 9, "--logging_steps", 1, "--ema_decay", 0.9),
    *("--eval_steps", 3, "--validation_split", "all", "--report_to", "none"),
]
# Kind: script, own flags, and images and accumulated batches of the one process. Batch norm counts the images of a
# forward pass, so one process has to pass as many at a time as each of two; its averages for evaluation, and dropout,
# differ between processes, and rightly so.
KINDS = {
    "depth": ("train_depth", ["--depth_estimation_type", "metric", "--max_depth", 10], (4, 1)),
    "segmentation": ("train_segmentation", ["--config_overrides", "semantic_classifier_dropout=0"], (2, 2)),
}


@pytest.fixture(scope="module")
def data(eight_pictures, tmp_path_factory):
    """Eight pictures, of which one has no depth and one hardly any label: not every batch weighs the same."""
    root = tmp_path_factory.mktemp("data") / "pictures"
    shutil.copytree(eight_pictures, root)
    Image.fromarray(np.zeros((48, 64), np.uint16)).save(root / "depths" / "2.png")
    mask = np.full((48, 64), 255, np.uint8)
    mask[20:30, 20:40] = 1
    Image.fromarray(mask).save(root / "masks" / "2.png")
    return root


@pytest.fixture
def start(server, data, world):
    """(kind, output folder, processes, batch of each, accumulated batches) -> runs."""

    def start(kind, folder, processes, batch, accumulation=1, **luck):
        script, own, _ = KINDS[kind]
        words = [*COMMON, *own, "--data_dir", data, "--output_dir", folder]
        words += ["--per_device_train_batch_size", batch, "--gradient_accumulation_steps", accumulation]
        folder.mkdir(exist_ok=True)
        ranks = [{}] if processes == 1 else world(processes)
        return [
            server.start(script, words, folder / f"said_{rank}.txt", environment=environment, **luck)
            for rank, environment in enumerate(ranks)
        ]

    return start


def finish(runs):
    for run in runs:
        assert run.end() == 0, run.text
    return runs[0].text


def assert_close(folder, expected):
    """The trained weights; averages of batch norm are counted, not trained."""
    for name in ("model.safetensors", f"step_{STEPS}/model.safetensors"):
        found, wanted = load_file(folder / name), load_file(expected / name)
        assert found.keys() == wanted.keys()
        trained = [key for key in wanted if not key.endswith(("running_mean", "running_var", "num_batches_tracked"))]
        distances = {
            key: (found[key] - wanted[key]).abs().max() / wanted[key].abs().max().clamp(min=1e-3) for key in trained
        }
        worst = max(distances, key=distances.get)
        assert distances[worst] < TOLERANCE, f"{name}, {worst}: {distances[worst]:.1e}"


def logged(folder, key):
    lines = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return {line["step"]: line[key] for line in lines if key in line}


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_are_one_with_twice_the_batch(start, kind, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    finish(start(kind, one, 1, *KINDS[kind][2]))
    finish(start(kind, two, 2, 2))
    assert_close(two, one)
    assert logged(two, "loss") == pytest.approx(logged(one, "loss"), rel=1e-4)
    if kind == "depth":
        assert logged(two, "eval/abs_rel") == pytest.approx(logged(one, "eval/abs_rel"), rel=1e-4)
        assert set(logged(two, "eval/images").values()) == {7}  # gathered without double counts
        assert set(logged(two, "eval/empty_images").values()) == {1}

    # Started on two, killed, continued on one: the accumulation keeps the images in a step.
    moved = tmp_path / "moved"
    runs = start(kind, moved, 2, 2, die_at=("accelerate:Accelerator.backward", 4))  # in step 5
    assert all(run.end() != 0 for run in runs)
    assert (moved / "step_3").is_dir() and not (moved / "step_6").exists()
    text = finish(start(kind, moved, 1, 2))
    assert "resumed with 1 instead of 2 processes: 2 batches are accumulated" in text
    assert_close(moved, one)
