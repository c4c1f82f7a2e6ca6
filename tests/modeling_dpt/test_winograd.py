"""Convolutions with fewer products: the same numbers as nn.Conv2d, at any size, whatever happens to the weight."""

import copy
import ctypes
import pickle

import pytest
import torch
from torch import nn

from open_dpt import DPTForDepthEstimation
from open_dpt.modeling_dpt import packed_weight, winograd
from open_dpt.modeling_dpt.packed_weight import can_pack
from open_dpt.modeling_dpt.winograd import WinogradConv2d, use_winograd

needs_packing = pytest.mark.skipif(not can_pack(), reason="this CPU or build of torch has no packed weights")


@pytest.fixture
def convolution():
    torch.manual_seed(0)
    return nn.Conv2d(96, 112, 3, padding=1).requires_grad_(False)


def maps(*shape, channels=96):
    return torch.randn(shape[0], channels, *shape[1:], generator=torch.Generator().manual_seed(1))


def winograd_of(convolution: nn.Conv2d, prepared: bool = True) -> WinogradConv2d:
    """A layer of the same parameters."""
    layer = WinogradConv2d(convolution.in_channels, convolution.out_channels)
    layer.weight, layer.bias = convolution.weight, convolution.bias
    if prepared:
        assert use_winograd(nn.Sequential(layer)) == 1
    return layer


def error(got: torch.Tensor, convolution: nn.Conv2d, feature_map: torch.Tensor) -> float:
    exact = copy.deepcopy(convolution).double()(feature_map.double())
    return ((got.double() - exact).abs().max() / exact.abs().max()).item()


@needs_packing
class TestWinograd:
    @pytest.mark.parametrize("size", [(12, 12), (13, 30), (1, 40), (50, 2), (24, 24), (61, 64), (9, 640)])
    @pytest.mark.parametrize("bias", [True, False])
    def test_any_size(self, convolution, size, bias):
        if not bias:
            convolution.bias = None
        layer = winograd_of(convolution)
        for batch in (1, 2):
            feature_map = maps(batch, *size)
            for given in (feature_map, feature_map.to(memory_format=torch.channels_last), feature_map.mT.clone().mT):
                got = layer(given)
                assert got.shape == (batch, 112, *size)
                assert error(got, convolution, given) <= 5e-6
        assert layer.packed.copies

    def test_every_tile_is_made_of_its_own_window(self, convolution):
        # A single pixel is seen by its neighbours and by nobody else, wherever tiles and strips of them begin.
        layer = winograd_of(convolution)
        convolution.bias = layer.bias = None
        height, width = 27, 150
        for row, column in ((0, 0), (3, 4), (4, 3), (15, 15), (16, 149), (26, 80)):
            feature_map = torch.zeros(1, 96, height, width)
            feature_map[..., row, column] = 1
            got, expected = layer(feature_map), convolution(feature_map)
            assert torch.allclose(got, expected, atol=5e-6)
            far = torch.ones(height, width, dtype=torch.bool)
            far[max(0, row - 7) : row + 8, max(0, column - 7) : column + 8] = False
            assert not got[..., far].any()

    def test_few_tiles_and_no_images_are_left_to_the_plain_layer(self, convolution):
        layer = winograd_of(convolution)
        for feature_map in (maps(2, 4, 32), maps(2, 1, 1), maps(0, 24, 24)):
            assert torch.equal(layer(feature_map), convolution(feature_map))
        assert not layer.packed.copies

    def test_no_size_has_the_weight_rearranged_at_each_call(self, convolution, capfd):
        layer = winograd_of(convolution)
        for size in ((12, 12), (24, 24), (60, 80), (30, 124), (44, 128)):
            layer(maps(1, *size))
            capfd.readouterr()
            with torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON):
                layer(maps(1, *size))
            ctypes.CDLL(None).fflush(None)
            log = capfd.readouterr().out
            assert "exec,cpu,convolution" in log and "reorder" not in log
            assert len(layer.packed.copies) <= packed_weight.MAX_COPIES

    def test_a_changed_weight_counts(self, convolution):
        layer, feature_map = winograd_of(convolution), maps(1, 24, 24)
        layer(feature_map)
        layer.weight.mul_(2)  # shared with the convolution
        assert error(layer(feature_map), convolution, feature_map) <= 5e-6
        other = nn.Conv2d(96, 112, 3, padding=1).requires_grad_(False)
        layer.load_state_dict(other.state_dict())
        assert error(layer(feature_map), other, feature_map) <= 5e-6

    def test_copies_keep_their_own_weight(self, convolution):
        layer, feature_map = winograd_of(convolution), maps(1, 24, 24)
        expected = layer(feature_map)
        others = copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))
        layer.weight.zero_()
        assert all(torch.equal(other(feature_map), expected) for other in others)


