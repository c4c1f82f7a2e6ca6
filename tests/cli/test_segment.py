"""`open-dpt segment` from files to files."""

import json

import numpy as np
from PIL import Image

from open_dpt.cli.main import main


def test_overlay_labels_and_classes(photo, tiny_segmentation_folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["segment", str(photo), "--model", str(tiny_segmentation_folder), "--output", str(out)]) == 0
    labels = np.array(Image.open(out / "photo_labels.png"))
    assert labels.shape == (400, 600) and labels.max() < 5
    overlay = Image.open(out / "photo_overlay.png")
    assert overlay.size == (600, 400) and overlay.mode == "RGB"
    rows = json.loads((out / "photo_classes.json").read_text())
    assert [row["id"] for row in rows] == sorted(set(labels.flat), key=lambda id_: -(labels == id_).sum())
    assert abs(sum(row["share"] for row in rows) - 1) < 1e-4
    assert {row["name"] for row in rows} <= {"wall", "floor", "tree", "sky", "car"}
    assert capsys.readouterr().out == f"{out}: 1 done\n"


def test_a_model_must_be_named(photo, capsys):
    assert main(["segment", str(photo)]) == 2
    assert "--model: needed, no segmentation model is bundled" in capsys.readouterr().err


def test_a_depth_model_is_refused_with_the_right_command(photo, tiny_depth_folder, capsys):
    assert main(["segment", str(photo), "--model", str(tiny_depth_folder)]) == 2
    assert "made for depth, not for segmentation. Use `open-dpt predict`." in capsys.readouterr().err
