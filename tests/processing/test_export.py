"""Exported files run in their own runtimes and give what processor, model and post-processing give."""

import copy
import json
from importlib.metadata import version

import numpy as np
import pytest
import torch

import open_dpt
from open_dpt.processing.export import ExportError, export_model
from open_dpt.processing.export import formats as formats_module
from open_dpt.processing.export.check import _difference
from open_dpt.processing.export.formats import FORMATS, find_format
from open_dpt.processing.export.quantize import calibration_images
from open_dpt.processing.predictor import predict_depth, predict_segmentation

# As small as it goes: making a graph costs by the operation.
SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "image_size": 64,
    "patch_size": 16,
    "backbone_out_indices": [0, 1, 2, 3],
    "neck_hidden_sizes": [8, 8, 8, 8],
    "fusion_hidden_size": 8,
}
NAMES = {index: f"class {index}" for index in range(18)}  # more than are resized at a time
SWIN = {
    "backbone_config": {
        "model_type": "swin",
        "embed_dim": 8,
        "depths": [1, 1, 1, 1],
        "num_heads": [1, 1, 2, 2],
        "image_size": 64,
        "window_size": 4,
        "out_features": ["stage1", "stage2", "stage3", "stage4"],
    },
    "neck_hidden_sizes": [8, 16, 32, 64],
    "readout_type": "ignore",
    "normalize_taps": False,
}


DINOV2 = {
    "backbone_config": {
        "model_type": "dinov2",
        "hidden_size": 16,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "image_size": 56,
        "patch_size": 14,
        "out_features": ["stage1", "stage2", "stage3", "stage4"],
    },
    "neck_hidden_sizes": [8, 8, 8, 8],
    "readout_type": "ignore",
}


def _model(task="DPTForDepthEstimation", processor=None, **values):
    torch.manual_seed(0)
    config = open_dpt.DPTConfig(**SMALL | values)
    model = getattr(open_dpt, task)(config).eval()
    return model, open_dpt.DPTImageProcessor.for_model(config, **(processor or {}))


