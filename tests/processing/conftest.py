"""A configuration that tests of exported graphs share."""

import pytest


@pytest.fixture(scope="session")
def tiny_hybrid() -> dict:
    """Keyword arguments of a DPTConfig: two blocks on a convolutional stem."""
    return {
        "is_hybrid": True,
        "backbone_config": {
            "model_type": "bit",
            "layer_type": "bottleneck",
            "global_padding": "same",
            "embedding_dynamic_padding": True,
            "embedding_size": 8,
            "hidden_sizes": [8, 16, 32],
            "depths": [1, 1, 2],
            "num_groups": 4,
            "out_features": ["stage1", "stage2", "stage3"],
        },
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "image_size": 64,
        "backbone_out_indices": [0, 1, 0, 1],
        "neck_hidden_sizes": [8, 16, 16, 16],
        "fusion_hidden_size": 8,
    }
