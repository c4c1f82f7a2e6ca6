"""What the graph decides in tensors is what the processor decides in Python."""

import numpy as np
import pytest
import torch
from PIL import Image

import open_dpt
from open_dpt.processing.export.encoders import exportable
from open_dpt.processing.export.graph import ImageToPrediction, _strongest_class, _target_size
from open_dpt.processing.export.pillow import resize_as_pillow
from open_dpt.processing.post_processing import label_maps_at
from open_dpt.processing.predictor import predict_depth
from open_dpt.processing.resize import RESIZE_METHODS, target_size


@pytest.mark.parametrize("method", RESIZE_METHODS)
@pytest.mark.parametrize(
    ("aim", "multiple"), [((384, 384), 32), ((518, 518), 14), ((352, 1216), 32), ((192, 192), 16)]
)
def test_the_network_size_is_the_processors_to_the_last_tie(method, aim, multiple):
    generator = np.random.default_rng(0)
    random = generator.integers(16, 5000, (300, 2)).tolist()
    # Ratios that lead to exactly half a multiple, where rounding decides.
    ties = [(480, 20 * k) for k in range(3, 60)] + [(20 * k, 240) for k in range(3, 60)]
    for height, width in random + ties:
        expected = target_size(height, width, aim, method=method, multiple_of=multiple)
        assert _target_size(height, width, aim, method=method, multiple_of=multiple, least=1) == expected


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(40, 60), (37, 101), (301, 97)])
def test_antialiased_resizing_is_pillows(photo, mode, size):
    with Image.open(photo) as image:
        small = image.resize((150, 100))
    resample = Image.Resampling.BICUBIC if mode == "bicubic" else Image.Resampling.BILINEAR
    expected = np.asarray(small.resize(size[::-1], resample), np.int64)
    pixels = torch.from_numpy(np.array(small)).permute(2, 0, 1)[None]
    got = resize_as_pillow(pixels, size, mode)[0].permute(1, 2, 0).long().numpy()
    assert np.abs(got - expected).max() <= 1
    assert np.mean(got != expected) < 1e-3


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"antialias": True, "keep_aspect_ratio": False, "ensure_multiple_of": 1},  # the stock processor
        {"resize_method": "lower_bound"},
        {"resample": 2, "do_normalize": False},
        {"do_resize": False, "do_pad": True, "size_divisor": 16},
        {"do_rescale": False, "image_mean": [120.0, 120.0, 120.0], "image_std": [60.0, 60.0, 60.0]},
    ],
    ids=lambda settings: ",".join(settings) or "default",
)
def test_the_graph_is_processor_model_and_post_processing(settings, tiny_hybrid, photo):
    torch.manual_seed(0)
    model = open_dpt.DPTForDepthEstimation(open_dpt.DPTConfig(**tiny_hybrid)).eval()
    processor = open_dpt.DPTImageProcessor.for_model(model, **settings)
    graph = ImageToPrediction(exportable(model, torch.float32), processor).eval()
    with Image.open(photo) as image:
        pixels = np.array(image.resize((110, 75)))
    expected = next(iter(predict_depth(model, processor, [pixels]))).values
    with torch.inference_mode():
        got = graph(torch.from_numpy(pixels)[None])[0].numpy()
    scale = np.abs(expected).max()
    # Pillow's own rounding may set a pixel to the neighbouring grey level.
    np.testing.assert_allclose(got, expected, atol=(1e-3 if settings.get("antialias") else 1e-5) * scale)


def test_a_hybrid_encoder_keeps_its_outputs_and_the_model_is_left_alone(tiny_hybrid):
    torch.manual_seed(0)
    model = open_dpt.DPTForSemanticSegmentation(open_dpt.DPTConfig(**tiny_hybrid)).eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    copy = exportable(model, torch.float32)
    pixels = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        expected, got = (each(pixel_values=pixels).logits for each in (model, copy))
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
    assert model.auxiliary_head is not None and model.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not any(type(module).__name__ in ("DynamicPad2d", "WeightStandardizedConv2d") for module in copy.modules())


def test_the_strongest_class_of_many_is_that_of_the_post_processing():
    logits = torch.randn(2, 40, 9, 11, generator=torch.Generator().manual_seed(0))
    logits[:, 30] = logits[:, 3]  # equal scores: the lower id wins
    expected = label_maps_at({"logits": logits}, [(20, 31)] * 2)
    assert torch.equal(_strongest_class(logits, (20, 31)), torch.stack(expected))
