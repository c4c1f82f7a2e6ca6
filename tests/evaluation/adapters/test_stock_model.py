"""Models of transformers with their own processors: tiny ones with random weights, saved and loaded by name."""

import json
import shutil

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from transformers.utils import is_torchvision_available

import open_dpt
from open_dpt.evaluation.adapters.base import AdapterError
from open_dpt.evaluation.adapters.own_model import OwnModel
from open_dpt.evaluation.adapters.stock_model import StockModel
from open_dpt.evaluation.protocol import load_protocol

VIT = {
    "hidden_size": 24,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": 64,
    "patch_size": 16,
}
NECK = {"neck_hidden_sizes": [8, 8, 8, 8], "fusion_hidden_size": 8}
MIX = {"depths": [1] * 4, "hidden_sizes": [8] * 4, "num_attention_heads": [1] * 4, "decoder_hidden_size": 8}
TAPS = ["stage1", "stage2", "stage3", "stage4"]
CLASSES = {"num_labels": 5}


DPT = {**VIT, **NECK, "backbone_out_indices": [0, 1, 2, 3], "is_hybrid": False}
BEIT = {**VIT, "out_indices": [0, 1, 2, 3], "auxiliary_channels": 8, **CLASSES}


def _dino() -> dict:
    sizes = {**VIT, "image_size": 28, "patch_size": 14}
    backbone = transformers.Dinov2Config(**sizes, out_features=TAPS, reshape_hidden_states=False)
    return {"backbone_config": backbone, "patch_size": 14, "reassemble_hidden_size": 24, "head_hidden_size": 8, **NECK}


def _swin() -> transformers.SwinConfig:
    sizes = {"embed_dim": 8, "depths": [1] * 4, "num_heads": [1] * 4, "window_size": 4, "image_size": 64}
    return transformers.SwinConfig(**sizes, out_features=TAPS)


def _zoe() -> dict:
    backbone = transformers.BeitConfig(
        **VIT, use_relative_position_bias=True, reshape_hidden_states=False, out_features=TAPS
    )
    sizes = {
        "num_relative_features": 8,
        "bottleneck_features": 8,
        "bin_embedding_dim": 8,
        "num_attractors": [2, 2, 2, 1],
    }
    bins = [{"n_bins": 4, "min_depth": 0.001, "max_depth": 10.0}]
    return {"backbone_config": backbone, "bin_configurations": bins, **sizes, **NECK}


def _depth_pro() -> dict:
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    encoder = transformers.Dinov2Config(**sizes, image_size=32, patch_size=4, use_mask_token=False)
    return {
        **dict.fromkeys(("image_model_config", "patch_model_config", "fov_model_config"), encoder),
        "patch_size": 32, "fusion_hidden_size": 8, "intermediate_hook_ids": [1, 0], "merge_padding_value": 1,
        "intermediate_feature_dims": [8, 8], "scaled_images_feature_dims": [8, 8, 8],
        "use_fov_model": True, "num_fov_head_layers": 1,
    }  # fmt: skip


def _maskformer() -> dict:
    decoder = transformers.DetrConfig(
        d_model=32, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=16, decoder_ffn_dim=16, num_queries=6,
        encoder_attention_heads=2, decoder_attention_heads=2, use_timm_backbone=False,
        backbone_config=transformers.ResNetConfig(),
    )  # fmt: skip
    return {"backbone_config": _swin(), "decoder_config": decoder, "fpn_feature_size": 32, "mask_feature_size": 32}


def _mask2former() -> dict:
    return {
        "backbone_config": _swin(), "feature_size": 32, "mask_feature_size": 32, "hidden_dim": 32, "num_queries": 6,
        "encoder_feedforward_dim": 16, "encoder_layers": 1, "decoder_layers": 2, "num_attention_heads": 2,
        "dim_feedforward": 16,
    }  # fmt: skip


def _upernet() -> dict:
    backbone = transformers.ConvNextConfig(hidden_sizes=[8] * 4, depths=[1] * 4, out_features=TAPS)
    return {"backbone_config": backbone, "hidden_size": 8, "auxiliary_channels": 8, "auxiliary_in_channels": 8}


def _eomt() -> dict:
    sizes = {"num_hidden_layers": 3, "num_blocks": 1, "num_queries": 6, "num_upscale_blocks": 1}
    return {**VIT, **sizes, "num_register_tokens": 0}


SQUARE = {"size": {"height": 64, "width": 64}}
SHORTEST = {"size": {"shortest_edge": 64}, "crop_size": {"height": 64, "width": 64}}

