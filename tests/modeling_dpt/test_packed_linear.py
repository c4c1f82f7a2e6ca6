"""Packed linear layers: the same numbers as nn.Linear, whatever happens to the weight."""

import copy

import pytest
import torch
from torch import nn

from open_dpt import DPTForDepthEstimation, DPTForSemanticSegmentation
from open_dpt.modeling_dpt.packed_linear import PackedLinear, can_pack, pack_linears

needs_packing = pytest.mark.skipif(not can_pack(), reason="this CPU or build of torch has no packed bfloat16 weights")


@pytest.fixture
def linear():
    torch.manual_seed(0)
    return nn.Linear(48, 80).bfloat16()


@pytest.fixture
def features():
    return torch.randn(2, 7, 48, generator=torch.Generator().manual_seed(1)).bfloat16()


def error(got: torch.Tensor, linear: nn.Linear, features: torch.Tensor) -> float:
    exact = nn.functional.linear(features.double(), linear.weight.double(), linear.bias.double())
    return ((got.double() - exact).abs().max() / exact.abs().max()).item()


@needs_packing
class TestBfloat16:
    def test_rounds_no_worse_than_the_plain_layer(self, linear, features):
        packed = PackedLinear.of(linear)
        with torch.no_grad():
            for part in (features, features[:, 1:], features[0]):  # strided and of two axes too
                got = packed(part)
                assert packed._packed is not None and got.shape == (*part.shape[:-1], 80)
                assert error(got, linear, part) <= max(error(linear(part), linear, part), 2**-9)

    def test_a_changed_weight_is_packed_again(self, linear, features):
        packed = PackedLinear.of(linear)
        with torch.no_grad():
            packed(features)
            packed.weight.mul_(2)
            torch.testing.assert_close(packed(features), linear(features))
            packed.load_state_dict(nn.Linear(48, 80).bfloat16().state_dict())
            torch.testing.assert_close(packed(features), linear(features))
            packed.load_state_dict(nn.Linear(48, 80).bfloat16().state_dict(), assign=True)
            expected = nn.functional.linear(features, packed.weight, packed.bias)
        torch.testing.assert_close(packed(features), expected)

    def test_inference_mode_and_no_grad_can_take_turns(self, linear, features):
        packed = PackedLinear.of(linear.requires_grad_(False))
        with torch.inference_mode():
            expected = packed(features)
        assert torch.equal(packed(features), expected)

    def test_copies_pack_for_themselves(self, linear, features):
        packed = PackedLinear.of(linear)
        with torch.no_grad():
            expected = packed(features)
            other = copy.deepcopy(packed)
            packed.weight.zero_()
            assert torch.equal(other(features), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_other_types_are_left_alone(linear, features, dtype):
    packed = PackedLinear.of(linear.to(dtype))
    with torch.no_grad():
        assert torch.equal(packed(features.to(dtype)), linear(features.to(dtype)))
    assert packed._packed is None


def test_gradients_and_autocast_are_those_of_the_plain_layer(linear, features):
    gradients = []
    for layer in (linear, PackedLinear.of(linear)):
        layer.zero_grad()
        inputs = features.clone().requires_grad_()
        layer(inputs).float().square().mean().backward()
        gradients.append((inputs.grad, layer.weight.grad.clone(), layer.bias.grad.clone()))
    assert all(torch.equal(got, expected) for got, expected in zip(*gradients, strict=True))
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(PackedLinear.of(linear)(features.float()), linear(features.float()))


@pytest.mark.parametrize("model_class", [DPTForDepthEstimation, DPTForSemanticSegmentation])
@pytest.mark.parametrize("encoder", ["vit", "hybrid", "dinov2", "beit", "swin"])
def test_models(tiny, tmp_path, encoder, model_class):
    model = model_class(tiny(encoder)).eval().bfloat16()
    pixel_values = torch.randn(1, 3, 3 * model.config.size_divisor, 5 * model.config.size_divisor).bfloat16()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        expected = model(pixel_values)[0]
        assert pack_linears(model) > 0
        got = model(pixel_values)[0]
    # Sums in another order may round otherwise: within what bfloat16 resolves, over a few layers.
    assert (got - expected).abs().max() <= 2**-6 * expected.abs().max()
    assert weights.keys() == model.state_dict().keys()
    model.save_pretrained(tmp_path)
    loaded = model_class.from_pretrained(tmp_path).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in weights.items())


def test_graphs_are_made_of_plain_layers(tiny):
    torch._dynamo.reset()
    model = DPTForDepthEstimation(tiny()).bfloat16().optimize_for_inference()
    pixel_values = torch.randn(1, 3, 48, 80).bfloat16()
    with torch.no_grad():
        expected = model(pixel_values).predicted_depth
        compiled = torch.compile(model, backend="eager", fullgraph=True)(pixel_values).predicted_depth
        program = torch.export.export(model, (), {"pixel_values": pixel_values}, strict=False)
        exported = program.module()(pixel_values=pixel_values).predicted_depth
    for got in (compiled, exported):
        assert (got - expected).abs().max() <= 2**-6 * expected.abs().max()
    assert not any("mkldnn" in str(node.target) for node in program.graph.nodes)
