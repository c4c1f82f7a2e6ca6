"""Runs that are killed, have no room, read damaged files or get a NaN: what they had is not lost.

The scripts run in processes of their own; the same command started again has to end with the same bits as a run to
which nothing happened.
"""

import json
import random
import shutil
import signal
import time

import pytest
import torch
from safetensors.torch import load_file

STEPS = 9

DEPTH = ["--optimizer", "adam"]
# Batch norm and dropout: state and random numbers inside the network.
BATCH_NORM = ["use_batch_norm_in_fusion_residual=true", "semantic_classifier_dropout=0.3"]
SEGMENTATION = ["--config_overrides", *BATCH_NORM]
KINDS = {
    "depth": ("train_depth", [*DEPTH, "--dataloader_num_workers", 0]),
    "segmentation": ("train_segmentation", [*SEGMENTATION, "--dataloader_num_workers", 1]),
}
COMMON = [
    *("--max_train_steps", STEPS, "--per_device_train_batch_size", 2, "--gradient_accumulation_steps", 2),
    *("--image_size", 32, "--rescale", 1.0, 1.5, "--rotation", 5, "--colour", 1, "--learning_rate", 1e-3),
    *("--checkpointing_steps", 2, "--checkpoints_total_limit", 2, "--logging_steps", 1, "--report_to", "none"),
    *("--validation_split", "none", "--dataset_name", "folder", "--dataset_config", "depth_scale=1000"),
    *("--preset", "debug", "--ema_decay", 0.9),
]


@pytest.fixture(scope="module")
def data(eight_pictures, tmp_path_factory):
    """Eight pictures of which one is cut off in the middle."""
    root = tmp_path_factory.mktemp("data") / "pictures"
    shutil.copytree(eight_pictures, root)
    damaged = root / "images" / "3.png"
    damaged.write_bytes(damaged.read_bytes()[:60])
    return root


@pytest.fixture
def command(data):
    """(kind, output folder, more words) -> arguments of Server.start."""

    def command(kind, output, *words):
        script, own = KINDS[kind]
        output.mkdir(exist_ok=True)
        return script, [*own, *COMMON, "--data_dir", data, "--output_dir", output, *words], output / "said.txt"

    return command


@pytest.fixture(scope="module")
def undisturbed(server, data, tmp_path_factory):
    """kind -> folder of a run to which nothing happened."""
    folders = {}

    def run(kind):
        if kind not in folders:
            script, own = KINDS[kind]
            folder = folders[kind] = tmp_path_factory.mktemp(f"undisturbed_{kind}")
            words = [*own, *COMMON, "--data_dir", data, "--output_dir", folder]
            done = server.run(script, words, folder / "said.txt")
            assert done.status == 0, done.text
        return folders[kind]

    return run


def log(folder):
    path = folder / "log.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def step_of(folder):
    """The last step in the log; a line may be half written while we look."""
    try:
        return max((line["step"] or 0 for line in log(folder)), default=0)
    except json.JSONDecodeError:
        return 0


def losses(folder):
    return {line["step"]: line["loss"] for line in log(folder) if "loss" in line}


def kept(folder):
    return sorted(path.name for path in folder.glob("step_*"))


def assert_same(folder, expected):
    """The final model, and all that the last checkpoint holds, to the last bit; and the whole story in the log."""
    files = [f"step_{STEPS}/model.safetensors", f"step_{STEPS}/ema.safetensors", "model.safetensors"]
    for name in files:
        found, wanted = load_file(folder / name), load_file(expected / name)
        assert found.keys() == wanted.keys()
        different = [key for key in wanted if not torch.equal(found[key], wanted[key])]
        assert not different, f"{name}: {different[:3]}"
    optimizer, wanted = (torch.load(path / f"step_{STEPS}" / "optimizer.bin") for path in (folder, expected))
    for index, state in wanted["state"].items():
        tensors = {key: value for key, value in state.items() if value is not None}
        assert all(torch.equal(value, optimizer["state"][index][key]) for key, value in tensors.items())
    assert losses(folder) == losses(expected)
    assert kept(folder) == kept(expected)
    assert not list(folder.glob(".*partial"))


def kill(run, folder, step, delay=0.0):
    """kill -9 a little after the log reaches a step."""
    if run.wait_until(lambda: step_of(folder) >= step, pause=0.002):
        time.sleep(delay)
        run.signal(signal.SIGKILL)
    assert run.end() in (-signal.SIGKILL, 0), run.text


