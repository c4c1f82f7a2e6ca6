"""Fixtures of the tests of the training scripts: runs in other processes, and small folders of data."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def server():
    """Starts runs of the scripts, see forked_runs.py."""
    if sys.platform == "win32":
        pytest.skip("needs fork and POSIX signals")
    spec = importlib.util.spec_from_file_location("forked_runs", Path(__file__).with_name("forked_runs.py"))
    module = sys.modules["forked_runs"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    server = module.Server()
    yield server
    server.close()


@pytest.fixture(scope="session")
def eight_pictures(tmp_path_factory) -> Path:
    """A folder of 8 images of boxes, 64 x 48, with their depths/ in millimetres and masks/ of 3 classes."""
    root = tmp_path_factory.mktemp("eight")
    for folder in ("images", "depths", "masks"):
        (root / folder).mkdir()
    (root / "classes.txt").write_text("wall\nnear\nfar\n")
    generator = np.random.default_rng(0)
    for number in range(8):
        image = np.full((48, 64, 3), generator.integers(60, 200, 3), np.uint8)
        depth, mask = np.full((48, 64), 5000, np.uint16), np.zeros((48, 64), np.uint8)
        for label, distance in ((2, 3000), (1, 1500)):  # the near one last: it hides the other
            top, left = generator.integers(0, (24, 36))
            box = np.s_[top : top + 20, left : left + 24]
            image[box] = generator.integers(0, 255, 3)
            depth[box], mask[box] = distance + generator.integers(-300, 300), label
        depth[:2], mask[:2] = 0, 255  # nothing is known there
        for folder, array in (("images", image), ("depths", depth), ("masks", mask)):
            Image.fromarray(array).save(root / folder / f"{number}.png")
    return root
