"""quantize_int8: products of integers are what they should be, answers stay close, misuse ends in one line."""

import copy
import io
import logging

import pytest
import torch

from open_dpt import DPTForDepthEstimation, DPTForSemanticSegmentation, DPTModel
from open_dpt.assets import bundled_model_path
from open_dpt.modeling_dpt.backbones.vit import ViTSelfAttention
from open_dpt.modeling_dpt.cpu import bfloat16_instructions
from open_dpt.modeling_dpt.fingerprint import fingerprint
from open_dpt.modeling_dpt.int8_attention import Int8SelfAttention, attend
from open_dpt.modeling_dpt.int8_layers import Int8Conv2d, Int8Linear, Int8Readout, around_zero_point, in_steps
from open_dpt.modeling_dpt.packed_weight import can_pack
from open_dpt.modeling_dpt.readout import ProjectReadout

pytestmark = pytest.mark.skipif(
    not (torch.backends.mkldnn.is_available() and torch.cpu._is_vnni_supported()),
    reason="8-bit products overflow without VNNI",
)
DTYPES = [torch.float32, torch.bfloat16]
# Half a step of 127 in weights and inputs of a normal distribution, and the rounding of the result.
CLOSE = {torch.float32: 0.02, torch.bfloat16: 0.025}


def error(got: torch.Tensor, expected: torch.Tensor) -> float:
    return ((got.float() - expected.float()).norm() / expected.float().norm()).item()


def rounded(values: torch.Tensor, dims: tuple[int, ...], most: float) -> torch.Tensor:
    """Values as `most` equal steps to the largest can express them."""
    step = values.abs().amax(dims, keepdim=True) / most
    return (values / step).round() * step


def as_steps_give_them(values: torch.Tensor, dims: tuple[int, ...]) -> torch.Tensor:
    """Inputs as the layers round them. Another way to compute a step may choose the other neighbour at a tie."""
    whole, steps = in_steps(values, dims)
    return whole.float() / steps.float()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 1, 48), (2, 4, 48), (2, 7, 48), (3, 2, 5, 48)])
def test_linear_multiplies_rounded_inputs_with_rounded_weights(dtype, bias, shape):
    linear = torch.nn.Linear(48, 80, bias=bias).requires_grad_(False)
    features = torch.randn(shape).to(dtype)
    got = Int8Linear.of(linear).to(dtype)(features)
    twin = as_steps_give_them(features, (-1,)) @ rounded(linear.weight, (1,), 127).T
    twin = twin if linear.bias is None else twin + linear.bias
    assert got.shape == (*shape[:-1], 80) and got.dtype == dtype
    assert error(got, twin) < (1e-5 if dtype == torch.float32 else 0.005)
    assert error(got, linear(features.float())) < CLOSE[dtype]


def test_linears_of_one_input_stand_side_by_side():
    linears = [torch.nn.Linear(32, 40, bias=bias).requires_grad_(False) for bias in (True, False)]
    features = torch.randn(5, 32)
    joined = Int8Linear.of(*linears)(features)
    assert torch.equal(joined, torch.cat([Int8Linear.of(linear)(features) for linear in linears], dim=-1))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("geometry", [{"padding": 1}, {"padding": 1, "stride": 2, "bias": False}, {"kernel_size": 1}])
def test_convolution_multiplies_rounded_inputs_with_rounded_weights(dtype, geometry):
    convolution = torch.nn.Conv2d(24, 40, **{"kernel_size": 3, **geometry}).requires_grad_(False)
    feature_map = torch.randn(2, 24, 7, 10).to(dtype)
    got = Int8Conv2d(convolution).to(dtype)(feature_map)
    twin = copy.deepcopy(convolution)
    twin.weight.copy_(rounded(convolution.weight, (1, 2, 3), 127))
    expected = twin(as_steps_give_them(feature_map, (1, 2, 3)))
    assert got.shape == expected.shape and got.dtype == dtype
    assert error(got, expected) < (1e-5 if dtype == torch.float32 else 0.005)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_size_of_values_survives(dtype):
    for scale in (1e-12, 1.0, 1e12):
        for _ in range(20):  # the largest of a row is the one that could wrap around
            values = torch.randn(64, 16).to(dtype) * scale
            whole, steps = in_steps(values, (-1,))
            got = (around_zero_point(whole.to(torch.int8)).float() - 128) / steps.float()
            assert (got - values.float()).abs().max() <= 0.012 * values.float().abs().max()
    whole, steps = in_steps(torch.zeros(2, 3, dtype=dtype), (-1,))
    assert (whole == 0).all() and steps.isfinite().all()


def test_what_is_not_a_number_stays_so():
    features = torch.zeros(2, 32)
    features[1, 3] = torch.nan
    got = Int8Linear.of(torch.nn.Linear(32, 32))(features)
    assert got[0].isfinite().all() and got[1].isnan().all()


