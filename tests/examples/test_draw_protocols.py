import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SCRIPT = Path(__file__).parents[2] / "examples" / "draw_protocols.py"


def draw(*arguments):
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True)


def green(picture):
    """Where a pixel that was white is tinted."""
    return (picture[..., 1] > 200) & (picture[..., 0] < 210)


@pytest.fixture
def white(tmp_path):
    path = tmp_path / "white.png"
    Image.new("RGB", (1242, 375), "white").save(path)
    return path


def test_what_is_green_is_what_counts(tmp_path, white):
    output = tmp_path / "windows.png"
    result = draw("kitti-eigen-garg", "kitti-eigen-garg-kbcrop", "--image", white, "--output", output)
    assert result.returncode == 0, result.stderr
    picture = np.asarray(Image.open(output))
    assert picture.shape == (2 * (375 + 18), 1242, 3)
    for part, (top, bottom, left, right) in zip(
        (picture[18:393], picture[-375:]), ((153, 371, 44, 1197), (166, 372, 56, 1185)), strict=True
    ):
        expected = np.zeros((375, 1242), bool)
        expected[top:bottom, left:right] = True
        assert (green(part) == expected).all()
        assert (part[:23] < 100).all(), "rows that the model does not see are dark"


def test_with_ground_truth_only_its_pixels_are_green(tmp_path, white):
    depth = np.zeros((375, 1242), np.uint16)
    depth[200, 600], depth[200, 601], depth[10, 600] = 256 * 5, 256 * 81, 256 * 5
    Image.fromarray(depth).save(tmp_path / "depth.png")
    arguments = ("--image", white, "--depth", tmp_path / "depth.png", "--depth_scale", 256)
    result = draw("kitti-eigen-garg", *arguments, "--output", tmp_path / "points.png")
    assert result.returncode == 0, result.stderr
    counted = green(np.asarray(Image.open(tmp_path / "points.png"))[18:])
    assert np.argwhere(counted).tolist() == [[200, 600]]
