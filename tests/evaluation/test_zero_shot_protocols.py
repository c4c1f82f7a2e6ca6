"""The zero-shot protocols say what the facts say: images, caps, truth, network sizes."""

import pytest

from open_dpt.evaluation.protocol import load_protocol, protocol_names
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
    for protocol, size in zip((f"zero-shot-{name}", f"zero-shot-{name}-long384"), SIZES[name, image], strict=True):
        rule = load_protocol(protocol).inference
        found = target_size(
            *image, rule.size, method=rule.resize_method, keep_aspect_ratio=rule.keep_aspect_ratio, multiple_of=32
        )
        assert found == size
