"""The examples in the documents do what they say."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from open_dpt.cli.main import main
from open_dpt.evaluation import protocol_names
from open_dpt.processing import DepthPrediction

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCUMENTS = [README, *sorted((ROOT / "docs").glob("*.md"))]


def _blocks(language: str, document: Path = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)


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


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_the_commands_exist(document, capsys):
    """Every `open-dpt` line parses; what the commands do is tested in tests/cli."""
    text = "".join(_blocks("bash", document)).replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.startswith("open-dpt")]
    assert lines or document.name not in ("README.md", "evaluation.md")
    for line in lines:
        words = line.split("#")[0].replace("'", "").split()[1:]
        try:
            main([*words, "--help"])
        except SystemExit as end:
            assert end.code == 0, line
    assert capsys.readouterr().err == ""


def test_every_protocol_is_explained():
    """By its name, or by the name that it varies: `-long384` and `-multiscale` are explained once for all."""
    words = set(re.findall(r"`(\S+)`", (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")))
    endings = ("-long384", "-multiscale-flip", "-multiscale")
    assert {"zero-shot-X-long384", *endings[1:]} <= words
    for name in protocol_names():
        ending = next((ending for ending in endings if name.endswith(ending)), "")
        assert name.removesuffix(ending) in words, name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), target
