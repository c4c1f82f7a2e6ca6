"""Readout, reassemble and fusion: the reordered algebra equals the paper's."""

import pytest
import torch
from torch.nn.functional import interpolate

from open_dpt.modeling_dpt.fusion import FusionStage
from open_dpt.modeling_dpt.readout import ProjectReadout, add, ignore
from open_dpt.modeling_dpt.reassemble import ReassembleStage


@pytest.fixture
def tokens():
    return torch.randn(2, 15, 32)


@pytest.fixture
def prefix():
    return torch.randn(2, 2, 32)


def test_ignore_and_add(tokens, prefix):
    assert ignore(tokens, prefix) is tokens
    torch.testing.assert_close(add(tokens, prefix), tokens + (prefix[:, :1] + prefix[:, 1:]) / 2)


def test_project_is_a_linear_layer_of_the_concatenation(tokens, prefix):
    readout = ProjectReadout(32, "gelu")
    linear, activation = readout
    torch.nn.init.normal_(linear.bias)
    by_definition = activation(linear(torch.cat([tokens, prefix[:, :1].expand(-1, 15, -1)], dim=-1)))
    torch.testing.assert_close(readout(tokens, prefix), by_definition)


def test_reassemble_puts_every_token_in_its_place(tiny):
    stage = ReassembleStage(tiny(readout_type="ignore", num_prefix_tokens=2))
    for layer in stage.layers:
        layer.projection, layer.resize = torch.nn.Identity(), torch.nn.Identity()
    taps = tuple(torch.randn(1, 2 + 3 * 5, 32) for _ in range(4))
    for tap, feature_map in zip(taps, stage(taps, (3, 5)), strict=True):
        assert feature_map.shape == (1, 32, 3, 5)
        assert torch.equal(feature_map[0, :, 1, 4], tap[0, 2 + 1 * 5 + 4])


@pytest.mark.parametrize(("grid", "sizes"), [((3, 5), [(12, 20), (6, 10), (3, 5), (2, 3)])])
def test_reassemble_makes_a_pyramid_of_odd_grids_too(tiny, grid, sizes):
    maps = ReassembleStage(tiny())(tuple(torch.randn(1, 16, 32) for _ in range(4)), grid)
    assert [tuple(feature_map.shape[1:]) for feature_map in maps] == [
        (channels, *size) for channels, size in zip((8, 12, 16, 24), sizes, strict=True)
    ]


@pytest.mark.parametrize("batch_norm", [False, True])
def test_fusion_projects_after_upsampling_as_the_paper_does(tiny, batch_norm):
    stage = FusionStage(tiny(use_batch_norm_in_fusion_residual=batch_norm)).eval()
    for parameter in stage.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    maps = [torch.randn(1, 16, *size) for size in ((12, 20), (6, 10), (3, 5), (2, 3))]
    outputs = stage(maps)
    assert [tuple(output.shape[-2:]) for output in outputs] == [(3, 5), (6, 10), (12, 20), (12, 20)]
    # The last level leaves its upsampling to the heads.
    outputs[-1] = interpolate(outputs[-1], size=(24, 40), mode="bilinear", align_corners=True)
    merged = None
    for layer, skip, output in zip(stage.layers, reversed(maps), outputs, strict=True):
        merged = skip if merged is None else merged + layer.residual_layer1(skip)
        upsampled = interpolate(
            layer.residual_layer2(merged), size=output.shape[-2:], mode="bilinear", align_corners=True
        )
        merged = layer.projection(upsampled)
        assert (output - merged).abs().max() <= 1e-5 * merged.abs().max()


def test_batch_norm_decides_about_bias(tiny):
    def biases(**values):
        unit = FusionStage(tiny(**values)).layers[0].residual_layer1
        return unit.convolution1.bias is not None

    assert biases() and not biases(use_batch_norm_in_fusion_residual=True)
    assert biases(use_batch_norm_in_fusion_residual=True, use_bias_in_fusion_residual=True)
    assert not biases(use_bias_in_fusion_residual=False)
