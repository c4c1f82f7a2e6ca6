"""optimize_for_inference: the same answers, fewer layers."""

import copy
import logging
from collections import OrderedDict

import pytest
import torch

from open_dpt import DPTForDepthEstimation, DPTForSemanticSegmentation
from open_dpt.modeling_dpt.backbones.hybrid import fold_weight_standardization
from open_dpt.modeling_dpt.fusion import ResidualUnit
from open_dpt.modeling_dpt.inference import fold_batch_norm
from open_dpt.modeling_dpt.packed_linear import PackedLinear
from open_dpt.modeling_dpt.winograd import WinogradConv2d


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_the_stem_of_a_hybrid_standardises_its_weights_once(tiny, tmp_path, dtype):
    torch.manual_seed(0)
    model = DPTForDepthEstimation(tiny("hybrid")).eval().to(dtype)
    stem, other = model.dpt.embeddings.backbone, copy.deepcopy(model.dpt.embeddings.backbone)
    names = list(model.state_dict())
    pixel_values = torch.randn(2, 3, 96, 160).to(dtype)
    count = fold_weight_standardization(model)
    assert count == sum(isinstance(module, torch.nn.Conv2d) for module in stem.modules()) > 0
    with torch.no_grad():
        pairs = list(zip(stem(pixel_values).feature_maps, other(pixel_values).feature_maps, strict=True))
        expected = model(pixel_values).predicted_depth
    # In half precision the layout in memory is another one, too, and sums may round otherwise.
    tolerance = 0 if dtype == torch.float32 else 2**-5
    assert all((got - plain).abs().max() <= tolerance * plain.abs().max() for got, plain in pairs)
    # Saved, loaded and standardised again, it is the same.
    assert names == list(model.state_dict()) and fold_weight_standardization(model) == 0
    model.save_pretrained(tmp_path)
    with torch.no_grad():
        again = DPTForDepthEstimation.from_pretrained(tmp_path, dtype=dtype)(pixel_values).predicted_depth
    assert (again - expected).abs().max() <= (1e-5 if dtype == torch.float32 else 2**-5) * expected.abs().max()


def test_gradients_still_reach_a_folded_stem(tiny):
    model = DPTForDepthEstimation(tiny("hybrid"))
    fold_weight_standardization(model)
    model(torch.randn(1, 3, 96, 96)).predicted_depth.mean().backward()
    assert all(p.grad is not None for p in model.dpt.embeddings.backbone.parameters() if p.requires_grad)


def test_an_optimised_hybrid_can_be_compiled_and_exported(tiny):
    torch._dynamo.reset()
    model = DPTForDepthEstimation(tiny("hybrid")).optimize_for_inference()
    pixel_values = torch.randn(1, 3, 96, 160)
    with torch.no_grad():
        expected = model(pixel_values).predicted_depth
        compiled = torch.compile(model, backend="eager")(pixel_values).predicted_depth
        program = torch.export.export(model, (), {"pixel_values": pixel_values}, strict=False)
        exported = program.module()(pixel_values=pixel_values).predicted_depth
    for got in (compiled, exported):
        assert (got - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize(("task", "encoder"), [(DPTForSemanticSegmentation, "vit"), (DPTForDepthEstimation, "hybrid")])
def test_folded_weights_are_not_saved(tiny, tmp_path, task, encoder):
    model = task(tiny(encoder)).optimize_for_inference()
    for save in (model.save_pretrained, model.to_transformers):
        with pytest.raises(RuntimeError, match="Save the model before it"):
            save(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_what_has_nothing_to_fold_can_be_saved(tiny, tmp_path):
    model = DPTForDepthEstimation(tiny()).optimize_for_inference()
    model.save_pretrained(tmp_path)
    saved = DPTForDepthEstimation.from_pretrained(tmp_path).state_dict()
    assert all(torch.equal(saved[name], value) for name, value in model.state_dict().items())


def test_half_precision_folds_in_float32(tiny):
    torch.manual_seed(0)
    model = with_statistics(DPTForSemanticSegmentation(tiny(use_batch_norm_in_fusion_residual=True))).eval()
    unit = next(module for module in model.modules() if isinstance(module, ResidualUnit)).bfloat16()
    weight, norm = unit.convolution1.weight.clone(), copy.deepcopy(unit.batch_norm1)
    fold_batch_norm(unit)
    scale = norm.weight.float() / (norm.running_var.float() + norm.eps).sqrt()
    exact = weight.float() * scale[:, None, None, None]
    # Rounded once, to a nearest of its 8 bits: at a tie either.
    assert ((unit.convolution1.weight.float() - exact).abs() <= 1.0001 * 2**-8 * exact.abs()).all()


def test_an_encoder_with_named_layers_in_sequence_is_left_alone(tiny):
    model = DPTForDepthEstimation(tiny())
    norm = torch.nn.BatchNorm2d(4)
    model.dpt.extra = torch.nn.Sequential(OrderedDict(conv=torch.nn.Conv2d(3, 4, 3), norm=norm))
    assert model.optimize_for_inference().dpt.extra.norm is norm


def test_hooks_see_what_they_saw(tiny):
    model = DPTForDepthEstimation(tiny()).eval()
    layer = model.dpt.encoder.layer[0]
    seen = []
    for watched in (layer.intermediate.dense, layer.output.dense, model.neck.convs[0]):
        watched.register_forward_hook(lambda module, inputs, output: seen.append(output.clone()))
    pixel_values = torch.randn(2, 3, 80, 112)
    with torch.no_grad():
        model(pixel_values)
        model.optimize_for_inference()(pixel_values)
    assert len(seen) == 6
    for before, after in zip(seen[:3], seen[3:], strict=True):
        assert (before - after).abs().max() <= 1e-5 * before.abs().max()


def test_other_devices_are_left_alone(tiny):
    with torch.device("meta"):
        model = DPTForDepthEstimation(tiny())
    model.optimize_for_inference()
    assert not any(isinstance(module, PackedLinear) for module in model.modules())
    assert not any(module.packed for module in model.modules() if isinstance(module, WinogradConv2d))