# task, kind, model class, config, processor class, its settings; by a name for the test
FAMILIES = {
    "dpt": ("depth", "disparity", "DPTForDepthEstimation",
            lambda: DPT, "DPTImageProcessor", SQUARE),
    "depth_anything": ("depth", "disparity", "DepthAnythingForDepthEstimation", _dino, "DPTImageProcessor",
                       {"size": {"height": 56, "width": 56}, "keep_aspect_ratio": True, "ensure_multiple_of": 14}),
    "depth_anything_metric": ("depth", "depth", "DepthAnythingForDepthEstimation",
                              lambda: {**_dino(), "depth_estimation_type": "metric", "max_depth": 20},
                              "DPTImageProcessor", {"size": {"height": 56, "width": 56}}),
    "prompt_depth_anything": ("depth", "depth", "PromptDepthAnythingForDepthEstimation",
                              lambda: {**_dino(), "depth_estimation_type": "metric"},
                              "PromptDepthAnythingImageProcessor", {"size": {"height": 56, "width": 56}}),
    "glpn": ("depth", "depth", "GLPNForDepthEstimation", lambda: MIX, "GLPNImageProcessor", {}),
    "zoedepth": ("depth", "depth", "ZoeDepthForDepthEstimation", _zoe, "ZoeDepthImageProcessor", SQUARE),
    "depth_pro": ("depth", "depth", "DepthProForDepthEstimation", _depth_pro, "DepthProImageProcessor",
                  {"size": {"height": 128, "width": 128}}),
    "dpt_segmentation": ("segmentation", "labels", "DPTForSemanticSegmentation",
                         lambda: {**DPT, **CLASSES},
                         "DPTImageProcessor", SQUARE),
    "segformer": ("segmentation", "labels", "SegformerForSemanticSegmentation", lambda: {**MIX, **CLASSES},
                  "SegformerImageProcessor", {**SQUARE, "do_reduce_labels": True}),
    "beit": ("segmentation", "labels", "BeitForSemanticSegmentation",
             lambda: BEIT, "BeitImageProcessor", SQUARE),
    "data2vec": ("segmentation", "labels", "Data2VecVisionForSemanticSegmentation",
                 lambda: BEIT,
                 "BeitImageProcessor", SQUARE),
    "upernet": ("segmentation", "labels", "UperNetForSemanticSegmentation", lambda: {**_upernet(), **CLASSES},
                "SegformerImageProcessor", SQUARE),
    "mobilevit": ("segmentation", "labels", "MobileViTForSemanticSegmentation",
                  lambda: {"hidden_sizes": [8] * 3, "neck_hidden_sizes": [8] * 7, "num_attention_heads": 1,
                           "aspp_out_channels": 8, "image_size": 64, **CLASSES}, "MobileViTImageProcessor", SHORTEST),
    "mobilenet_v2": ("segmentation", "labels", "MobileNetV2ForSemanticSegmentation",
                     lambda: {"depth_multiplier": 0.1, **CLASSES}, "MobileNetV2ImageProcessor", SHORTEST),
    "maskformer": ("segmentation", "labels", "MaskFormerForInstanceSegmentation",
                   lambda: {**_maskformer(), **CLASSES}, "MaskFormerImageProcessor", SQUARE),
    "mask2former": ("segmentation", "labels", "Mask2FormerForUniversalSegmentation",
                    lambda: {**_mask2former(), **CLASSES}, "Mask2FormerImageProcessor", SQUARE),
    "eomt": ("segmentation", "labels", "EomtForUniversalSegmentation", lambda: {**_eomt(), **CLASSES},
             "EomtImageProcessor", {"size": {"shortest_edge": 64, "longest_edge": None}, "do_split_image": True}),
}  # fmt: skip


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """saved(family): a checkpoint folder; the same one each time."""
    folders = {}

    def save(family: str):
        if family not in folders:
            _, _, model_name, config, processor_name, settings = FAMILIES[family]
            try:  # which of them need it hangs on the version of transformers
                if family in ("zoedepth", "depth_pro") and not is_torchvision_available():
                    raise ImportError
                processor = _processor_class(processor_name)(**settings)
            except ImportError:
                if is_torchvision_available():
                    raise
                pytest.skip(f"{family}: its processor needs torchvision")
            folders[family] = folder = tmp_path_factory.mktemp(family)
            _random(getattr(transformers, model_name), config()).save_pretrained(folder)
            processor.save_pretrained(folder)
        return folders[family]

    return save


