"""Convolving before upsampling: exact, and only where it pays."""

import copy

import pytest
import torch
from torch import nn
from torch._subclasses import FakeTensorMode
from torch.nn.functional import interpolate

from open_dpt import DPTForDepthEstimation
from open_dpt.modeling_dpt import upsampling
from open_dpt.modeling_dpt.upsampling import upsample_and_convolve


def by_definition(convolution, feature_map, size):
    return convolution(interpolate(feature_map, size=size, mode="bilinear", align_corners=True))


@pytest.fixture(autouse=True)
def small_maps_pay(monkeypatch):
    monkeypatch.setattr(upsampling, "MIN_CHANNELS", 64)
    monkeypatch.setattr(upsampling, "MIN_ENLARGED_BYTES", {torch.float32: 0, torch.bfloat16: 0})


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

    convolved_first = upsampling.convolved_first
    monkeypatch.setattr(upsampling, "convolved_first", spy)
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
    assert calls and (got - expected).abs().max() <= 5e-6 * expected.abs().max()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_inference_on_small_maps_goes_the_plain_way(convolution, calls, monkeypatch, dtype):
    monkeypatch.setattr(upsampling, "MIN_ENLARGED_BYTES", {dtype: 64 * 16 * 24 * dtype.itemsize})
    convolution, feature_map = convolution.to(dtype), torch.randn(1, 64, 8, 12, dtype=dtype)
    with torch.no_grad():
        upsample_and_convolve(convolution, feature_map, (16, 23))
        assert not calls
        upsample_and_convolve(convolution, feature_map, (16, 24))
        assert calls


def test_a_convolution_without_bias(calls):
    convolution = nn.Conv2d(64, 8, kernel_size=3, padding=1, bias=False)
    feature_map = torch.randn(1, 64, 5, 3)
    with torch.no_grad():
        got, expected = (run(convolution, feature_map, (10, 6)) for run in (upsample_and_convolve, by_definition))
    assert calls and (got - expected).abs().max() <= 5e-6 * expected.abs().max()


def test_small_steps_adapted_and_watched_convolutions_go_the_plain_way(convolution, calls):
    class Adapted(nn.Conv2d):
        pass

    feature_map = torch.randn(1, 64, 4, 6)
    with torch.no_grad():
        upsample_and_convolve(convolution, feature_map, (5, 7))
        upsample_and_convolve(Adapted(64, 8, kernel_size=3, padding=1), feature_map, (8, 12))
        upsample_and_convolve(convolution.double(), feature_map.double(), (8, 12))
        seen = []
        convolution.float().register_forward_hook(lambda _, __, output: seen.append(output.shape))
        upsample_and_convolve(convolution, feature_map, (8, 12))
    assert not calls and seen == [(1, 8, 8, 12)]


def test_functional_gradients_go_the_plain_way(convolution, calls):
    feature_map, parameters = torch.randn(1, 64, 3, 4), dict(convolution.named_parameters())

    def loss(values):
        layer = functional_copy(convolution, values)
        return upsample_and_convolve(layer, feature_map, (6, 8)).square().mean()

    def functional_copy(layer, values):
        twin = copy.copy(layer)
        twin._parameters = dict(values)
        return twin

    found = torch.func.grad(loss)(parameters)
    assert not calls
    loss(parameters).backward()
    assert calls
    for name, parameter in parameters.items():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-4, atol=1e-6)


def test_fake_tensors_go_the_plain_way(convolution, calls):
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        assert upsample_and_convolve(convolution, torch.empty(1, 64, 3, 4), (6, 8)).shape == (1, 8, 6, 8)
    assert not calls


def test_another_default_device_changes_nothing(convolution, calls):
    feature_map = torch.randn(1, 64, 3, 7)
    with torch.device("meta"), torch.no_grad():
        found = upsample_and_convolve(convolution, feature_map, (6, 17))
    torch.testing.assert_close(found, by_definition(convolution, feature_map, (6, 17)))
    assert calls


@pytest.mark.parametrize("autocast", [False, True])
def test_bfloat16_rounds_hardly_more_than_the_plain_way(convolution, calls, autocast):
    feature_map = torch.randn(2, 64, 20, 14)
    with torch.no_grad():
        if not autocast:
            convolution, feature_map = convolution.bfloat16(), feature_map.bfloat16()
        exact = by_definition(copy.deepcopy(convolution).double(), feature_map.double(), (40, 28))
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            errors = [
                (run(convolution, feature_map, (40, 28)).double() - exact).norm()
                for run in (upsample_and_convolve, by_definition)
            ]
    assert calls and errors[0] <= 1.3 * errors[1]


