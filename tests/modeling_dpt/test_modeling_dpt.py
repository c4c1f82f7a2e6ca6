"""What all models share: encoder outputs, saving, precision, compilation, checkpointing, initialisation."""

import pytest
import torch
from torch.nn.functional import interpolate
from transformers import AutoModel, AutoModelForDepthEstimation, AutoModelForSemanticSegmentation

from open_dpt import DPTConfig, DPTForDepthEstimation, DPTForSemanticSegmentation, DPTModel
from open_dpt.modeling_dpt.compiling import compile_model

TASKS = [DPTForDepthEstimation, DPTForSemanticSegmentation]


@pytest.fixture
def pixel_values():
    return torch.randn(2, 3, 48, 80, generator=torch.Generator().manual_seed(1))


class TestEncoder:
    def test_outputs(self, tiny, pixel_values):
        model = DPTModel(tiny(backbone_out_indices=[0, 1, 2, 2 + 1])).eval()
        output = model(pixel_values, output_hidden_states=True)
        assert output.last_hidden_state.shape == (2, 1 + 3 * 5, 32)
        assert len(output.hidden_states) == 5
        torch.testing.assert_close(output.last_hidden_state, model.layernorm(output.hidden_states[-1]))
        # Taps are block outputs before the final norm.
        assert all(torch.equal(tap, state) for tap, state in zip(output.taps, output.hidden_states[1:], strict=True))

    def test_tuples(self, tiny, pixel_values):
        model = DPTForDepthEstimation(tiny()).eval()
        (depth,) = model(pixel_values, return_dict=False)
        torch.testing.assert_close(depth, model(pixel_values).predicted_depth)

    def test_blocks_after_the_last_tap_are_not_computed(self, tiny, pixel_values):
        model = DPTForDepthEstimation(tiny(num_hidden_layers=6)).eval()
        calls = []
        for block in model.dpt.encoder.layer:
            block.register_forward_hook(lambda *_: calls.append(1))
        model.dpt.layernorm.register_forward_hook(lambda *_: calls.append("norm"))
        model(pixel_values)
        assert calls == [1] * 4
        # Hidden states are of all blocks, where they are asked for.
        assert len(model(pixel_values, output_hidden_states=True).hidden_states) == 7

    def test_position_embeddings_are_resized_only_to_another_grid(self, tiny):
        embeddings = DPTModel(tiny(image_size=[64, 96])).embeddings
        torch.nn.init.normal_(embeddings.position_embeddings)
        stored = embeddings.position_embeddings
        assert embeddings.resized_positions((4, 6)) is stored
        resized = embeddings.resized_positions((6, 4))  # as many tokens, another grid
        by_hand = interpolate(stored[:, 1:].reshape(1, 4, 6, 32).permute(0, 3, 1, 2), size=(6, 4), mode="bilinear")
        torch.testing.assert_close(resized[:, 1:], by_hand.flatten(2).transpose(1, 2))
        assert torch.equal(resized[:, :1], stored[:, :1])

    def test_eager_and_sdpa_agree(self, tiny, pixel_values):
        outputs = []
        for implementation in ("eager", "sdpa"):
            model = DPTForDepthEstimation._from_config(tiny(), attn_implementation=implementation).eval()
            outputs.append(model(pixel_values).predicted_depth)
        torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-5)

    def test_attentions_come_with_sdpa_too(self, tiny, pixel_values):
        model = DPTForDepthEstimation._from_config(tiny(), attn_implementation="sdpa").eval()
        attentions = model(pixel_values, output_attentions=True).attentions
        assert [attention.shape for attention in attentions] == [(2, 2, 16, 16)] * 4
        assert model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("model_class", TASKS)
@pytest.mark.parametrize("encoder", ["vit", "vit_distilled", "hybrid", "dinov2", "resnet"])
def test_saving_and_loading(tiny, tmp_path, model_class, encoder):
    model = model_class(tiny(encoder)).eval()
    model.save_pretrained(tmp_path)
    loaded, info = model_class.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    weights = loaded.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    # Loading forgets what needs no gradient; train() remembers.
    frozen = {name for name, value in model.train().named_parameters() if not value.requires_grad}
    assert frozen == {name for name, value in loaded.train().named_parameters() if not value.requires_grad} != set()


