"""What cannot be exported is told in one line: what was wrong, which value, what would be right. Nothing is left."""

from types import SimpleNamespace

import pytest
import torch

import open_dpt
from open_dpt.processing.export import ExportError, export_model
from open_dpt.processing.export import formats as formats_module
from open_dpt.processing.export.formats import FORMATS, find_format
from open_dpt.processing.export.quantize import calibration_images


def _model(task="DPTForDepthEstimation", processor=None):
    torch.manual_seed(0)
    config = open_dpt.DPTConfig(
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=64,
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[8, 8, 8, 8],
        fusion_hidden_size=8,
    )
    model = getattr(open_dpt, task)(config).eval()
    return model, open_dpt.DPTImageProcessor.for_model(config, **(processor or {}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "tflite"}, "format: must be one of onnx, torch-export, openvino, got 'tflite'"),
        ({"opset": 11}, "opset: must be 18 to 23 for onnx, got 11"),
        ({"format": "torch-export", "opset": 20}, "opset: torch-export has no operator versions"),
        ({"dtype": "bfloat16"}, "dtype: onnx holds float32, float16, int8, got 'bfloat16'"),
        ({"dtype": "int8", "format": "torch-export"}, "got 'int8'. For 8 bits choose onnx or openvino."),
        (
            {"calibrate": ["photo.jpg"]},
            "calibrate: photos are for dtype int8, got 'float32'. Choose int8, or leave them out.",
        ),
        ({"format": "openvino", "dtype": "bfloat16"}, "OpenVINO takes bfloat16 when it runs"),
        ({"input_size": (8, 64)}, "input size: sides must be 16 or more, got 8 x 64"),
        ({"input_size": (64, 64), "dynamic": True}, "input size: a dynamic graph takes any, got 64 x 64"),
        ({"path": "m.bin"}, "m.bin: a file of format onnx must end in .onnx"),
        (
            {"processor": {"size": 8}, "input_size": (64, 64)},
            "image size: sides must be at least 16, the model's stride, got 8",
        ),
        ({"processor": {"ensure_multiple_of": 8}, "dynamic": True}, "must be a multiple of the model's stride 16"),
        ({"processor": {"resample": 0}}, "resample: a graph resizes bilinear"),
        ({"processor": {"do_resize": False}, "dynamic": True}, "dynamic: needs a processor that resizes"),
        ({"processor": {"do_resize": False}, "input_size": (40, 64)}, "40 x 64, which is no multiple of its stride"),
        ({"processor": {"do_pad": True, "size_divisor": 24}, "dynamic": True}, "do_pad: a dynamic graph cannot pad"),
    ],
)
def test_what_cannot_be_had_is_told_in_one_line(options, message, tmp_path, monkeypatch):
    monkeypatch.setattr(formats_module, "find_spec", lambda name: True)
    options = dict(options)
    model, processor = _model(processor=options.pop("processor", None))
    path = tmp_path / options.pop("path", "m" + getattr(FORMATS.get(options.get("format", "onnx")), "suffix", ".onnx"))
    with pytest.raises(ExportError) as caught:
        export_model(model, processor, path, **options)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_named_with_the_extra(monkeypatch):
    monkeypatch.setattr(formats_module, "find_spec", lambda name: None)
    with pytest.raises(ExportError, match=r"needs onnx, onnxscript, openvino, not installed. .*'open-dpt\[export\]'"):
        find_format("openvino")


def test_a_full_disk_is_told_before_torch_writes(tmp_path, monkeypatch):
    model, processor = _model()
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10_000))
    with pytest.raises(OSError, match=r"m\.pt2: no space left on device"):
        export_model(model, processor, tmp_path / "m.pt2", "torch-export")
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_alone_is_no_kind(tmp_path):
    model, processor = _model("DPTModel")
    with pytest.raises(ExportError, match=r"must be a DPTForDepthEstimation .* got DPTModel"):
        export_model(model, processor, tmp_path / "m.pt2", "torch-export")


def test_a_file_that_cannot_be_written_is_told_before_the_work(tmp_path, monkeypatch):
    model, processor = _model()
    monkeypatch.setattr("open_dpt.processing.export.exporting._program", lambda *_, **__: pytest.fail("worked"))
    with pytest.raises(FileNotFoundError, match=r"m.pt2: the folder does not exist"):
        export_model(model, processor, tmp_path / "nowhere" / "m.pt2", "torch-export")
    (tmp_path / "m.pt2").mkdir()
    with pytest.raises(IsADirectoryError, match="must be a file name, got a folder"):
        export_model(model, processor, tmp_path / "m.pt2", "torch-export")


def test_a_model_of_integers_is_told_what_to_do_instead(tmp_path):
    model, processor = _model()
    model.is_int8 = True
    with pytest.raises(ExportError, match=r"8-bit weights of quantize_int8 already. Load it again, and choose dtype"):
        export_model(model, processor, tmp_path / "m.pt2", "torch-export")


def test_a_file_that_differs_is_not_written(tmp_path, monkeypatch):
    model, processor = _model()
    honest = FORMATS["torch-export"]

    def perturbed(path):
        run = honest.open(path)
        return lambda image: run(image) * 1.01

    changed = formats_module.Format(**vars(honest) | {"open": perturbed})
    monkeypatch.setitem(FORMATS, "torch-export", changed)
    with pytest.raises(ExportError, match=r"check at 64x64: the file differs from the model by 1.0e-02"):
        export_model(model, processor, tmp_path / "m.pt2", "torch-export")
    assert list(tmp_path.iterdir()) == []


def test_no_photos_to_calibrate_with():
    with pytest.raises(ExportError, match="calibrate: needs at least one photo, got none"):
        list(calibration_images([], None))
