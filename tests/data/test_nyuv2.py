"""Small files in exactly the three public forms of NYU Depth v2."""

import io
import tarfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import torch
from datasets import concatenate_datasets
from PIL import Image
from torch.utils.data import DataLoader

from open_dpt.data import DataLayoutError, SampleError, load_data, raw_rows, read_sample

REAL = Path(__file__).parents[3] / "shared" / "real" / "nyu"
HEIGHT, WIDTH, COUNT = 6, 8, 5
SCENES = ["kitchen_0004", "kitchen_0004", "office_0001", "café_0002", "bedroom_0003"]
TYPES = ["kitchen", "kitchen", "office", "café", "bedroom"]


def _images(count: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """uint8 (N, H, W, 3), no two rows, columns or channels alike."""
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8)


def _depths(count: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Metres in whole millimetres, the first column a hole."""
    metres = np.random.default_rng(1).integers(500, 9000, (count, height, width)).astype(np.float32) / 1000
    metres[..., 0] = 0
    return metres


def _write_labeled(folder: Path, count: int = COUNT) -> None:
    """MATLAB 7.3: HDF5 after 512 bytes, axes reversed, strings as references to character codes."""
    with h5py.File(folder / "nyu_depth_v2_labeled.mat", "w", userblock_size=512) as file:
        raw = _depths(count)
        file.create_dataset("images", data=_images(count).transpose(0, 3, 2, 1), compression="gzip")
        file["rawDepths"] = raw.transpose(0, 2, 1)
        file["depths"] = np.where(raw > 0, raw, 3).transpose(0, 2, 1)
        for name, texts in (("scenes", SCENES), ("sceneTypes", TYPES)):
            cells = np.empty((1, count), h5py.ref_dtype)
            for index in range(count):
                codes = np.array([[ord(letter)] for letter in texts[index % len(texts)]], np.uint16)
                cells[0, index] = file.create_dataset(f"#refs#/{name}{index}", data=codes).ref
            file[name] = cells


@pytest.fixture
def labeled(tmp_path):
    _write_labeled(tmp_path)
    splits = {"trainNdxs": np.array([[3], [5]], np.uint16), "testNdxs": np.array([[1], [2], [4]], np.uint16)}
    scipy.io.savemat(tmp_path / "splits.mat", splits)
    return tmp_path


def test_labeled_file(labeled):
    rows = load_data("nyuv2-labeled", labeled, "test")
    assert rows["frame"][:] == ["00000", "00001", "00003"]
    assert rows["scene"][:] == ["kitchen_0004", "kitchen_0004", "café_0002"]
    for row, index in zip(rows, (0, 1, 3), strict=True):
        sample = read_sample(row)
        np.testing.assert_array_equal(sample["image"], _images(COUNT)[index].transpose(2, 0, 1))
        np.testing.assert_array_equal(sample["depth"], _depths(COUNT)[index])
        np.testing.assert_array_equal(sample["valid"], _depths(COUNT)[index] > 0)
    assert "intrinsics" not in sample  # no source states the principal point


def test_labeled_file_filled_and_by_scene_type(labeled):
    rows = load_data("nyuv2-labeled", labeled, "train", depth="filled", scene="sceneTypes")
    assert rows["frame"][:] == ["00002", "00004"] and rows["scene"][:] == ["office", "bedroom"]
    depth = read_sample(rows[1])["depth"]
    assert (depth[:, 0] == 3).all() and (depth[:, 1:] == torch.from_numpy(_depths(COUNT)[4, :, 1:])).all()
    assert len(load_data("nyuv2-labeled", labeled, "all")) == COUNT


def test_labeled_file_without_its_splits(labeled):
    (labeled / "splits.mat").unlink()
    assert len(load_data("nyuv2-labeled", labeled, "all")) == COUNT
    with pytest.raises(DataLayoutError, match=r"splits\.mat: not found, and .* has 5 images"):
        load_data("nyuv2-labeled", labeled, "test")


def test_the_shipped_list_replaces_splits(tmp_path):
    with h5py.File(tmp_path / "nyu_depth_v2_labeled.mat", "w", userblock_size=512) as file:
        file["images"], file["rawDepths"] = np.zeros((1449, 3, 1, 1), np.uint8), np.ones((1449, 1, 1), np.float32)
        code = file.create_dataset("#refs#/a", data=np.array([[97]], np.uint16)).ref
        file["scenes"] = np.full((1, 1449), code, h5py.ref_dtype)
    train, test = (load_data("nyuv2-labeled", tmp_path, split)["frame"][:] for split in ("train", "test"))
    assert (len(train), len(test), len({*train, *test})) == (795, 654, 1449)
    # Read from splits.mat, as numbers from 1: 3..1440 and 1..1449.
    assert (train[0], train[-1], test[0], test[-1]) == ("00002", "01439", "00000", "01448")


def test_labeled_errors_name_file_and_remedy(labeled):
    with pytest.raises(ValueError, match="depth: must be one of raw, filled, got 'inpainted'"):
        load_data("nyuv2-labeled", labeled, depth="inpainted")
    scipy.io.savemat(labeled / "splits.mat", {"testNdxs": np.array([[0], [9]], np.uint16)})
    with pytest.raises(SampleError, match=r"splits\.mat: must number images from 1 to 5 .*got 0 to 9"):
        load_data("nyuv2-labeled", labeled, "test")
    with pytest.raises(SampleError, match=r"splits\.mat::trainNdxs: entry must be one of testNdxs, got trainNdxs"):
        load_data("nyuv2-labeled", labeled, "train")
    with h5py.File(labeled / "new.mat", "w") as file:
        file["images"] = file["rawDepths"] = np.zeros((1, 3, 2, 2), np.uint8)
    (labeled / "new.mat").replace(labeled / "nyu_depth_v2_labeled.mat")
    with pytest.raises(SampleError, match="has no scenes"):
        load_data("nyuv2-labeled", labeled, "all")
    (labeled / "nyu_depth_v2_labeled.mat").unlink()
    (labeled / "nyu_depth_v2_labeled.mat").write_bytes(b"half a download")
    with pytest.raises(SampleError, match=r"nyu_depth_v2_labeled\.mat: cannot be read"):
        load_data("nyuv2-labeled", labeled, "all")
    (labeled / "nyu_depth_v2_labeled.mat").unlink()
    with pytest.raises(DataLayoutError, match=r"nyu_depth_v2_labeled\.mat not found"):
        load_data("nyuv2-labeled", labeled, "all")


def _write_bts(folder: Path, frame: str, index: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(_images(3)[index]).save(folder / f"rgb_{frame}.jpg", quality=95)
    Image.fromarray((_depths(3)[index] * 1000).round().astype(np.uint16)).save(folder / f"sync_depth_{frame}.png")


def test_bts_folders_hold_millimetres(tmp_path):
    _write_bts(tmp_path / "sync" / "kitchen_0028b", "00045", 0)
    _write_bts(tmp_path / "official_splits" / "test" / "bathroom", "00045", 1)
    _write_bts(tmp_path / "official_splits" / "train" / "cafe", "00002", 2)
    rows = load_data("nyuv2-bts", tmp_path, "all")
    assert rows["scene"][:] == ["kitchen_0028b", "cafe", "bathroom"]
    sample = read_sample(rows[0])
    np.testing.assert_allclose(sample["depth"], _depths(3)[0], rtol=1e-6)
    assert sample["image"].shape == (3, HEIGHT, WIDTH) and "intrinsics" not in sample
    for split, scene in (("train", "kitchen_0028b"), ("test", "bathroom")):
        with pytest.warns(UserWarning, match="rows are left out"):
            rows = load_data("nyuv2-bts", tmp_path, split, missing="skip")
        assert rows["scene"][:] == [scene] and rows["frame"][:] == ["00045"]
    assert load_data("nyuv2-bts", tmp_path, "official-train")["scene"][:] == ["cafe"]


def test_bts_says_what_is_missing(tmp_path):
    folder = tmp_path / "nyu_depth_v2" / "official_splits" / "test" / "bathroom"
    _write_bts(folder, "00045", 0)
    with pytest.raises(DataLayoutError, match=r"sync not found\. Expected inside: sync/<scene>/rgb_00000\.jpg"):
        load_data("nyuv2-bts", tmp_path, "train")
    with pytest.raises(DataLayoutError, match=r"1306 files are missing: official_splits/test/.*missing='skip'"):
        load_data("nyuv2-bts", tmp_path, "test")
    (folder / "sync_depth_00045.png").unlink()
    with pytest.raises(DataLayoutError, match=r"1 files are missing: .*sync_depth_00045\.png"):
        load_data("nyuv2-bts", tmp_path, "all")


def test_bts_lists_whole(tmp_path):
    """Empty files stand for the pictures: nothing but names is looked at."""
    from open_dpt.data.split_lists import read_split_list

    for frame in read_split_list("nyu_test_654"):
        folder = tmp_path / "official_splits" / "test" / frame.scene
        folder.mkdir(parents=True, exist_ok=True)
        for name in (f"rgb_{frame.number:05d}.jpg", f"sync_depth_{frame.number:05d}.png"):
            (folder / name).touch()
    rows = raw_rows(load_data("nyuv2-bts", tmp_path, "test"))
    assert len(rows) == 654 and rows[0]["image"]["path"].endswith("official_splits/test/bathroom/rgb_00045.jpg")


def _write_shards(folder: Path, numbers=(0, 1)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    images, depths = _images(4), _depths(4)
    for number in numbers:
        with tarfile.open(folder / f"val-{number:06d}.tar", "w") as archive:
            for index in (2 * number, 2 * number + 1):
                data = io.BytesIO()
                with h5py.File(data, "w") as file:
                    file["rgb"], file["depth"] = images[index].transpose(2, 0, 1), depths[index]
                item = tarfile.TarInfo(f"val/official/{index:05d}.h5")
                item.size = data.tell() if data.seek(0, io.SEEK_END) else 0
                data.seek(0)
                archive.addfile(item, data)
    return folder


def _check_shards(samples) -> None:
    samples = sorted(samples, key=lambda sample: sample["frame"])
    assert [sample["frame"] for sample in samples] == ["00000", "00001", "00002", "00003"]
    for index, sample in enumerate(samples):
        np.testing.assert_array_equal(sample["image"], _images(4)[index].transpose(2, 0, 1))
        np.testing.assert_array_equal(sample["depth"], _depths(4)[index])
        assert sample["scene"] == "official"


def test_shards(tmp_path):
    _write_shards(tmp_path / "data")
    rows = load_data("nyuv2-shards", tmp_path, "validation")
    _check_shards(map(read_sample, rows))
    stream = load_data("nyuv2-shards", tmp_path, "validation", streaming=True)
    assert stream.num_shards == 2 and stream.features == raw_rows(rows).features
    assert list(stream) == list(raw_rows(rows))
    _check_shards(map(read_sample, stream.shuffle(seed=0, buffer_size=2)))


@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_read_files_that_the_parent_has_open(labeled, start):
    _write_shards(labeled / "data")
    shards = load_data("nyuv2-shards", labeled, "validation")
    rows = load_data("nyuv2-labeled", labeled, "all")
    data = concatenate_datasets([raw_rows(shards), raw_rows(rows)])
    here = [read_sample(row)["depth"] for row in data]
    loader = DataLoader(data, None, collate_fn=read_sample, num_workers=1, multiprocessing_context=start)
    assert all(torch.equal(a, b["depth"]) for a, b in zip(here, loader, strict=True))
    assert torch.equal(read_sample(data[-1])["depth"], here[-1])


def test_streams_are_shared_between_workers(tmp_path):
    _write_shards(tmp_path)
    stream = load_data("nyuv2-shards", tmp_path, "validation", streaming=True)
    _check_shards(DataLoader(stream, None, collate_fn=read_sample, num_workers=2))


def test_missing_shards_are_named(tmp_path):
    _write_shards(tmp_path, numbers=(1,))
    with pytest.raises(DataLayoutError, match=r"val-000000\.tar not found.*missing='skip'"):
        load_data("nyuv2-shards", tmp_path, "validation")
    with pytest.warns(UserWarning, match=r"val-000000\.tar not found\. 1 of 2 shards"):
        assert len(load_data("nyuv2-shards", tmp_path, "validation", missing="skip")) == 2
    with pytest.raises(DataLayoutError, match=r"train-000000\.tar, .* and 9 more not found"):
        load_data("nyuv2-shards", tmp_path, "train", missing="skip")


@pytest.mark.skipif(not REAL.is_dir(), reason="no real NYU pairs here")
def test_real_pairs():
    rows = load_data("nyuv2-bts", REAL, "all")
    assert len(rows) == 3
    for row in rows:
        sample = read_sample(row)
        assert sample["image"].shape == (3, 480, 640) and sample["depth"].shape == (480, 640)
        known = sample["depth"][sample["valid"]]
        assert known.min() > 0.3 and known.max() < 10 and 0.5 < sample["valid"].float().mean() < 1