def test_a_batch_of_no_images_is_refused_in_int8_and_when_compiled(tiny):
    if torch.backends.mkldnn.is_available() and torch.cpu._is_vnni_supported():
        model = DPTForDepthEstimation(tiny()).quantize_int8()
        with pytest.raises(ValueError, match="at least one image, got a batch of 0"):
            model(torch.zeros(0, 3, 32, 48, dtype=model.dtype))
    torch.compiler.reset()
    model = compile_model(DPTForDepthEstimation(tiny()).optimize_for_inference(), backend="eager")
    for _ in range(2):
        with pytest.raises(ValueError, match="at least one image, got a batch of 0"):
            model(torch.zeros(0, 3, 32, 48))
        assert model(torch.zeros(2, 3, 32, 48)).predicted_depth.shape == (2, 32, 48)
    assert model._compiled_call_impl.compiled is not None


def test_auto_classes_find_us(tiny, tmp_path):
    for task, auto_class in (
        (DPTModel, AutoModel),
        (DPTForDepthEstimation, AutoModelForDepthEstimation),
        (DPTForSemanticSegmentation, AutoModelForSemanticSegmentation),
    ):
        task(tiny()).save_pretrained(tmp_path)
        assert type(auto_class.from_pretrained(tmp_path)) is task


@pytest.mark.parametrize("encoder", ["vit", "hybrid", "dinov2", "beit", "swin"])
def test_compiles_without_graph_breaks(tiny, encoder):
    torch._dynamo.reset()
    model = (DPTForSemanticSegmentation if encoder == "vit" else DPTForDepthEstimation)(tiny(encoder)).eval()
    size = 2 * model.config.size_divisor, 3 * model.config.size_divisor
    pixel_values = torch.randn(1, 3, *size)
    with torch.no_grad():
        expected = model(pixel_values)[0]
        got = torch.compile(model, backend="eager", fullgraph=True)(pixel_values)[0]
    torch.testing.assert_close(got, expected)


def test_the_training_step_compiles_without_graph_breaks(tiny, pixel_values):
    torch._dynamo.reset()
    metric = {"depth_estimation_type": "metric", "depth_shift": 0.1, "invert_depth": True, "max_depth": 10.0}
    for model_class, labels, values in (
        (DPTForDepthEstimation, torch.rand(2, 48, 80), {}),
        (DPTForDepthEstimation, torch.rand(2, 48, 80), metric),
        (DPTForSemanticSegmentation, torch.randint(0, 5, (2, 48, 80)), {}),
    ):
        model = model_class(tiny(**values)).eval()
        loss = torch.compile(model, backend="eager", fullgraph=True)(pixel_values, labels=labels).loss
        torch.testing.assert_close(loss, model(pixel_values, labels=labels).loss)


def test_one_exported_graph_serves_every_size(tiny, pixel_values):
    model = DPTForDepthEstimation(tiny()).eval()
    free = {"pixel_values": {axis: torch.export.Dim.AUTO for axis in (0, 2, 3)}}
    graph = torch.export.export(model, (), {"pixel_values": pixel_values}, dynamic_shapes=free, strict=False).module()
    for shape in ((1, 3, 64, 64), (3, 3, 80, 48)):
        other = torch.randn(shape)
        torch.testing.assert_close(graph(pixel_values=other).predicted_depth, model(other).predicted_depth)


@pytest.mark.parametrize("encoder", ["vit", "hybrid", "dinov2"])
def test_gradient_checkpointing_changes_nothing(tiny, encoder):
    gradients = []
    for checkpointing in (False, True):
        model = DPTForDepthEstimation(tiny(encoder)).train()
        if checkpointing:
            # The name in newer releases, and in older ones.
            getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()
        size = 2 * model.config.size_divisor, 3 * model.config.size_divisor
        generator, calls = torch.Generator().manual_seed(0), []
        if encoder != "dinov2":
            model.dpt.encoder.layer[0].intermediate.register_forward_hook(lambda *_: calls.append(1))  # noqa: B023
        pixel_values = torch.randn(1, 3, *size, generator=generator)
        model(pixel_values, labels=torch.rand(1, *size, generator=generator)).loss.backward()
        assert len(calls) == (0 if encoder == "dinov2" else 1 + checkpointing)  # computed once more on the way back
        gradients.append({name: value.grad for name, value in model.named_parameters() if value.grad is not None})
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("model_class", TASKS)
@pytest.mark.parametrize("encoder", ["vit", "hybrid"])
def test_a_frozen_encoder_gets_no_gradients_and_every_other_parameter_does(tiny, encoder, model_class):
    # Metric: to the loss of relative depth the last bias is no matter.
    values = {"depth_estimation_type": "metric", "max_depth": 10.0} if model_class is DPTForDepthEstimation else {}
    model = model_class(tiny(encoder, **values))
    model.dpt.requires_grad_(False)
    model.train()
    labels = torch.ones(2, 48, 80) if model_class is DPTForDepthEstimation else torch.ones(2, 48, 80).long()
    labels[:, :24] = 2
    model(torch.randn(2, 3, 48, 80), labels=labels).loss.backward()
    learned = {name for name, value in model.named_parameters() if value.grad is not None and value.grad.any()}
    assert not any(name.startswith("dpt.") for name in learned)
    expected = {name for name, value in model.named_parameters() if value.requires_grad}
    assert learned == expected


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("encoder", ["vit", "hybrid", "dinov2", "swin"])
def test_half_precision(tiny, dtype, encoder):
    model = DPTForDepthEstimation(tiny(encoder)).eval()
    pixel_values = torch.randn(1, 3, 2 * model.config.size_divisor, 3 * model.config.size_divisor)
    with torch.no_grad():
        full = model(pixel_values).predicted_depth
        half = model.to(dtype)(pixel_values.to(dtype)).predicted_depth
    assert half.dtype == dtype
    assert (half.float() - full).abs().max() < 0.1 * full.abs().max()


