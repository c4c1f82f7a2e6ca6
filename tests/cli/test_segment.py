"""`open-dpt segment` from files to files."""

import json

import numpy as np
import pytest
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


def _labels(folder):
    return np.array(Image.open(folder / "photo_labels.png"))


@pytest.mark.parametrize("options", [["--flip"], ["--multi-scale", "--flip"], ["--sliding-window"]])
def test_ways_to_look_at_a_photo(photo, tiny_segmentation_folder, tmp_path, options):
    from open_dpt import DPTForSemanticSegmentation, DPTImageProcessor
    from open_dpt.processing import MultiScale, predict_segmentation

    small = tmp_path / "photo.png"
    Image.open(photo).resize((150, 100)).save(small)
    command = ["segment", str(small), "--model", str(tiny_segmentation_folder), "--output", str(tmp_path / "out")]
    assert main([*command, *options, "--batch-size", "8", "--format", "labels", "--device", "cpu"]) == 0
    model = DPTForSemanticSegmentation.from_pretrained(tiny_segmentation_folder)
    strategy = {
        "--multi-scale": MultiScale(base_size=70, window=64, stride=42),
        "--sliding-window": MultiScale((1.0,), base_size=None, window=64),
    }.get(options[0])
    (expected,) = predict_segmentation(
        model,
        DPTImageProcessor.from_pretrained(tiny_segmentation_folder),
        small,
        flip="--flip" in options,
        strategy=strategy,
    )
    # Windows that run together round differently.
    assert (_labels(tmp_path / "out") == expected.labels).mean() > 0.99


@pytest.mark.parametrize(
    ("first", "second", "other"),
    [([], ["--flip"], "flip"), (["--flip"], [], "flip"), (["--sliding-window"], [], "strategy")],
)
def test_another_look_does_not_continue_an_earlier_run(
    photo, tiny_segmentation_folder, tmp_path, capsys, first, second, other
):
    model = ["--model", str(tiny_segmentation_folder), "--output", str(tmp_path / "out"), "--format", "labels"]
    assert main(["segment", str(photo), *model, *first]) == 0
    assert main(["segment", str(photo), *model, *second]) == 2
    assert f"holds results made with another {other}. Choose another --output" in capsys.readouterr().err
    assert main(["segment", str(photo), *model, *first]) == 0
    assert "1 there already" in capsys.readouterr().out


def test_several_sizes_and_the_own_size_exclude_each_other(photo, capsys):
    with pytest.raises(SystemExit):
        main(["segment", str(photo), "--model", "x", "--multi-scale", "--sliding-window"])
    assert "not allowed with argument" in capsys.readouterr().err
