from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from open_dpt.data import DataLayoutError, class_names, load_data, read_sample

REAL = Path(__file__).parents[3] / "shared" / "real" / "camvid"


def _make(root, images, labels, frames=("0001TP_006690", "0016E5_00990")):
    for folder in (images, labels):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames):
        Image.new("RGB", (4, 3), "gray").save(root / images / f"{frame}.png")
        Image.fromarray(np.full((3, 4), 10 + number, np.uint8)).save(root / labels / f"{frame}.png")


@pytest.mark.parametrize("folders", [("images/val", "annotations/val"), ("val", "valannot")])
def test_both_layouts(tmp_path, folders):
    _make(tmp_path, *folders)
    rows = load_data("camvid", tmp_path, "val")
    assert (rows["scene"], rows["frame"]) == (["0001TP", "0016E5"], ["006690", "00990"])
    assert read_sample(rows[0])["label"].unique().tolist() == [10]
    assert read_sample(rows[1])["label"].unique().tolist() == [255]  # 11 is void
    assert len(class_names("camvid")) == 11


def test_a_missing_folder_is_named_with_the_layout(tmp_path):
    _make(tmp_path, "images/train", "annotations/train")
    with pytest.raises(DataLayoutError, match=r"images/val, annotations/val not found\. Expected inside: images/val/"):
        load_data("camvid", tmp_path, "val")


@pytest.mark.skipif(not REAL.is_dir(), reason=f"needs {REAL}")
@pytest.mark.parametrize(("split", "count"), [("train", 367), ("val", 101)])
def test_real_files(split, count):
    rows = load_data("camvid", REAL, split)
    assert len(rows) == count
    seen = set()
    for index in range(0, count, 10):
        sample = read_sample(rows[index])
        assert sample["image"].shape == (3, 360, 480)
        seen |= set(sample["label"].unique().tolist())
    assert seen == {*range(11), 255}
    names = (REAL / "classes.txt").read_text().split()
    assert class_names("camvid") == names
