"""The small scripts beside the training ones: curves of logs, and the score of the mean depth."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name, *words):
    runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"]([str(word) for word in words])


def test_curves_show_what_the_logs_hold(tmp_path):
    pytest.importorskip("matplotlib")
    for number, label in enumerate("ab"):
        lines = [{"step": step, "loss": 1 / (step + number + 1)} for step in range(9)] + [
            {"step": 9, "message": "end"}
        ]
        (tmp_path / label).mkdir()
        (tmp_path / label / "log.jsonl").write_text("\n".join(map(json.dumps, lines)))
    runs = [f"one={tmp_path / 'a'}", f"other={tmp_path / 'b'}"]
    run("draw_curves", "--runs", *runs, "--metrics", "loss", "--output", tmp_path / "both.png")
    run("draw_curves", "--runs", runs[0], "--metrics", "loss", "--output", tmp_path / "one.png")
    both, one = (np.asarray(Image.open(tmp_path / name).convert("RGB")) for name in ("both.png", "one.png"))
    assert both.shape == one.shape and (both != one).any()


def test_a_folder_without_a_log_is_named(tmp_path):
    pytest.importorskip("matplotlib")
    with pytest.raises(FileNotFoundError, match=r"log\.jsonl: not found"):
        run("draw_curves", "--runs", f"a={tmp_path}", "--output", tmp_path / "a.png")


def test_the_mean_depth_is_scored(eight_pictures, capsys):
    options = ["--dataset_config", "depth_scale=1000", "--validation_split", "all"]
    run("mean_depth", "--dataset_name", "folder", "--data_dir", eight_pictures, *options)
    depths = np.stack([np.asarray(Image.open(path)) for path in sorted((eight_pictures / "depths").iterdir())]) / 1000
    mean, median = capsys.readouterr().out.splitlines()
    assert float(mean.split()[1]) == pytest.approx(depths[depths > 0].mean(), abs=0.1)  # of every 16th pixel
    assert median.startswith("median 5.000 m") and "images 8" in median
