"""Packed linear layers: the same numbers as nn.Linear, whatever happens to the weight."""

import copy
import ctypes
import pickle

import pytest
import torch
from torch import nn
from torch._subclasses import FakeTensorMode

from open_dpt import DPTForDepthEstimation, DPTForSemanticSegmentation
from open_dpt.modeling_dpt import packed_weight
from open_dpt.modeling_dpt.packed_linear import PackedLinear, pack_linears
from open_dpt.modeling_dpt.packed_weight import can_pack

needs_packing = pytest.mark.skipif(not can_pack(), reason="this CPU or build of torch has no packed weights")
DTYPES = [torch.float32, torch.bfloat16]


@pytest.fixture(params=DTYPES, ids=str)
def linear(request):
    if request.param not in packed_weight._dtypes():
        pytest.skip(f"this CPU does not multiply {request.param} in packed form")
    torch.manual_seed(0)
    return nn.Linear(48, 80).to(request.param)


@pytest.fixture
def features(linear):
    return torch.randn(2, 75, 48, generator=torch.Generator().manual_seed(1)).to(linear.weight.dtype)


def packed_of(linear: nn.Linear) -> PackedLinear:
    """A packed layer of the same parameters."""
    packed = copy.copy(linear)
    assert pack_linears(nn.Sequential(packed)) == 1
    return packed


def error(got: torch.Tensor, linear: nn.Linear, features: torch.Tensor) -> float:
    exact = nn.functional.linear(features.double(), linear.weight.double(), linear.bias.double())
    return ((got.double() - exact).abs().max() / exact.abs().max()).item()


def close(got: torch.Tensor, expected: torch.Tensor) -> bool:
    tolerance = {torch.float32: 1e-6, torch.bfloat16: 2**-7}[expected.dtype]
    return got.dtype == expected.dtype and bool((got - expected).abs().max() <= tolerance * expected.abs().max())


