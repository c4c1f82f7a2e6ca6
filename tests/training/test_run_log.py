import json

import numpy as np
import pytest
from accelerate import Accelerator
from PIL import Image

from open_dpt.training.run_log import RunLog, check_trackers


def lines(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def tensorboard(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "open_dpt"), size_guidance={"images": 0, "scalars": 0})
    events.Reload()
    return events


@pytest.fixture
def accelerator(tmp_path):
    return Accelerator(cpu=True, project_dir=tmp_path)


def test_the_file_is_written_without_trackers(accelerator, tmp_path, capsys):
    log = RunLog(accelerator, tmp_path / "run", "none")
    log.start()
    log.scalars(1, {"loss": 0.5, "images": 8, "none": None, "broken": float("nan")})
    log.message("hello")
    assert lines(tmp_path / "run") == [
        {"step": 1, "loss": 0.5, "images": 8, "none": None, "broken": None},
        {"step": 1, "message": "hello"},
    ]
    assert "hello" in capsys.readouterr().out
    assert accelerator.trackers == []


def test_tensorboard_gets_numbers_and_pictures(accelerator, tmp_path):
    log = RunLog(accelerator, tmp_path)
    log.start(settings={"learning_rate": 1e-3, "dataset_name": ["a", "b"]})
    picture = np.zeros((4, 6, 3), np.uint8)
    picture[1:, 2:] = (250, 120, 3)
    log.scalars(1, {"loss": 0.5, "broken": float("inf")})
    log.images(2, {"val/0": picture})
    accelerator.end_training()

    events = tensorboard(tmp_path)
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(1, 0.5)]
    assert "broken" not in events.Tags()["scalars"]
    (shown,) = events.Images("val/0")
    assert (shown.step, shown.width, shown.height) == (2, 6, 4)
    (tmp_path / "shown.png").write_bytes(shown.encoded_image_string)
    for path in (tmp_path / "shown.png", tmp_path / "panels" / "val" / "0.png"):
        assert (np.asarray(Image.open(path).convert("RGB")) == picture).all()


def test_a_resumed_run_forgets_what_was_logged_after_its_checkpoint(accelerator, tmp_path):
    log = RunLog(accelerator, tmp_path)
    log.start()
    for step in (1, 2, 3):
        log.scalars(step, {"loss": float(step)})
    accelerator.end_training()
    with open(tmp_path / "log.jsonl", "a") as file:
        file.write('{"step": 4, "lo')  # killed here

    again = Accelerator(cpu=True, project_dir=tmp_path)
    log = RunLog(again, tmp_path)
    log.start(step=1)
    log.scalars(2, {"loss": 20.0})
    again.end_training()
    assert lines(tmp_path) == [{"step": 1, "loss": 1.0}, {"step": 2, "loss": 20.0}]
    assert [(event.step, event.value) for event in tensorboard(tmp_path).Scalars("loss")] == [(1, 1.0), (2, 20.0)]


def test_other_processes_write_nothing(accelerator, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(type(accelerator), "is_main_process", False)
    log = RunLog(accelerator, tmp_path / "run", "none")
    log.start()
    log.scalars(1, {"loss": 1.0})
    log.images(1, {"a": np.zeros((2, 2, 3), np.uint8)})
    log.message("hello")
    assert not (tmp_path / "run").exists()
    assert capsys.readouterr().out == ""


def test_a_log_that_cannot_be_written_is_told_once_and_does_not_end_the_run(accelerator, tmp_path, capsys):
    log = RunLog(accelerator, tmp_path, "none")
    log.start()
    (tmp_path / "log.jsonl").mkdir()
    (tmp_path / "panels").touch()
    for step in (1, 2):
        log.scalars(step, {"loss": 1.0})
        log.images(step, {"a": np.zeros((2, 2, 3), np.uint8)})
    errors = capsys.readouterr().err
    assert errors.count("log.jsonl cannot be written (Is a directory)") == 1
    assert errors.count("panels cannot be written") == 1


def test_trackers_that_are_not_there_are_told(monkeypatch):
    monkeypatch.setattr("open_dpt.training.run_log.get_available_trackers", lambda: ["tensorboard"])
    with pytest.raises(ValueError, match=r"wandb is not installed\. pip install wandb, or --report_to none"):
        check_trackers(["tensorboard", "wandb"])
    with pytest.raises(ValueError, match=r"some of tensorboard, trackio, wandb, mlflow, or none, got 'tensorbord'"):
        check_trackers("tensorbord")
    assert check_trackers(None) == ["tensorboard"]
    assert check_trackers(["none"]) == []
    monkeypatch.setattr("open_dpt.training.run_log.get_available_trackers", lambda: [])
    assert check_trackers(None) == []