def test_another_default_device_changes_nothing():
    features = torch.randn(5, 32)
    with torch.device("meta"):
        got = Int8Linear.of(torch.nn.Linear(32, 40, device="cpu").requires_grad_(False))(features)
    assert got.device.type == "cpu" and got.shape == (5, 40)


@pytest.mark.parametrize("most", [3 << 20, 1000, 1])
def test_attention_in_parts_is_attention(most, monkeypatch):
    monkeypatch.setattr("open_dpt.modeling_dpt.int8_attention.SCORES", most)
    query, key, value = torch.randn(3, 2, 4, 37, 16)
    got = attend(query, key, value, 0.25)
    expected = torch.nn.functional.scaled_dot_product_attention(query, key, value, scale=0.25).transpose(1, 2)
    assert got.shape == (2, 37, 4, 16) and error(got, expected) < 1e-5


@pytest.mark.parametrize("model_class", [DPTForDepthEstimation, DPTForSemanticSegmentation, DPTModel])
@pytest.mark.parametrize("encoder", ["vit", "hybrid", "dinov2", "swin", "resnet"])
def test_answers_stay_close(tiny, encoder, model_class):
    model = model_class(tiny(encoder, fusion_hidden_size=32)).eval()
    divisor = model.config.size_divisor
    pixel_values = torch.randn(2, 3, 3 * divisor, 5 * divisor)
    quantized = copy.deepcopy(model).quantize_int8()
    with torch.no_grad():
        expected = model(pixel_values)
        got = quantized(pixel_values.to(quantized.dtype))
        alone = quantized(pixel_values[1:].to(quantized.dtype))
    expected, got, alone = (output["taps"][-1] if "taps" in output else output[0] for output in (expected, got, alone))
    assert error(got, expected) < 0.1
    # What an image gives does not depend on those beside it.
    assert error(got[1:], alone) < 0.01


def test_the_bundled_model_is_as_close_as_in_bfloat16_nearly():
    model = DPTForDepthEstimation.from_pretrained(bundled_model_path(), dtype=torch.float32).eval()
    pixel_values = torch.nn.functional.interpolate(torch.randn(1, 3, 6, 8), (192, 256), mode="bicubic")
    with torch.no_grad():
        expected = model(pixel_values).predicted_depth
        got = model.quantize_int8()(pixel_values.to(model.dtype)).predicted_depth
    assert error(got - got.mean(), expected - expected.mean()) < 0.05


def test_what_becomes_integers(tiny, caplog):
    model = DPTForDepthEstimation(tiny(readout_type="project"))
    with caplog.at_level(logging.INFO, logger="open_dpt"):
        assert model.quantize_int8() is model and model.quantize_int8() is model
    assert "28 linear layers and 25 convolutions, the rest in" in caplog.text
    assert not model.training and not any(parameter.requires_grad for parameter in model.parameters())
    kinds = [type(module) for module in model.modules()]
    assert ViTSelfAttention not in kinds and ProjectReadout not in kinds
    assert kinds.count(Int8SelfAttention) == 4 and kinds.count(Int8Readout) == 4
    assert not any(isinstance(module, Int8Conv2d) for module in model.head.modules())
    assert type(model.dpt.embeddings.patch_embeddings.projection) is torch.nn.Conv2d


@pytest.mark.parametrize(
    ("capability", "dtype"),
    [("amx_bf16", torch.bfloat16), ("avx512_bf16", torch.bfloat16), ("avx512_f", torch.float32)],
)
def test_the_rest_is_in_bfloat16_where_that_is_multiplied_in_hardware(tiny, monkeypatch, capability, dtype):
    can_pack()  # it remembers what this machine can do
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_vnni": True, capability: True})
    bfloat16_instructions.cache_clear()
    try:
        assert DPTForDepthEstimation(tiny()).quantize_int8().dtype == dtype
    finally:
        bfloat16_instructions.cache_clear()


def test_copies_answer_the_same(tiny):
    model = DPTForDepthEstimation(tiny()).quantize_int8()
    pixel_values = torch.randn(1, 3, 64, 64, dtype=model.dtype)
    assert torch.equal(copy.deepcopy(model)(pixel_values).predicted_depth, model(pixel_values).predicted_depth)


def test_attention_can_be_asked_for(tiny):
    model = DPTModel(tiny()).eval()
    pixel_values = torch.randn(1, 3, 64, 64)
    expected = model(pixel_values, output_attentions=True).attentions
    got = model.quantize_int8()(pixel_values.to(model.dtype), output_attentions=True).attentions
    assert len(got) == len(expected) and error(got[-1], expected[-1]) < 0.05


