"""Stock files read as they are and give stock pixels; everything that belongs to an image follows it."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING, AutoImageProcessor
from transformers.models.dpt.image_processing_pil_dpt import DPTImageProcessorPil

from open_dpt import DPTConfig, DPTImageProcessor
from open_dpt.processing.geometry import scale_intrinsics

DEPTH_ANYTHING = {
    "do_normalize": True,
    "do_pad": False,
    "do_rescale": True,
    "do_resize": True,
    "ensure_multiple_of": 14,
    "image_mean": [0.485, 0.456, 0.406],
    "image_processor_type": "DPTImageProcessor",
    "image_std": [0.229, 0.224, 0.225],
    "keep_aspect_ratio": True,
    "resample": 3,
    "rescale_factor": 0.00392156862745098,
    "size": {"height": 56, "width": 56},
    "size_divisor": None,
}
STOCK = {
    "defaults": {"size": 64},
    "feature_extractor": {
        "do_normalize": True,
        "do_resize": True,
        "feature_extractor_type": "DPTFeatureExtractor",
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "resample": 2,
        "size": 48,
    },
    "depth_anything": DEPTH_ANYTHING,
    "fast": DEPTH_ANYTHING
    | {"image_processor_type": "DPTImageProcessorFast", "device": None, "disable_grouping": None},
    "padded": {"do_pad": True, "size_divisor": 32, "size": {"height": 40, "width": 50}, "resample": 0},
    "raw": {"do_rescale": False, "do_normalize": False, "size": 48},
    "bare": {"do_resize": False, "do_rescale": False, "do_normalize": False},
}
SHAPES = [(60, 80), (80, 60), (33, 47), (150, 100)]


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def read(folder, values):
    (folder / "preprocessor_config.json").write_text(json.dumps(values))
    return DPTImageProcessor.from_pretrained(folder)


@pytest.mark.parametrize("name", STOCK)
@pytest.mark.parametrize("shape", SHAPES)
def test_same_pixels_as_the_stock_processor(name, shape, tmp_path):
    values = STOCK[name]
    stock = DPTImageProcessorPil.from_dict(values)(noise(*shape), return_tensors="pt")["pixel_values"]
    ours = read(tmp_path, values)(noise(*shape), return_tensors="pt")["pixel_values"]
    one_grey_level = 1 / 255 / min(values.get("image_std", [0.5])) if values.get("do_rescale", True) else 1
    torch.testing.assert_close(ours.float(), stock.float(), atol=one_grey_level, rtol=0)


def test_unknown_keys_are_kept_and_round_trip(tmp_path):
    processor = read(tmp_path, DEPTH_ANYTHING | {"made_by": "someone", "feature_extractor_type": None})
    processor.resize_method = "lower_bound"
    processor.save_pretrained(tmp_path / "again")
    again = DPTImageProcessor.from_pretrained(tmp_path / "again")
    assert again.made_by == "someone" and again.resize_method == "lower_bound"
    assert {k: v for k, v in again.to_dict().items() if k != "auto_map"} == processor.to_dict()
    saved = json.loads((tmp_path / "again" / "preprocessor_config.json").read_text())
    assert "AutoImageProcessor" in saved["auto_map"] and (tmp_path / "again" / "modeling_open_dpt.py").is_file()


def test_saving_beside_a_stock_model_leaves_its_config_alone(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "dpt"}')
    DPTImageProcessor().save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text()) == {"model_type": "dpt"}


def test_keywords_override_the_file(tmp_path):
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(DEPTH_ANYTHING))
    processor = DPTImageProcessor.from_pretrained(tmp_path, size=112, keep_aspect_ratio=False)
    assert processor(noise(30, 40), return_tensors="pt")["pixel_values"].shape == (1, 3, 112, 112)
    assert processor(noise(30, 40), size=28, return_tensors="pt")["pixel_values"].shape == (1, 3, 28, 28)
    assert processor.size == {"height": 112, "width": 112}


def test_auto_class_finds_ours_and_leaves_stock_alone(tmp_path):
    DPTImageProcessor().save_pretrained(tmp_path)
    assert type(AutoImageProcessor.from_pretrained(tmp_path)) is DPTImageProcessor
    stock = tmp_path / "stock"
    stock.mkdir()
    (stock / "preprocessor_config.json").write_text(json.dumps(DEPTH_ANYTHING))
    assert type(AutoImageProcessor.from_pretrained(stock)) is DPTImageProcessorPil
    assert set(IMAGE_PROCESSOR_MAPPING[DPTConfig].values()) == {DPTImageProcessor}


def test_transformers_does_not_ask_for_torchvision():
    code = "import open_dpt, numpy; open_dpt.DPTImageProcessor()(numpy.zeros((8, 8, 3), 'uint8'), size=8)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and "torchvision" not in done.stderr


def test_for_model():
    processor = DPTImageProcessor.for_model(DPTConfig(image_size=384, patch_size=16), antialias=True)
    assert processor.keep_aspect_ratio and processor.resize_method == "minimal" and processor.resample == 3
    assert processor.size == {"height": 384, "width": 384} and processor.image_mean == [0.5] * 3
    assert processor.antialias
    assert processor(noise(480, 640), return_tensors="pt")["pixel_values"].shape == (1, 3, 384, 512)
    wide = DPTImageProcessor.for_model(DPTConfig(image_size=[352, 1216]))
    assert wide.size == {"height": 352, "width": 1216} and not wide.antialias


def test_for_model_of_other_encoders():
    dinov2 = DPTImageProcessor.for_model(DPTConfig.from_preset("dinov2-small"))
    assert dinov2.ensure_multiple_of == 14 and dinov2.image_mean[0] == 0.485 and dinov2.keep_aspect_ratio
    hybrid = DPTImageProcessor.for_model(DPTConfig.from_preset("dpt-hybrid", image_size=[352, 1216]))
    assert hybrid.size == {"height": 352, "width": 1216} and hybrid.keep_aspect_ratio
    swin = DPTImageProcessor.for_model(DPTConfig.from_preset("swinv2-tiny-256"))
    assert not swin.keep_aspect_ratio and swin.size["height"] == 256 and swin.image_mean[0] == 0.5


def test_labels_are_nearest_and_reduced_in_signed_arithmetic():
    labels = np.random.default_rng(0).choice([0, 1, 7, 150, 255], (37, 51)).astype(np.uint8)
    processor = DPTImageProcessor(size=24)
    plain = processor(noise(37, 51), segmentation_maps=labels, return_tensors="pt")["labels"]
    assert plain.shape == (1, 24, 24) and plain.dtype == torch.int64
    assert set(plain.unique().tolist()) <= {0, 1, 7, 150, 255}
    reduced = processor(noise(37, 51), labels, do_reduce_labels=True, return_tensors="pt")["labels"]
    expected = torch.where((plain == 0) | (plain == 255), 255, plain - 1)
    assert torch.equal(reduced, expected)


@settings(deadline=None, max_examples=25)
@given(st.integers(4, 60), st.integers(4, 60), st.booleans(), st.integers(0, 2**31))
def test_ids_never_grow_for_any_size(height, width, keep, seed):
    labels = np.random.default_rng(seed).integers(0, 150, (height, width))
    processor = DPTImageProcessor(size=32, keep_aspect_ratio=keep, ensure_multiple_of=16)
    result = processor(noise(height, width), segmentation_maps=labels, return_tensors="pt")["labels"]
    assert set(result.unique().tolist()) <= set(np.unique(labels).tolist())


def test_everything_moves_together():
    # A marked square keeps its place relative to the image in all outputs.
    image, labels, depth = np.zeros((40, 60, 3), np.uint8), np.zeros((40, 60), int), np.full((40, 60), 9.0)
    rows, columns = slice(10, 20), slice(30, 45)
    image[rows, columns], labels[rows, columns], depth[rows, columns] = 255, 3, 2.5
    depth[0, 0] = np.nan
    intrinsics = np.array([[50.0, 0, 37], [0, 50, 14.5], [0, 0, 1]])
    processor = DPTImageProcessor(size=(80, 120), do_pad=True, size_divisor=64)
    out = processor(image, segmentation_maps=labels, depth_maps=depth, intrinsics=intrinsics, return_tensors="pt")
    assert {key: tuple(value.shape) for key, value in out.items()} == {
        "pixel_values": (1, 3, 128, 128),
        "labels": (1, 128, 128),
        "depth_maps": (1, 128, 128),
        "intrinsics": (1, 3, 3),
    }
    square = out["depth_maps"][0] == 2.5
    assert torch.equal(square, out["labels"][0] == 3)
    assert (out["pixel_values"][0, 0][square] > 0).all()
    centre = square.nonzero().float().mean(0)
    torch.testing.assert_close(out["intrinsics"][0, [1, 0], [2, 2]], centre)
    # Padding: ignored label, missing depth, zero image; so is the unknown depth pixel.
    assert out["labels"][0, 0, 0] == 255 and out["depth_maps"][0, 0, 0] == 0 and out["pixel_values"][0, 0, 0, 0] == 0
    assert out["depth_maps"][0, 24, 4] == 0


def test_geometry_leads_back():
    processor = DPTImageProcessor(size=(80, 120), do_pad=True, size_divisor=64)
    way = processor.geometry(40, 60)
    assert (way.resized, way.output) == ((80, 120), (128, 128))
    gradient = torch.linspace(0, 1, 60).repeat(40, 1)
    padded = way.pad(torch.nn.functional.interpolate(gradient[None, None], size=(80, 120), mode="bilinear"), 5.0)[0]
    (result,) = processor.post_process_depth_estimation({"predicted_depth": padded}, [(40, 60)], mode="bilinear")
    torch.testing.assert_close(result["predicted_depth"], gradient, atol=0.01, rtol=0)


def test_intrinsics_use_the_original_size():
    matrix = torch.tensor([[500.0, 0, 319.5], [0, 500, 239.5], [0, 0, 1]])
    out = DPTImageProcessor(size=96)(noise(48, 64), intrinsics=matrix[None], return_tensors="pt")["intrinsics"]
    torch.testing.assert_close(out[0], scale_intrinsics(matrix, (48, 64), (96, 96)))


def test_batches_group_sizes_and_keep_track():
    processor = DPTImageProcessor(size=32, keep_aspect_ratio=True, ensure_multiple_of=16)
    images = [noise(*shape, seed=i) for i, shape in enumerate([(32, 64), (32, 32), (64, 128), (64, 32), (16, 32)])]
    seen = {}
    for indices, batch in processor.batches(iter(images), batch_size=2):
        assert len(indices) <= 2
        seen |= dict(zip(indices, batch["pixel_values"], strict=True))
    assert sorted(seen) == [0, 1, 2, 3, 4]
    for index, pixels in seen.items():
        assert torch.equal(pixels, processor(images[index])["pixel_values"][0])
    with pytest.raises(ValueError, match=r"batch_size: .* got 0"):
        list(processor.batches(images, batch_size=0))


def test_mixed_sizes_in_one_call():
    processor = DPTImageProcessor(size=32, keep_aspect_ratio=True)
    images = [noise(32, 64), noise(64, 32)]
    with pytest.raises(ValueError, match=r"got 32 x 64, 64 x 32\. Use processor\.batches") as error:
        processor(images, return_tensors="pt")
    assert "\n" not in str(error.value)
    assert [tuple(p.shape) for p in processor(images)["pixel_values"]] == [(3, 32, 64), (3, 64, 32)]


def test_tensors_in_batches_and_numpy_out():
    batch = torch.from_numpy(np.stack([noise(20, 30, 1), noise(20, 30, 2)])).permute(0, 3, 1, 2)
    processor = DPTImageProcessor(size=16)
    out = processor(batch, return_tensors="np")["pixel_values"]
    assert isinstance(out, np.ndarray) and out.shape == (2, 3, 16, 16)
    np.testing.assert_array_equal(out[1], processor(noise(20, 30, 2), return_tensors="np")["pixel_values"][0])


def test_float_images_agree_with_bytes():
    processor = DPTImageProcessor(size=16, antialias=False)
    expected = processor(noise(20, 30), return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(processor(noise(20, 30) / 255, return_tensors="pt")["pixel_values"], expected)
    ready = processor(noise(20, 30) / 255, do_rescale=False, return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(ready, expected)


def test_works_on_the_device_of_the_tensors():
    if not torch.cuda.is_available():
        pytest.skip("no GPU on this machine")
    image = torch.from_numpy(noise(40, 60)).permute(2, 0, 1)
    for processor in (DPTImageProcessor(size=32), DPTImageProcessor(size=32, antialias=False)):
        out = processor(image.cuda(), np.zeros((40, 60), int), np.ones((40, 60)), np.eye(3), return_tensors="pt")
        assert all(value.device.type == "cuda" for value in out.values())
        expected = processor(image, return_tensors="pt")["pixel_values"]
        torch.testing.assert_close(out["pixel_values"].cpu(), expected, atol=12 / 127.5, rtol=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 0}, "size: .* got 0"),
        ({"size": {"shortest_edge": 5}}, "shortest_edge"),
        ({"resample": 1}, "resample: must be one of 0, 2, 3, got 1"),
        ({"resize_method": "crop"}, "minimal, lower_bound, upper_bound, got 'crop'"),
        ({"ensure_multiple_of": 0}, "ensure_multiple_of: .* got 0"),
        ({"image_std": [0.5, 0, 0.5]}, "image_std"),
        ({"image_mean": [0.5]}, "image_mean"),
    ],
)
def test_impossible_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        DPTImageProcessor(**settings)


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (None, OSError, "preprocessor_config.json"),
        ("{broken", OSError, "not a valid JSON"),
        ("[1]", ValueError, "must hold a JSON object, got a list"),
        ('{"size": "large"}', ValueError, "size: must be a positive int"),
    ],
)
def test_unusable_files(tmp_path, content, error, message):
    if content is not None:
        (tmp_path / "preprocessor_config.json").write_text(content)
    with pytest.raises(error, match=message) as raised:
        DPTImageProcessor.from_pretrained(tmp_path)
    assert "\n" not in str(raised.value)


def test_bad_calls():
    processor = DPTImageProcessor(size=16)
    image = noise(20, 30)
    with pytest.raises(ValueError, match=r"segmentation_maps: must have the size of its image, 20 x 30, got 20 x 31"):
        processor(image, segmentation_maps=np.zeros((20, 31), int))
    with pytest.raises(ValueError, match=r"depth_maps: must be one per image \(2\), got 1"):
        processor([image, image], depth_maps=[np.ones((20, 30))])
    with pytest.raises(ValueError, match=r"intrinsics: must be a finite 3 x 3 matrix, got shape \(4, 4\)"):
        processor(image, intrinsics=np.eye(4))
    with pytest.raises(ValueError, match="images: must hold at least one"):
        processor([])
    with pytest.raises(ValueError, match=r"image 1: .*got \(0, 5, 3\)"):
        processor([image, np.zeros((0, 5, 3))])
    with pytest.raises(ValueError, match="'tf'"):
        processor(image, return_tensors="tf")
    with pytest.raises(TypeError, match="colour: not a keyword"):
        processor(image, colour=True)
    with pytest.raises(ValueError, match="more than"):
        processor(noise(1, 300), size=400, resize_method="lower_bound", keep_aspect_ratio=True, ensure_multiple_of=1)