def _image(height, width, seed=0):
    """A coloured slope with a few bright squares: smooth, so that no pixel hangs on a rounding."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width] / max(height, width)
    image = np.stack([rows, columns, 1 - rows * columns], axis=-1) * 200
    top, left = generator.integers(0, [height // 2, width // 2])
    image[top : top + height // 4, left : left + width // 4] += 50
    return image.astype(np.uint8)


def _opened(format, path):
    return find_format(format).open(path)


def _expected(model, processor, images):
    """What processor, model and post-processing give, (batch, height, width)."""
    if hasattr(model, "auxiliary_head"):
        return np.stack([result.labels for result in predict_segmentation(model, processor, list(images))])
    return np.stack([result.values for result in predict_depth(model, processor, list(images))])


@pytest.fixture(scope="module", params=FORMATS)
def dynamic(request, tmp_path_factory):
    """(format, model, processor, exported) of a model for any size: a ViT, a hybrid and segmentation."""
    _needs(request.param)
    values = {
        "onnx": {},
        "openvino": request.getfixturevalue("tiny_hybrid"),  # the longer way, with convolutions
        "torch-export": {"task": "DPTForSemanticSegmentation", "id2label": NAMES},
    }
    model, processor = _model(**values[request.param])
    path = tmp_path_factory.mktemp("export") / f"model{FORMATS[request.param].suffix}"
    return (
        request.param,
        model,
        processor,
        export_model(model, processor, path, request.param, dynamic=True, name="small", licence="mit"),
    )


def test_any_size_aspect_and_batch(dynamic):
    format, model, processor, exported = dynamic
    run = _opened(format, exported.path)
    for batch, height, width in ((1, 130, 333), (3, 201, 90), (1, 64, 64), (2, 16, 16)):
        images = np.stack([_image(height, width, seed) for seed in range(batch)])
        expected, got = _expected(model, processor, images), run(images)
        assert got.shape == (batch, height, width) and got.dtype == expected.dtype
        if exported.text["kind"] == "labels":
            assert np.mean(got != expected) < 1e-3
        else:
            np.testing.assert_allclose(got, expected, atol=2e-5 * np.abs(expected).max())
    # So narrow that it would be one stride high: it enters with two.
    images, stretched = _image(16, 400)[None], copy.copy(processor)
    stretched.keep_aspect_ratio = False
    stretched.size = {"height": 2 * model.config.size_divisor, "width": processor.geometry(16, 400).output[1]}
    expected, got = _expected(model, stretched, images), run(images)
    assert processor.geometry(16, 400).output[0] == model.config.size_divisor
    assert _difference(got, expected, exported.text["kind"]) < 1e-3
    if format == "torch-export":  # the one that keeps conditions
        with pytest.raises(AssertionError, match="16"):
            run(_image(15, 40)[None])


def test_a_new_file_says_how_far_it_is_from_the_model(dynamic):
    exported = dynamic[3]
    assert exported.files[-1] == exported.path and set(exported.files) == set(exported.path.parent.iterdir())
    assert list(exported.differences) == ["240x320", "427x640", "500x375"]
    assert max(exported.differences.values()) <= 1e-3
    beside = {path.name for path in exported.path.parent.iterdir()} - {exported.path.name}
    assert beside <= {"model.bin"}, "something was left"


def test_the_file_says_what_it_is(dynamic):
    format, _, _, exported = dynamic
    read = {"onnx": _onnx_text, "openvino": _openvino_text, "torch-export": _program_text}[format](exported.path)
    assert read == exported.text
    meant = ("labels", "class id") if format == "torch-export" else ("disparity", "relative")
    assert (read["kind"], read["unit"], read["model"], read["licence"]) == (*meant, "small", "mit")
    stated = json.loads(read["input"])
    assert stated["shape"] == ["any", ">= 16", ">= 16", 3] and stated["inside"]["keep_aspect_ratio"] is True
    assert json.loads(read["versions"])["torch"] == version("torch")
    assert ("opset" in read) == (format != "torch-export")


def _onnx_text(path):
    import onnx

    model = onnx.load(path)
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    text = {entry.key: entry.value for entry in model.metadata_props}
    assert opsets[""] == int(text["opset"])
    return text


def _openvino_text(path):
    import openvino

    return dict(openvino.Core().read_model(path).get_rt_info("open_dpt").value)


def _program_text(path):
    extra = {"open_dpt.json": ""}
    torch.export.load(path, extra_files=extra)
    return json.loads(extra["open_dpt.json"])


def _needs(format, *more):
    missing = [name for name in (*FORMATS[format].packages, *more) if not formats_module.find_spec(name)]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: {formats_module.EXTRA}")


@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_segmentation_gives_class_ids_and_their_names(format, tmp_path):
    _needs(format)
    model, processor = _model("DPTForSemanticSegmentation", id2label=NAMES)
    path = tmp_path / f"m{FORMATS[format].suffix}"
    exported = export_model(model, processor, path, format, input_size=(150, 110))
    image = _image(150, 110)
    expected = _expected(model, processor, [image])
    got = _opened(format, exported.path)(image[None])
    assert got.dtype == np.int64 and len(np.unique(expected)) > 1
    assert np.mean(got != expected) < 1e-3
    assert json.loads(exported.text["labels"]) == {str(key): value for key, value in NAMES.items()}
    assert (exported.text["kind"], exported.text["unit"]) == ("labels", "class id")


def test_metres_at_one_size_that_is_not_the_networks(tmp_path):
    pytest.importorskip("openvino", reason=formats_module.EXTRA)
    values = {"depth_estimation_type": "metric", "depth_scale": 0.1, "depth_shift": 0.2, "invert_depth": True}
    model, processor = _model(**values, max_depth=80)
    exported = export_model(model, processor, tmp_path / "m.xml", "openvino", input_size=(90, 150))
    image = _image(90, 150)
    got = _opened("openvino", exported.path)(image[None])
    np.testing.assert_allclose(got, _expected(model, processor, [image]), rtol=1e-4)
    assert (exported.text["kind"], exported.text["unit"]) == ("depth", "metre")
    assert json.loads(exported.text["input"])["shape"] == [1, 90, 150, 3]


def test_an_encoder_of_transformers_with_windows_takes_any_image_at_its_one_network_size(tmp_path):
    model, processor = _model(**SWIN)
    exported = export_model(model, processor, tmp_path / "m.pt2", "torch-export", dynamic=True)
    assert max(exported.differences.values()) <= 1e-4
    processor.keep_aspect_ratio = True
    with pytest.raises(ExportError, match=r"encoder 'swin': .* for any size. Leave dynamic out, or set keep_aspect"):
        export_model(model, processor, tmp_path / "n.pt2", "torch-export", dynamic=True)
    assert not (tmp_path / "n.pt2").exists()


def test_an_encoder_of_transformers_without_windows_takes_any_size(tmp_path):
    _needs("onnx")
    model, processor = _model(**DINOV2)
    exported = export_model(model, processor, tmp_path / "m.onnx", dynamic=True)
    run = _opened("onnx", exported.path)
    images = np.stack([_image(90, 201, seed) for seed in range(2)])
    assert (
        processor.keep_aspect_ratio and _difference(run(images), _expected(model, processor, images), "depth") < 2e-5
    )


@pytest.mark.parametrize(
    ("format", "dtype"),
    [("onnx", "float16"), ("openvino", "float16"), ("torch-export", "float16"), ("torch-export", "bfloat16")],
)
def test_half_precision(format, dtype, tmp_path):
    _needs(format)
    model, processor = _model()
    path = tmp_path / f"m{FORMATS[format].suffix}"
    exported = export_model(model, processor, path, format, dtype=dtype, input_size=(90, 70))
    assert exported.text["dtype"] == dtype and model.dtype == torch.float32
    assert max(exported.differences.values()) <= (0.1 if dtype == "bfloat16" else 1e-2)
    image = _image(90, 70)[None]
    got = _opened(format, exported.path)(image)
    assert got.dtype == np.float32 and 1e-6 < _difference(got, _expected(model, processor, image), "depth") <= 0.1
    if format == "onnx":
        import onnx

        weights = {t.data_type for t in onnx.load(path).graph.initializer if len(t.dims) > 1 and t.dims[-1] != 1}
        assert weights == {onnx.TensorProto.FLOAT16}


def test_a_model_prepared_for_inference_gives_the_same_file(tmp_path):
    model, processor = _model()
    image = _image(64, 64)
    expected = _expected(model, processor, [image])
    exported = export_model(model.optimize_for_inference(), processor, tmp_path / "m.pt2", "torch-export")
    assert _difference(_opened("torch-export", exported.path)(image[None]), expected, "depth") < 1e-5


@pytest.mark.parametrize(("format", "quantized"), [("onnx", "QuantizeLinear"), ("openvino", "FakeQuantize")])
def test_eight_bits_where_they_save_most(format, quantized, tmp_path, monkeypatch):
    _needs(format, "onnxruntime")
    if format == "onnx":  # as if it were a large model, whose weights lie beside the float32 file
        monkeypatch.setattr(formats_module, "LARGEST_INSIDE", 0)
    model, processor = _model()
    photos = [_image(80, 120, seed) for seed in range(2)]
    path = tmp_path / f"m{FORMATS[format].suffix}"
    exported = export_model(model, processor, path, format, dtype="int8", input_size=(90, 70), calibrate=photos)
    assert 1e-5 < max(exported.differences.values()) < 0.2
    assert exported.text["dtype"] == "int8"
    assert exported.text["calibrated"] == "on 2 given photos, each mirrored"
    text, kinds, steps = {"onnx": _onnx_graph, "openvino": _openvino_graph}[format](path)
    assert text == exported.text and quantized in kinds
    # Four layers of six products; the depth head's stay as they are.
    if format == "onnx":
        assert steps["MatMul"] == 4 * 6 and 8 <= steps["Conv"] < kinds.count("Conv")
    assert {file.name for file in tmp_path.iterdir()} <= {path.name, "m.bin"}


def _onnx_graph(path):
    """Metadata, kinds of operators, and how many of each read weights of eight bits."""
    import onnx

    graph = onnx.load(path).graph
    made_by = {name: node for node in graph.node for name in node.output}
    eight = {tensor.name for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.INT8}
    steps = {}
    for node in graph.node:
        source = made_by.get(node.input[1]) if len(node.input) > 1 else None
        if source is not None and source.op_type == "DequantizeLinear" and source.input[0] in eight:
            steps[node.op_type] = steps.get(node.op_type, 0) + 1
    return _onnx_text(path), [node.op_type for node in graph.node], steps


def _openvino_graph(path):
    import openvino

    return _openvino_text(path), [step.get_type_name() for step in openvino.Core().read_model(path).get_ops()], {}


def test_photos_for_eight_bits_are_spread_and_mirrored_and_have_the_graphs_size():
    photos = [np.full((30, 40, 3), number, np.uint8) for number in range(100)]
    photos[0][:, :20] = 255
    fixed = list(calibration_images(photos, (16, 24)))
    assert len(fixed) == 2 * 25 and {photo.shape for photo in fixed} == {(1, 16, 24, 3)}
    assert [photo[0, -1, -1, 0] for photo in fixed[2::2]] == list(range(4, 100, 4))
    assert np.array_equal(fixed[0][:, :, ::-1], fixed[1]) and not np.array_equal(fixed[0], fixed[1])
    as_they_are = [photo.shape for photo in calibration_images([photos[0], np.zeros((900, 1280, 3), np.uint8)], None)]
    assert as_they_are == [(1, 30, 40, 3)] * 2 + [(1, 450, 640, 3)] * 2


def test_an_onnx_file_holds_operators_of_onnx_only(dynamic):
    format, _, _, exported = dynamic
    if format != "onnx":
        pytest.skip("another format")
    import onnx

    model = onnx.load(exported.path)
    # What runs in a browser, too: no operator of a vendor, no function of the file's own.
    assert {node.domain for node in model.graph.node} == {""} and not model.functions
    assert [value.name for value in model.graph.input] == ["image"]
    assert [value.name for value in model.graph.output] == ["disparity"]
