import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import save_file

from open_dpt.training import average_weights, checkpoints, find_checkpoint, save_checkpoint


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
    assert find_checkpoint(tmp_path, "latest").name == "step_11"


def test_a_crash_while_writing_leaves_the_last_whole_checkpoint(accelerator, tmp_path, monkeypatch):
    save_checkpoint(accelerator, tmp_path, 1, keep=1)

    def crash(folder):
        (tmp_path / folder / "model.safetensors").write_bytes(b"half")
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(accelerator, "save_state", crash)
        with pytest.raises(OSError, match="No space"):
            save_checkpoint(accelerator, tmp_path, 2, keep=1)
    assert names(tmp_path) == ["step_1"]
    save_checkpoint(accelerator, tmp_path, 2, keep=1)
    assert [path.name for path in tmp_path.iterdir()] == ["step_2"]


def test_latest_of_nothing_is_nothing_but_a_named_one_must_exist(tmp_path):
    assert find_checkpoint(tmp_path, "latest") is None
    with pytest.raises(FileNotFoundError, match="step_7"):
        find_checkpoint(tmp_path, str(tmp_path / "step_7"))


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