def _random(model_class, config: dict) -> torch.nn.Module:
    torch.manual_seed(0)
    model = model_class(model_class.config_class(**config))
    # As they are initialised, outputs are nearly constant.
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 and "position" not in name:
                parameter.normal_(std=0.3)
            if parameter.ndim == 4 and len(parameter) == 1:
                parameter.abs_()  # the last convolution for depth: a ReLU follows
    return model


def _processor_class(name: str) -> type:
    without = getattr(transformers, f"{name}Pil", None)
    return getattr(transformers, name) if is_torchvision_available() or without is None else without


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_are_those_of_the_models_own_processing(saved, rule, sample, family):
    task, kind, model_name, *_ = FAMILIES[family]
    adapter = StockModel.from_pretrained(str(saved(family)), task)
    assert type(adapter.model) is getattr(transformers, model_name)
    assert adapter.kind == kind
    samples = [sample(60, 80, 1), sample(64, 64, 2), sample(60, 80, 3), sample(70, 50, 4)]
    answers = adapter.predict(samples, rule(size=(32, 32), flip=True))  # the rule has no say
    for one, answer in zip(samples, answers, strict=True):
        expected = _by_hand(adapter, task, one["image"])
        assert answer.shape == one["image"].shape[-2:]
        if task == "depth":
            assert answer.dtype == torch.float32
            torch.testing.assert_close(answer, expected, rtol=1e-3, atol=1e-4 * expected.abs().max().item())
        else:
            assert answer.dtype == torch.int64
            assert (answer == expected).float().mean() > 0.995  # ties may fall otherwise in another batch
    assert len(torch.cat([answer.flatten() for answer in answers]).unique()) > 1
    json.dumps(adapter.describe())


@torch.no_grad()
def _by_hand(adapter: StockModel, task: str, image: torch.Tensor) -> torch.Tensor:
    """One image as the documentation of transformers has it."""
    picture = Image.fromarray(np.ascontiguousarray(image.permute(1, 2, 0).numpy()))
    inputs = adapter.processor(images=picture, return_tensors="pt")
    outputs, sizes = adapter.model(**inputs), [(picture.height, picture.width)]
    if task == "segmentation":
        return adapter.processor.post_process_semantic_segmentation(outputs, target_sizes=sizes)[0]
    extra = {"source_sizes": sizes} if "ZoeDepth" in type(adapter.processor).__name__ else {}
    return adapter.processor.post_process_depth_estimation(outputs, target_sizes=sizes, **extra)[0]["predicted_depth"]


def test_source_sizes_are_passed_to_those_that_ask_for_them(saved, rule, sample):
    """As ZoeDepth's post-processing does, which needs torchvision."""
    model = transformers.GLPNForDepthEstimation.from_pretrained(saved("glpn"))
    asked = []

    class Processor(_processor_class("GLPNImageProcessor")):
        def post_process_depth_estimation(self, outputs, source_sizes=None, target_sizes=None):
            asked.append((source_sizes, target_sizes))
            return super().post_process_depth_estimation(outputs, target_sizes)

    adapter = StockModel(model, Processor(), "depth", name="glpn")
    adapter.predict([sample(70, 50)], rule())
    assert asked == [([(70, 50)], [(70, 50)])]


@pytest.mark.parametrize("side", [64, 128])
def test_the_stock_dpt_answers_as_ours_with_the_same_weights_on_squares(saved, rule, sample, side):
    folder = saved("dpt")
    stock = StockModel.from_pretrained(str(folder), "depth")
    model = open_dpt.DPTForDepthEstimation.from_pretrained(folder)
    own = OwnModel(model, open_dpt.DPTImageProcessor.from_pretrained(folder), name="own")
    (theirs,) = stock.predict([sample(side, side)], rule())
    (ours,) = own.predict([sample(side, side)], rule())
    assert ours.std() > 0.01 * ours.abs().max()
    # Ours keeps the range of the network's output where cubic resizing leaves it.
    inside = (ours > ours.min()) & (ours < ours.max())
    assert inside.float().mean() > 0.9
    torch.testing.assert_close(ours[inside], theirs[inside], rtol=1e-4, atol=1e-5 * theirs.abs().max().item())


def test_the_fingerprint_is_that_of_the_weights_wherever_they_lie(saved, tmp_path):
    folder = shutil.copytree(saved("glpn"), tmp_path / "copy")
    here, there = (StockModel.from_pretrained(str(place), "depth") for place in (saved("glpn"), folder))
    assert here.describe()["fingerprint"] == there.describe()["fingerprint"]
    with torch.no_grad():
        there.model.head.get_parameter("head.0.weight").add_(1)
    assert here.describe()["fingerprint"] != there.describe()["fingerprint"]


