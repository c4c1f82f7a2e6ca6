"""Small files in the layouts of KITTI."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from open_dpt.data import DataLayoutError, load_data, raw_rows, read_sample
from open_dpt.data.split_lists import read_split_list

REAL = Path(__file__).parents[3] / "shared" / "real" / "kitti"
HEIGHT, WIDTH = 4, 7
# One drive of the training list, one of the test list that is in the official validation set, one that is not.
TRAIN, TEST, OTHER = "2011_09_26_drive_0001", "2011_09_26_drive_0002", "2011_09_26_drive_0009"
CALIBRATION = """calib_time: 09-Jan-2012 13:57:47
corner_dist: 9.950000e-02
P_rect_01: 9.0 0.0 6.0 -387.5 0.0 9.0 1.0 0.0 0.0 0.0 1.0 0.0
P_rect_02: 721.5 0.0 609.5 44.8 0.0 722.5 172.8 0.2 0.0 0.0 1.0 0.003
P_rect_03: 721.5 0.0 609.5 -339.5 0.0 722.5 173.8 2.2 0.0 0.0 1.0 0.003
"""


def _image(path: Path, seed: int) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def _depth(path: Path, seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).integers(0, 80 * 256, (HEIGHT, WIDTH)).astype(np.uint16)
    values[0] = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return values


def _frame(raw: Path, annotated: Path, drive: str, number: int, camera: str = "image_02", truth: bool = True) -> None:
    name = f"{number:010d}.png"
    _image(raw / drive[:10] / f"{drive}_sync" / camera / "data" / name, number)
    if truth:
        _depth(annotated / f"{drive}_sync" / "proj_depth" / "groundtruth" / camera / name, number)


# Where people put the two downloads.
PLACES = {
    "side by side": ("raw", "data_depth_annotated/train", "data_depth_annotated/val"),
    "one folder": (".", "train", "val"),
    "merged": (".", ".", "."),
}


@pytest.fixture
def folder(tmp_path):
    return _write(tmp_path, "one folder")


def _write(folder, places):
    raw, train, val = (folder / place for place in PLACES[places])
    _frame(raw, train, TRAIN, 5)
    _frame(raw, train, TRAIN, 5, "image_03")
    _frame(raw, train, TRAIN, 6)
    _frame(raw, val, TEST, 0, truth=False)
    _frame(raw, val, TEST, 6)
    _frame(raw, train, OTHER, 16)
    (raw / "2011_09_26" / "calib_cam_to_cam.txt").write_text(CALIBRATION)
    return folder


def _load(folder, split, **options):
    with pytest.warns(UserWarning, match="rows are left out"):
        return load_data("kitti-eigen", folder, split, missing="skip", **options)


@pytest.mark.parametrize("places", PLACES)
def test_drives_are_found_wherever_they_lie(places, tmp_path):
    folder = _write(tmp_path, places)
    assert _load(folder, "test")["scene"][:] == [TEST, OTHER]
    assert _load(folder, "test-161")["scene"][:] == [TEST]
    assert len(load_data("kitti-eigen", folder, "all")) == 4
    assert len(load_data("kitti-eigen", folder, "all", cameras=["image_02", "image_03"])) == 5


def test_the_training_list(folder):
    rows = _load(folder, "train")
    assert rows["scene"][:] == [TRAIN, TRAIN] and rows["frame"][:] == ["0000000005_image_02", "0000000006_image_02"]


def test_values_and_intrinsics(folder):
    sample = read_sample(load_data("kitti-eigen", folder, "all")[0])
    np.testing.assert_array_equal(sample["image"], _image(folder / "again.png", 5).transpose(2, 0, 1))
    values = _depth(folder / "again.png", 5)
    np.testing.assert_array_equal(sample["depth"], values / np.float32(256))
    np.testing.assert_array_equal(sample["valid"], values > 0)
    expected = [[721.5, 0, 609.5], [0, 722.5, 172.8], [0, 0, 1]]
    assert sample["intrinsics"].dtype == torch.float64 and sample["intrinsics"].tolist() == expected


def test_the_right_camera_has_its_own_depth_and_intrinsics(folder):
    rows = load_data("kitti-eigen", folder, "all", cameras="image_03")
    row = raw_rows(rows)[0]
    assert rows["frame"][:] == ["0000000005_image_03"]
    assert "image_03/data" in row["image"]["path"] and "groundtruth/image_03" in row["depth"]["path"]
    assert row["intrinsics"][5] == 173.8


def test_images_without_ground_truth_come_on_request(folder):
    rows = _load(folder, "test", without_truth=True)
    assert [row["depth"] is None for row in raw_rows(rows)] == [True, False, False]
    assert "depth" not in read_sample(rows[0])


def test_no_calibration_no_intrinsics(folder):
    file = next(folder.rglob("calib_cam_to_cam.txt"))
    file.write_text("P_rect_02: 1 2 3\n")
    with pytest.raises(DataLayoutError, match=r"calib_cam_to_cam\.txt: must have a line P_rect_02 of 12 numbers"):
        load_data("kitti-eigen", folder, "all")
    file.unlink()
    assert load_data("kitti-eigen", folder, "all")["intrinsics"][:] == [None] * 4


def test_downloads_in_unrelated_folders(tmp_path):
    _frame(tmp_path / "a", tmp_path / "b" / "val", TEST, 6)
    (tmp_path / "data").mkdir()
    rows = load_data("kitti-eigen", tmp_path / "data", "all", raw=str(tmp_path / "a"), annotated="../b")
    assert len(rows) == 1 and read_sample(rows[0])["depth"].shape == (HEIGHT, WIDTH)


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(DataLayoutError, match="no drive with raw images found"):
        load_data("kitti-eigen", tmp_path)
    _frame(tmp_path, tmp_path, TRAIN, 5, truth=False)
    with pytest.raises(DataLayoutError, match="no drive with annotated depth found"):
        load_data("kitti-eigen", tmp_path)
    _frame(tmp_path, tmp_path / "train", TRAIN, 5)
    with pytest.raises(DataLayoutError, match=r"46314 files are missing: .*drive_0001_sync.*/0000000006\.png"):
        load_data("kitti-eigen", tmp_path)
    with pytest.raises(DataLayoutError, match=r"1304 files are missing.*Split 'all' takes whatever lies there"):
        load_data("kitti-eigen", tmp_path, "test", missing="skip")
    with pytest.raises(ValueError, match="cameras: must be one of image_02, image_03, got 'left'"):
        load_data("kitti-eigen", tmp_path, cameras="left")


def test_the_whole_test_list(tmp_path):
    """Empty files stand for the pictures: nothing but names is looked at."""
    for frame in read_split_list("kitti_eigen_test"):
        drive, name = f"{frame.scene}_sync", f"{frame.number:010d}.png"
        paths = [tmp_path / "raw" / drive[:10] / drive / "image_02" / "data" / name]
        if frame.has_truth:
            paths.append(tmp_path / "val" / drive / "proj_depth" / "groundtruth" / "image_02" / name)
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    counts = [len(load_data("kitti-eigen", tmp_path, split)) for split in ("test", "test-161", "all")]
    assert counts == [652, 161, 652]
    assert len(load_data("kitti-eigen", tmp_path, "test", without_truth=True)) == 697


@pytest.mark.parametrize("image_word", ["image", "groundtruth_depth"])
def test_val_selection(tmp_path, image_word):
    folder = tmp_path / "depth_selection" / "val_selection_cropped"
    names = [f"{TEST}_sync_{{}}_0000000{number:03d}_image_0{camera}" for number, camera in ((5, 2), (5, 3), (40, 2))]
    for seed, name in enumerate(names):
        _image(folder / "image" / f"{name.format(image_word)}.png", seed)
        _depth(folder / "groundtruth_depth" / f"{name.format('groundtruth_depth')}.png", seed)
    rows = load_data("kitti-val-selection", tmp_path, "validation")
    assert rows["frame"][:] == ["0000000005_image_02", "0000000005_image_03", "0000000040_image_02"]
    assert set(rows["scene"]) == {TEST} and rows["intrinsics"][0] is None
    for seed, row in enumerate(rows):
        np.testing.assert_array_equal(read_sample(row)["depth"], _depth(tmp_path / "x.png", seed) / np.float32(256))
    (folder / "intrinsics").mkdir()
    (folder / "intrinsics" / f"{names[1].format(image_word)}.txt").write_text("7.0 0 3 0 8.0 2 0 0 1\n")
    rows = load_data("kitti-val-selection", folder, "validation")
    assert rows["intrinsics"][:] == [None, [7, 0, 3, 0, 8, 2, 0, 0, 1], None]
    (folder / "groundtruth_depth" / f"{names[2].format('groundtruth_depth')}.png").unlink()
    with pytest.raises(DataLayoutError, match=r"1 files are missing: groundtruth_depth/.*0000000040_image_02\.png"):
        load_data("kitti-val-selection", tmp_path, "validation")


def test_official_test_images(tmp_path):
    folder = tmp_path / "test_depth_prediction_anonymous"
    with pytest.raises(DataLayoutError, match="no folder test_depth_prediction_anonymous found"):
        load_data("kitti-test", tmp_path, "test")
    for number in range(3):
        _image(folder / "image" / f"{number:010d}.png", number)
    rows = load_data("kitti-test", tmp_path, "test")
    assert rows["frame"][:] == ["0000000000", "0000000001", "0000000002"]
    assert set(read_sample(rows[2])) == {"image", "name", "scene", "frame"}


@pytest.mark.skipif(not REAL.is_dir(), reason="no real KITTI frames here")
def test_real_frames():
    rows = load_data("kitti-eigen", REAL, "all")
    assert len(rows) == 3
    for row in rows:
        sample = read_sample(row)
        assert sample["image"].shape == (3, 375, 1242) and sample["depth"].shape == (375, 1242)
        known = sample["depth"][sample["valid"]]
        assert known.min() > 1 and known.max() < 90 and 0.1 < sample["valid"].float().mean() < 0.3
        # Semi-dense depth has nothing above the horizon, and the road is nearer than the rest.
        assert not sample["valid"][:80].any()