def test_the_fingerprint_is_that_of_the_weights(tiny):
    model = DPTForDepthEstimation(tiny())
    before = fingerprint(model)
    assert fingerprint(model.quantize_int8()) == before


@pytest.mark.parametrize(
    ("misuse", "message"),
    [
        (lambda model, folder: model.save_pretrained(folder), "quantised model cannot be saved"),
        (lambda model, folder: model.to_transformers(folder), "quantised model cannot be saved"),
        (lambda model, folder: model(torch.randn(1, 3, 64, 64).to(model.dtype).requires_grad_()), "no gradient"),
    ],
)
# A hybrid also has folded weights, which refuse to be saved, too.
@pytest.mark.parametrize("encoder", ["vit", "hybrid"])
def test_misuse_is_told(tiny, tmp_path, encoder, misuse, message):
    model = DPTForDepthEstimation(tiny(encoder)).quantize_int8()
    with pytest.raises(RuntimeError, match=message):
        misuse(model, tmp_path)


@pytest.mark.parametrize(
    ("misuse", "message"),
    [
        (lambda part: part.state_dict(), "cannot be saved"),
        (lambda part: torch.save(part, io.BytesIO()), "cannot be saved"),
        (lambda part: part.load_state_dict({}, strict=False), "cannot be loaded into integers"),
        (lambda part: part.train(), "cannot be trained"),
        (lambda part: part.to("meta"), "runs on the CPU only"),
        (lambda part: part.half(), "the rest runs in bfloat16 or float32, got float16"),
        (lambda part: part.double(), "the rest runs in bfloat16 or float32, got float64"),
    ],
)
@pytest.mark.parametrize("name", ["", "dpt", "dpt.encoder", "dpt.encoder.layer.0.attention", "neck"])
def test_misuse_of_parts_is_told(tiny, name, misuse, message):
    model = DPTForDepthEstimation(tiny()).quantize_int8()
    with pytest.raises((RuntimeError, TypeError), match=message):
        misuse(model.get_submodule(name))


@pytest.mark.parametrize("name", ["", "dpt"])
def test_a_model_that_refuses_is_as_before(tiny, name):
    model = DPTForDepthEstimation(tiny()).quantize_int8()
    part, dtype = model.get_submodule(name), model.dtype
    random_weights = DPTForDepthEstimation(tiny(initializer_range=0.5)).get_submodule(name).state_dict()
    pixel_values = torch.randn(1, 3, 64, 64, dtype=dtype)
    expected = model(pixel_values).predicted_depth
    for misuse in (part.train, part.half, lambda: part.load_state_dict(random_weights, strict=False)):
        with pytest.raises(RuntimeError, match="quantize_int8"):
            misuse()
    assert not any(module.training for module in model.modules())
    assert torch.equal(model(pixel_values).predicted_depth, expected)


def test_images_of_another_dtype_are_told(tiny):
    model = DPTForDepthEstimation(tiny()).quantize_int8().bfloat16()
    pixel_values = torch.randn(1, 3, 64, 64)
    for call in (model, model.dpt, copy.deepcopy(model), lambda pixel_values: model(pixel_values=pixel_values)):
        with pytest.raises(ValueError, match=r"pixel_values: must be bfloat16, .* got float32. Call"):
            call(pixel_values)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model(pixel_values).predicted_depth.isfinite().all()


def test_a_convolution_of_no_images_gives_none():
    convolution = torch.nn.Conv2d(24, 40, 3, padding=1, stride=2).requires_grad_(False)
    assert Int8Conv2d(convolution)(torch.randn(0, 24, 7, 10)).shape == (0, 40, 4, 5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_rest_can_change_between_dtypes_that_work(tiny, dtype):
    model = DPTForDepthEstimation(tiny()).quantize_int8().to(dtype)
    assert model(torch.randn(1, 3, 64, 64, dtype=dtype)).predicted_depth.dtype == dtype


def test_the_encoder_inside_is_quantised_too(tiny):
    model = DPTForDepthEstimation(tiny())
    before = fingerprint(model.dpt)
    assert model.quantize_int8().dpt.is_int8 and fingerprint(model.dpt) == before


def test_a_model_that_is_prepared_or_elsewhere_is_refused(tiny):
    with pytest.raises(ValueError, match="got a model on meta"):
        DPTForDepthEstimation(tiny()).to("meta").quantize_int8()
    with pytest.raises(ValueError, match="comes instead of optimize_for_inference"):
        DPTForDepthEstimation(tiny()).optimize_for_inference().quantize_int8()


def test_a_cpu_without_such_products_is_refused(tiny, monkeypatch):
    monkeypatch.setattr("torch.cpu._is_vnni_supported", lambda: False)
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {})
    with pytest.raises(RuntimeError, match=r"needs a CPU with 8-bit dot products \(VNNI\)"):
        DPTForDepthEstimation(tiny()).quantize_int8()
