"""What from_pretrained says when a checkpoint is for another task, another architecture, or broken."""

import json

import pytest
import torch
import transformers as stock
from safetensors.torch import load_file, save_file

from open_dpt import DPTConfig, DPTForDepthEstimation, DPTForSemanticSegmentation, DPTModel


@pytest.fixture
def saved(make_stock, tmp_path):
    def saved(name):
        make_stock(name).save_pretrained(tmp_path / name)
        return tmp_path / name

    return saved


@pytest.mark.parametrize(
    ("name", "model_class", "task"),
    [("ade", DPTForDepthEstimation, "segmentation"), ("vit", DPTForSemanticSegmentation, "depth")],
)
def test_a_checkpoint_for_another_task_gives_encoder_and_neck(saved, name, model_class, task, transformers_warnings):
    model = model_class.from_pretrained(saved(name))
    (message,) = transformers_warnings()
    assert f"this is a {task} checkpoint" in message and "NEW AND UNTRAINED" in message and "head.head.0" in message
    weights = load_file(saved(name) / "model.safetensors")
    for key, tensor in model.state_dict().items():
        if key.startswith(("dpt.", "neck.")):
            assert torch.equal(tensor, weights[key]), key
    assert model(torch.randn(1, 3, 64, 64))[0].isfinite().all()


def test_what_old_hub_files_lack_and_carry_is_not_mentioned(saved, transformers_warnings):
    path = saved("beit") / "model.safetensors"
    weights = {k: v for k, v in load_file(path).items() if "fusion_stage.layers.0.residual_layer1" not in k}
    attention = "backbone.encoder.layer.0.attention.attention.relative_position_bias."
    weights |= {
        "dpt.pooler.dense.weight": torch.ones(1),
        "auxiliary_head.head.0.weight": torch.ones(1),
        "backbone.embeddings.mask_token": torch.ones(1),
        f"{attention}relative_position_index": torch.ones(1),
    }
    save_file(weights, path, metadata={"format": "pt"})
    DPTForDepthEstimation.from_pretrained(path.parent)
    assert not transformers_warnings()


@pytest.mark.parametrize("name", ["vit", "hybrid", "beit", "depth-anything"])
def test_the_encoder_alone(saved, name, transformers_warnings):
    encoder = DPTModel.from_pretrained(saved(name))
    whole = DPTForDepthEstimation.from_pretrained(saved(name))
    assert not transformers_warnings()
    for key, tensor in whole.dpt.state_dict().items():
        assert torch.equal(tensor, encoder.state_dict()[key])


def test_an_encoder_checkpoint_starts_a_depth_model(saved, tmp_path, transformers_warnings):
    encoder = DPTModel.from_pretrained(saved("vit"))
    encoder.save_pretrained(tmp_path / "encoder")
    model = DPTForDepthEstimation.from_pretrained(tmp_path / "encoder")
    assert torch.equal(model.dpt.layernorm.weight, encoder.layernorm.weight)
    assert any("NEW AND UNTRAINED" in message for message in transformers_warnings())


def test_another_number_of_classes(saved, transformers_warnings):
    with pytest.raises(ValueError, match=r"head.4.bias must have shape \(9,\), got \(5,\)"):
        DPTForSemanticSegmentation.from_pretrained(saved("ade"), num_labels=9)
    model = DPTForSemanticSegmentation.from_pretrained(saved("ade"), num_labels=9, ignore_mismatched_sizes=True)
    assert model(torch.randn(1, 3, 32, 32)).logits.shape == (1, 9, 32, 32)


@pytest.mark.parametrize(
    "other",
    [
        lambda: stock.BertModel(
            stock.BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1)
        ),
        lambda: stock.ViTForImageClassification(
            stock.ViTConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
        ),
    ],
)
def test_another_architecture_is_refused(other, tmp_path):
    model = other()
    model.save_pretrained(tmp_path)
    with pytest.raises(
        ValueError, match=f"must be 'open_dpt', 'dpt', 'depth_anything', got '{model.config.model_type}'"
    ):
        DPTForDepthEstimation.from_pretrained(tmp_path)


def test_foreign_weights_under_our_model_type_are_refused(saved, tmp_path):
    folder = saved("vit")
    stock.BertModel(stock.BertConfig(vocab_size=9, hidden_size=8, num_attention_heads=1)).save_pretrained(
        tmp_path / "b"
    )
    (folder / "model.safetensors").write_bytes((tmp_path / "b" / "model.safetensors").read_bytes())
    with pytest.raises(ValueError, match=r"missing encoder weights .dpt.embeddings.cls_token"):
        DPTForDepthEstimation.from_pretrained(folder)


