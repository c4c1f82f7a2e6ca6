"""DPTConfig: what it accepts, what it refuses, and how it reads stock files."""

import copy
import json
import subprocess
import sys

import pytest
import transformers
from transformers import AutoConfig

from open_dpt import DPTConfig

TINY = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 64, "image_size": 64}
NECK = {"backbone_out_indices": [0, 1, 2, 3], "neck_hidden_sizes": [8, 16, 24, 32], "fusion_hidden_size": 16}
DINOV2 = {
    "model_type": "dinov2",
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "image_size": 56,
    "patch_size": 14,
    "out_indices": [1, 2, 3, 4],
}
RESNET = {"model_type": "resnet", "out_features": ["stage1", "stage2", "stage3", "stage4"]}


def without_volatile(config: DPTConfig) -> dict:
    return {key: value for key, value in config.to_dict().items() if key not in ("_name_or_path", "dtype")}


@pytest.mark.parametrize(
    "values",
    [
        {},
        {**TINY, **NECK, "image_size": [64, 96], "readout_type": "add", "num_labels": 7},
        {"is_hybrid": True, "backbone_out_indices": [0, 1, 8, 11], "neck_hidden_sizes": [256, 512, 768, 768]},
        {"backbone_config": DINOV2},
        {"depth_estimation_type": "metric", "depth_scale": 0.000305, "depth_shift": 0.1378, "invert_depth": True},
    ],
    ids=["defaults", "vit", "hybrid", "dinov2", "metric"],
)
def test_survives_saving_loading_and_copying(values, tmp_path):
    config = DPTConfig(**values)
    config.save_pretrained(tmp_path)
    assert without_volatile(DPTConfig.from_pretrained(tmp_path)) == without_volatile(config)
    assert without_volatile(copy.deepcopy(config)) == without_volatile(config)
    assert json.loads(config.to_json_string())["model_type"] == "open_dpt"


def test_construction_leaves_its_arguments_alone():
    encoder = copy.deepcopy(DINOV2)
    DPTConfig(backbone_config=encoder, normalize_taps=False)
    assert encoder == DINOV2
    built = transformers.Dinov2Config(**{key: value for key, value in DINOV2.items() if key != "model_type"})
    DPTConfig(backbone_config=built, normalize_taps=False)
    assert built.reshape_hidden_states and built.apply_layernorm


@pytest.mark.parametrize(
    ("values", "subject", "received"),
    [
        ({"readout_type": "cls"}, "readout_type", "'cls'"),
        ({"head_activation": "gelu"}, "head_activation", "'gelu'"),
        ({"depth_estimation_type": "absolute"}, "depth_estimation_type", "'absolute'"),
        ({"num_prefix_tokens": 3}, "num_prefix_tokens", "3"),
        ({"hidden_size": 770}, "hidden_size", "770"),
        ({"hidden_size": 0}, "hidden_size", "0"),
        ({"image_size": 100}, "image_size", "100"),
        ({"image_size": [64, 96, 128]}, "image_size", r"\[64, 96, 128\]"),
        ({"backbone_out_indices": [2, 5, 8, 12]}, "backbone_out_indices", "12"),
        ({"backbone_out_indices": [2, 8, 5, 11]}, "backbone_out_indices", r"\[2, 8, 5, 11\]"),
        ({"backbone_out_indices": [2, 5, 8]}, "backbone_out_indices", r"\[2, 5, 8\]"),
        ({"backbone_out_indices": [-1, 5, 8, 11]}, "backbone_out_indices", "-1"),
        ({"reassemble_factors": [4, 2, 1]}, "reassemble_factors", r"\[4, 2, 1\]"),
        ({"reassemble_factors": [4, 2, 1, 0.3]}, "reassemble_factors", "0.3"),
        ({"neck_hidden_sizes": []}, "neck_hidden_sizes", r"\[\]"),
        ({"head_in_index": 4}, "head_in_index", "4"),
        ({"auxiliary_head_tap": -5}, "auxiliary_head_tap", "-5"),
        ({"auxiliary_loss_weight": -0.1}, "auxiliary_loss_weight", "-0.1"),
        ({"fusion_hidden_size": 15}, "fusion_hidden_size", "15"),
        ({"max_depth": -1}, "max_depth", "-1"),
        ({"depth_estimation_type": "metric", "head_activation": "sigmoid"}, "max_depth", "None"),
        ({"invert_depth": True, "depth_scale": 0.0}, "depth_scale", "0.0"),
        ({"semantic_classifier_dropout": 1.0}, "semantic_classifier_dropout", "1.0"),
        ({"is_hybrid": True}, "backbone_out_indices", r"\[2, 5, 8, 11\]"),
        ({"is_hybrid": True, "backbone_out_indices": [0, 1, 8, 11]}, "neck_hidden_sizes", "96"),
        ({"backbone_config": RESNET}, "readout_type", "'project'"),
        ({"backbone_config": DINOV2, "neck_hidden_sizes": [8, 16]}, "backbone_config.out_indices", r"\[1, 2, 3, 4\]"),
        ({"backbone_config": {**DINOV2, "image_size": [56, 84]}}, "backbone_config.image_size", r"\[56, 84\]"),
        ({"backbone_config": {**RESNET}, "readout_type": "ignore", "normalize_taps": True}, "normalize_taps", "True"),
        ({"backbone_config": {"hidden_size": 8}}, "backbone_config", "model_type"),
        ({"backbone_config": {"model_type": "no_such_encoder"}}, "backbone_config", "no_such_encoder"),
    ],
)
def test_refuses_impossible_values_by_name(values, subject, received):
    with pytest.raises(ValueError, match=rf"^{subject}: .*{received}") as error:
        DPTConfig(**values)
    assert "\n" not in str(error.value)


