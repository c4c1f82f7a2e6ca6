"""Tiny stock models with random weights, one for every architecture hub files have."""

import logging

import pytest
import torch
import transformers as stock
from transformers.utils import logging as transformers_logging

_NECK = {"neck_hidden_sizes": [16, 24, 32, 48], "fusion_hidden_size": 32}
_VIT = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "image_size": 64,
    "backbone_out_indices": [0, 1, 2, 3],
    **_NECK,
}
_STAGES = ["stage1", "stage2", "stage3", "stage4"]
_DINOV2 = {
    "image_size": 56,
    "patch_size": 14,
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "out_features": _STAGES,
    "reshape_hidden_states": False,
}


def _hybrid():
    stem = {
        "model_type": "bit",
        "depths": [1, 1, 2],
        "hidden_sizes": [32, 64, 96],
        "embedding_size": 16,
        "num_groups": 4,
        "global_padding": "same",
        "layer_type": "bottleneck",
        "out_features": ["stage1", "stage2", "stage3"],
        "embedding_dynamic_padding": True,
    }
    return {
        **_VIT,
        "is_hybrid": True,
        "backbone_config": stem,
        "backbone_featmap_shape": [1, 96, 4, 4],
        "neck_hidden_sizes": [32, 64, 32, 48],
    }


def _beit():
    return stock.BeitConfig(
        image_size=64,
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=48,
        use_relative_position_bias=True,
        reshape_hidden_states=False,
        out_features=_STAGES,
    )


def _swinv2():
    return stock.Swinv2Config(
        image_size=64, embed_dim=16, depths=[2, 2, 2, 2], num_heads=[1, 2, 2, 4], window_size=4, out_features=_STAGES
    )


def _depth(**config):
    return stock.DPTForDepthEstimation(stock.DPTConfig(**config))


def _segmentation(**config):
    return stock.DPTForSemanticSegmentation(stock.DPTConfig(**_VIT, num_labels=5, **config))


def _depth_anything(**config):
    encoder = stock.Dinov2Config(**_DINOV2)
    return stock.DepthAnythingForDepthEstimation(
        stock.DepthAnythingConfig(backbone_config=encoder, reassemble_hidden_size=32, **_NECK, **config)
    )


_MAKERS = {
    "vit": lambda: _depth(**_VIT),
    "vit-ignore": lambda: _depth(**_VIT, readout_type="ignore"),
    "vit-add": lambda: _depth(**_VIT, readout_type="add"),
    "hybrid": lambda: _depth(**_hybrid()),
    "ade": lambda: _segmentation(use_batch_norm_in_fusion_residual=True),
    "ade-without-auxiliary": lambda: _segmentation(use_auxiliary_head=False),
    "beit": lambda: _depth(backbone_config=_beit(), **_NECK),
    "swinv2": lambda: _depth(backbone_config=_swinv2(), **{**_NECK, "neck_hidden_sizes": [16, 32, 64, 128]}),
    "dinov2": lambda: _depth(backbone_config=stock.Dinov2Config(**_DINOV2), **_NECK),
    "dinov2-nyu": lambda: _depth(
        backbone_config=stock.Dinov2Config(**_DINOV2),
        **{**_NECK, "fusion_hidden_size": 256},
        add_projection=True,
        use_bias_in_fusion_residual=False,
    ),
    "depth-anything": lambda: _depth_anything(),
    "depth-anything-metric": lambda: _depth_anything(depth_estimation_type="metric", max_depth=20, head_hidden_size=8),
}


@torch.no_grad()
def randomize(model: torch.nn.Module) -> torch.nn.Module:
    """Weights large enough that every part of the network shows in the output, which a ReLU must not cut off."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in model.state_dict().items():
        if not tensor.is_floating_point() or "relative_coords_table" in name:
            continue
        noise = torch.randn(tensor.shape, generator=generator)
        if tensor.ndim > 1:
            tensor.copy_(noise * tensor[0].numel() ** -0.5)
        elif "running_var" in name or ("norm" in name and name.endswith("weight")):
            tensor.copy_(1 + 0.1 * noise.abs())
        else:
            tensor.copy_(0.1 * noise)
    for name in ("head.head.4.bias", "head.conv3.bias"):
        if name in model.state_dict():
            model.state_dict()[name].fill_(3.0)
    return model.eval()


@pytest.fixture(params=sorted(_MAKERS))
def stock_model(request):
    """Every stock architecture in turn."""
    return randomize(_MAKERS[request.param]())


@pytest.fixture
def make_stock():
    """A stock model by name."""
    return lambda name: randomize(_MAKERS[name]())


@pytest.fixture
def transformers_warnings(caplog):
    """Messages of warnings logged since the test began, those of transformers included."""
    transformers_logging.enable_propagation()
    yield lambda: [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    transformers_logging.disable_propagation()
