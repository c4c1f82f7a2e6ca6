"""Every kind of encoder, for both tasks: any size, trainable in all its parts."""

import pytest
import torch

from open_dpt import DPTForDepthEstimation, DPTForSemanticSegmentation, DPTModel

READOUT = ["vit", "vit_distilled", "hybrid", "dinov2", "dinov2_with_registers", "dinov3_vit", "beit"]
NO_READOUT = ["vitdet", "swin", "swinv2", "resnet", "convnext", "pvt_v2"]
NO_ATTENTION = ["resnet", "convnext", "pvt_v2"]
CASES = [(name, kind) for name in READOUT for kind in ("ignore", "add", "project")]
CASES += [(name, "ignore") for name in NO_READOUT]


@pytest.mark.parametrize(("encoder", "readout"), CASES)
def test_depth_at_any_size(tiny, encoder, readout):
    model = DPTForDepthEstimation(tiny(encoder, readout_type=readout)).eval()
    divisor = model.config.size_divisor
    for rows, columns in ((4, 4), (3, 5), (1, 2)):  # square, odd and not square, smallest
        height, width = rows * divisor, columns * divisor
        with torch.no_grad():
            depth = model(torch.randn(2, 3, height, width)).predicted_depth
        assert depth.shape == (2, height, width)
        assert depth.isfinite().all() and depth.std() > 0


@pytest.mark.parametrize("encoder", READOUT + NO_READOUT)
@pytest.mark.parametrize("model_class", [DPTForDepthEstimation, DPTForSemanticSegmentation, DPTModel])
def test_a_batch_of_no_images_is_refused(tiny, encoder, model_class):
    model = model_class(tiny(encoder))
    nothing = torch.zeros(0, 3, *[2 * model.config.size_divisor] * 2)
    for prepare in (model.train, model.eval, model.optimize_for_inference):
        prepared = prepare()
        with pytest.raises(ValueError, match=r"^pixel_values: must hold at least one image, got a batch of 0\."):
            prepared(nothing)


@pytest.mark.parametrize("encoder", READOUT + NO_READOUT)
@pytest.mark.parametrize("model_class", [DPTForDepthEstimation, DPTForSemanticSegmentation])
def test_training_reaches_every_parameter(tiny, encoder, model_class):
    readout = {} if encoder in NO_READOUT else {"readout_type": "project"}
    model = model_class(tiny(encoder, **readout)).train()
    size = 3 * model.config.size_divisor, 5 * model.config.size_divisor
    labels = torch.rand(2, *size) if model_class is DPTForDepthEstimation else torch.randint(0, 5, (2, *size))
    loss = model(torch.randn(2, 3, *size), labels=labels).loss
    loss.backward()
    # What DistributedDataParallel demands: a gradient for all that ask for one.
    without = [name for name, value in model.named_parameters() if value.requires_grad and value.grad is None]
    assert loss.isfinite() and without == []
    assert all(value.grad.isfinite().all() for value in model.parameters() if value.grad is not None)


@pytest.mark.parametrize("encoder", READOUT + NO_READOUT)
def test_what_needs_no_gradient_has_no_effect(tiny, encoder):
    readout = {} if encoder in NO_READOUT else {"readout_type": "project"}
    model = DPTForDepthEstimation(tiny(encoder, **readout)).eval()
    pixel_values = torch.randn(1, 3, 2 * model.config.size_divisor, 3 * model.config.size_divisor)
    with torch.no_grad():
        before = model(pixel_values).predicted_depth
        frozen = [value for value in model.parameters() if not value.requires_grad]
        for value in frozen:
            value.normal_()
        after = model(pixel_values).predicted_depth
    assert frozen and torch.equal(before, after)


@pytest.mark.parametrize("encoder", READOUT)
def test_register_and_class_tokens_are_told_apart(tiny, encoder):
    """With "ignore" the neck sees patch tokens only, with "add" class token and patch tokens: never a register."""
    config = tiny(encoder)
    taps = DPTModel(config).eval()(torch.randn(1, 3, 4 * config.size_divisor, 2 * config.size_divisor)).taps
    tokens = [tap for tap in taps if tap.ndim == 3]
    assert tokens and {tap.shape[1] for tap in tokens} == {config.num_prefix_tokens + 4 * 2}


