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


def winograd_of(convolution: nn.Conv2d) -> WinogradConv2d:
    """A layer of the same parameters."""
    layer = copy.copy(convolution)
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
        assert layer._packed.copies

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
        assert not layer._packed.copies

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
            assert len(layer._packed.copies) <= packed_weight.MAX_COPIES

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

    def test_gradients_are_those_of_the_plain_layer(self, convolution):
        gradients = []
        for layer in (convolution.requires_grad_(), winograd_of(convolution)):
            layer.zero_grad()
            feature_map = maps(1, 24, 24).requires_grad_()
            layer(feature_map).square().mean().backward()
            gradients.append((feature_map.grad, layer.weight.grad.clone(), layer.bias.grad.clone()))
        assert all(torch.equal(got, expected) for got, expected in zip(*gradients, strict=True))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_types_are_left_alone(convolution, dtype):
    layer = winograd_of(convolution.to(dtype))
    feature_map = maps(1, 24, 24).to(dtype)
    assert torch.equal(layer(feature_map), convolution(feature_map))


def test_only_convolutions_that_gain_are_replaced():
    class Other(nn.Conv2d):
        pass

    gains = nn.Conv2d(96, 128, 3, padding=1)
    others = [
        nn.Conv2d(96, 64, 3, padding=1),
        nn.Conv2d(96, 96, 3),
        nn.Conv2d(96, 96, 3, padding=1, stride=2),
        nn.Conv2d(96, 96, 3, padding=2, dilation=2),
        nn.Conv2d(96, 96, 3, padding=1, groups=2),
        nn.Conv2d(96, 96, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(96, 96, 1),
        nn.ConvTranspose2d(96, 96, 3, padding=1),
        Other(96, 96, 3, padding=1),
    ]
    model = nn.Sequential(gains, *others)
    names = list(model.state_dict())
    assert use_winograd(model) == 1
    assert [type(layer) is WinogradConv2d for layer in model] == [True] + [False] * len(others)
    assert list(model.state_dict()) == names


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
    layers = [module for module in model.modules() if isinstance(module, WinogradConv2d)]
    assert len(layers) == 20 and any(layer._packed.copies for layer in layers)
    assert (got - expected).abs().max() <= 1e-5 * expected.abs().max()
    model.save_pretrained(tmp_path)
    with torch.no_grad():
        again = DPTForDepthEstimation.from_pretrained(tmp_path)(pixel_values).predicted_depth
    assert (again - expected).abs().max() <= 1e-6 * expected.abs().max()
