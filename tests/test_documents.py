"""The examples in README.md do what they say."""

import re
import shutil
from pathlib import Path

import numpy as np

from open_dpt.cli.main import main
from open_dpt.processing import DepthPrediction

README = Path(__file__).parents[1] / "README.md"


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def test_the_python_examples_run(tiny_depth_folder, photo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("photo.jpg", "a.jpg", "b.png"):
        shutil.copy(photo, name)
    scope = {}
    for block in _blocks("python")[:2]:
        exec(block.replace("Intel/dpt-large", str(tiny_depth_folder)), scope)
    assert scope["output"].predicted_depth.shape == scope["inputs"]["pixel_values"][:, 0].shape
    assert scope["depth"][0]["predicted_depth"].shape == (480, 640)
    saved = DepthPrediction.load("a.png")
    assert (saved.kind, saved.unit, saved.values.shape) == ("disparity", "relative", (400, 600))
    assert np.isfinite(saved.values).all()


def test_the_commands_exist(capsys):
    """Every `open-dpt` line parses; what the commands do is tested in tests/cli."""
    lines = [line for block in _blocks("bash") for line in block.splitlines() if line.startswith("open-dpt")]
    assert len(lines) >= 5
    for line in lines:
        words = line.split("#")[0].replace("'", "").split()[1:]
        try:
            main([*words, "--help"])
        except SystemExit as end:
            assert end.code == 0, line
    assert capsys.readouterr().err == ""
