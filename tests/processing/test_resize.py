"""The authors' sizes and pixels, Pillow's pixels, and resizing that invents neither labels nor depth."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file

from open_dpt.processing import resize
from open_dpt.processing.resize import (
    MAX_SHRINK_ON_DEVICE,
    resize_depth,
    resize_image,
    resize_nearest,
    resize_prediction,
    target_size,
)

GOLDEN = Path(__file__).parents[1] / "golden"
SIZES = st.integers(1, 40)


def test_sizes_of_the_authors():
    cases = json.loads((GOLDEN / "resize_sizes.json").read_text())
    assert len(cases) == 108
    for case in cases:
        size = target_size(
            case["h"],
            case["w"],
            (case["target"], case["target"]),
            method=case["method"],
            keep_aspect_ratio=case["keep"],
            multiple_of=32,
        )
        assert size == (case["out_h"], case["out_w"]), case


def test_size_rounds_half_to_even():
    # 48 / 32 = 1.5 and 80 / 32 = 2.5 both go to 2.
    assert target_size(48, 80, (48, 80), multiple_of=32) == (64, 64)


@given(st.integers(1, 5000), st.integers(1, 5000), st.sampled_from(resize.RESIZE_METHODS), st.booleans())
def test_size_is_a_positive_multiple(height, width, method, keep):
    size = target_size(height, width, (384, 256), method=method, keep_aspect_ratio=keep, multiple_of=32)
    assert min(size) >= 32 and size[0] % 32 == 0 and size[1] % 32 == 0
    if method == "lower_bound":
        assert size[0] >= 384 and size[1] >= 256
    if method == "upper_bound":
        assert size[0] <= 384 and size[1] <= 256


@pytest.mark.parametrize("name", [f"{m}_{k}" for m in resize.RESIZE_METHODS for k in ("keep", "stretch")])
def test_pixels_of_the_authors(name):
    golden = load_file(GOLDEN / "preprocess.io.safetensors")
    image = golden["image"].permute(2, 0, 1)[None]
    method, aspect = name.rsplit("_", 1)
    size = target_size(100, 150, (96, 96), method=method, keep_aspect_ratio=aspect == "keep", multiple_of=32)
    pixels = resize_image(image, size, mode="bicubic") / 255
    torch.testing.assert_close((pixels[0] - 0.5) / 0.5, golden[name].squeeze(0), atol=1e-4, rtol=0)


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(96, 128), (200, 33), (31, 300)])
def test_antialiased_pixels_equal_pillow(mode, size):
    image = np.random.default_rng(0).integers(0, 256, (90, 141, 3), dtype=np.uint8)
    expected = Image.fromarray(image).resize(size[::-1], getattr(Image.Resampling, mode.upper()))
    pixels = resize_image(torch.from_numpy(image).permute(2, 0, 1)[None], size, mode=mode, antialias=True)
    np.testing.assert_array_equal(pixels[0].permute(1, 2, 0).numpy(), np.array(expected))


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_the_way_of_other_devices_equals_pillow_too(mode):
    # Sizes for which every Pillow takes the width first.
    y, x = torch.meshgrid(torch.linspace(0, 9, 200), torch.linspace(0, 7, 150), indexing="ij")
    image = (torch.stack([y.sin() * x.cos(), (x + y).cos(), (x * y / 9).sin()]) * 100 + 128).to(torch.uint8)[None]
    for size in ((96, 64), (230, 160), (150, 40)):
        expected = resize_image(image, size, mode=mode, antialias=True)
        assert (resize._two_pass_resize(image, size, mode) - expected).abs().max() <= 1


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_a_filter_too_wide_for_a_device_is_the_cpus_work(dtype):
    def shrunk(times):
        return resize_image(torch.empty(1, 3, 8 * times, 8, dtype=dtype, device="meta"), (8, 8), antialias=True)

    assert shrunk(MAX_SHRINK_ON_DEVICE).device.type == "meta"
    with pytest.raises(NotImplementedError, match="meta"):  # it has no pixels that the CPU could take
        shrunk(MAX_SHRINK_ON_DEVICE + 1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("times", [(MAX_SHRINK_ON_DEVICE, MAX_SHRINK_ON_DEVICE), (1, 200), (200, 200)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_a_gpu_shrinks_as_the_cpu_does(times, dtype):
    image = torch.nn.functional.interpolate(torch.rand(1, 3, 6, 6) * 200 + 20, size=[8 * factor for factor in times])
    image = image.to(dtype)
    small = resize_image(image.cuda(), (8, 8), antialias=True)
    assert small.is_cuda
    torch.testing.assert_close(small.cpu(), resize_image(image, (8, 8), antialias=True), atol=2, rtol=0)


def test_cubic_keeps_the_overshoot_without_antialiasing():
    edge = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    edge[..., 4:] = 255
    pixels = resize_image(edge, (8, 32))
    assert pixels.min() < 0 and pixels.max() > 255


@settings(deadline=None)
@given(SIZES, SIZES, SIZES, SIZES, st.integers(0, 2**31))
def test_nearest_never_invents_a_label(height, width, new_height, new_width, seed):
    labels = torch.from_numpy(np.random.default_rng(seed).integers(0, 300, (height, width)))
    resized = resize_nearest(labels, (new_height, new_width))
    assert resized.shape == (new_height, new_width) and resized.dtype == labels.dtype
    assert set(resized.unique().tolist()) <= set(labels.unique().tolist())


@settings(deadline=None)
@given(SIZES, SIZES, SIZES, SIZES, st.integers(0, 2**31), st.sampled_from(["nearest", "bilinear"]))
def test_depth_never_mixes_with_missing_pixels(height, width, new_height, new_width, seed, mode):
    rng = np.random.default_rng(seed)
    depth = torch.from_numpy(rng.uniform(5, 6, (height, width)).astype(np.float32))
    depth[torch.from_numpy(rng.random((height, width)) < 0.4)] = 0
    resized = resize_depth(depth, (new_height, new_width), mode=mode)
    # A mixture with a hole would fall between 0 and 5.
    assert ((resized == 0) | ((resized >= 5 - 1e-4) & (resized <= 6 + 1e-4))).all()
    assert torch.equal(resized == 0, resize_nearest(depth, (new_height, new_width)) == 0)


def test_bilinear_depth_interpolates_where_all_is_known():
    depth = torch.arange(1.0, 9.0).repeat(4, 1)
    doubled = resize_depth(depth, (8, 16), mode="bilinear")
    torch.testing.assert_close(doubled[3, 1:-1], torch.arange(1.25, 8.0, 0.5))
    with pytest.raises(ValueError, match="'cubic'"):
        resize_depth(depth, (8, 16), mode="cubic")


def test_depth_batches_resize_like_single_maps():
    depth = torch.rand(2, 3, 5, 7)
    assert torch.equal(
        resize_depth(depth, (9, 4), mode="bilinear")[1, 2], resize_depth(depth[1, 2], (9, 4), mode="bilinear")
    )


@pytest.mark.parametrize("mode", ["bicubic", "bilinear", "bilinear-corners", "nearest"])
def test_predictions_stay_within_their_own_range(mode):
    maps = torch.zeros(1, 2, 6, 6)
    maps[:, 0, :, 3:] = 1
    maps[:, 1] = 0.1  # constant
    resized = resize_prediction(maps, (25, 31), mode=mode)
    assert resized.shape == (1, 2, 25, 31)
    assert resized[:, 0].min() >= 0 and resized[:, 0].max() <= 1
    assert (resized[:, 1] == resized[0, 1, 0, 0]).all()


def test_predictions_become_float32():
    assert resize_prediction(torch.ones(1, 1, 4, 4, dtype=torch.bfloat16), (8, 8)).dtype == torch.float32
    assert resize_prediction(torch.ones(1, 1, 4, 4, dtype=torch.bfloat16), None).dtype == torch.float32
    with pytest.raises(ValueError, match="'lanczos'"):
        resize_prediction(torch.ones(1, 1, 4, 4), (8, 8), mode="lanczos")


def test_predicted_cubic_equals_the_authors_inside_the_range():
    maps = torch.rand(1, 1, 24, 32)
    expected = torch.nn.functional.interpolate(maps, size=(50, 70), mode="bicubic", align_corners=False)
    inside = (expected >= maps.min()) & (expected <= maps.max())
    assert torch.equal(resize_prediction(maps, (50, 70))[inside], expected[inside])


@pytest.mark.parametrize("mode", ["bicubic", "bilinear", "bilinear-corners"])
def test_a_hole_in_a_prediction_stays_a_hole_and_does_not_swallow_the_map(mode):
    maps = torch.rand(1, 2, 20, 30) + 1
    whole = resize_prediction(maps, (40, 60), mode=mode)
    maps[0, 0, 0, 0] = torch.nan
    resized = resize_prediction(maps, (40, 60), mode=mode)
    assert resized[0, 0, 0, 0].isnan() and not resized[0, 0, 8:, 8:].isnan().any()
    assert torch.equal(resized[0, 0, 8:, 8:], whole[0, 0, 8:, 8:]) and torch.equal(resized[0, 1], whole[0, 1])