def test_what_comes_then_may_see_parts_unless_it_is_watched_or_learns(convolution, calls):
    then = nn.Sequential(nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 3, kernel_size=1))
    feature_map, seen = torch.randn(2, 64, 12, 20), []
    with torch.no_grad():
        expected = then.eval()(by_definition(convolution, feature_map, (24, 40)))
        got = upsample_and_convolve(convolution.eval(), feature_map, (24, 40), then)
        then[1].register_forward_hook(lambda _, __, output: seen.append(output.shape))
        watched = upsample_and_convolve(convolution, feature_map, (24, 40), then)
        for each in (got, watched):
            assert (each - expected).abs().max() <= 5e-6 * expected.abs().max()
        expected = then.train()(by_definition(convolution, feature_map, (24, 40)))
        got = upsample_and_convolve(convolution.train(), feature_map, (24, 40), then)
    assert len(calls) == 3 and seen[0] == (2, 8, 24, 40)
    assert (got - expected).abs().max() <= 1e-5 * expected.abs().max()


def gradients(run, convolution, feature_map, size, autocast):
    inputs = (feature_map, *convolution.parameters())
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        output = run(convolution, feature_map, size)
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(1))
    return output, torch.autograd.grad(output, inputs, weights.to(output.dtype))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "autocast"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("small", "large"), [((4, 6), (8, 12)), ((1, 2), (2, 4)), ((2, 2), (5, 9))])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_gradients_are_those_of_the_plain_way(dtype, bias, small, large, memory_format):
    torch.manual_seed(0)
    convolution = nn.Conv2d(64, 8, kernel_size=3, padding=1, bias=bias)
    feature_map = torch.randn(2, 64, *small).to(memory_format=memory_format)
    if dtype == "bfloat16":
        convolution, feature_map = convolution.bfloat16(), feature_map.bfloat16()
    arguments = convolution, feature_map.requires_grad_(), large, dtype == "autocast"
    (output, got), (plain, expected) = (
        gradients(upsample_and_convolve, *arguments),
        gradients(by_definition, *arguments),
    )
    tolerance = 5e-6 if dtype == "float32" else 1e-2
    for one, other in zip((output, *got), (plain, *expected), strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape
        assert (one - other).abs().max() <= tolerance * other.abs().max()


@pytest.mark.parametrize("frozen", ["map", "weight", "bias", "all"])
def test_what_needs_no_gradient_gets_none(convolution, frozen):
    feature_map = torch.randn(1, 64, 4, 6, requires_grad=frozen not in ("map", "all"))
    convolution.weight.requires_grad_(frozen not in ("weight", "all"))
    convolution.bias.requires_grad_(frozen not in ("bias", "all"))
    output = upsample_and_convolve(convolution, feature_map, (8, 12))
    assert output.requires_grad == (frozen != "all")
    if output.requires_grad:
        output.sum().backward()
    for tensor in (feature_map, *convolution.parameters()):
        assert (tensor.grad is not None) == tensor.requires_grad


def test_the_enlarged_map_is_not_kept_for_the_gradient(convolution):
    feature_map, kept = torch.randn(1, 64, 8, 8, requires_grad=True), []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor.numel()) or tensor, lambda t: t):
        upsample_and_convolve(convolution, feature_map, (16, 16))
    assert kept and max(kept) <= max(feature_map.numel(), convolution.weight.numel())


@pytest.mark.parametrize("encoder", ["vit", "hybrid", "swin"])
def test_a_model_predicts_the_same(tiny, calls, monkeypatch, encoder):
    model = DPTForDepthEstimation(tiny(encoder, fusion_hidden_size=128, head_hidden_size=8)).eval()
    pixel_values = torch.randn(2, 3, 3 * model.config.size_divisor, 5 * model.config.size_divisor)
    with monkeypatch.context() as patch, torch.no_grad():
        patch.setattr(upsampling, "_pays", lambda *_: False)
        expected = model(pixel_values).predicted_depth
        assert not calls
    got = model(pixel_values).predicted_depth
    assert calls and (got - expected).abs().max() <= 1e-5 * expected.abs().max()