def test_killed_at_random_steps(server, command, undisturbed, tmp_path):
    """kill -9 from outside, wherever the run may be."""
    chance = random.Random(7)
    for number in range(3):
        run = server.start(*command("depth", tmp_path))
        kill(run, tmp_path, chance.randint(3 * number, 3 * number + 2), delay=chance.uniform(0, 0.05))
    done = server.run(*command("depth", tmp_path))
    assert done.status == 0, done.text
    assert_same(tmp_path, undisturbed("depth"))


# What happens to a checkpoint, in this order: files are written, the list of them, the folder gets its name, an older
# one is removed. In brackets the checkpoints that are whole after that death.
POINTS = [
    ("torch:save", 3, [2]),  # half of a file of step_4
    ("open_dpt.training.checkpoints:_write_manifest", 2, [4, 6]),
    ("pathlib:Path.rename", 0, [4, 6]),
    ("shutil:rmtree", 2, [4, 6, 8]),
]


def test_killed_while_a_checkpoint_is_written(server, command, undisturbed, tmp_path):
    from open_dpt.training.checkpoints import whole_checkpoints

    for function, call, whole in POINTS:
        run = server.run(*command("depth", tmp_path), die_at=(function, call))
        assert run.status == -signal.SIGKILL, f"{function}: {run.text}"
        assert [path.name for path in whole_checkpoints(tmp_path)] == [f"step_{step}" for step in whole]
    done = server.run(*command("depth", tmp_path))
    assert done.status == 0, done.text
    assert_same(tmp_path, undisturbed("depth"))


def test_all_kinds_of_bad_luck_together(server, command, undisturbed, tmp_path):
    """Segmentation with dropout, batch norm and a worker: SIGTERM, a full disk, kill -9."""
    third_step = ("accelerate:Accelerator.backward", 4)
    run = server.run(*command("segmentation", tmp_path), asked_to_end_at=third_step)
    assert run.status == 0, run.text
    assert f"stopped at step {step_of(tmp_path)}; the same command continues" in run.text
    assert kept(tmp_path)[-1] == f"step_{step_of(tmp_path)}"
    assert not (tmp_path / "model.safetensors").exists()

    before = kept(tmp_path)
    # Without a worker, whose shared memory this limit would also meet.
    run = server.run(*command("segmentation", tmp_path, "--dataloader_num_workers", 0), most_bytes=20_000)
    assert run.status == 1
    line = run.text.splitlines()[-1]
    assert "not written" in line
    assert f"Last good checkpoint: {tmp_path / before[-1]}; the same command continues from it." in line
    assert kept(tmp_path) == before

    kill(server.start(*command("segmentation", tmp_path)), tmp_path, 7)
    done = server.run(*command("segmentation", tmp_path))
    assert done.status == 0, done.text
    assert_same(tmp_path, undisturbed("segmentation"))


def test_an_unreadable_image_is_skipped_and_counted(undisturbed):
    folder = undisturbed("depth")
    messages = [line["message"] for line in log(folder) if "unreadable" in line.get("message", "")]
    assert messages
    assert all("3.png" in message for message in messages)
    assert losses(folder).keys() == set(range(1, STEPS + 1))
    assert json.loads((folder / "results.json").read_text())["training"]["unreadable_samples"] == len(messages)


@pytest.mark.parametrize("words", [("--on_unreadable", "stop"), ("--max_unreadable", 0)], ids=["stop", "limit"])
def test_an_unreadable_image_stops_where_that_is_asked_for(server, command, tmp_path, words):
    run = server.run(*command("depth", tmp_path, *words))
    assert run.status in (1, 2)
    line = run.text.splitlines()[-1]
    assert "images/3.png" in line
    assert "Traceback" not in run.text


def test_a_nan_is_skipped_and_too_many_stop_with_the_last_good_checkpoint(server, command, tmp_path):
    run = server.run(*command("depth", tmp_path / "once"), bad_losses=(2, 4))  # step 2
    assert run.status == 0, run.text
    assert "step 2: skipped, loss nan" in run.text
    assert losses(tmp_path / "once").keys() == {1, *range(3, STEPS + 1)}

    folder = tmp_path / "often"
    words = command("depth", folder, "--max_skipped_steps", 3)
    run = server.run(*words, bad_losses=(8, 1000))  # from step 5 on
    assert run.status == 1
    line = run.text.splitlines()[-1]
    assert "3 steps in a row without a finite loss and gradient, at step 7" in line
    assert "Last good checkpoint: " in line
    weights = load_file(folder / kept(folder)[-1] / "model.safetensors")
    assert all(tensor.isfinite().all() for tensor in weights.values() if tensor.is_floating_point())
    assert server.run(*words).status == 0
