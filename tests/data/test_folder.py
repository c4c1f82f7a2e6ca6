import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from open_dpt.data import DataLayoutError, class_names, load_data, read_sample
from open_dpt.processing.writers import write_depth

REAL = Path(__file__).parents[3] / "shared" / "real" / "rgbd"
METRES = np.array([[0, 1, 2], [3, 4, 5]], np.float32)


def image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (3, 2), "gray").save(path)


def png16(path, scale=1000):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((METRES * scale).astype(np.uint16)).save(path)


def mask(path, values=((0, 1, 2), (255, 1, 0))):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(values, np.uint8)).save(path)


def _npz(path):
    np.savez(path, depth=METRES, confidence=METRES)


def _exr(path):
    import OpenEXR

    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, {"Z": METRES}).write(str(path))


WRITERS = {
    "png": lambda path: png16(path),
    "npy": lambda path: np.save(path, METRES),
    "npz": _npz,
    "pfm": lambda path: write_depth(path, METRES, METRES > 0, "depth", "metre"),
    "exr": _exr,
}
OPTIONS = {"png": {"depth_scale": 1000}, "npz": {"depth_entry": "depth"}}


@pytest.mark.parametrize("suffix", WRITERS)
def test_every_depth_format_gives_metres(tmp_path, suffix):
    if suffix == "exr" and importlib.util.find_spec("OpenEXR") is None:
        pytest.skip("needs the package OpenEXR")
    image(tmp_path / "images" / "0001.jpg")
    (tmp_path / "depths").mkdir()
    WRITERS[suffix](tmp_path / "depths" / f"0001.{suffix}")
    rows = load_data("folder", tmp_path, **OPTIONS.get(suffix, {}))
    sample = read_sample(rows[0])
    np.testing.assert_allclose(sample["depth"], METRES, rtol=1e-6)
    np.testing.assert_array_equal(sample["valid"], METRES > 0)
    assert (sample["scene"], sample["frame"]) == (None, "0001")


@pytest.mark.parametrize(
    ("folders", "scene"),
    [
        ("{kind}", None),
        ("val/{kind}", None),
        ("{kind}/val", None),
        ("val/kitchen/{kind}", "kitchen"),
        ("val/{kind}/kitchen", "kitchen"),
    ],
)
def test_layouts(tmp_path, folders, scene):
    image(tmp_path / folders.format(kind="images") / "0001.jpg")
    png16(tmp_path / folders.format(kind="depths") / "0001.png")
    split = "val" if "val" in folders else "all"
    rows = load_data("folder", tmp_path, split, depth_scale=1000)
    assert (rows["scene"], rows["frame"]) == ([scene], ["0001"])
    assert len(load_data("folder", tmp_path, "all", depth_scale=1000)) == 1
    if "val" in folders:
        with pytest.raises(DataLayoutError, match="no images of split 'test'"):
            load_data("folder", tmp_path, "test", depth_scale=1000)


def test_a_validation_folder_is_no_scene_of_the_training_split(tmp_path):
    for scene in ("kitchen", "office", "val"):
        image(tmp_path / scene / "images" / "1.jpg")
        png16(tmp_path / scene / "depths" / "1.png")
    assert load_data("folder", tmp_path, depth_scale=1000)["scene"] == ["kitchen", "office"]
    assert len(load_data("folder", tmp_path, "val", depth_scale=1000)) == 1


def test_masks_with_names_and_a_rule(tmp_path):
    image(tmp_path / "images" / "a.jpg")
    mask(tmp_path / "masks" / "a.png")
    (tmp_path / "classes.txt").write_text("0 other\n1 sky\n2 road\n")
    rows = load_data("folder", tmp_path, label_rule="zero-is-ignored")
    assert read_sample(rows[0])["label"].tolist() == [[255, 0, 1], [255, 0, 255]]
    assert class_names("folder", tmp_path, label_rule="zero-is-ignored") == ["sky", "road"]
    assert rows[0]["depth_scale"] is None


def test_valid_masks_and_intrinsics_of_the_scene_and_the_root(tmp_path):
    for scene in ("a", "b"):
        image(tmp_path / scene / "images" / "1.jpg")
        png16(tmp_path / scene / "depths" / "1.png")
        mask(tmp_path / scene / "valid" / "1.png", ((1, 1, 0), (1, 1, 1)))
    (tmp_path / "intrinsics.txt").write_text("1 1 2 2")
    (tmp_path / "b" / "intrinsics.json").write_text('{"fx": 5, "fy": 5, "cx": 2, "cy": 2}')
    rows = load_data("folder", tmp_path, depth_scale=1000)
    first, second = (read_sample(row) for row in rows)
    assert first["valid"].tolist() == [[False, True, False], [True, True, True]]
    assert (first["intrinsics"][0, 0], second["intrinsics"][0, 0]) == (1, 5)
    assert read_sample(load_data("folder", tmp_path, depth_scale=1, intrinsics="7,7,1,1")[1])["intrinsics"][0, 0] == 7


def test_errors_name_what_is_missing(tmp_path):
    with pytest.raises(DataLayoutError, match=r"it holds no folders\. Expected inside: .*images/NAME\.jpg"):
        load_data("folder", tmp_path)
    image(tmp_path / "images" / "a.jpg")
    with pytest.raises(DataLayoutError, match="images have neither depths/, depth/ nor masks/"):
        load_data("folder", tmp_path)
    png16(tmp_path / "depths" / "a.png")
    with pytest.raises(ValueError, match=r"depth_scale: needed, since .*a\.png"):
        load_data("folder", tmp_path)
    with pytest.raises(ValueError, match="depth_kind: must be one of metres, disparity, relative-depth, got 'inches'"):
        load_data("folder", tmp_path, depth_kind="inches")
    with pytest.raises(ValueError, match="label_rule: must be one of as-is"):
        load_data("folder", tmp_path, label_rule="minus")


@pytest.mark.skipif(not REAL.is_dir(), reason=f"needs {REAL}")
def test_real_scenes_at_once():
    rows = load_data("folder", REAL, "train", depth_scale=1000)
    assert {scene: rows["scene"].count(scene) for scene in set(rows["scene"])} == {"kitchen": 334, "office_floor": 176}
    for index in (0, 333, 334, 509):
        sample = read_sample(rows[index])
        assert 0.5 < sample["depth"][sample["valid"]].median() < 5
    with pytest.raises(ValueError, match="depth_scale: needed"):
        load_data("folder", REAL, "val")