@needs_packing
class TestLearning:
    @pytest.fixture(params=[True, False], ids=["prepared", "plain"])
    def layer(self, convolution, request):
        return winograd_of(convolution.requires_grad_(), request.param)

    @pytest.mark.parametrize("shape", [(1, 96, 47, 50), (3, 96, 45, 13), (9, 96, 1, 90), (2, 96, 48, 48)])
    def test_gradients_are_as_near_to_the_exact_ones_nearly(self, layer, convolution, shape):
        def errors(layer: nn.Module, feature_map: torch.Tensor) -> list[float]:
            """Of the result and of the gradients of map, weight and bias."""
            exact = copy.deepcopy(layer).double()
            found = []
            for candidate, given in ((exact, feature_map.double()), (layer, feature_map)):
                given = given.detach().requires_grad_()
                candidate.zero_grad()
                result = candidate(given)
                result.square().mean().backward()
                parameters = [candidate.weight, candidate.bias]
                found.append([result.detach(), given.grad, *(parameter.grad.clone() for parameter in parameters)])
            return [((got - value).norm() / value.norm()).item() for value, got in zip(*found, strict=True)]

        for layout in (torch.contiguous_format, torch.channels_last):
            feature_map = torch.randn(shape).to(memory_format=layout)
            got, plain = errors(layer, feature_map), errors(convolution, feature_map)
            assert max(got) < 4e-6 and max(plain) < 2e-6
            assert got != plain  # they went the other way

    @pytest.mark.parametrize("needed", ["map", "weight", "bias"])
    def test_only_what_is_needed_is_computed(self, layer, convolution, needed):
        feature_map = torch.randn(1, 96, 48, 48, requires_grad=needed == "map")
        layer.weight.requires_grad_(needed == "weight")
        layer.bias.requires_grad_(needed == "bias")
        result = layer(feature_map)
        result.sum().backward()
        tensors = {"map": feature_map, "weight": layer.weight, "bias": layer.bias}
        assert [name for name, tensor in tensors.items() if tensor.grad is not None] == [needed]
        (expected,) = torch.autograd.grad(convolution(feature_map).sum(), tensors[needed])
        assert torch.allclose(tensors[needed].grad, expected, rtol=1e-4, atol=1e-4 * expected.abs().max())

    def test_gradients_add_up_and_weights_are_read_anew_at_every_step(self, layer, convolution):
        feature_map = torch.randn(1, 96, 48, 48)
        layer(feature_map).square().mean().backward()
        once = layer.weight.grad.clone()
        layer(feature_map).square().mean().backward()
        assert torch.equal(layer.weight.grad, 2 * once)
        with torch.no_grad():
            layer.weight.mul_(2)
        assert torch.allclose(layer(feature_map), convolution(feature_map), atol=1e-4)
        assert not layer.packed or not layer.packed.copies  # what a step needs goes with it

    @pytest.mark.parametrize("size", [(48, 48), (47, 50), (47, 48)])
    def test_layers_that_follow_may_work_in_place(self, layer, convolution, size):
        feature_map = torch.randn(1, 96, *size)
        gradients = []
        for candidate in (layer, convolution):
            candidate.zero_grad()
            nn.functional.relu(candidate(feature_map), inplace=True).square().mean().backward()
            gradients.append(candidate.weight.grad.clone())
        assert torch.allclose(*gradients, rtol=1e-3, atol=1e-4 * gradients[1].abs().max())

    def test_a_weight_changed_before_the_backward_pass_is_an_error(self, layer):
        result = layer(torch.randn(1, 96, 48, 48, requires_grad=True))
        with torch.no_grad():
            layer.weight.mul_(2)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            result.sum().backward()

    def test_where_it_cannot_be_used_the_plain_layer_is(self, layer, convolution):
        feature_map = torch.randn(1, 96, 48, 48, requires_grad=True)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(layer(feature_map), convolution(feature_map))
        few = feature_map[..., :16, :16]
        assert torch.equal(layer(few), convolution(few))
        graph = torch.export.export(layer, (feature_map,)).graph
        assert [node.target for node in graph.nodes if node.op == "call_function"] == [torch.ops.aten.conv2d.default]

        def loss(weight: torch.Tensor) -> torch.Tensor:
            return torch.func.functional_call(layer, {"weight": weight}, (feature_map,)).square().mean()

        slope = torch.func.grad(lambda scale: loss(scale * layer.weight.detach()))
        assert torch.func.grad(slope)(torch.ones(())) > 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_types_are_left_alone(convolution, dtype):
    layer = winograd_of(convolution.to(dtype))
    feature_map = maps(1, 24, 24).to(dtype)
    assert torch.equal(layer(feature_map), convolution(feature_map))


def test_only_convolutions_that_gain_are_replaced():
    class Other(WinogradConv2d):
        pass

    gains = WinogradConv2d(96, 128)
    others = [WinogradConv2d(96, 64), nn.Conv2d(96, 96, 3, padding=1), Other(96, 96)]
    model = nn.Sequential(gains, *others)
    names = list(model.state_dict())
    assert use_winograd(model) == 1 and gains.packed
    assert not any(getattr(layer, "packed", None) for layer in others)
    assert list(model.state_dict()) == names == list(nn.Sequential(*[nn.Conv2d(1, 1, 3)] * 4).state_dict())


@needs_packing
def test_a_subclass_computes_what_it_says():
    layer = WinogradConv2d(96, 96)
    torch.nn.utils.parametrizations.weight_norm(layer)
    feature_map = torch.randn(1, 96, 48, 48, requires_grad=True)
    expected = nn.functional.conv2d(feature_map, layer.weight, layer.bias, padding=1)
    assert torch.equal(layer(feature_map), expected)


@needs_packing
def test_a_model_gives_the_same_depth(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(winograd, "MIN_CHANNELS", 1)
    torch.manual_seed(0)
    model = DPTForDepthEstimation(tiny()).eval()
    pixel_values = torch.randn(2, 3, 80, 112)
    with torch.no_grad():
        expected = model(pixel_values).predicted_depth
        model.optimize_for_inference()
        got = model(pixel_values).predicted_depth
    layers = [module for module in model.neck.modules() if isinstance(module, WinogradConv2d)]
    assert len(layers) == 20 and all(layer.packed for layer in layers) and any(layer.packed.copies for layer in layers)
    assert (got - expected).abs().max() <= 1e-5 * expected.abs().max()
    model.save_pretrained(tmp_path)
    with torch.no_grad():
        again = DPTForDepthEstimation.from_pretrained(tmp_path)(pixel_values).predicted_depth
    assert (again - expected).abs().max() <= 1e-6 * expected.abs().max()
