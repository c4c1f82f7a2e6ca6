import json

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import save_file

from open_dpt.training import CheckpointError, average_weights, damage, resumable, save_checkpoint, whole_checkpoints
from open_dpt.training.checkpoints import checkpoints, read_manifest, recover_folder, set_aside_after, whole_folder


@pytest.fixture
def accelerator():
    accelerator = Accelerator(cpu=True)
    accelerator.prepare(torch.nn.Linear(2, 2))
    yield accelerator
    accelerator.free_memory()


def names(folder):
    return [path.name for path in checkpoints(folder)]


def test_the_oldest_are_dropped_by_number_not_by_name(accelerator, tmp_path):
    for step in (8, 9, 10, 11):
        save_checkpoint(accelerator, tmp_path, step, keep=3)
    assert names(tmp_path) == ["step_9", "step_10", "step_11"]
    assert resumable(tmp_path, "latest")[0].name == "step_11"
    assert resumable(tmp_path, "none") == []


def test_a_crash_while_writing_leaves_the_last_whole_checkpoint(accelerator, tmp_path, monkeypatch):
    save_checkpoint(accelerator, tmp_path, 1, keep=1)

    def killed(folder):
        (tmp_path / folder / "model.safetensors").write_bytes(b"half")
        raise KeyboardInterrupt  # nothing may clean up after kill -9

    with monkeypatch.context() as patch:
        patch.setattr(accelerator, "save_state", killed)
        with pytest.raises(KeyboardInterrupt):
            save_checkpoint(accelerator, tmp_path, 2, keep=1)
    assert names(tmp_path) == ["step_1"]
    save_checkpoint(accelerator, tmp_path, 2, keep=1)
    assert [path.name for path in tmp_path.iterdir()] == ["step_2"]


# What the operating system, safetensors and torch.save raise on a full disk.
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("unexpected pos 64 vs 0")])
def test_a_full_disk_drops_what_was_begun_and_says_what_is_left(accelerator, tmp_path, monkeypatch, error):
    def full(folder):
        (tmp_path / folder / "model.safetensors").write_bytes(b"half")
        raise error

    monkeypatch.setattr(accelerator, "save_state", full)
    with pytest.raises(CheckpointError, match=r"step_1: not written .*There is no earlier checkpoint"):
        save_checkpoint(accelerator, tmp_path, 1)
    assert list(tmp_path.iterdir()) == []


def test_old_ones_are_dropped_only_after_the_new_one_is_there(accelerator, tmp_path, monkeypatch):
    save_checkpoint(accelerator, tmp_path, 1, keep=1)
    seen = []
    real = accelerator.save_state
    monkeypatch.setattr(accelerator, "save_state", lambda folder: (real(folder), seen.extend(names(tmp_path))))
    save_checkpoint(accelerator, tmp_path, 2, keep=1, extra=lambda folder: seen.extend(names(tmp_path)))
    assert seen == ["step_1", "step_1"] and names(tmp_path) == ["step_2"]


def test_the_manifest_knows_every_file_and_its_size(accelerator, tmp_path):
    folder = save_checkpoint(accelerator, tmp_path, 5, facts={"total_batch": 8})
    assert damage(folder) is None
    assert read_manifest(folder)["total_batch"] == 8
    listed = json.loads((folder / "manifest.json").read_text())["files"]
    assert set(listed) == {path.name for path in folder.iterdir()} - {"manifest.json"}
    size = (folder / "model.safetensors").stat().st_size
    with open(folder / "model.safetensors", "r+b") as file:
        file.truncate(size - 1)
    assert damage(folder) == f"model.safetensors has {size - 1} of {size} bytes"
    (folder / "model.safetensors").unlink()
    assert damage(folder) == "model.safetensors is missing"
    (folder / "manifest.json").write_text("{")
    assert "manifest.json" in damage(folder)
    assert whole_checkpoints(tmp_path) == [] and names(tmp_path) == ["step_5"]


def test_a_named_checkpoint_must_exist(tmp_path):
    assert resumable(tmp_path, "latest") == []
    with pytest.raises(FileNotFoundError, match="step_7"):
        resumable(tmp_path, str(tmp_path / "step_7"))


def test_checkpoints_beyond_the_one_continued_no_longer_count(accelerator, tmp_path):
    for step in (1, 2, 3):
        save_checkpoint(accelerator, tmp_path, step)
    assert [folder.name for folder in set_aside_after(tmp_path, 1)] == ["step_2", "step_3"]
    assert names(tmp_path) == ["step_1"]
    assert damage(tmp_path / "step_3.set_aside") is None


def test_average_is_the_mean_and_keeps_types(tmp_path):
    for step, value in ((1, 1.0), (2, 2.0), (3, 6.0)):
        folder = tmp_path / f"step_{step}"
        folder.mkdir()
        save_file(
            {"weight": torch.full((2,), value).half(), "count": torch.tensor(step)}, folder / "model.safetensors"
        )
    mean = average_weights(checkpoints(tmp_path))
    assert mean["weight"].tolist() == [3.0, 3.0] and mean["weight"].dtype == torch.float16
    assert mean["count"].item() == 3
    with pytest.raises(FileNotFoundError, match="got none"):
        average_weights([])
    (tmp_path / "step_4").mkdir()
    with pytest.raises(FileNotFoundError, match="--ema_decay"):
        average_weights(checkpoints(tmp_path))


def test_a_folder_is_replaced_as_a_whole_or_stays(tmp_path):
    best = tmp_path / "best"
    for text in ("first", "second"):
        with whole_folder(best) as folder:
            (folder / "file").write_text(text)
    with pytest.raises(OSError, match="full"), whole_folder(best) as folder:
        (folder / "file").write_text("half")
        raise OSError("full")
    assert (best / "file").read_text() == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["best"]
    best.rename(tmp_path / ".best.old")  # killed between the two renames
    recover_folder(best)
    assert (best / "file").read_text() == "second"
