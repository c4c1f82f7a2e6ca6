"""`open-dpt doctor`: a stored result, and what happens when it is not met."""

import json
import shutil

import pytest

from open_dpt.cli.main import main


@pytest.fixture
def model(tiny_depth_folder, tmp_path, monkeypatch):
    """A tiny model in the place of the bundled one, with its stored result."""
    folder = shutil.copytree(tiny_depth_folder, tmp_path / "bundled")
    monkeypatch.setattr("open_dpt.assets.bundled_model_path", lambda: folder)
    assert main(["doctor", "--record"]) == 0
    return folder


def test_a_sound_installation(model, capsys):
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "all well"
    for name in ("torch", "transformers", "python", "device", "expected", "got", "difference"):
        assert any(line.startswith(name) for line in lines)


def test_another_result_is_told(model, capsys):
    stored = json.loads((model / "expected.json").read_text())
    stored["cells"][2][3] += 1.0
    (model / "expected.json").write_text(json.dumps(stored))
    assert main(["doctor"]) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("FAILED")


def test_half_precision_is_compared_more_widely(model):
    assert main(["doctor", "--dtype", "bfloat16"]) == 0


def test_a_missing_model_is_one_line(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("open_dpt.assets._FOLDER", tmp_path)
    assert main(["doctor"]) == 2
    assert "does not hold dpt-tiny" in capsys.readouterr().err
