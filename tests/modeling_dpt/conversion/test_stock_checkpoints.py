"""Stock checkpoints in and out: same outputs where the stock classes work, any size where they do not."""

import json

import pytest
import torch
from torch.nn.functional import interpolate

from open_dpt import DPTForDepthEstimation, DPTForSemanticSegmentation


def ours_for(model):
    return DPTForSemanticSegmentation if "Segmentation" in type(model).__name__ else DPTForDepthEstimation


def divisor_of(model):
    encoder = getattr(model.config, "backbone_config", None)
    if encoder is not None and encoder.model_type == "dinov2":
        return 14
    return 32


@torch.no_grad()
def predict(model, pixels):
    output = model(pixels)
    return output.logits if "logits" in output else output.predicted_depth


@pytest.fixture
def pixels(stock_model):
    side = 4 * 14 if divisor_of(stock_model) == 14 else 64
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))


def neck_outputs(model, pixels):
    """Fusion outputs of a stock model or of ours."""
    outputs = []
    hook = model.neck.register_forward_hook(lambda module, arguments, output: outputs.extend(output))
    predict(model, pixels)
    hook.remove()
    if outputs[-1].shape == outputs[-2].shape:  # ours leaves the last upsampling to the head
        outputs[-1] = interpolate(outputs[-1], scale_factor=2, mode="bilinear", align_corners=True)
    return outputs


def assert_close(actual, expected):
    assert actual.shape == expected.shape
    assert (actual - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert expected.std() > 1e-3 * expected.abs().max()  # not a constant


def test_a_stock_checkpoint_gives_the_stock_output(stock_model, pixels, tmp_path, transformers_warnings):
    stock_model.save_pretrained(tmp_path)
    model = ours_for(stock_model).from_pretrained(tmp_path)
    assert not transformers_warnings()
    for actual, expected in zip(neck_outputs(model, pixels), neck_outputs(stock_model, pixels), strict=True):
        assert_close(actual, expected)
    actual, expected = predict(model, pixels), predict(stock_model, pixels)
    assert actual.shape[-2:] == pixels.shape[-2:]
    # With patch 14 the stock DPT class returns 16 pixels for every 14: the same head input at another size.
    if type(stock_model).__name__ != "DPTForDepthEstimation" or divisor_of(stock_model) != 14:
        assert_close(actual, expected)


def test_a_stock_checkpoint_runs_on_a_size_that_is_not_square(stock_model, tmp_path):
    stock_model.save_pretrained(tmp_path)
    model = ours_for(stock_model).from_pretrained(tmp_path)
    size = (2 * divisor_of(stock_model), 3 * divisor_of(stock_model))
    output = predict(model, torch.randn(1, 3, *size))
    assert output.shape[-2:] == size and output.isfinite().all()


def test_to_transformers_writes_what_the_stock_class_wrote(stock_model, pixels, tmp_path):
    stock_model.save_pretrained(tmp_path / "stock")
    model = ours_for(stock_model).from_pretrained(tmp_path / "stock")
    model.to_transformers(tmp_path / "back")
    config = json.loads((tmp_path / "back" / "config.json").read_text())
    assert config["model_type"] == stock_model.config.model_type
    assert config["architectures"] == [type(stock_model).__name__]
    back, info = type(stock_model).from_pretrained(tmp_path / "back", output_loading_info=True)
    assert not any(info.values())
    assert torch.equal(predict(back, pixels), predict(stock_model, pixels))


def test_our_own_layout_survives_saving_in_shards(stock_model, pixels, tmp_path):
    stock_model.save_pretrained(tmp_path / "stock")
    model = ours_for(stock_model).from_pretrained(tmp_path / "stock")
    model.save_pretrained(tmp_path / "ours", max_shard_size="40KB")
    assert (tmp_path / "ours" / "model.safetensors.index.json").exists()
    assert json.loads((tmp_path / "ours" / "config.json").read_text())["model_type"] == "open_dpt"
    again, info = type(model).from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(info.values())
    assert torch.equal(predict(again, pixels), predict(model, pixels))
