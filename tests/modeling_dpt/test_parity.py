"""Same weights, same square input: our outputs are those of transformers' own classes, to 1e-5 of their range."""

import re

import pytest
import torch
import transformers
from transformers import BeitConfig, BitConfig, Dinov2Config, Swinv2Config

from open_dpt import DPTConfig, DPTForDepthEstimation, DPTForSemanticSegmentation

VIT = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2}
NECK = {"neck_hidden_sizes": [8, 12, 16, 24], "fusion_hidden_size": 16}
NATIVE = {**VIT, **NECK, "intermediate_size": 48, "image_size": 64, "backbone_out_indices": [0, 1, 2, 3]}
TAPS = {"out_indices": [1, 2, 3, 4], "reshape_hidden_states": False}
STEM = {
    "layer_type": "bottleneck",
    "global_padding": "same",
    "embedding_dynamic_padding": True,
    "embedding_size": 32,
    "hidden_sizes": [32, 64, 96],
    "depths": [1, 1, 2],
    "num_groups": 8,
    "out_features": ["stage1", "stage2", "stage3"],
}

DEPTH = {
    "ignore": (transformers.DPTConfig(**NATIVE, readout_type="ignore"), (64, 96)),
    "add": (transformers.DPTConfig(**NATIVE, readout_type="add"), (64, 96)),
    "project": (transformers.DPTConfig(**NATIVE, readout_type="project"), (64, 96)),
    "projection_before_head": (
        transformers.DPTConfig(**{**NATIVE, "fusion_hidden_size": 256}, add_projection=True),
        (64,),
    ),
    "hybrid": (
        transformers.DPTConfig(
            **{**NATIVE, "neck_hidden_sizes": [32, 64, 16, 24]},
            is_hybrid=True,
            backbone_config=BitConfig(**STEM),
            backbone_featmap_shape=[1, 96, 4, 4],
        ),
        (64,),
    ),
    "dinov2": (
        transformers.DPTConfig(
            **NECK,
            backbone_config=Dinov2Config(**VIT, **TAPS, image_size=64, patch_size=16, apply_layernorm=False),
            readout_type="add",
        ),
        (64, 96),
    ),
    "beit": (
        transformers.DPTConfig(
            **NECK,
            backbone_config=BeitConfig(
                **VIT, **TAPS, intermediate_size=48, image_size=64, use_relative_position_bias=True
            ),
        ),
        (64, 96),
    ),
    "swinv2": (
        transformers.DPTConfig(
            backbone_config=Swinv2Config(
                embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4, image_size=64,
                out_indices=[1, 2, 3, 4],
            ),
            neck_hidden_sizes=[8, 16, 32, 64],
            fusion_hidden_size=16,
        ),
        (64,),
    ),
}  # fmt: skip
DEPTH_ANYTHING = {
    "backbone_config": Dinov2Config(**VIT, **TAPS, image_size=56, patch_size=14),
    "reassemble_hidden_size": 32,
    **NECK,
}


def randomised(model: torch.nn.Module) -> torch.nn.Module:
    """Every weight and statistic at random: what is zero or one by default would hide a mistake."""
    generator = torch.Generator().manual_seed(0)
    statistics = [(name, buffer) for name, buffer in model.named_buffers() if "running_" in name]
    for name, tensor in [*model.named_parameters(), *statistics]:
        noise = torch.randn(tensor.shape, generator=generator) * tensor[0].numel() ** -0.5
        tensor.data = noise.abs() + 0.5 if "running_var" in name else noise
    # Inputs of the last layer are never negative. Nor are its answers then, which a ReLU could make all zero.
    for tensor in list(model.parameters())[-2:]:
        tensor.data.abs_()
    return model.eval()


def ours_with_weights_of(stock: transformers.PreTrainedModel, model_class: type) -> torch.nn.Module:
    ours = model_class(DPTConfig.from_dict(stock.config.to_diff_dict()))
    weights = {}
    for name, tensor in stock.state_dict().items():
        name = re.sub(r"^backbone\.", "dpt.backbone.", name)
        name = re.sub(r"^head\.conv(\d)\.", lambda match: f"head.head.{2 * int(match[1]) - 2}.", name)
        weights[name] = tensor
    missing, unexpected = ours.load_state_dict(weights, strict=False)
    assert (missing, unexpected) == ([], [])
    return ours.eval()


def assert_equal_outputs(stock, ours, sizes, field) -> None:
    for size in sizes:
        pixel_values = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(size))
        with torch.no_grad():
            expected, got = stock(pixel_values)[field], ours(pixel_values)[field]
        assert got.shape[-2:] == (size, size)
        assert expected.abs().max() > 0 and expected.std() > 0
        assert (got - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("name", DEPTH)
def test_depth(name):
    config, sizes = DEPTH[name]
    stock = randomised(transformers.DPTForDepthEstimation(config))
    assert_equal_outputs(stock, ours_with_weights_of(stock, DPTForDepthEstimation), sizes, "predicted_depth")


@pytest.mark.parametrize(
    "values", [{}, {"depth_estimation_type": "metric", "max_depth": 80}], ids=["relative", "metric"]
)
def test_depth_anything(values):
    config = transformers.DepthAnythingConfig(**DEPTH_ANYTHING, **values)
    stock = randomised(transformers.DepthAnythingForDepthEstimation(config))
    ours = ours_with_weights_of(stock, DPTForDepthEstimation)
    assert_equal_outputs(stock, ours, (56, 84), "predicted_depth")
    # Here the stock class is right on other shapes too.
    pixel_values = torch.randn(1, 3, 42, 98)
    with torch.no_grad():
        expected, got = stock(pixel_values).predicted_depth, ours(pixel_values).predicted_depth
    assert (got - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("batch_norm", [False, True])
def test_segmentation(batch_norm):
    config = transformers.DPTConfig(**NATIVE, use_batch_norm_in_fusion_residual=batch_norm, num_labels=7)
    stock = randomised(transformers.DPTForSemanticSegmentation(config))
    ours = ours_with_weights_of(stock, DPTForSemanticSegmentation)
    assert_equal_outputs(stock, ours, (64, 96), "logits")


def test_segmentation_loss():
    config = transformers.DPTConfig(**NATIVE, num_labels=7)
    stock = randomised(transformers.DPTForSemanticSegmentation(config))
    ours = ours_with_weights_of(stock, DPTForSemanticSegmentation)
    pixel_values, labels = torch.randn(2, 3, 64, 64), torch.randint(0, 7, (2, 64, 64))
    labels[0, :9] = 255
    with torch.no_grad():
        expected, got = stock(pixel_values, labels=labels).loss, ours(pixel_values, labels=labels).loss
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=0)


def test_hidden_states_and_attentions():
    stock = transformers.DPTForDepthEstimation._from_config(
        transformers.DPTConfig(**NATIVE), attn_implementation="eager"
    )
    ours = ours_with_weights_of(randomised(stock), DPTForDepthEstimation)
    pixel_values = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected, got = (
            model(pixel_values, output_hidden_states=True, output_attentions=True) for model in (stock, ours)
        )
    torch.testing.assert_close(got.hidden_states, tuple(expected.hidden_states), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(got.attentions, tuple(expected.attentions), rtol=1e-4, atol=1e-6)
