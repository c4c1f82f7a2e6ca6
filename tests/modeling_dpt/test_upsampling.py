"""Convolving before upsampling: exact, and only where it pays."""

import pytest
import torch
from torch import nn
from torch.nn.functional import interpolate

from open_dpt import DPTForDepthEstimation
from open_dpt.modeling_dpt import upsampling
from open_dpt.modeling_dpt.upsampling import upsample_and_convolve


def by_definition(convolution, feature_map, size):
    return convolution(interpolate(feature_map, size=size, mode="bilinear", align_corners=True))


@pytest.fixture
def convolution():
    torch.manual_seed(0)
    return nn.Conv2d(64, 8, kernel_size=3, padding=1)


@pytest.fixture
def calls(monkeypatch):
    """How often the fast way was taken."""
    taken = []

    def spy(*arguments):
        taken.append(1)
        return convolved_first(*arguments)

    convolved_first = upsampling._convolved_first
    monkeypatch.setattr(upsampling, "_convolved_first", spy)
    return taken


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize(
    ("small", "large"), [((4, 6), (8, 12)), ((3, 5), (6, 10)), ((1, 2), (2, 4)), ((2, 2), (5, 9))]
)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_the_same_to_the_last_digits(convolution, calls, batch, small, large, memory_format):
    feature_map = torch.randn(batch, 64, *small).to(memory_format=memory_format)
    with torch.no_grad():
        got = upsample_and_convolve(convolution, feature_map, large)
        expected = by_definition(convolution, feature_map, large)
    assert calls and (got - expected).abs().max() <= 1e-6 * expected.abs().max()


def test_a_convolution_without_bias(calls):
    convolution = nn.Conv2d(64, 8, kernel_size=3, padding=1, bias=False)
    feature_map = torch.randn(1, 64, 5, 3)
    with torch.no_grad():
        got, expected = (run(convolution, feature_map, (10, 6)) for run in (upsample_and_convolve, by_definition))
    assert calls and (got - expected).abs().max() <= 1e-6 * expected.abs().max()


def test_training_half_precision_and_small_steps_go_the_plain_way(convolution, calls):
    feature_map = torch.randn(1, 64, 4, 6, requires_grad=True)
    upsample_and_convolve(convolution, feature_map, (8, 12)).sum().backward()
    assert feature_map.grad is not None
    with torch.no_grad():
        upsample_and_convolve(convolution, feature_map, (5, 7))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            upsample_and_convolve(convolution, feature_map, (8, 12))
        half = convolution.bfloat16(), feature_map.bfloat16()
        assert torch.equal(upsample_and_convolve(*half, (8, 12)), by_definition(*half, (8, 12)))
    assert not calls


@pytest.mark.parametrize("encoder", ["vit", "hybrid", "swin"])
def test_a_model_predicts_the_same(tiny, calls, encoder):
    model = DPTForDepthEstimation(tiny(encoder, fusion_hidden_size=128, head_hidden_size=8)).eval()
    pixel_values = torch.randn(2, 3, 3 * model.config.size_divisor, 5 * model.config.size_divisor)
    expected = model(pixel_values).predicted_depth  # with gradients: the plain way
    assert not calls
    with torch.no_grad():
        got = model(pixel_values).predicted_depth
    assert calls and (got - expected).abs().max() <= 1e-5 * expected.abs().max()
