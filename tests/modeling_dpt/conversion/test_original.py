"""The authors' files: outputs as the authors' code gave them, sizes inferred, clear errors for what is not one."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from open_dpt import DPTConfig, DPTForDepthEstimation, DPTForSemanticSegmentation, DPTModel
from open_dpt.modeling_dpt.conversion import load_original, read_original

GOLDEN = Path(__file__).parents[2] / "golden"
NAMES = sorted(path.stem for path in GOLDEN.glob("*.pt"))


def options_of(facts):
    """What neither names nor shapes of a golden file tell."""
    options = {"num_attention_heads": facts["num_attention_heads"]} if "num_attention_heads" in facts else {}
    if facts.get("readout_type") in ("add", "ignore"):
        options["readout_type"] = facts["readout_type"]
    if facts.get("invert"):
        options |= {"depth_scale": facts["scale"], "depth_shift": facts["shift"], "invert_depth": True}
    return options


def noise(*shape):
    return torch.randn(*shape) * 0.1


def nothing(*shape):
    """A tensor of any size that takes no memory, also in a file."""
    return torch.zeros(1).expand(*shape)


def original_weights(
    *,
    depth=4,
    width=64,
    mlp=128,
    tokens=4,
    fusion=16,
    head=(8, 4),
    neck=(8, 8, 8, 8),
    stem=(32, (128, 128, 128), (2, 2, 2)),
    hybrid=False,
    segmentation=False,
    distilled=False,
    readout="project",
    make=noise,
):
    """Names and shapes of an authors' file, from the facts of their code."""
    weights = {}

    def put(name, *shape, bias=True):
        weights[f"{name}.weight"] = make(*shape)
        if bias:
            weights[f"{name}.bias"] = make(shape[1] if "act_postprocess" in name and len(shape) == 4 else shape[0])

    def put_norm(name, size):
        put(name, size)
        weights[f"{name}.running_mean"], weights[f"{name}.running_var"] = torch.zeros(size), torch.ones(size)
        weights[f"{name}.num_batches_tracked"] = torch.tensor(7)

    model = "pretrained.model."
    weights[model + "cls_token"] = make(1, 1, width)
    if distilled:
        weights[model + "dist_token"] = make(1, 1, width)
        put(model + "head_dist", 10, width)
    weights[model + "pos_embed"] = make(1, tokens + 1 + distilled, width)
    if hybrid:
        name_of_stem = model + "patch_embed.backbone."
        embedding, widths, depths = stem
        put(name_of_stem + "stem.conv", embedding, 3, 7, 7, bias=False)
        put(name_of_stem + "stem.norm", embedding)
        before = embedding
        for stage, channels in enumerate(widths):
            for block in range(depths[stage]):
                name = f"{name_of_stem}stages.{stage}.blocks.{block}."
                if block == 0:
                    put(name + "downsample.conv", channels, before, 1, 1, bias=False)
                    put(name + "downsample.norm", channels)
                for number, (out, size) in enumerate(((channels // 4, 1), (channels // 4, 3), (channels, 1)), start=1):
                    put(f"{name}conv{number}", out, before if number == 1 else channels // 4, size, size, bias=False)
                    put(f"{name}norm{number}", out)
                before = channels
        put(model + "patch_embed.proj", width, before, 1, 1)
        neck = (*widths[:2], *neck[2:])
    else:
        put(model + "patch_embed.proj", width, 3, 16, 16)
    for block in range(depth):
        name = f"{model}blocks.{block}."
        for part, shape in {
            "norm1": (width,),
            "attn.qkv": (3 * width, width),
            "attn.proj": (width, width),
            "norm2": (width,),
            "mlp.fc1": (mlp, width),
            "mlp.fc2": (width, mlp),
        }.items():
            put(name + part, *shape)
    put(model + "norm", width)
    put(model + "head", 10, width)
    for level in range(1, 5):
        name, channels = f"pretrained.act_postprocess{level}.", neck[level - 1]
        if not (hybrid and level < 3):
            if readout == "project":
                put(name + "0.project.0", width, 2 * width)
            weights[name + "3.weight"] = make(channels, width, 1, 1)
            weights[name + "3.bias"] = make(channels)
            if level != 3:
                put(name + "4", channels, channels, *[(4, 4), (2, 2), None, (3, 3)][level - 1])
        put(f"scratch.layer{level}_rn", fusion, channels, 3, 3, bias=False)
        put(f"scratch.refinenet{level}.out_conv", fusion, fusion, 1, 1)
        for unit in (1, 2):
            for number in (1, 2):
                name = f"scratch.refinenet{level}.resConfUnit{unit}."
                put(f"{name}conv{number}", fusion, fusion, 3, 3, bias=not segmentation)
                if segmentation:
                    put_norm(f"{name}bn{number}", fusion)
    if segmentation:
        for branch in ("scratch.output_conv", "auxlayer"):
            put(branch + ".0", fusion, fusion, 3, 3, bias=False)
            put_norm(branch + ".1", fusion)
            put(branch + ".4", 5, fusion, 1, 1)
    else:
        put("scratch.output_conv.0", head[0], fusion, 3, 3)
        put("scratch.output_conv.2", head[1], head[0], 3, 3)
        put("scratch.output_conv.4", 1, head[1], 1, 1)
    return weights


@pytest.fixture
def save(tmp_path):
    def save(content, name="model.pt"):
        torch.save(content, tmp_path / name)
        return tmp_path / name

    return save


@pytest.mark.parametrize("name", NAMES)
def test_goldens_reproduce(name):
    facts = json.loads((GOLDEN / f"{name}.json").read_text())
    depth = facts["task"] == "depth"
    model_class = DPTForDepthEstimation if depth else DPTForSemanticSegmentation
    model = model_class.from_original(GOLDEN / f"{name}.pt", **options_of(facts))
    reference = load_file(GOLDEN / f"{name}.io.safetensors")
    for index in range(3):
        with torch.no_grad():
            output = model(reference[f"input_{index}"])
        expected = reference[f"output_{index}"]
        actual = output.predicted_depth if depth else output.logits
        assert actual.shape == expected.shape
        assert (actual - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("name", NAMES)
def test_sizes_are_inferred(name):
    facts = json.loads((GOLDEN / f"{name}.json").read_text())
    config = read_original(GOLDEN / f"{name}.pt", **options_of(facts)).config
    encoder = config.backbone_config if config.uses_auto_backbone else config
    ours = {"backbone_out_indices", "readout_type", "neck_hidden_sizes", "fusion_hidden_size"}
    for key in {"image_size", "patch_size", "hidden_size", "intermediate_size", "num_hidden_layers", "depths"} & set(
        facts
    ):
        assert getattr(encoder, key) == facts[key], key
    for key in ours & set(facts):
        if key != "backbone_out_indices" or not config.uses_auto_backbone:
            assert getattr(config, key) == facts[key], key
    if "layer_norm_eps" in facts:
        assert config.layer_norm_eps == facts["layer_norm_eps"]
    if "num_labels" in facts:
        assert config.num_labels == facts["num_labels"] and config.use_auxiliary_head
    if facts.get("is_hybrid"):
        for key, value in facts["backbone"].items():
            assert getattr(config.backbone_config, key) == value, key
    if facts.get("encoder") == "swinv2":
        assert (encoder.window_size, encoder.num_heads, encoder.embed_dim) == (8, [1, 2, 4, 8], 32)
    if facts.get("invert"):
        assert config.depth_estimation_type == "metric"


_LARGE = {"depth": 24, "width": 1024, "mlp": 4096, "neck": (256, 512, 1024, 1024)}
_HYBRID = {
    "depth": 12,
    "width": 768,
    "mlp": 3072,
    "neck": (256, 512, 768, 768),
    "stem": (64, (256, 512, 1024), (3, 4, 9)),
    "hybrid": True,
}


@pytest.mark.parametrize(
    ("file", "preset", "sizes"),
    [
        ("dpt_large-midas-2f21e586.pt", "dpt-large", _LARGE),
        ("dpt_hybrid-midas-501f0c75.pt", "dpt-hybrid", _HYBRID),
        ("dpt_large-ade20k-b12dca68.pt", "dpt-large", {**_LARGE, "segmentation": True}),
        ("dpt_hybrid-ade20k-53898607.pt", "dpt-hybrid", {**_HYBRID, "segmentation": True}),
    ],
)
def test_released_files_are_the_presets(save, file, preset, sizes):
    weights = original_weights(tokens=24 * 24, fusion=256, head=(128, 32), make=nothing, **sizes)
    checkpoint = read_original(save(weights, file))
    expected = DPTConfig.from_preset(preset).to_dict()
    actual = checkpoint.config.to_dict()
    of_the_task = {"use_auxiliary_head", "use_batch_norm_in_fusion_residual", "use_bias_in_fusion_residual"}
    for key in set(expected) - of_the_task - {"id2label", "label2id"}:
        if key == "backbone_config" and actual[key]:
            encoder = {name for name, value in expected[key].items() if actual[key][name] != value}
            assert not encoder
        else:
            assert actual[key] == expected[key], key
    assert checkpoint.task == ("segmentation" if sizes.get("segmentation") else "depth")
    assert checkpoint.preprocessing["size"] == dict.fromkeys(("height", "width"), 480 if "ade" in file else 384)


def test_hybrid_runs(save):
    model = DPTForDepthEstimation.from_original(save(original_weights(hybrid=True)))
    assert model(torch.randn(1, 3, 64, 32)).predicted_depth.shape == (1, 64, 32)


def test_distilled_encoder_has_two_prefix_tokens(save):
    path = save(original_weights(distilled=True))
    model = DPTForDepthEstimation.from_original(path)
    assert model.config.num_prefix_tokens == 2
    assert torch.equal(
        model.state_dict()["dpt.embeddings.distillation_token"], torch.load(path)["pretrained.model.dist_token"]
    )


@pytest.mark.parametrize(
    ("file", "scale"), [("dpt_hybrid_kitti-cb926ef4.pt", 6.016e-05), ("dpt_hybrid_nyu-2ce69ec7.pt", 3.05e-4)]
)
def test_metric_constants_come_from_the_file_name(save, file, scale):
    checkpoint = read_original(save(original_weights(hybrid=True, depth=4), file))
    config = checkpoint.config
    assert (config.depth_scale, config.invert_depth, config.depth_estimation_type) == (scale, True, "metric")
    assert checkpoint.preprocessing["size"]["width"] == (1216 if "kitti" in file else 640)
    assert read_original(save(original_weights(), file), depth_shift=0.5).config.depth_shift == 0.5


def test_wrappers_around_the_weights(save):
    weights = original_weights()
    expected = read_original(save(weights)).state_dict
    for content in (
        {"model": weights, "optimizer": {"state": {}}},
        {"state_dict": {f"module.{key}": value for key, value in weights.items()}, "epoch": 3},
    ):
        found = read_original(save(content)).state_dict
        assert found.keys() == expected.keys() and all(torch.equal(found[key], expected[key]) for key in expected)


def test_half_precision_is_read_as_float32_unless_asked(save):
    path = save(
        {key: value.half() if value.is_floating_point() else value for key, value in original_weights().items()}
    )
    assert DPTForDepthEstimation.from_original(path).dtype == torch.float32
    assert DPTForDepthEstimation.from_original(path, dtype=torch.float16).dtype == torch.float16


def test_the_task_decides_the_class(save):
    path = save(original_weights(segmentation=True))
    model, preprocessing = load_original(path)
    assert type(model) is DPTForSemanticSegmentation and model.config.num_labels == 5
    assert preprocessing["ensure_multiple_of"] == 32
    with pytest.raises(
        ValueError, match=r"depth checkpoint is required, got segmentation. Use DPTForSemanticSegmentation"
    ):
        DPTForDepthEstimation.from_original(path)
    assert DPTModel.from_original(path).config.hidden_size == 64


def test_downsampling_of_later_timm_versions_moves_to_the_stage_before():
    from open_dpt.modeling_dpt.conversion.key_maps import rename, timm_swin

    later = {"layers.1.downsample.reduction.weight": torch.ones(1)}
    earlier = {"layers.0.downsample.reduction.weight": torch.ones(1)}
    assert (
        list(rename(later, timm_swin(downsample_opens_stage=True))[0])
        == list(rename(earlier, timm_swin())[0])
        == ["backbone.encoder.layers.0.downsample.reduction.weight"]
    )


def test_swin_taps_have_no_norm(save, tmp_path):
    """The layout of dpt_swin_large_384 at a tiny size: Swin's table instead of SwinV2's network of positions."""
    weights = {
        key: value
        for key, value in torch.load(GOLDEN / "midas_swin2_depth.pt").items()
        if not key.endswith(("logit_scale", "q_bias", "v_bias")) and "cpb_mlp" not in key
    }
    for key in [key for key in weights if key.endswith("attn.qkv.weight")]:
        stage = int(key.split(".")[3])
        weights[key.replace("weight", "bias")] = torch.zeros(weights[key].shape[0])
        weights[key.replace("qkv.weight", "relative_position_bias_table")] = torch.zeros(15**2, 2**stage)
    for stage in range(3):
        width = 32 * 2**stage
        for part in ("weight", "bias"):
            weights[f"pretrained.model.layers.{stage}.downsample.norm.{part}"] = torch.ones(4 * width)
    model = DPTForDepthEstimation.from_original(save(weights))
    assert model.config.backbone_config.model_type == "swin" and model.config.normalize_taps is False
    pixels = torch.randn(1, 3, 128, 128)
    taps = model.dpt(pixels, output_hidden_states=True)
    assert taps.taps[0].shape == (1, 32, 32, 32)
    model.save_pretrained(tmp_path / "ours")
    again = DPTForDepthEstimation.from_pretrained(tmp_path / "ours")
    with torch.no_grad():
        assert torch.equal(again(pixels).predicted_depth, model(pixels).predicted_depth)


# --- errors ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w | {"scratch.unheard_of": torch.ones(1)}, "1 unknown key .scratch.unheard_of"),
        (
            lambda w: {k: v for k, v in w.items() if "norm2.bias" not in k},
            "4 missing weights .dpt.encoder.layer.0.*after",
        ),
        (lambda w: {k: v for k, v in w.items() if "layer3_rn" not in k}, "scratch.layer3_rn.weight' is missing"),
        (lambda w: w | {"scratch.stem_transpose.0.weight": torch.ones(1)}, "LeViT.*not supported"),
        (lambda w: w | {"pretrained.model.features.0.conv.weight": torch.ones(1)}, "Next-ViT.*not supported"),
        (lambda w: w | {"pretrained.layer1.0.weight": torch.ones(1)}, "MiDaS 2.*not supported"),
        (lambda w: {"encoder.weight": torch.ones(1)}, "layout of DPT or MiDaS 3.1 .* is required, got encoder.weight"),
        (lambda w: {k: v for k, v in w.items() if "project" not in k}, "readout_type cannot be read"),
        (lambda w: w | {"pretrained.model.pos_embed": torch.ones(1, 7, 64)}, "6 position embeddings are no square"),
    ],
)
def test_files_that_do_not_fit_are_named(save, change, message):
    with pytest.raises(ValueError, match=message) as caught:
        DPTForDepthEstimation.from_original(save(change(original_weights())))
    assert "\n" not in str(caught.value)


def test_an_unknown_option_is_named(save):
    with pytest.raises(TypeError, match="'depht_scale' is no configuration key"):
        DPTForDepthEstimation.from_original(save(original_weights()), depht_scale=2)