def test_a_centre_crop_is_turned_off_for_it_would_leave_pixels_unanswered(saved):
    adapter = StockModel.from_pretrained(str(saved("mobilevit")), "segmentation")
    assert adapter.describe()["notes"][-1] == "the centre crop of its processor was turned off"
    assert adapter.describe()["processor"]["do_center_crop"] is False


def test_the_number_of_classes_must_be_that_of_the_protocol(saved):
    adapter = StockModel.from_pretrained(str(saved("mobilevit")), "segmentation")
    with pytest.raises(ValueError, match="must have 150 classes for ade20k, got 5"):
        adapter.check([], load_protocol("ade20k"))


@pytest.mark.parametrize(
    ("family", "task"), [("dpt", "segmentation"), ("dpt_segmentation", "depth"), ("glpn", "segmentation")]
)
def test_a_checkpoint_of_another_task_is_refused(saved, family, task):
    with pytest.raises(
        AdapterError, match=f"must be a {task} model that needs only an image, got {FAMILIES[family][2]}"
    ):
        StockModel.from_pretrained(str(saved(family)), task)


def test_weights_that_would_be_random_are_refused(saved, tmp_path):
    model = transformers.GLPNForDepthEstimation.from_pretrained(saved("glpn"))
    weights = {key: value for key, value in model.state_dict().items() if not key.startswith("head.")}
    model.save_pretrained(tmp_path, state_dict=weights)
    with pytest.raises(AdapterError, match=r"must hold all weights, got none for head\.head\.0\.bias \(4 missing"):
        StockModel.from_pretrained(str(tmp_path), "depth")


def test_the_unused_unit_that_authors_checkpoints_lack_is_no_gap(saved, tmp_path):
    model = transformers.DPTForDepthEstimation.from_pretrained(saved("dpt"))
    unused = "neck.fusion_stage.layers.0.residual_layer1."
    weights = {key: value for key, value in model.state_dict().items() if not key.startswith(unused)}
    assert len(weights) < len(model.state_dict())
    model.save_pretrained(tmp_path, state_dict=weights)
    _processor_class("DPTImageProcessor")(**SQUARE).save_pretrained(tmp_path)
    assert StockModel.from_pretrained(str(tmp_path), "depth").kind == "disparity"


def test_kinds_can_be_stated_and_must_be_where_nothing_is_known(saved):
    adapter = StockModel.from_pretrained(str(saved("dpt")), "depth", kind="depth")
    assert adapter.kind == "depth"
    assert "kind was given as depth; the model_type says disparity" in adapter.describe()["notes"]
    adapter.model.config.model_type = "brand_new"
    with pytest.raises(AdapterError, match=r"what a 'brand_new' model answers is not known here\. State its kind"):
        StockModel(adapter.model, adapter.processor, "depth", name="new")


@pytest.mark.parametrize("size", [{"height": 8, "width": 8}, {"longest_edge": 8}])
def test_what_a_model_or_its_processor_cannot_take_is_told_in_one_line(saved, rule, sample, size):
    adapter = StockModel.from_pretrained(str(saved("dpt")), "depth")
    adapter.processor.size = size  # less than a patch, and of a kind that this processor does not know
    with pytest.raises(AdapterError, match=r"cannot answer 0\.png \(\w*Error: ") as caught:
        adapter.predict([sample(60, 80)], rule())
    assert "\n" not in str(caught.value)


def test_a_checkpoint_without_processor_is_told_in_one_line(saved, tmp_path):
    transformers.GLPNForDepthEstimation.from_pretrained(saved("glpn")).save_pretrained(tmp_path)
    with pytest.raises((AdapterError, OSError), match="processor"):
        StockModel.from_pretrained(str(tmp_path), "depth")


def test_a_stock_dpt_whose_processor_keeps_the_aspect_is_told_what_to_do(saved):
    adapter = StockModel.from_pretrained(str(saved("dpt")), "depth")
    adapter.processor.keep_aspect_ratio = True
    wide = StockModel(adapter.model, adapter.processor, "depth", name="wide")
    with pytest.raises(AdapterError, match=r"wide: cannot answer .*\. Leave out stock:, or set keep_aspect_ratio"):
        wide.predict([{"image": torch.zeros(3, 64, 128, dtype=torch.uint8), "name": "a.png"}], None)