def test_a_damaged_weight_file(saved):
    path = saved("vit") / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="truncated or damaged") as caught:
        DPTForDepthEstimation.from_pretrained(path.parent)
    assert "\n" not in str(caught.value)


def test_a_damaged_configuration(saved):
    folder = saved("vit")
    (folder / "config.json").write_text('{"model_type": ')
    with pytest.raises(ValueError, match=r"config.json: not valid JSON"):
        DPTForDepthEstimation.from_pretrained(folder)


def test_missing_things(saved, tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        DPTForDepthEstimation.from_pretrained(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match=r"config.json is missing"):
        DPTForDepthEstimation.from_pretrained(tmp_path)
    folder = saved("vit")
    with pytest.raises(ValueError, match="got a file"):
        DPTForDepthEstimation.from_pretrained(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    with pytest.raises(OSError, match=r"model\.safetensors") as caught:
        DPTForDepthEstimation.from_pretrained(folder)
    assert "\n" not in str(caught.value)


def test_nothing_cached_and_no_network(tmp_path):
    with pytest.raises(OSError, match="someone/no-such-model") as caught:
        DPTForDepthEstimation.from_pretrained("someone/no-such-model", local_files_only=True, cache_dir=tmp_path)
    assert "\n" not in str(caught.value)


def test_a_full_disk_leaves_the_old_checkpoint(saved, monkeypatch):
    model = DPTForDepthEstimation.from_pretrained(saved("vit"))
    target = saved("vit").parent / "target"
    model.save_pretrained(target)
    before = {path.name: path.read_bytes() for path in target.iterdir()}

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("transformers.modeling_utils.safe_save_file", full)
    model.config.depth_shift = 1.0
    with pytest.raises(OSError, match="the disk is full"):
        model.save_pretrained(target)
    assert {path.name: path.read_bytes() for path in target.iterdir()} == before


def test_configuration_overrides_reach_the_model(saved):
    model = DPTForDepthEstimation.from_pretrained(saved("vit"), depth_scale=2.0, dtype=torch.bfloat16)
    assert model.config.depth_scale == 2.0 and model.dtype == torch.bfloat16
    config = DPTConfig.from_pretrained(saved("vit"), depth_shift=1.0)
    assert DPTForDepthEstimation.from_pretrained(saved("vit"), config=config).config.depth_shift == 1.0


# --- to_transformers ------------------------------------------------------------------------

TINY = {
    "hidden_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "image_size": 32,
    "backbone_out_indices": [0, 1, 2, 3],
    "neck_hidden_sizes": [8, 8, 8, 8],
    "fusion_hidden_size": 16,
}


@pytest.mark.parametrize(
    "changes",
    [
        {"depth_scale": 0.5},
        {"depth_shift": 0.1},
        {"invert_depth": True, "depth_estimation_type": "metric"},
        {"normalize_taps": True},
        {"num_prefix_tokens": 2},
        {"head_hidden_size": 16},
        {"head_activation": "none"},
        {"add_projection": True},
        {"image_size": [32, 64]},
        {"depth_estimation_type": "metric"},
    ],
)
def test_what_the_stock_classes_cannot_express_is_named(changes, tmp_path):
    model = DPTForDepthEstimation(DPTConfig(**TINY | changes))
    with pytest.raises(
        ValueError, match=f"^({'|'.join(changes)}): must be .* for transformers' DPTForDepthEstimation, got"
    ):
        model.to_transformers(tmp_path / "stock")
    assert not (tmp_path / "stock").exists()


def test_a_headless_model_has_no_stock_form(tmp_path):
    with pytest.raises(ValueError, match="a model with a head is required, got DPTModel"):
        DPTModel(DPTConfig(**TINY)).to_transformers(tmp_path)


def test_the_processor_is_written_in_stock_keys(tmp_path):
    class Processor:
        def to_dict(self):
            return {"size": {"height": 32, "width": 32}, "do_rescale": True, "resize_mode": "minimal", "resample": 3}

    DPTForDepthEstimation(DPTConfig(**TINY)).to_transformers(tmp_path, processor=Processor())
    values = json.loads((tmp_path / "preprocessor_config.json").read_text())
    assert values.pop("image_processor_type") == "DPTImageProcessor"
    assert values == {"size": {"height": 32, "width": 32}, "do_rescale": True, "resample": 3}
