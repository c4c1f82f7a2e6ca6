"""`open-dpt convert`, both ways."""

import json

import pytest
import torch
from transformers import AutoModelForDepthEstimation

from open_dpt import DPTForDepthEstimation, DPTForSemanticSegmentation, DPTImageProcessor
from open_dpt.cli.main import main


@pytest.fixture
def golden(pytestconfig):
    return pytestconfig.rootpath / "tests" / "golden"


def test_an_authors_file_becomes_a_folder_with_its_processor(golden, tmp_path, capsys):
    assert main(["convert", str(golden / "vit_project_depth.pt"), str(tmp_path / "ours")]) == 0
    model = DPTForDepthEstimation.from_pretrained(tmp_path / "ours")
    original = DPTForDepthEstimation.from_original(golden / "vit_project_depth.pt")
    pixels = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        torch.testing.assert_close(model(pixels).predicted_depth, original(pixels).predicted_depth)
    assert DPTImageProcessor.from_pretrained(tmp_path / "ours").image_mean == [0.5, 0.5, 0.5]
    assert "DPTForDepthEstimation" in capsys.readouterr().out


def test_a_segmentation_file_keeps_its_task(golden, tmp_path):
    assert main(["convert", str(golden / "vit_project_seg.pt"), str(tmp_path / "ours")]) == 0
    assert isinstance(DPTForSemanticSegmentation.from_pretrained(tmp_path / "ours"), DPTForSemanticSegmentation)


def test_values_that_a_file_does_not_tell(golden, tmp_path):
    values = ["--set", "depth_scale=0.5", "--set", "depth_shift=0.25", "--set", "invert_depth=true"]
    assert main(["convert", str(golden / "vit_project_depth.pt"), str(tmp_path / "ours"), *values]) == 0
    config = json.loads((tmp_path / "ours" / "config.json").read_text())
    assert (config["depth_scale"], config["depth_shift"], config["invert_depth"]) == (0.5, 0.25, True)
    assert config["depth_estimation_type"] == "metric"


def test_to_transformers_and_back(tiny_depth_folder, tmp_path):
    assert main(["convert", str(tiny_depth_folder), str(tmp_path / "stock"), "--to", "transformers"]) == 0
    assert json.loads((tmp_path / "stock" / "config.json").read_text())["model_type"] == "dpt"
    stock = AutoModelForDepthEstimation.from_pretrained(tmp_path / "stock").eval()
    assert main(["convert", str(tmp_path / "stock"), str(tmp_path / "ours")]) == 0
    ours = DPTForDepthEstimation.from_pretrained(tmp_path / "ours")
    pixels = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(ours(pixels).predicted_depth, stock(pixels).predicted_depth, rtol=1e-5, atol=1e-6)


def test_half_precision_halves_the_file(tiny_depth_folder, tmp_path):
    assert main(["convert", str(tiny_depth_folder), str(tmp_path / "half"), "--dtype", "float16"]) == 0
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (tmp_path / "half", tiny_depth_folder)]
    assert sizes[0] < 0.6 * sizes[1]


def test_a_folder_with_content_is_not_replaced(tiny_depth_folder, tmp_path, capsys):
    (tmp_path / "precious.txt").write_text("keep me")
    assert main(["convert", str(tiny_depth_folder), str(tmp_path)]) == 2
    assert "exists and is not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


@pytest.mark.parametrize(
    ("source", "message"),
    [("missing.pt", "missing.pt: does not exist"), ("junk.pt", "junk.pt: "), ("photo.jpg", "photo.jpg: ")],
)
def test_sources_that_are_no_checkpoint(source, message, tmp_path, photo, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "junk.pt").write_bytes(b"PK\x03\x04 cut off")
    (tmp_path / "photo.jpg").write_bytes(photo.read_bytes())
    assert main(["convert", source, "target"]) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.splitlines()) == 1
    assert not (tmp_path / "target").exists()


def test_set_needs_a_value(capsys):
    with pytest.raises(SystemExit):
        main(["convert", "a.pt", "b", "--set", "depth_scale"])
    assert "must be KEY=VALUE, got 'depth_scale'" in capsys.readouterr().err
