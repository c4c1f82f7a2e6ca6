"""Small models for the tests of this folder."""

from collections.abc import Callable

import pytest
import torch

from open_dpt import DPTConfig

VIT = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 48}
STAGES = ["stage1", "stage2", "stage3", "stage4"]
STEM = {
    "model_type": "bit",
    "layer_type": "bottleneck",
    "global_padding": "same",
    "embedding_dynamic_padding": True,
    "embedding_size": 16,
    "hidden_sizes": [16, 32, 64],
    "depths": [1, 1, 1],
    "num_groups": 4,
    "out_features": STAGES[:3],
}
PLAIN = {**VIT, "image_size": 64, "patch_size": 16, "out_indices": [1, 2, 3, 4]}
SWIN = {"embed_dim": 8, "depths": [1, 1, 2, 1], "num_heads": [1, 1, 2, 2], "window_size": 4, "image_size": 64}
PYRAMID = {"hidden_sizes": [8, 16, 32, 64], "depths": [1, 1, 1, 1], "out_features": STAGES}

# name: values that turn the native ViT below into a model with this encoder
ENCODERS = {
    "vit": {},
    "vit_distilled": {"num_prefix_tokens": 2},
    "hybrid": {"is_hybrid": True, "backbone_config": STEM, "neck_hidden_sizes": [16, 32, 16, 24]},
    "dinov2": {"backbone_config": {"model_type": "dinov2", **PLAIN, "image_size": 56, "patch_size": 14}},
    "dinov2_with_registers": {
        "backbone_config": {"model_type": "dinov2_with_registers", **PLAIN, "num_register_tokens": 3}
    },
    "dinov3_vit": {"backbone_config": {"model_type": "dinov3_vit", **PLAIN, "num_register_tokens": 3}},
    "beit": {"backbone_config": {"model_type": "beit", **PLAIN, "use_relative_position_bias": True}},
    "vitdet": {"backbone_config": {"model_type": "vitdet", **PLAIN}, "readout_type": "ignore"},
    "swin": {"backbone_config": {"model_type": "swin", **SWIN, "out_features": STAGES}},
    "swinv2": {"backbone_config": {"model_type": "swinv2", **SWIN, "out_features": STAGES}},
    "resnet": {"backbone_config": {"model_type": "resnet", **PYRAMID, "embedding_size": 8, "layer_type": "basic"}},
    "convnext": {"backbone_config": {"model_type": "convnext", **PYRAMID}},
    "pvt_v2": {"backbone_config": {"model_type": "pvt_v2", **PYRAMID, "num_attention_heads": [1, 1, 2, 2]}},
}
HIERARCHICAL = {"readout_type": "ignore", "neck_hidden_sizes": [8, 16, 32, 64]}
for name in ("swin", "swinv2", "resnet", "convnext", "pvt_v2"):
    ENCODERS[name] = {**ENCODERS[name], **HIERARCHICAL}


@pytest.fixture
def tiny() -> Callable[..., DPTConfig]:
    """tiny(encoder="vit", **overrides): a configuration of some ten thousand parameters."""

    def make(encoder: str = "vit", **overrides) -> DPTConfig:
        native = {
            **VIT,
            "image_size": 64,
            "backbone_out_indices": [0, 1, 2, 3],
            "neck_hidden_sizes": [8, 12, 16, 24],
            "fusion_hidden_size": 16,
            "head_hidden_size": 8,
            "num_labels": 5,
        }
        torch.manual_seed(0)  # of the model made next
        return DPTConfig(**{**native, **ENCODERS[encoder], **overrides})

    return make
