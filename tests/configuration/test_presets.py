"""Presets: all of them build, and the paper's have the paper's number of parameters."""

import copy

import pytest
import torch

from open_dpt import DPTConfig, DPTForDepthEstimation
from open_dpt.configuration import PRESETS


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_builds_a_model(name):
    with torch.device("meta"):
        model = DPTForDepthEstimation(DPTConfig.from_preset(name))
    assert len(model.neck.convs) == 4


@pytest.mark.parametrize(
    ("name", "millions"), [("dpt-base", 110.88), ("dpt-large", 343.03), ("dpt-hybrid", 122.38), ("resnet50", 42.39)]
)
def test_parameters_in_the_presets_page(name, millions):
    with torch.device("meta"):
        model = DPTForDepthEstimation(DPTConfig.from_preset(name))
    assert sum(parameter.numel() for parameter in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.005)


def test_the_bundled_model_stays_small():
    with torch.device("meta"):
        model = DPTForDepthEstimation(DPTConfig.from_preset("dpt-tiny"))
    assert sum(parameter.numel() for parameter in model.parameters()) < 8e6  # 16 MB in half precision


def test_overrides_win_and_leave_the_preset_alone():
    before = copy.deepcopy(PRESETS)
    config = DPTConfig.from_preset("dpt-large", readout_type="ignore", image_size=480)
    assert (config.readout_type, config.image_size, config.hidden_size) == ("ignore", 480, 1024)
    DPTConfig.from_preset("dpt-hybrid").neck_hidden_sizes.append(1)
    assert before == PRESETS


def test_unknown_preset_lists_the_names():
    with pytest.raises(ValueError, match=r"^preset: unknown name 'dpt-huge'.*dpt-tiny.*resnet50"):
        DPTConfig.from_preset("dpt-huge")
