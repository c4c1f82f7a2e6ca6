"""The zero-shot protocols say what the facts say: images, caps, truth, network sizes."""

import numpy as np
import pytest
import torch

from open_dpt.evaluation.protocol import load_protocol, protocol_names
from open_dpt.evaluation.score_depth import score
from open_dpt.processing.resize import target_size

# Name: images, truth above 0 and below, cap, metric of table 1.
FACTS = {
    "eth3d": (454, None, 72, "abs_rel"),
    "sintel": (1064, 72, 72, "abs_rel"),
    "kitti": (161, None, 80, "delta_outliers1"),
    "nyu": (654, 10, 10, "delta_outliers1"),
    "tum": (1815, None, 10, "delta_outliers1"),
}
# Name and image: network size by height 384, and by the paper of MiDaS.
SIZES = {
    ("nyu", (480, 640)): ((384, 512), (288, 384)),
    ("sintel", (436, 1024)): ((384, 896), (160, 384)),
    ("eth3d", (4032, 6048)): ((384, 576), (256, 384)),
    ("diw", (480, 640)): ((384, 512), (288, 384)),
    ("tum", (384, 512)): ((384, 512), (288, 384)),
} | {
    ("kitti", size): ((384, 1280), (384, 1280))
    for size in ((375, 1242), (376, 1241), (374, 1238), (370, 1226), (370, 1224))
}


@pytest.mark.parametrize("name", [name for name in protocol_names() if name.startswith("zero-shot-")])
def test_depth_is_aligned_in_disparity_and_scored_without_a_crop(name):
    protocol = load_protocol(name)
    assert protocol.paper["table"] == 1 and protocol.image_crop == "none" and protocol.quantisation is None
    assert protocol.inference.output_resize == "bilinear" and not protocol.inference.flip
    if protocol.task == "ordinal":
        return
    images, below, cap, metric = FACTS[name.split("-")[2]]
    assert protocol.data.images == images and protocol.metrics[0] == metric
    assert protocol.score.truth_range == (0, below) and protocol.score.prediction_range == (None, cap)
    assert protocol.alignment == "least-squares-disparity"
    assert (protocol.score.window, protocol.score.averaging) == ("none", "image")


def test_ties_have_two_names():
    assert load_protocol("zero-shot-diw").data.images == 74_441
    assert load_protocol("zero-shot-diw").score.ties == "as-nearer"
    assert load_protocol("zero-shot-diw-ties-wrong").score.ties == "wrong"


@pytest.mark.parametrize(("name", "image"), list(SIZES))
def test_network_sizes(name, image):
    other = f"zero-shot-{name}-{'short' if name == 'kitti' else 'long'}384"
    for protocol, size in zip((f"zero-shot-{name}", other), SIZES[name, image], strict=True):
        rule = load_protocol(protocol).inference
        found = target_size(
            *image, rule.size, method=rule.resize_method, keep_aspect_ratio=rule.keep_aspect_ratio, multiple_of=32
        )
        assert found == size


def _by_the_facts(disparity, truth, below, cap):
    """AbsRel and percent of delta > 1.25 by the normal equations, in NumPy."""
    counts = (truth > 0) & (truth < (below or np.inf)) & np.isfinite(truth)
    v = np.stack([disparity[counts], np.ones(counts.sum())])
    scale, shift = np.linalg.solve(v @ v.T, v @ (1 / truth[counts]))
    depth = 1 / np.maximum(scale * disparity[counts] + shift, 1 / cap)
    ratio = depth / truth[counts]
    return np.abs(ratio - 1).mean(), 100 * (np.maximum(ratio, 1 / ratio) > 1.25).mean(), counts.sum()


@pytest.mark.parametrize("name", list(FACTS))
@pytest.mark.parametrize("seed", range(3))
def test_scores_are_those_of_the_facts(name, seed):
    random = np.random.default_rng(seed)
    _, below, cap, _ = FACTS[name]
    truth = random.uniform(0.05, 1.4, (30, 40)) ** 2 * cap
    truth[random.random(truth.shape) < 0.2] = 0
    # Some aligned disparity is negative.
    disparity = 30 / (truth + 1) - 2 + random.normal(0, 2, truth.shape)
    sample = {"image": torch.zeros(3, 30, 40, dtype=torch.uint8), "name": "a", "depth": torch.from_numpy(truth)}
    row = score(torch.from_numpy(disparity), "disparity", sample, load_protocol(f"zero-shot-{name}")).row
    abs_rel, outliers, pixels = _by_the_facts(disparity, truth, below, cap)
    assert (row["abs_rel"], row["delta_outliers1"]) == pytest.approx((abs_rel, outliers), rel=1e-9)
    assert row["pixels"] == pixels


def test_frames_that_are_too_far_everywhere_are_left_out_of_sintel():
    sample = {"image": torch.zeros(3, 4, 4, dtype=torch.uint8), "name": "a", "depth": torch.full((4, 4), 72.0)}
    row = score(torch.rand(4, 4), "disparity", sample, load_protocol("zero-shot-sintel")).row
    assert row["status"] == "empty" and "72" in row["reason"]


def test_predictions_go_to_the_size_of_the_truth():
    """A plane stays a plane when it is resized: nothing is lost but at its edges."""
    rows, columns = (torch.arange(size, dtype=torch.float64) + 0.5 for size in (48, 64))
    plane = 0.1 + rows[:, None] / 48 + columns[None] / 64
    small = 1 / plane.view(12, 4, 16, 4).mean((1, 3))
    sample = {"image": torch.zeros(3, 48, 64, dtype=torch.uint8), "name": "a", "depth": small}
    row = score(plane * 7 - 3, "disparity", sample, load_protocol("zero-shot-eth3d-rendered")).row
    assert row["pixels"] == 12 * 16 and row["abs_rel"] == pytest.approx(0, abs=1e-6)
