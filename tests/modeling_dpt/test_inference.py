"""optimize_for_inference: the same answers, fewer layers."""

import logging

import pytest
import torch

from open_dpt import DPTForDepthEstimation, DPTForSemanticSegmentation


def with_statistics(model: torch.nn.Module) -> torch.nn.Module:
    """Batch norms that do something."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
            torch.nn.init.normal_(module.weight)
            torch.nn.init.normal_(module.bias)
    return model


@pytest.mark.parametrize("bias", [None, True])
def test_segmentation_folds_batch_norm(tiny, bias, caplog):
    config = tiny(use_batch_norm_in_fusion_residual=True, use_bias_in_fusion_residual=bias)
    model = with_statistics(DPTForSemanticSegmentation(config))
    pixel_values = torch.randn(1, 3, 48, 80)
    with torch.no_grad():
        expected = model.eval()(pixel_values, output_auxiliary_logits=True)
        with caplog.at_level(logging.INFO, logger="open_dpt"):
            assert model.train().optimize_for_inference() is model
        got = model(pixel_values, output_auxiliary_logits=True)
    assert "18 batch norms" in caplog.text
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in model.modules())
    assert not model.training and not any(parameter.requires_grad for parameter in model.parameters())
    for field in ("logits", "auxiliary_logits"):
        assert (got[field] - expected[field]).abs().max() <= 1e-5 * expected[field].abs().max()


@pytest.mark.parametrize("encoder", ["vit", "hybrid", "dinov2", "resnet"])
def test_depth_stays_the_same(tiny, encoder):
    model = with_statistics(DPTForDepthEstimation(tiny(encoder))).eval()
    pixel_values = torch.randn(1, 3, 3 * model.config.size_divisor, 5 * model.config.size_divisor)
    with torch.no_grad():
        expected = model(pixel_values).predicted_depth
        got = model.optimize_for_inference()(pixel_values).predicted_depth
    assert (got - expected).abs().max() <= 1e-5 * expected.abs().max()
