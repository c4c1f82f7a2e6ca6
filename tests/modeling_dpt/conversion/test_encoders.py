"""from_encoder_pretrained: the encoder computes what its source computes."""

import pytest
import torch
import transformers as stock
from safetensors.torch import load_file, save_file

from open_dpt import DPTForDepthEstimation, DPTForSemanticSegmentation

_VIT = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 48, "image_size": 64}
_PYRAMID = {"image_size": 64, "embed_dim": 16, "depths": [1, 1, 1, 1], "num_heads": [1, 2, 2, 4], "window_size": 4}
_DINO = {**_VIT, "patch_size": 16}
TAPS = [0, 1, 2, 3]


@torch.no_grad()
def randomized(model):
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1 and "token" not in name:
            parameter.normal_(std=parameter[0].numel() ** -0.5)
        elif "norm" not in name:
            parameter.normal_(std=0.2)
    return model.eval()


def hidden_states(model, pixels):
    with torch.no_grad():
        return model(pixels, output_hidden_states=True).hidden_states


@pytest.fixture
def pixels():
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(
    "source",
    [
        lambda: stock.ViTForImageClassification(stock.ViTConfig(**_VIT)),
        lambda: stock.ViTModel(stock.ViTConfig(**_VIT, layer_norm_eps=1e-6, qkv_bias=False)),
        lambda: stock.ViTForMaskedImageModeling(stock.ViTConfig(**_VIT)),
        lambda: stock.DeiTForImageClassificationWithTeacher(stock.DeiTConfig(**_VIT)),
        lambda: stock.ViTMSNModel(stock.ViTMSNConfig(**_VIT)),
    ],
)
@pytest.mark.parametrize("model_class", [DPTForDepthEstimation, DPTForSemanticSegmentation])
def test_vit_family_runs_in_the_native_encoder(source, model_class, pixels, tmp_path):
    source = randomized(source())
    source.save_pretrained(tmp_path)
    model = model_class.from_encoder_pretrained(tmp_path, fusion_hidden_size=16)
    assert not model.config.uses_auto_backbone and model.config.backbone_out_indices == TAPS
    assert model.config.num_prefix_tokens == (2 if source.config.model_type == "deit" else 1)
    for actual, expected in zip(hidden_states(model, pixels), hidden_states(source, pixels), strict=True):
        assert (actual - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert not model.training


@pytest.mark.parametrize(
    ("source", "readout"),
    [
        (lambda: stock.BeitForImageClassification(stock.BeitConfig(**_VIT)), "project"),
        (lambda: stock.Dinov2Model(stock.Dinov2Config(**_DINO)), "project"),
        (lambda: stock.Dinov2WithRegistersModel(stock.Dinov2WithRegistersConfig(**_DINO)), "project"),
        (lambda: stock.DINOv3ViTModel(stock.DINOv3ViTConfig(**_DINO)), "project"),
        (lambda: stock.SwinForImageClassification(stock.SwinConfig(**_PYRAMID)), "ignore"),
        (lambda: stock.Swinv2ForImageClassification(stock.Swinv2Config(**_PYRAMID)), "ignore"),
        (
            lambda: stock.ResNetForImageClassification(
                stock.ResNetConfig(
                    embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], layer_type="basic"
                )
            ),
            "ignore",
        ),
    ],
)
def test_other_encoders_run_in_their_backbone(source, readout, pixels, tmp_path):
    source = randomized(source())
    source.save_pretrained(tmp_path)
    model = DPTForDepthEstimation.from_encoder_pretrained(tmp_path, fusion_hidden_size=16)
    assert model.config.readout_type == readout and model.config.uses_auto_backbone
    backbone_class = type(model.dpt.backbone)
    backbone = backbone_class.from_pretrained(tmp_path, out_indices=list(model.dpt.backbone.out_indices))
    for actual, expected in zip(hidden_states(model, pixels), hidden_states(backbone, pixels), strict=True):
        assert (actual - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert model(pixels).predicted_depth.shape == (2, 64, 64)


def test_vit_hybrid(pixels, tmp_path):
    """The layout of google/vit-hybrid-*; transformers has no class for it any more."""
    import json

    stem = stock.BitConfig(
        depths=[1, 1, 1],
        hidden_sizes=[32, 64, 96],
        embedding_size=16,
        num_groups=4,
        layer_type="bottleneck",
        global_padding="same",
        embedding_dynamic_padding=True,
        out_features=["stage3"],
    )
    bit = randomized(stock.BitBackbone(stem))
    vit = randomized(stock.ViTForImageClassification(stock.ViTConfig(**_VIT)))
    vit.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    for part in ("weight", "bias"):
        weights.pop(f"vit.embeddings.patch_embeddings.projection.{part}")
    embeddings = "vit.embeddings.patch_embeddings."
    weights |= {f"{embeddings}backbone.{key}": value.clone() for key, value in bit.state_dict().items()}
    projection = torch.nn.Conv2d(96, 32, kernel_size=1)
    weights |= {f"{embeddings}projection.{key}": value.detach() for key, value in projection.named_parameters()}
    save_file(weights, tmp_path / "model.safetensors")
    config = {**_VIT, "model_type": "vit-hybrid", "patch_size": 1, "backbone_config": stem.to_dict()}
    (tmp_path / "config.json").write_text(json.dumps(config))
    model = DPTForDepthEstimation.from_encoder_pretrained(tmp_path, fusion_hidden_size=16)
    assert model.config.is_hybrid and model.config.backbone_out_indices == [0, 1, 2, 3]
    assert model.config.neck_hidden_sizes == [32, 64, 32, 32]
    with torch.no_grad():
        coarse = projection(bit(pixels).feature_maps[-1]).flatten(2).transpose(1, 2)
        tokens = torch.cat([weights["vit.embeddings.cls_token"].expand(2, -1, -1), coarse], dim=1)
        expected = tokens + weights["vit.embeddings.position_embeddings"]
        for layer in vit.vit.layers if hasattr(vit.vit, "layers") else vit.vit.encoder.layer:
            expected = layer(expected)
    assert (hidden_states(model, pixels)[-1] - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("as_repository", [True, False])
@pytest.mark.parametrize("distilled", [True, False])
def test_timm_weights(as_repository, distilled, pixels, tmp_path):
    """timm names of a ViT whose transformers form is known."""
    config = {**_VIT, "hidden_size": 64, "num_attention_heads": 1, "layer_norm_eps": 1e-6}
    source = stock.DeiTModel(stock.DeiTConfig(**config)) if distilled else stock.ViTModel(stock.ViTConfig(**config))
    randomized(source).save_pretrained(tmp_path / "hub")
    hub = load_file(tmp_path / "hub" / "model.safetensors")
    weights = {
        "cls_token": hub["embeddings.cls_token"],
        "pos_embed": hub["embeddings.position_embeddings"],
        "head.weight": torch.ones(3, 64),
    }
    if distilled:
        weights["dist_token"] = hub["embeddings.distillation_token"]
    parts = {
        "layernorm_before": "norm1",
        "layernorm_after": "norm2",
        "attention.output.dense": "attn.proj",
        "intermediate.dense": "mlp.fc1",
        "output.dense": "mlp.fc2",
    }
    for kind in ("weight", "bias"):
        weights[f"patch_embed.proj.{kind}"] = hub[f"embeddings.patch_embeddings.projection.{kind}"]
        weights[f"norm.{kind}"] = hub[f"layernorm.{kind}"]
        for block in range(4):
            layer = f"encoder.layer.{block}."
            qkv = [hub[f"{layer}attention.attention.{part}.{kind}"] for part in ("query", "key", "value")]
            weights[f"blocks.{block}.attn.qkv.{kind}"] = torch.cat(qkv)
            for ours, timm in parts.items():
                weights[f"blocks.{block}.{timm}.{kind}"] = hub[f"{layer}{ours}.{kind}"]
    (tmp_path / "timm").mkdir()
    save_file(weights, tmp_path / "timm" / "model.safetensors")
    (tmp_path / "timm" / "config.json").write_text('{"architecture": "vit_base_patch16_384"}')
    path = tmp_path / "timm"
    model = DPTForDepthEstimation.from_encoder_pretrained(
        path if as_repository else path / "model.safetensors", fusion_hidden_size=16
    )
    for actual, expected in zip(hidden_states(model, pixels), hidden_states(source, pixels), strict=True):
        assert (actual - expected).abs().max() <= 1e-5 * expected.abs().max()
    weights["blocks.0.ls1.gamma"] = torch.ones(64)
    save_file(weights, tmp_path / "timm" / "model.safetensors")
    with pytest.raises(ValueError, match=r"1 unknown encoder keys .blocks.0.ls1.gamma"):
        DPTForDepthEstimation.from_encoder_pretrained(path)


def test_overrides(tmp_path):
    stock.ViTModel(stock.ViTConfig(**_VIT)).save_pretrained(tmp_path)
    options = {"backbone_out_indices": [0, 1, 2, 3], "neck_hidden_sizes": [8, 8, 8, 8], "readout_type": "add"}
    model = DPTForDepthEstimation.from_encoder_pretrained(tmp_path, fusion_hidden_size=8, **options)
    assert model.config.fusion_hidden_size == 8 and model.config.readout_type == "add"
    assert model(torch.randn(1, 3, 32, 64)).predicted_depth.shape == (1, 32, 64)


def test_the_decoder_is_fresh_and_trains(tmp_path):
    stock.ViTModel(stock.ViTConfig(**_VIT)).save_pretrained(tmp_path)
    model = DPTForDepthEstimation.from_encoder_pretrained(tmp_path, fusion_hidden_size=16).train()
    model(torch.randn(1, 3, 32, 32), labels=torch.rand(1, 32, 32) + 1).loss.backward()
    assert model.neck.convs[0].weight.grad.abs().sum() > 0


def test_a_text_encoder_is_refused(tmp_path):
    stock.BertModel(stock.BertConfig(vocab_size=9, hidden_size=8, num_attention_heads=1)).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"model_type must be one of vit, .*, got 'bert'"):
        DPTForDepthEstimation.from_encoder_pretrained(tmp_path, fusion_hidden_size=16)


def test_missing_source(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        DPTForDepthEstimation.from_encoder_pretrained(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match=r"config.json is missing"):
        DPTForDepthEstimation.from_encoder_pretrained(tmp_path, fusion_hidden_size=16)
