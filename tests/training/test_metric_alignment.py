"""From disparity to metres: what is fitted, what is left out, and what the model answers afterwards."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from open_dpt import DPTForDepthEstimation, DPTImageProcessor
from open_dpt.configuration import DPTConfig
from open_dpt.data.samples import make_rows
from open_dpt.modeling_dpt.alignment import align_robust
from open_dpt.training.metric_alignment import align_to_metric, make_metric

SCALE, SHIFT = 0.02, 0.15
TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "image_size": 64,
    "backbone_out_indices": [0, 1, 2, 3],
    "neck_hidden_sizes": [16, 24, 32, 40],
    "fusion_hidden_size": 16,
}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = DPTForDepthEstimation(DPTConfig(**TINY, head_activation="none")).eval()
    with torch.no_grad():  # untrained weights answer almost evenly: spread the answers out
        model.head.head[4].weight.mul_(40)
    return model


@pytest.fixture
def processor():
    return DPTImageProcessor(size=64, ensure_multiple_of=16, keep_aspect_ratio=True)


@pytest.fixture(scope="module")
def scenes(model, tmp_path_factory):
    """Rows whose depth is 1 / (SCALE * d + SHIFT) of the model's own disparity d, 30 % of it known."""
    folder, generator = tmp_path_factory.mktemp("scenes"), np.random.default_rng(0)
    processor = DPTImageProcessor(size=64, ensure_multiple_of=16, keep_aspect_ratio=True)
    columns = {"image": [], "depth": []}
    for number in range(4):
        size = (64, 96) if number % 2 else (64, 64)
        image = Image.fromarray(generator.integers(0, 255, (*size, 3), dtype=np.uint8))
        with torch.no_grad():
            disparity = model(**processor(image, return_tensors="pt")).predicted_depth[0].numpy()
        depth = 1 / (SCALE * (disparity - disparity.min()) + SHIFT)
        # The same answer for every image would need the same minimum; scenes differ, so the shift does.
        depth = np.where(generator.random(size) < 0.3, depth, 0).astype(np.float32)
        columns["image"].append(str(folder / f"{number}.png"))
        columns["depth"].append(str(folder / f"{number}.npy"))
        image.save(columns["image"][-1])
        np.save(columns["depth"][-1], depth)
    return make_rows({**columns, "depth_kind": "metres"})


def exact_scenes(model, processor, folder, count=3):
    """As `scenes`, but one scale and shift fits all images exactly. Returns the rows and that shift."""
    generator, columns, disparities = np.random.default_rng(1), {"image": [], "depth": []}, []
    for number in range(count):
        image = Image.fromarray(generator.integers(0, 255, (64, 64 + 32 * (number % 2), 3), dtype=np.uint8))
        with torch.no_grad():
            disparities.append(model(**processor(image, return_tensors="pt")).predicted_depth[0].numpy())
        columns["image"].append(str(folder / f"{number}.png"))
        columns["depth"].append(str(folder / f"{number}.npy"))
        image.save(columns["image"][-1])
    shift = SHIFT - SCALE * min(disparity.min() for disparity in disparities)  # so that the farthest is 1 / SHIFT away
    for path, disparity in zip(columns["depth"], disparities, strict=True):
        np.save(path, 1 / (SCALE * disparity + shift))
    return make_rows({**columns, "depth_kind": "metres"}), shift


def test_the_aligned_model_answers_in_metres_also_after_saving(model, processor, tmp_path):
    rows, shift = exact_scenes(model, processor, tmp_path)
    relative = DPTForDepthEstimation(DPTConfig(**TINY, head_activation="none")).eval()
    relative.load_state_dict(model.state_dict())
    found = align_to_metric(relative, processor, rows)
    assert (found.scale, found.shift) == pytest.approx((SCALE, shift), rel=1e-4)
    assert found.images == 3 and found.correlation == pytest.approx(1)
    make_metric(relative, *found, max_depth=50.0)
    relative.save_pretrained(tmp_path / "metric")
    loaded = DPTForDepthEstimation.from_pretrained(tmp_path / "metric")
    for answering in (relative, loaded):
        assert answering.config.depth_estimation_type == "metric" and answering.config.invert_depth
        for row in rows:
            with torch.no_grad():
                inputs = processor(row["image"], return_tensors="pt")
                metres = answering(**inputs).predicted_depth[0].numpy()
            assert np.abs(metres - np.load(row["depth"]["path"])).max() < 1e-3
    labels = torch.ones(1, 64, 64)
    assert loaded(torch.randn(1, 3, 64, 64), labels=labels).loss > 0  # and learns metres from here on


def test_the_mean_is_over_samples(model, processor, scenes):
    expected = []
    for row in scenes:
        depth = torch.from_numpy(np.load(row["depth"]["path"])).double()
        with torch.no_grad():
            disparity = model(**processor(row["image"], return_tensors="pt")).predicted_depth.double()
        expected.append([value.item() for value in align_robust(disparity, (1 / depth)[None], (depth > 0)[None])])
    assert [scale for scale, _ in expected] == pytest.approx([SCALE] * 4, rel=1e-4)
    found = align_to_metric(model, processor, scenes, batch_size=2)
    assert (found.scale, found.shift) == pytest.approx(tuple(np.mean(expected, 0)), rel=1e-6)


