"""`open-dpt export`, from the command line to the file."""

import json
import shutil

import pytest
import torch

from open_dpt.cli import export
from open_dpt.cli.main import _parser, main
from open_dpt.processing.export.formats import FORMATS


def test_a_file_for_one_size(tiny_depth_folder, tmp_path, capsys):
    output = tmp_path / "depth.pt2"
    command = ["export", str(tiny_depth_folder), "--format", "torch-export", "--output", str(output)]
    assert main([*command, "--image-size", "32x48", "--input-size", "60x90"]) == 0
    printed = capsys.readouterr().out
    assert f"{output}: disparity (relative)," in printed and "60x90: differs from PyTorch by" in printed
    extra = {"open_dpt.json": ""}
    program = torch.export.load(output, extra_files=extra)
    stated = json.loads(json.loads(extra["open_dpt.json"])["input"])
    assert stated["shape"] == [1, 60, 90, 3] and stated["inside"]["size"] == {"height": 32, "width": 48}
    with torch.inference_mode():
        assert program.module()(torch.zeros(1, 60, 90, 3, dtype=torch.uint8)).shape == (1, 60, 90)
    assert main(command) == 2
    assert "exists. Choose another --output, or replace it with --overwrite." in capsys.readouterr().err


def test_the_licence_of_the_model_card_goes_into_the_file(tmp_path, monkeypatch):
    from open_dpt.processing import export as package

    seen = {}
    done = package.Exported(tmp_path / "dpt-tiny.pt2", {"kind": "disparity", "unit": "relative"}, {}, ())
    monkeypatch.setattr(package, "export_model", lambda *_, **options: seen.update(options) or done)
    monkeypatch.chdir(tmp_path)
    assert main(["export", "--format", "torch-export"]) == 0
    assert seen["name"] == "dpt-tiny (bundled)" and seen["licence"] == "apache-2.0" and seen["dynamic"] is False


def test_the_command_knows_every_format():
    first = {name: suffixes[0] for name, suffixes in export.SUFFIXES.items()}
    assert {name: format.suffix for name, format in FORMATS.items()} == first


def test_no_file_that_exists_is_replaced_unasked_and_all_that_are_written_are_named(
    tiny_depth_folder, tmp_path, monkeypatch, capsys
):
    from open_dpt.processing import export as package
    from open_dpt.processing.export import formats

    monkeypatch.setattr(formats, "find_spec", lambda name: True)
    weights, output = tmp_path / "m.bin", tmp_path / "m.xml"
    weights.write_bytes(bytes(2_000_000))
    command = ["export", str(tiny_depth_folder), "--format", "openvino", "--output", str(output)]
    assert main(command) == 2
    assert f"{weights}: exists. Choose another --output" in capsys.readouterr().err
    output.write_bytes(bytes(500_000))
    done = package.Exported(output, {"kind": "disparity", "unit": "relative"}, {}, (weights, output))
    monkeypatch.setattr(package, "export_model", lambda *_, **__: done)
    assert main([*command, "--overwrite"]) == 0
    assert "disparity (relative), 2.5 MB with m.bin beside it, opset none" in capsys.readouterr().out


@pytest.fixture
def without_architecture(tiny_depth_folder, tmp_path):
    """A checkpoint whose config.json does not say what it predicts."""
    folder = tmp_path / "unknown"
    shutil.copytree(tiny_depth_folder, folder)
    config = json.loads((folder / "config.json").read_text())
    del config["architectures"]
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_a_model_of_unknown_kind(without_architecture, tmp_path, capsys):
    command = ["export", str(without_architecture), "--format", "torch-export", "--output", str(tmp_path / "m.pt2")]
    assert main(command) == 2
    assert (
        "does not say what it predicts. Name it with --task depth or --task segmentation." in capsys.readouterr().err
    )
    assert main([*command, "--task", "depth", "--image-size", "32"]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--opset", "7"], "opset: must be 18 to 23 for onnx, got 7."),
        (["--dtype", "bfloat16"], "dtype: onnx holds float32, float16, int8, got 'bfloat16'."),
        (["--image-size", "8", "--dynamic"], "image size: sides must be at least 16, the model's stride, got 8 x 8."),
        (["--input-size", "9", "--format", "torch-export"], "input size: sides must be 16 or more, got 9 x 9."),
        (["--dtype", "int8", "--format", "torch-export"], "dtype: torch-export holds float32, float16, bfloat16, got"),
        (["--calibrate", "."], "calibrate: photos are for dtype int8, got 'float32'. Choose int8, or leave them out."),
        (["--input-size", "64", "--dynamic"], "input size: a dynamic graph takes any, got 64 x 64. Leave one of the"),
        (["--output", "nowhere/m.onnx"], "nowhere/m.onnx: the folder does not exist. Create it first."),
        (["--output", "m.xml"], "m.xml: a file of format onnx must end in .onnx. Rename it."),
        (["--output", "."], ".: is a folder. Name a file in it that ends in .onnx."),
    ],
)
def test_bad_input_is_one_line(options, message, tiny_depth_folder, tmp_path, capsys, monkeypatch):
    from open_dpt.processing.export import formats

    monkeypatch.setattr(formats, "find_spec", lambda name: True)  # what is wrong is told with or without the extra
    monkeypatch.chdir(tmp_path)
    if not message.startswith(("image size", "input size: sides")):  # which depends on the model
        monkeypatch.setattr("open_dpt.cli.models.load", lambda *_, **__: pytest.fail("gigabytes were loaded first"))
    assert main(["export", str(tiny_depth_folder), *options]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"open-dpt export: {message}") and printed.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_missing_extra_is_named(tmp_path, monkeypatch, capsys):
    from open_dpt.processing.export import formats

    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    monkeypatch.chdir(tmp_path)
    assert main(["export", "--format", "openvino"]) == 2
    assert (
        "needs onnx, onnxscript, openvino, not installed. Run: pip install 'open-dpt[export]'."
        in capsys.readouterr().err
    )


def test_an_unknown_format_is_a_usage_error(capsys):
    with pytest.raises(SystemExit):
        main(["export", "--format", "coreml"])
    assert "invalid choice: 'coreml'" in capsys.readouterr().err


def test_photos_for_eight_bits_come_from_a_folder(tiny_depth_folder, tmp_path, monkeypatch, capsys):
    from open_dpt.processing import export as package
    from open_dpt.processing.export import formats

    seen = {}
    done = package.Exported(tmp_path / "m.onnx", {"kind": "disparity", "unit": "relative"}, {}, ())
    monkeypatch.setattr(package, "export_model", lambda *_, **options: seen.update(options) or done)
    monkeypatch.setattr(formats, "find_spec", lambda name: True)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos" / "more").mkdir(parents=True)
    command = ["export", str(tiny_depth_folder), "--dtype", "int8", "--calibrate"]
    assert main([*command, "photos"]) == 2
    assert "photos: this folder holds no image" in capsys.readouterr().err
    for name in ("b.jpg", "more/a.png", "notes.txt"):
        (tmp_path / "photos" / name).touch()
    assert main([*command, "photos"]) == 0
    assert (seen["calibrate"], seen["dtype"]) == (["photos/b.jpg", "photos/more/a.png"], "int8")
    assert main([*command, "nowhere"]) == 2
    assert "nowhere:" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["export"], ["convert", "model", "folder"], ["doctor"], ["predict", "photo.jpg"]])
def test_short_names_of_dtypes_are_known_everywhere(words):
    assert _parser().parse_args([*words, "--dtype", "bf16"]).dtype == "bfloat16"
