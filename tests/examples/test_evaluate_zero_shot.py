import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SCRIPT = Path(__file__).parents[2] / "examples" / "evaluate_zero_shot.py"


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("evaluate_zero_shot", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def data(script, tmp_path):
    """The ten pairs, each a plane that comes nearer with the row."""
    for image, depth, units, _ in script.PAIRS:
        image, depth = (tmp_path / name if Path(name).suffix else tmp_path / name / "0.png" for name in (image, depth))
        for path in (image, depth):
            path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30)).save(image)
        metres = np.repeat(8 / np.arange(1, 31)[:, None], 40, 1)
        Image.fromarray((metres * units).astype(np.uint16)).save(depth)
    return tmp_path


def test_baselines_and_a_model_are_scored(script, data, tiny_depth_folder, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["x", "--data", str(data), "--model", str(tiny_depth_folder)])
    script.main()
    constant, row, model = capsys.readouterr().out.strip().split("\n\n")
    means = [block.splitlines()[-1].split() for block in (constant, row, model)]
    assert row.startswith("row coordinate") and float(means[1][0]) < 0.01 and float(means[1][1]) == 1
    assert float(means[0][0]) > 0.3
    assert len(model.splitlines()) == 13 and means[2][3] == "mean"


def test_a_missing_pair_is_named(script, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"rgb_00000\.jpg"):
        script.read_pairs(tmp_path)