@needs_packing
class TestPacked:
    def test_rounds_no_worse_than_the_plain_layer(self, linear, features):
        packed = packed_of(linear)
        with torch.no_grad():
            # Strided, of two and of four axes too.
            for part in (features, features[:, 5:], features[0], features[:, ::2], features.unflatten(1, (5, 15))):
                got = packed(part)
                assert packed._packed.copies and got.shape == (*part.shape[:-1], 80) and got.is_contiguous()
                smallest = 2**-9 if got.dtype == torch.bfloat16 else 1e-6
                assert error(got, linear, part) <= max(error(linear(part), linear, part), smallest)

    def test_without_bias(self, linear, features):
        linear.bias = None
        with torch.no_grad():
            assert close(packed_of(linear)(features), linear(features))

    def test_gelu_comes_with_the_product(self, linear, features):
        packed = packed_of(linear)
        for part in (features, features[:1, :3]):  # packed, and too few tokens for it
            with torch.no_grad():
                assert close(packed(part, gelu=True), nn.functional.gelu(linear(part)))
        inputs = features.clone().requires_grad_()
        assert torch.equal(packed(inputs, gelu=True), nn.functional.gelu(linear(inputs)))

    def test_few_or_no_tokens_are_left_to_the_plain_layer(self, linear, features):
        packed = packed_of(linear)
        with torch.no_grad():
            for part in (features[:, :0], features[:0], features[0, 0], features[:, :3]):
                assert torch.equal(packed(part), linear(part))
        assert not packed._packed.copies

    def test_no_number_of_tokens_has_the_weight_rearranged_at_each_call(self, features, capfd):
        # oneDNN takes 768 channels in blocks of 48 or of 64, as the number of tokens has it.
        linear = nn.Linear(48, 768).to(features.dtype).requires_grad_(False)
        packed = packed_of(linear)
        for tokens in (64, 75, 150, 577, 1201, 5000):
            batch = torch.randn(tokens, 48).to(features.dtype)
            packed(batch)
            capfd.readouterr()
            with torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON):
                got = packed(batch)
            ctypes.CDLL(None).fflush(None)
            log = capfd.readouterr().out
            assert "exec,cpu,convolution" in log and "reorder" not in log
            assert close(got, linear(batch))
            assert len(packed._packed.copies) <= packed_weight.MAX_COPIES

    def test_another_number_of_threads_may_pack_again(self, linear, features):
        packed, threads = packed_of(linear.requires_grad_(False)), torch.get_num_threads()
        try:
            for number in (1, 2, 4):
                torch.set_num_threads(number)
                assert close(packed(features), linear(features))
        finally:
            torch.set_num_threads(threads)

    def test_a_third_layout_takes_the_place_of_the_oldest(self, linear, features, monkeypatch):
        monkeypatch.setattr(packed_weight, "_layouts", {})
        numbers = iter(range(9))
        monkeypatch.setattr(packed_weight, "_layout", lambda packed: bytes([next(numbers)]))
        packed = packed_of(linear.requires_grad_(False))
        for tokens in (70, 71, 72, 70):
            assert close(packed(features[0, :tokens]), linear(features[0, :tokens]))
        assert len(packed._packed.copies) == packed_weight.MAX_COPIES

    def test_a_changed_weight_is_packed_again(self, linear, features):
        packed = packed_of(linear)
        with torch.no_grad():
            packed(features)
            packed.weight.mul_(2)
            assert close(packed(features), linear(features))
            packed.load_state_dict(nn.Linear(48, 80).to(features.dtype).state_dict())
            assert close(packed(features), linear(features))
            packed.load_state_dict(nn.Linear(48, 80).to(features.dtype).state_dict(), assign=True)
            expected = nn.functional.linear(features, packed.weight, packed.bias)
            assert close(packed(features), expected)

    def test_inference_mode_and_no_grad_can_take_turns(self, linear, features):
        packed = packed_of(linear.requires_grad_(False))
        with torch.inference_mode():
            expected = packed(features)
        assert torch.equal(packed(features), expected)

    def test_where_changes_go_uncounted_nothing_is_packed(self, linear, features):
        with torch.inference_mode():
            made_here = copy.deepcopy(linear)
            packed = packed_of(made_here)
            packed(features)
            packed.weight.mul_(2)
            assert torch.equal(packed(features), made_here(features)) and not packed._packed.copies

    def test_a_weight_that_is_computed_is_not_packed(self, linear, features):
        class Double(nn.Module):
            def forward(self, weight):
                return 2 * weight

        packed = packed_of(linear.requires_grad_(False))
        expected = nn.functional.linear(features, 2 * linear.weight, linear.bias)
        packed(features)
        nn.utils.parametrize.register_parametrization(packed, "weight", Double())
        assert close(packed(features), expected)

    def test_packing_again_takes_up_what_went_unnoticed(self, linear, features):
        packed = packed_of(linear.requires_grad_(False))
        packed(features)
        linear.weight.data.mul_(2)
        pack_linears(nn.Sequential(packed))
        assert close(packed(features), linear(features))
        packed.to(torch.float64).to(features.dtype)
        assert not packed._packed.copies

    def test_hooks_stay(self, linear, features):
        seen = []
        linear.register_forward_hook(lambda module, inputs, output: seen.append(output))
        packed = packed_of(linear.requires_grad_(False))
        assert torch.equal(packed(features), seen[-1])

    def test_tensors_without_memory_are_left_to_the_plain_layer(self, linear):
        with FakeTensorMode(allow_non_fake_inputs=True):
            assert packed_of(linear)(torch.empty(2, 75, 48, dtype=linear.weight.dtype)).shape == (2, 75, 80)

    def test_copies_pack_for_themselves(self, linear, features):
        packed = packed_of(linear)
        with torch.no_grad():
            expected = packed(features)
            others = copy.deepcopy(packed), pickle.loads(pickle.dumps(packed))
            packed.weight.zero_()
            assert all(torch.equal(other(features), expected) for other in others)

    def test_gradients_and_autocast_are_those_of_the_plain_layer(self, linear, features):
        gradients = []
        for layer in (linear, packed_of(linear)):
            layer.zero_grad()
            inputs = features.clone().requires_grad_()
            layer(inputs).float().square().mean().backward()
            gradients.append((inputs.grad, layer.weight.grad.clone(), layer.bias.grad.clone()))
        assert all(torch.equal(got, expected) for got, expected in zip(*gradients, strict=True))
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(packed_of(linear)(features.float()), linear(features.float()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_other_types_are_left_alone(dtype):
    linear, features = nn.Linear(48, 80).to(dtype), torch.randn(2, 75, 48).to(dtype)
    packed = packed_of(linear)
    with torch.no_grad():
        assert torch.equal(packed(features), linear(features))
    assert not packed._packed.copies


@pytest.mark.parametrize("model_class", [DPTForDepthEstimation, DPTForSemanticSegmentation])
@pytest.mark.parametrize("encoder", ["vit", "hybrid", "dinov2", "beit", "swin"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_models(tiny, tmp_path, encoder, model_class, dtype):
    model = model_class(tiny(encoder)).eval().to(dtype)
    side = 3 * model.config.size_divisor
    pixel_values = torch.randn(5, 3, side, 2 * side).to(dtype)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        expected = model(pixel_values)[0]
        assert pack_linears(model) > 0
        got = model(pixel_values)[0]
    if can_pack():
        assert any(module._packed.copies for module in model.modules() if isinstance(module, PackedLinear))
    # Sums in another order may round otherwise: within what the type resolves, over a few layers.
    assert (got - expected).abs().max() <= (1e-5 if dtype == torch.float32 else 2**-6) * expected.abs().max()
    assert weights.keys() == model.state_dict().keys()
    model.save_pretrained(tmp_path)
    loaded = model_class.from_pretrained(tmp_path).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in weights.items())


def test_graphs_are_made_of_plain_layers(tiny):
    torch._dynamo.reset()
    model = DPTForDepthEstimation(tiny()).bfloat16().optimize_for_inference()
    pixel_values = torch.randn(5, 3, 48, 80).bfloat16()
    with torch.no_grad():
        expected = model(pixel_values).predicted_depth
        compiled = torch.compile(model, backend="eager", fullgraph=True)(pixel_values).predicted_depth
        program = torch.export.export(model, (), {"pixel_values": pixel_values}, strict=False)
        exported = program.module()(pixel_values=pixel_values).predicted_depth
    for got in (compiled, exported):
        assert (got - expected).abs().max() <= 2**-6 * expected.abs().max()
    assert not any("mkldnn" in str(node.target) for node in program.graph.nodes)