def test_a_stopped_run_continues_where_it_was(model, processor, scenes, tmp_path):
    expected = align_to_metric(model, processor, scenes)
    seen = []

    def stop(index):
        seen.append(index)
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        align_to_metric(model, processor, scenes, journal=tmp_path / "journal", on_sample=stop)
    file = tmp_path / "journal" / "process-00000.jsonl"
    file.write_text(file.read_text()[:-20])  # the crash tore the last line
    seen.clear()
    found = align_to_metric(model, processor, scenes, journal=tmp_path / "journal", on_sample=seen.append)
    assert found == expected and seen == [2, 3]
    assert len([json.loads(line) for line in file.read_text().splitlines() if "index" in line and "}" in line]) == 4


def test_results_of_another_run_are_not_mixed_in(model, processor, scenes, tmp_path):
    align_to_metric(model, processor, scenes, journal=tmp_path / "journal", limit=1)
    with pytest.raises(ValueError, match=r"journal: holds results of a run with other limit, max_depth\. Delete"):
        align_to_metric(model, processor, scenes, journal=tmp_path / "journal", max_depth=5)


def test_samples_that_tell_nothing_are_counted_and_left_out(model, processor, scenes, tmp_path):
    expected = align_to_metric(model, processor, scenes)
    np.save(tmp_path / "empty.npy", np.zeros((64, 64), np.float32))
    np.save(tmp_path / "flat.npy", np.full((64, 64), 3, np.float32))
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"")
    image = {"path": scenes[0]["image"].filename, "bytes": None}
    extra = [
        {"image": image, "depth": {"path": str(tmp_path / "empty.npy"), "bytes": None}},
        {"image": image, "depth": {"path": str(tmp_path / "flat.npy"), "bytes": None}},
        {"image": {"path": str(broken), "bytes": None}},
    ]
    rows = [*scenes, *extra]
    found = align_to_metric(model, processor, rows, on_unreadable="skip")
    assert (found.images, found.empty, found.constant, found.unreadable) == (4, 1, 1, 1)
    assert list(found) == list(expected)
    with pytest.raises(ValueError, match=r"none in 2 \(1 empty, 1 constant, 0 unreadable\)"):
        align_to_metric(model, processor, extra[:2])


def test_depth_instead_of_disparity_is_noticed(model, processor, scenes):
    def inverted(row):
        from open_dpt.data.samples import read_sample

        sample = read_sample(row)
        return sample | {"depth": torch.where(sample["depth"] > 0, 1 / sample["depth"], 0.0)}

    with pytest.raises(ValueError, match=r"rise together, got a mean correlation of -0\.\d+\. Does the model"):
        align_to_metric(model, processor, scenes, read=inverted)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-0.1, 1.0), r"scale: must be positive.* got -0\.1 and 1"),
        ((0.0, 1.0), "scale: must be positive"),
        ((1.0, math.nan), "got 1 and nan"),
        ((1.0, 1.0, -3), "max_depth: .*-3"),
    ],
)
def test_constants_that_mean_nothing_are_refused(arguments, message):
    model = DPTForDepthEstimation(DPTConfig(**TINY))
    with pytest.raises(ValueError, match=message):
        make_metric(model, *arguments)
    assert model.config.depth_estimation_type == "relative"


def test_only_relative_models_are_aligned(processor, scenes):
    metric = DPTForDepthEstimation(DPTConfig(**TINY, depth_estimation_type="metric"))
    with pytest.raises(ValueError, match="metres already"):
        align_to_metric(metric, processor, scenes)
    with pytest.raises(ValueError, match=r"must be relative .* got metric"):
        make_metric(metric, 1.0, 1.0)


def test_scale_and_shift_of_the_relative_model_are_kept(model):
    """A relative model may scale its raw output already, as Depth Anything does."""
    scaled = DPTForDepthEstimation(DPTConfig(**TINY, head_activation="none", depth_scale=3.0, depth_shift=0.5)).eval()
    scaled.load_state_dict(model.state_dict())
    pixel_values = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        disparity = scaled(pixel_values).predicted_depth
        make_metric(scaled, 0.01, 2.0)
        torch.testing.assert_close(scaled(pixel_values).predicted_depth, 1 / (0.01 * disparity + 2))


def test_fine_tuning_starts_even_where_everything_is_too_far():
    """Raw values far below zero give the farthest depth; gradients lead back from there."""
    torch.manual_seed(0)
    model = DPTForDepthEstimation(DPTConfig(**TINY, head_activation="none"))
    make_metric(model, 0.1, -5.0, max_depth=10.0)
    output = model(torch.randn(1, 3, 64, 64), labels=torch.full((1, 64, 64), 2.0))
    assert (output.predicted_depth == 10).all()
    output.loss.backward()
    assert model.head.head[4].bias.grad < 0  # a step against it raises disparity
