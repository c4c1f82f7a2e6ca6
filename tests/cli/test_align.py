"""`open-dpt align`."""

import numpy as np
import pytest
from PIL import Image

from open_dpt import DPTForDepthEstimation, DPTImageProcessor
from open_dpt.cli.main import main


@pytest.fixture
def data(tmp_path):
    """images/ and depths/ of three scenes: brighter is nearer, 1 to 4 m."""
    for number in range(3):
        grey = np.random.default_rng(number).integers(0, 255, (4, 4), dtype=np.uint8)
        grey = np.array(Image.fromarray(grey).resize((64, 64)))
        for folder, values in (("images", grey), ("depths", (1000 * (1 + 3 * (1 - grey / 255))).astype(np.uint16))):
            (tmp_path / "data" / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(tmp_path / "data" / folder / f"{number}.png")
    return tmp_path / "data"


def align(data, output, *more, model=None):
    words = ["align", "--dataset", "folder", "--data", str(data), "--option", "depth_scale=1000"]
    words += ["--output", str(output), "--device", "cpu", "--model", str(model)]
    return main([*words, *more])


def test_a_relative_model_becomes_one_that_answers_in_metres(data, bright_is_near, tmp_path, capsys):
    assert align(data, tmp_path / "metric", "--max-depth", "5", model=bright_is_near) == 0
    model = DPTForDepthEstimation.from_pretrained(tmp_path / "metric")
    assert model.config.depth_estimation_type == "metric" and model.config.max_depth == 5
    assert model.config.depth_scale > 0
    DPTImageProcessor.from_pretrained(tmp_path / "metric")
    told = capsys.readouterr().out
    assert "metres = 1 / (" in told and "images: 3 used\n" in told
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []  # no journal is left
    assert align(data, tmp_path / "metric", model=bright_is_near) == 2
    assert "exists and is not empty" in capsys.readouterr().err
    assert align(data, tmp_path / "other", model=tmp_path / "metric") == 2
    assert "metres already" in capsys.readouterr().err


def test_bad_requests_are_one_line(data, bright_is_near, tmp_path, capsys):
    assert align(data / "nowhere", tmp_path / "metric", model=bright_is_near) == 2
    assert align(data, tmp_path / "metric", "--max-depth", "0.5", model=bright_is_near) == 2
    lines = capsys.readouterr().err.splitlines()
    assert "nowhere" in lines[0] and "none in 3 (3 empty" in lines[-1]
    assert not (tmp_path / "metric").exists()


@pytest.fixture
def bright_is_near(tiny_depth_folder, tmp_path):
    """A model whose disparity rises with brightness."""
    import torch

    model = DPTForDepthEstimation.from_pretrained(tiny_depth_folder)
    processor = DPTImageProcessor.from_pretrained(tiny_depth_folder)
    model.config.head_activation = "none"
    model = type(model)(model.config).train()
    grey = torch.rand(8, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    grey = torch.nn.functional.interpolate(grey, size=64, mode="bilinear")
    optimizer = torch.optim.AdamW([value for value in model.parameters() if value.requires_grad], lr=3e-3)
    for _ in range(15):
        loss = model(2 * grey.expand(-1, 3, -1, -1) - 1, labels=grey[:, 0] + 0.1).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.save_pretrained(tmp_path / "relative")
    processor.save_pretrained(tmp_path / "relative")
    return tmp_path / "relative"
