"""The gradient of a convolution of an enlarged map is as near to that in float64 as autograd's own."""

import copy

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import interpolate

from open_dpt import DPTForDepthEstimation
from open_dpt.modeling_dpt import upsampling
from open_dpt.modeling_dpt.upsampling import upsample_and_convolve

CHANNELS = upsampling.MIN_CHANNELS


def plainly(convolution, feature_map, size):
    return convolution(interpolate(feature_map, size=size, mode="bilinear", align_corners=True))


def gradients(run, convolution, feature_map, goal):
    """Of the squared distance to goal, which has no kinks: for the map, the weight and the bias."""
    output = run(convolution, feature_map, goal.shape[-2:])
    loss = (output.double() - goal.double()).square().mean()
    return torch.autograd.grad(loss, (feature_map, *convolution.parameters()))


@settings(max_examples=30, deadline=None)
@given(
    batch=st.integers(1, 3),
    small=st.tuples(st.integers(1, 19), st.integers(1, 19)),
    more=st.tuples(st.integers(0, 23), st.integers(0, 23)),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    memory_format=st.sampled_from([torch.contiguous_format, torch.channels_last]),
    seed=st.integers(0, 2**31),
)
@example(3, (13, 7), (14, 8), torch.float32, torch.channels_last, 0)
@example(3, (13, 7), (14, 8), torch.bfloat16, torch.channels_last, 0)
def test_as_near_to_float64_as_autograds(batch, small, more, dtype, memory_format, seed):
    size = tuple(2 * side + extra for side, extra in zip(small, more, strict=True))
    torch.manual_seed(seed)
    convolution = nn.Conv2d(CHANNELS, 16, kernel_size=3, padding=1).to(dtype)
    feature_map = torch.randn(batch, CHANNELS, *small, dtype=dtype).to(memory_format=memory_format)
    goal = torch.randn(batch, 16, *size)
    exact = gradients(plainly, copy.deepcopy(convolution).double(), feature_map.double().requires_grad_(), goal)
    assert upsampling._pays(convolution, feature_map, size)
    feature_map.requires_grad_()
    ours, autograds = (gradients(run, convolution, feature_map, goal) for run in (upsample_and_convolve, plainly))
    for true, one, other in zip(exact, ours, autograds, strict=True):
        error, usual = ((each.double() - true).norm() for each in (one, other))
        assert error <= 1.5 * usual + torch.finfo(dtype).eps * true.norm()


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize(("batch", "grid"), [(1, (3, 5)), (2, (5, 2)), (3, (2, 3))])
def test_a_model_learns_the_same(tiny, monkeypatch, autocast, batch, grid):
    torch.manual_seed(0)
    model = DPTForDepthEstimation(tiny("vit", fusion_hidden_size=CHANNELS, head_hidden_size=16))
    pixel_values = torch.randn(batch, 3, *(side * model.config.size_divisor for side in grid))
    goal = torch.randn(batch, *pixel_values.shape[-2:])

    def learned(model, dtype):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast and dtype == torch.float32):
            depth = model(pixel_values.to(dtype)).predicted_depth
        # Scale-and-shift-invariant losses jump where another pixel becomes the median: rounding shows a hundredfold.
        loss = (depth.double() - goal.double()).square().mean()
        used = [each for each in model.parameters() if each.requires_grad]
        found = torch.autograd.grad(loss, used, allow_unused=True, materialize_grads=True)
        return torch.cat([each.double().flatten() for each in found])

    exact, ours = learned(copy.deepcopy(model).double(), torch.float64), learned(model, torch.float32)
    monkeypatch.setattr(upsampling, "_pays", lambda *_: False)
    autograds = learned(model, torch.float32)
    assert (ours != autograds).any()
    assert (ours - exact).norm() <= 1.5 * (autograds - exact).norm()
