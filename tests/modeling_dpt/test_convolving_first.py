"""Convolving the small map and upsampling then: the same numbers at any size."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import conv2d, interpolate

from open_dpt.modeling_dpt.convolving_first import convolved_first

side = st.integers(1, 40)


def by_definition(feature_map, weight, bias, size):
    enlarged = interpolate(feature_map, size=size, mode="bilinear", align_corners=True)
    return conv2d(enlarged, weight, bias, padding=1)


@settings(max_examples=60, deadline=None)
@given(side, side, side, side, st.integers(1, 3), st.booleans(), st.booleans(), st.integers(0, 99))
def test_any_size_and_aspect(height, width, large_height, large_width, batch, has_bias, channels_last, seed):
    generator = torch.Generator().manual_seed(seed)
    feature_map = torch.randn(batch, 6, height, width, generator=generator)
    if channels_last:
        feature_map = feature_map.to(memory_format=torch.channels_last)
    weight = torch.randn(4, 6, 3, 3, generator=generator)
    bias = torch.randn(4, generator=generator) if has_bias else None
    got = convolved_first(feature_map, weight, bias, (large_height, large_width))
    expected = by_definition(feature_map, weight, bias, (large_height, large_width))
    assert got.shape == expected.shape and got.dtype == expected.dtype
    assert (got - expected).abs().max() <= 5e-6 * expected.abs().max()


@pytest.mark.parametrize("smooth", [False, True])
def test_bfloat16_rounds_hardly_more_than_by_definition(smooth):
    torch.manual_seed(0)
    feature_map, weight = torch.randn(1, 64, 24, 24), torch.randn(16, 64, 3, 3)
    if smooth:  # taps that nearly cancel on a map that hardly changes
        feature_map = interpolate(torch.randn(1, 64, 5, 5), size=(24, 24), mode="bilinear")
        weight = weight - 0.9 * weight.mean((2, 3), keepdim=True)
    half = feature_map.bfloat16(), weight.bfloat16(), torch.randn(16).bfloat16()
    exact = by_definition(*(tensor.double() for tensor in half), (48, 48))
    errors = [(run(*half, (48, 48)).double() - exact).norm() for run in (convolved_first, by_definition)]
    assert errors[0] <= 1.3 * errors[1]


def test_then_is_applied_to_every_pixel(monkeypatch):
    torch.manual_seed(0)
    arguments = torch.randn(2, 6, 20, 7), torch.randn(4, 6, 3, 3), None, (40, 19)
    parts = []

    def then(strip):
        parts.append(strip.shape)
        return strip.relu().sum(dim=1, keepdim=True)

    got = convolved_first(*arguments, then)
    expected = by_definition(*arguments).relu().sum(dim=1, keepdim=True)
    assert got.shape == (2, 1, 40, 19) and len(parts) == 2 * 3
    assert (got - expected).abs().max() <= 5e-6 * expected.abs().max()


def test_matrices_made_in_inference_mode_serve_outside_of_it():
    arguments = torch.randn(1, 6, 9, 9), torch.randn(4, 6, 3, 3), None, (23, 23)
    with torch.inference_mode():
        expected = convolved_first(*arguments)
    assert torch.equal(convolved_first(*arguments), expected)