def test_autocast_trains_with_a_loss_in_full_precision(tiny, pixel_values):
    model = DPTForDepthEstimation(tiny()).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(pixel_values, labels=torch.rand(2, 48, 80))
    output.loss.backward()
    assert output.loss.dtype == torch.float32
    assert all(value.grad.isfinite().all() for value in model.parameters() if value.grad is not None)


def test_channels_last_changes_nothing(tiny, pixel_values):
    model = DPTForDepthEstimation(tiny()).eval()
    with torch.no_grad():
        expected = model(pixel_values).predicted_depth
        got = model.to(memory_format=torch.channels_last)(pixel_values.to(memory_format=torch.channels_last))
    torch.testing.assert_close(got.predicted_depth, expected, rtol=1e-4, atol=1e-5)


class TestInitialisation:
    @pytest.mark.parametrize("encoder", ["vit", "hybrid", "dinov2"])
    def test_signals_neither_vanish_nor_explode(self, tiny, encoder):
        config = tiny(encoder, fusion_hidden_size=64, head_hidden_size=32)
        model = DPTForDepthEstimation(config).eval()
        pixel_values = torch.randn(2, 3, 4 * config.size_divisor, 4 * config.size_divisor)
        # Taps of unit size: what the decoder makes of them is its own doing.
        taps = [tap / tap.std() for tap in model.dpt(pixel_values).taps]
        for fused in model.neck(tuple(taps), (4, 4)):
            assert 0.1 < fused.std() < 5

    def test_a_relu_head_starts_alive(self, tiny):
        config, parts = tiny(), []
        for _ in range(8):  # a single network may have bad luck
            depth = DPTForDepthEstimation(config).eval()(torch.randn(2, 3, 64, 64)).predicted_depth
            parts.append((depth > 0).float().mean().item())
        assert sum(parts) / 8 > 0.8

    def test_positions_start_smooth_and_all_different(self, tiny):
        embeddings = DPTModel(tiny("vit_distilled", image_size=[64, 96])).embeddings
        assert 0 < embeddings.cls_token.std() < 0.05 and 0 < embeddings.distillation_token.std() < 0.05
        prefix, places = embeddings.position_embeddings[0].split([2, 4 * 6])
        assert not prefix.any()
        distances = torch.cdist(places, places)
        assert (distances + 10 * torch.eye(4 * 6)).min() > 0.5
        # Neighbours in a row, and in a column, are nearer than places three apart.
        assert distances[0, 1] < distances[0, 3] and distances[0, 6] < distances[0, 18]


def test_a_kind_of_attention_is_for_the_blocks_not_for_the_stem_of_a_hybrid(tmp_path):
    model = DPTForDepthEstimation(
        DPTConfig.from_preset("dpt-tiny", num_hidden_layers=4, backbone_out_indices=[0, 1, 2, 3])
    )
    model.set_attn_implementation("eager")
    model.set_attn_implementation("sdpa")
    model.save_pretrained(tmp_path)
    loaded = DPTForDepthEstimation.from_pretrained(tmp_path, attn_implementation="sdpa")
    for each in (model, loaded):
        assert each.config._attn_implementation == "sdpa"
        assert each.config.backbone_config._attn_implementation == "eager"
