import numpy as np
import pytest
import torch
from PIL import Image

from open_dpt import DPTConfig, DPTForDepthEstimation, DPTForSemanticSegmentation, DPTImageProcessor
from open_dpt.data.samples import make_rows, read_sample
from open_dpt.processing import DPTCollator

SMALL = {"hidden_size": 8, "num_hidden_layers": 4, "num_attention_heads": 1, "intermediate_size": 8}
SMALL |= {"neck_hidden_sizes": [4, 4, 4, 4], "fusion_hidden_size": 4, "backbone_out_indices": [0, 1, 2, 3]}
SMALL |= {"image_size": 32}


@pytest.fixture
def processor():
    return DPTImageProcessor(size=32, ensure_multiple_of=16, keep_aspect_ratio=True)


def example(height=40, width=60, **maps):
    """An image whose red grows to the right and green downwards, and maps of the same size."""
    rows, columns = np.mgrid[:height, :width]
    image = np.stack([255 * columns // width, 255 * rows // height, 0 * rows], -1).astype(np.uint8)
    return {"image": image, **maps}


def ramp(height=40, width=60):
    return np.broadcast_to(1 + np.arange(width, dtype=np.float32), (height, width)).copy()


def test_a_batch_of_mixed_sizes_has_one_size(processor):
    collate = DPTCollator(processor, "depth")
    batch = collate([example(depth=ramp()), example(80, 33, depth=ramp(80, 33))])
    assert set(batch) == {"pixel_values", "labels", "valid_mask"}
    assert batch["pixel_values"].shape == (2, 3, 32, 32) and batch["labels"].shape == (2, 32, 32)
    assert batch["valid_mask"].dtype == torch.bool and batch["valid_mask"].all()


def test_crop_keeps_shapes_and_takes_the_middle(processor):
    batch = DPTCollator(processor, "depth")([example(depth=ramp())])
    # 40 x 60 covers 32 x 32 as 32 x 48: columns 8 to 40 of 48, 60 / 48 pixels apart.
    expected = 1 + (torch.arange(8, 40) + 0.5) * 60 / 48 - 0.5
    assert (batch["labels"][0, 0] - expected).abs().max() <= 0.5
    red = (batch["pixel_values"][0, 0, 0] + 1) / 2 * 60 + 0.5
    assert (red - batch["labels"][0, 0]).abs().max() < 1.5  # image and ground truth are cut alike


def test_stretch_shows_everything(processor):
    batch = DPTCollator(processor, "depth", fit="stretch", size=(32, 48))([example(depth=ramp())])
    assert batch["labels"].shape == (1, 32, 48) and batch["labels"][0, 0, 0] <= 2 and batch["labels"][0, 0, -1] >= 59


def test_sizes_are_rounded_to_what_the_model_takes(processor):
    assert DPTCollator(processor, "depth", size=(50, 70)).size == (48, 64)


def test_missing_depth_stays_missing_and_nothing_is_mixed_in(processor):
    depth = ramp()
    depth[:, ::2], depth[0, 1], depth[1, 1] = 0, np.nan, -3
    batch = DPTCollator(processor, "depth")([example(depth=depth)])
    assert torch.equal(batch["valid_mask"], batch["labels"] > 0) and 0 < batch["valid_mask"].float().mean() < 1
    assert set(batch["labels"].unique().tolist()) <= set(depth[depth > 0].tolist()) | {0.0}
    marked = example(depth=ramp(), valid=np.zeros((40, 60), bool))
    assert not DPTCollator(processor, "depth")([marked])["valid_mask"].any()


def test_depth_becomes_disparity_for_relative_models_and_metres_by_its_scale(processor):
    millimetres = {"depth": Image.fromarray((1000 * ramp()).astype(np.uint16))}
    metres = DPTCollator(processor, "depth", depth_scale=1000)([example(**millimetres)])["labels"]
    disparity = DPTCollator(processor, "disparity", depth_scale=1000)([example(**millimetres)])["labels"]
    torch.testing.assert_close(disparity, 1 / metres)
    own = DPTCollator(processor, "depth")([example(**millimetres, depth_scale=500)])["labels"]
    torch.testing.assert_close(own, 2 * metres)


def test_disparity_of_zero_is_known_where_it_is_marked(processor):
    disparity = ramp()
    disparity[:, :30] = 0
    batch = DPTCollator(processor, "disparity")([example(disparity=disparity, valid=np.ones((40, 60), bool))])
    assert batch["valid_mask"].all() and (batch["labels"] == 0).any()
    assert not DPTCollator(processor, "disparity")([example(disparity=disparity)])["valid_mask"].all()


def test_labels(processor):
    labels = (ramp() // 10).astype(np.uint8)
    batch = DPTCollator(processor, "label")([example(label=Image.fromarray(labels))])
    assert set(batch) == {"pixel_values", "labels"} and batch["labels"].dtype == torch.int64
    assert set(batch["labels"].unique().tolist()) <= set(range(7))
    processor.do_reduce_labels = True
    reduced = DPTCollator(processor, "label")([example(label=labels)])["labels"]
    assert torch.equal(reduced, torch.where(batch["labels"] == 0, 255, batch["labels"] - 1))
    # A reader has applied the data set's rule already.
    read = DPTCollator(processor, "label", read=lambda item: item)([example(label=labels)])["labels"]
    assert torch.equal(read, batch["labels"])


def test_rows_of_our_data_sets(processor, tmp_path):
    Image.fromarray(example()["image"]).save(tmp_path / "image.png")
    Image.fromarray((256 * ramp()).astype(np.uint16)).save(tmp_path / "depth.png")
    columns = {"image": [str(tmp_path / "image.png")], "depth": [str(tmp_path / "depth.png")], "depth_scale": 256.0}
    rows = make_rows({**columns, "depth_kind": "metres"})
    batch = processor.collator("depth", read=read_sample)([rows[0]])
    expected = processor.collator("depth")([example(depth=ramp())])
    assert all(torch.equal(batch[key], expected[key]) for key in expected)


@pytest.mark.parametrize(
    ("model", "targets"),
    [
        (lambda: DPTForDepthEstimation(DPTConfig(**SMALL)), "disparity"),
        (lambda: DPTForDepthEstimation(DPTConfig(**SMALL, depth_estimation_type="metric")), "depth"),
        (lambda: DPTForSemanticSegmentation(DPTConfig(**SMALL, use_auxiliary_head=False)), "label"),
    ],
)
def test_a_model_says_what_it_learns(processor, model, targets):
    assert processor.collator(model()).targets == targets


@pytest.mark.parametrize(
    ("options", "item", "message"),
    [
        ({"targets": "depths"}, None, r"^targets: must be one of depth, disparity, label, got 'depths'"),
        ({"targets": "depth", "fit": "pad"}, None, r"^fit: .* got 'pad'"),
        ({"targets": "depth"}, {"pixels": 1}, r"^example: must have an 'image', got pixels\. .*remove_unused_columns"),
        ({"targets": "depth"}, example(label=1), r"^example: must have 'depth', got image, label"),
        ({"targets": "label"}, example(depth=1, name="a.png"), r"^a\.png: must have 'label'"),
        ({"targets": "depth"}, example(depth=ramp(30, 60)), r"as large as its image, \(40, 60\), got \(30, 60\)"),
    ],
)
def test_what_cannot_be_is_named(processor, options, item, message):
    with pytest.raises(ValueError, match=message):
        DPTCollator(processor, **options)([item])
