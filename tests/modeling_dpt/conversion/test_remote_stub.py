"""`trust_remote_code=True` in a process that has never heard of this package."""

import json
import os
import subprocess
import sys

import pytest
import torch

from open_dpt import DPTConfig, DPTForDepthEstimation, DPTImageProcessor
from open_dpt.modeling_dpt.conversion import place_stub

TINY = {
    "hidden_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "image_size": 32,
    "backbone_out_indices": [0, 1, 2, 3],
    "neck_hidden_sizes": [8, 8, 8, 8],
    "fusion_hidden_size": 16,
}


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    DPTForDepthEstimation(DPTConfig(**TINY)).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def run(code, tmp_path, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1", **environment},
    )


def test_auto_classes_find_the_package_and_save_again(folder, tmp_path):
    DPTImageProcessor.for_model(DPTConfig(**TINY)).save_pretrained(folder)
    code = f"""
import torch
from transformers import AutoImageProcessor, AutoModelForDepthEstimation
model = AutoModelForDepthEstimation.from_pretrained({str(folder)!r}, trust_remote_code=True)
assert type(model).__module__ == "open_dpt.modeling_dpt.depth_estimation", type(model)
model.save_pretrained("again")
again = AutoModelForDepthEstimation.from_pretrained("again", trust_remote_code=True)
print(again(torch.randn(1, 3, 32, 64)).predicted_depth.shape)
try:
    print(type(AutoImageProcessor.from_pretrained({str(folder)!r}, trust_remote_code=True)).__module__)
except ImportError as error:  # older transformers have no AutoImageProcessor without torchvision
    assert "requires the Torchvision library" in str(error), error
    print("open_dpt.processing")
"""
    result = run(code, tmp_path)
    assert result.returncode == 0, result.stderr
    assert "torch.Size([1, 32, 64])" in result.stdout and "open_dpt.processing" in result.stdout
    assert (tmp_path / "again" / "modeling_open_dpt.py").exists()


def test_without_the_package_it_says_what_to_install(folder, tmp_path):
    code = f"""
import sys
sys.modules["open_dpt"] = None
from transformers import AutoModelForDepthEstimation
AutoModelForDepthEstimation.from_pretrained({str(folder)!r}, trust_remote_code=True)
"""
    result = run(code, tmp_path)
    assert result.returncode != 0 and "pip install open-dpt" in result.stderr.strip().splitlines()[-1]


def test_a_foreign_configuration_beside_the_stub_is_left_alone(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "dpt"}')
    place_stub(tmp_path)
    assert (tmp_path / "config.json").read_text() == '{"model_type": "dpt"}'


def test_every_save_points_to_the_stub(folder):
    auto_map = json.loads((folder / "config.json").read_text())["auto_map"]
    assert auto_map["AutoModelForDepthEstimation"] == "modeling_open_dpt.DPTForDepthEstimation"
    assert (folder / "modeling_open_dpt.py").exists()