@pytest.mark.parametrize("encoder", READOUT + NO_READOUT)
def test_hidden_states_and_attentions(tiny, encoder):
    model = DPTForDepthEstimation(tiny(encoder, **({"readout_type": "add"} if encoder in READOUT else {}))).eval()
    pixel_values = torch.randn(1, 3, 2 * model.config.size_divisor, 3 * model.config.size_divisor)
    plain = model(pixel_values)
    assert plain.hidden_states is None and plain.attentions is None
    assert len(model(pixel_values, output_hidden_states=True).hidden_states) >= 4
    if encoder in NO_ATTENTION:
        with pytest.raises(ValueError, match=r"^output_attentions: .*" + encoder):
            model(pixel_values, output_attentions=True)
        return
    with_attentions = model(pixel_values, output_attentions=True)
    assert len(with_attentions.attentions) == 4
    torch.testing.assert_close(with_attentions.predicted_depth, plain.predicted_depth, rtol=1e-4, atol=1e-5)
    for attention in with_attentions.attentions:
        torch.testing.assert_close(attention.sum(-1), torch.ones(attention.shape[:-1]))


@pytest.mark.parametrize("encoder", ["dinov2", "beit", "swin"])
def test_attention_implementations_agree(tiny, encoder):
    values = {} if encoder == "swin" else {"readout_type": "project"}
    models = []
    for implementation in ("eager", "sdpa"):
        torch.manual_seed(0)
        models.append(DPTForDepthEstimation._from_config(tiny(encoder, **values), attn_implementation=implementation))
    eager, sdpa = (model.eval() for model in models)
    sdpa.load_state_dict(eager.state_dict())
    assert sdpa.dpt.backbone.config._attn_implementation == "sdpa"
    pixel_values = torch.randn(1, 3, 64, 96) if encoder != "dinov2" else torch.randn(1, 3, 56, 84)
    with torch.no_grad():
        torch.testing.assert_close(
            eager(pixel_values).predicted_depth, sdpa(pixel_values).predicted_depth, rtol=1e-4, atol=1e-5
        )


class TestNormalisedTaps:
    def test_of_the_native_encoder(self, tiny):
        model = DPTModel(tiny(normalize_taps=True)).eval()
        for tap in model(torch.randn(1, 3, 64, 64)).taps:
            torch.testing.assert_close(tap.mean(-1), torch.zeros(tap.shape[:-1]), rtol=0, atol=1e-5)

    def test_dinov2_obeys(self, tiny):
        with_norm, without = (DPTModel(tiny("dinov2", normalize_taps=choice)) for choice in (True, False))
        without.load_state_dict(with_norm.state_dict())
        pixel_values = torch.randn(1, 3, 56, 56)
        normalised, raw = with_norm.eval()(pixel_values).taps[-1], without.eval()(pixel_values).taps[-1]
        torch.testing.assert_close(with_norm.backbone.layernorm(raw), normalised)

    def test_swin_without_norms_gives_the_stages_as_they_are(self, tiny):
        config = tiny("swin", normalize_taps=False)
        model = DPTModel(config).eval()
        assert not any("hidden_states_norms" in name for name in model.state_dict())
        pixel_values = torch.randn(1, 3, 64, 96)
        output = model(pixel_values, output_hidden_states=True)
        torch.testing.assert_close(output.taps[-1], output.hidden_states[-1])


@pytest.mark.parametrize("encoder", ["swin", "resnet"])
def test_neck_widths_must_be_the_stages(tiny, encoder):
    with pytest.raises(ValueError, match=r"^neck_hidden_sizes: must be \[8, 16, 32, 64\].*got \[8, 16, 32, 48\]"):
        DPTForDepthEstimation(tiny(encoder, neck_hidden_sizes=[8, 16, 32, 48]))
