"""`open-dpt info`: the facts of a checkpoint."""

import shutil

import pytest

from open_dpt.cli.main import main


@pytest.fixture
def info(capsys):
    def rows(*arguments):
        assert main(["info", *map(str, arguments)]) == 0
        return dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())

    return lambda *arguments: {key: value.strip() for key, value in rows(*arguments).items()}


def test_a_relative_folder(info, tiny_depth_folder):
    rows = info(tiny_depth_folder)
    assert rows["class"] == "DPTForDepthEstimation"
    assert rows["encoder"] == "ViT, 4 layers of width 32, patch 16"
    assert rows["output"].startswith("disparity up to scale and shift, larger is nearer")
    assert "multiples of 16" in rows["input"]
    assert rows["licence"].startswith("not stated")


def test_units_and_classes(info, tiny_metric_folder, tiny_segmentation_folder):
    assert info(tiny_metric_folder)["output"].startswith("depth in metres")
    assert info(tiny_segmentation_folder)["output"].startswith("logits of 5 classes")


def test_the_licence_comes_from_the_model_card(info, tiny_depth_folder, tmp_path):
    folder = shutil.copytree(tiny_depth_folder, tmp_path / "model")
    (folder / "README.md").write_text("---\ntags:\n- vision\nlicense: apache-2.0\n---\n# Title\nlicense: none\n")
    assert info(folder)["licence"] == "apache-2.0"


def test_an_authors_file_and_a_preset(info, pytestconfig):
    assert "authors' file" in info(pytestconfig.rootpath / "tests" / "golden" / "hybrid_project_depth.pt")["model"]
    rows = info("dpt-large")
    assert rows["model"] == "dpt-large (preset, no weights)"
    assert 340 < float(rows["parameters"].split()[0]) < 346  # Table 9 of the paper: 343 M