def test_non_negative_is_an_alias_of_the_head_activation():
    assert DPTConfig(non_negative=True).head_activation == "relu"
    assert DPTConfig(non_negative=False).head_activation == "none"
    assert DPTConfig(max_depth=20, head_activation="sigmoid", depth_estimation_type="metric").max_depth == 20


def test_properties_describe_each_kind_of_encoder():
    vit, dinov2 = DPTConfig(image_size=[64, 96]), DPTConfig(backbone_config=DINOV2)
    resnet = DPTConfig(backbone_config=RESNET, readout_type="ignore", neck_hidden_sizes=[256, 512, 1024, 2048])
    assert [config.size_divisor for config in (vit, dinov2, resnet)] == [16, 14, 32]
    assert [config.is_hierarchical for config in (vit, dinov2, resnet)] == [False, False, True]
    assert [config.has_readout_token for config in (vit, dinov2, resnet)] == [True, True, False]
    assert vit.grid_size == (4, 6)
    assert dinov2.encoder_hidden_size == 32 and resnet.encoder_hidden_size is None
    assert DPTConfig(fusion_hidden_size=96).head_channels == 48


class TestStockFiles:
    def test_absent_keys_mean_the_stock_defaults(self):
        config = DPTConfig.from_dict({"model_type": "dpt"})
        assert (config.auxiliary_loss_weight, config.auxiliary_head_tap) == (0.4, -1)
        assert (DPTConfig().auxiliary_loss_weight, DPTConfig().auxiliary_head_tap) == (0.2, -2)
        assert config.layer_norm_eps == transformers.DPTConfig().layer_norm_eps

    @pytest.mark.parametrize("source", ["full", "diff"])
    def test_every_shared_key_has_the_stock_value(self, source):
        stock = transformers.DPTConfig(**TINY, **NECK, readout_type="add", auxiliary_loss_weight=0.3, num_labels=9)
        values = stock.to_dict() if source == "full" else stock.to_diff_dict()
        ours = DPTConfig.from_dict(copy.deepcopy(values)).to_dict()
        differing = {
            key: (value, ours[key])
            for key, value in stock.to_dict().items()
            if key in ours and ours[key] != value and key not in ("model_type", "transformers_version")
        }
        # Unused by the stock class outside hybrids; the pooler's size it fills in, we have no pooler.
        assert set(differing) <= {"pooler_output_size"}

    def test_defaults_we_share_are_equal(self):
        stock, ours = transformers.DPTConfig().to_dict(), DPTConfig().to_dict()
        differing = {key for key in stock.keys() & ours.keys() if stock[key] != ours[key]}
        assert differing == {"model_type", "auxiliary_loss_weight", "pooler_output_size"}

    @pytest.mark.parametrize(
        "stock",
        [
            transformers.DPTConfig(),
            transformers.DPTConfig(
                is_hybrid=True, backbone_out_indices=[0, 1, 8, 11], neck_hidden_sizes=[256, 512, 768, 768]
            ),
            transformers.DPTConfig(backbone_config=transformers.Dinov2Config(out_indices=[3, 6, 9, 12])),
            transformers.DPTConfig(
                backbone_config=transformers.Swinv2Config(out_indices=[1, 2, 3, 4]), image_size=256
            ),
            transformers.DepthAnythingConfig(),
            transformers.DepthAnythingConfig(depth_estimation_type="metric", max_depth=80),
        ],
        ids=["vit", "hybrid", "dinov2", "swinv2", "depth_anything", "depth_anything_metric"],
    )
    def test_a_saved_file_reads_without_a_warning(self, stock, tmp_path, caplog, recwarn):
        stock.save_pretrained(tmp_path)
        transformers.logging.get_logger("transformers").addHandler(caplog.handler)
        try:
            config = DPTConfig.from_pretrained(tmp_path)
        finally:
            transformers.logging.get_logger("transformers").removeHandler(caplog.handler)
        assert config.model_type == "open_dpt"
        assert config.is_hybrid == getattr(stock, "is_hybrid", False)
        assert [record.message for record in caplog.records] == [] and not recwarn.list

    def test_depth_anything_is_translated(self):
        relative = DPTConfig.from_dict({"model_type": "depth_anything"})
        assert relative.backbone_config.model_type == "dinov2" and relative.patch_size == 14
        assert (relative.readout_type, relative.head_activation, relative.depth_scale) == ("ignore", "relu", 1)
        metric = DPTConfig.from_dict(
            {"model_type": "depth_anything", "depth_estimation_type": "metric", "max_depth": 80}
        )
        assert (metric.head_activation, metric.max_depth) == ("sigmoid", 80)

    def test_other_architectures_are_refused(self):
        with pytest.raises(ValueError, match=r"^model_type: .*'vit'"):
            DPTConfig.from_dict({"model_type": "vit"})
        with pytest.raises(ValueError, match=r"^backbone: .*'resnet50'"):
            DPTConfig.from_dict({"model_type": "dpt", "backbone": "resnet50"})


def test_auto_config_knows_us(tmp_path):
    DPTConfig(**TINY, **NECK).save_pretrained(tmp_path)
    assert type(AutoConfig.from_pretrained(tmp_path)) is DPTConfig
    assert type(AutoConfig.for_model("dpt")) is transformers.DPTConfig


def test_presets_do_not_need_transformers():
    code = "import sys, open_dpt.configuration as c; c.PRESETS; sys.exit('transformers' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
