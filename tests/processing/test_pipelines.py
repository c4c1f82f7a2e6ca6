"""transformers.pipeline with our models and processor, by object and by path."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import pipeline

from open_dpt import DPTConfig, DPTForDepthEstimation, DPTForSemanticSegmentation, DPTImageProcessor

IMAGE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8))
TINY = {
    "hidden_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "image_size": 32,
    "patch_size": 8,
    "backbone_out_indices": [0, 1, 2, 3],
    "neck_hidden_sizes": [8, 8, 8, 8],
    "fusion_hidden_size": 8,
    "head_hidden_size": 4,
}


def depth_model(**overrides):
    torch.manual_seed(0)
    return DPTForDepthEstimation(DPTConfig(**TINY, **overrides)).eval()


def processor_for(model):
    return DPTImageProcessor.for_model(model)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_depth_by_object(dtype):
    model = depth_model(head_activation="none").to(dtype)
    result = pipeline("depth-estimation", model=model, image_processor=processor_for(model))(IMAGE)
    assert result["predicted_depth"].shape == (50, 70) and result["predicted_depth"].dtype == torch.float32
    assert result["depth"].size == (70, 50) and np.ptp(np.array(result["depth"])) == 255


def test_depth_by_path(tmp_path):
    model = depth_model(head_activation="none")
    model.save_pretrained(tmp_path)
    processor_for(model).save_pretrained(tmp_path)
    by_path = pipeline("depth-estimation", model=str(tmp_path))([IMAGE, IMAGE])
    by_object = pipeline("depth-estimation", model=model, image_processor=processor_for(model))(IMAGE)
    assert type(by_path) is list and len(by_path) == 2
    torch.testing.assert_close(by_path[1]["predicted_depth"], by_object["predicted_depth"])


def test_by_path_in_a_fresh_process(tmp_path):
    depth_model().save_pretrained(tmp_path)
    processor_for(depth_model()).save_pretrained(tmp_path)
    code = (
        "import sys, open_dpt, PIL.Image\n"
        "from transformers import pipeline\n"
        "predict = pipeline('depth-estimation', model=sys.argv[1])\n"
        "print(type(predict.model).__module__, type(predict.image_processor).__module__)\n"
        "print(predict(PIL.Image.new('RGB', (70, 50)))['depth'].size)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    module, size = done.stdout.splitlines()  # and no question whether to trust remote code
    assert module == "open_dpt.modeling_dpt.depth_estimation open_dpt.processing.image_processing_dpt"
    assert size == "(70, 50)"


@pytest.mark.filterwarnings("ignore:invalid value encountered")  # the pipeline divides by the range, 0
def test_a_constant_map_gives_a_constant_picture():
    model = depth_model()
    torch.nn.init.zeros_(model.head.head[4].weight)
    torch.nn.init.constant_(model.head.head[4].bias, 0.1)
    result = pipeline("depth-estimation", model=model, image_processor=processor_for(model))(IMAGE)
    assert result["predicted_depth"].unique().numel() == 1
    assert np.ptp(np.array(result["depth"])) == 0


def test_segmentation_by_object_and_by_path(tmp_path):
    torch.manual_seed(0)
    model = DPTForSemanticSegmentation(DPTConfig(**TINY, num_labels=5)).eval()
    processor = processor_for(model)
    by_object = pipeline("image-segmentation", model=model, image_processor=processor)(IMAGE)
    assert all(segment["mask"].size == (70, 50) for segment in by_object)
    assert sum(np.array(segment["mask"]).astype(bool).sum() for segment in by_object) == 50 * 70
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    by_path = pipeline("image-segmentation", model=str(tmp_path))(IMAGE)
    assert [segment["label"] for segment in by_path] == [segment["label"] for segment in by_object]
