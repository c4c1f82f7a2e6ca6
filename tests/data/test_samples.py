import numpy as np
import pytest
import torch
from datasets import concatenate_datasets
from PIL import Image

from open_dpt.data import SampleError, make_rows, raw_rows, read_sample
from open_dpt.data import samples as samples_module
from open_dpt.data.samples import IMAGE_COLUMNS

CAMERA = (100.0, 0.0, 2.0, 0.0, 101.0, 1.0, 0.0, 0.0, 1.0)


@pytest.fixture
def folder(tmp_path):
    """image.png 4 x 3, millimetres.png, values.npy, mask.png and labels.png of its size."""
    Image.fromarray(np.arange(36, dtype=np.uint8).reshape(3, 4, 3)).save(tmp_path / "image.png")
    Image.fromarray(np.array([[0, 500, 1000, 1500]] * 3, np.uint16)).save(tmp_path / "millimetres.png")
    np.save(tmp_path / "values.npy", np.array([[0, 4, np.nan, -1]] * 3, np.float32))
    Image.fromarray(np.array([[255, 255, 255, 0]] * 3, np.uint8)).save(tmp_path / "mask.png")
    Image.fromarray(np.array([[0, 1, 2, 255]] * 3, np.uint8)).save(tmp_path / "labels.png")
    return tmp_path


def _row(folder, **columns):
    files = {key: [folder / value] for key, value in columns.items() if key in IMAGE_COLUMNS}
    return make_rows({"image": [folder / "image.png"], **columns, **files})


def test_metres(folder):
    rows = make_rows(
        {
            "image": [folder / "image.png"],
            "depth": [folder / "millimetres.png"],
            "depth_scale": 1000.0,
            "depth_kind": "metres",
            "intrinsics": CAMERA,
            "scene": ["room"],
            "frame": ["1"],
        }
    )
    sample = read_sample(rows[0])
    assert sample["depth"].dtype == torch.float32 and sample["depth"][1].tolist() == [0, 0.5, 1, 1.5]
    assert sample["valid"][1].tolist() == [False, True, True, True]
    assert sample["image"].dtype == torch.uint8
    assert torch.equal(sample["image"], torch.arange(36, dtype=torch.uint8).reshape(3, 4, 3).permute(2, 0, 1))
    assert torch.equal(sample["intrinsics"], torch.tensor(CAMERA, dtype=torch.float64).reshape(3, 3))
    assert sample["name"] == str(folder / "image.png") and (sample["scene"], sample["frame"]) == ("room", "1")
    assert "label" not in sample and "disparity" not in sample
    raw = read_sample(raw_rows(rows)[0])
    assert all(torch.equal(raw[key], sample[key]) for key in ("image", "depth", "valid", "intrinsics"))


def test_disparity_is_missing_at_zero_unless_a_mask_says_otherwise(folder):
    sample = read_sample(_row(folder, depth="values.npy", depth_kind="disparity")[0])
    assert sample["disparity"][0].tolist() == [0, 4, 0, 0]
    assert sample["valid"][0].tolist() == [False, True, False, False]
    sample = read_sample(_row(folder, depth="values.npy", depth_kind="disparity", valid="mask.png")[0])
    assert sample["valid"][0].tolist() == [True, True, False, False]
    assert "depth" not in sample


def test_depth_of_unknown_unit_becomes_disparity(folder):
    sample = read_sample(_row(folder, depth="values.npy", depth_kind="relative-depth")[0])
    assert sample["disparity"][0].tolist() == [0, 0.25, 0, 0] and "depth" not in sample


def test_a_mask_hides_depth_and_labels(folder):
    columns = {"depth": "millimetres.png", "depth_scale": 1000.0, "label": "labels.png", "valid": "mask.png"}
    sample = read_sample(_row(folder, **columns)[0])
    assert sample["depth"][0].tolist() == [0, 0.5, 1, 0] and not sample["valid"][0, 3]
    assert sample["label"][0].tolist() == [0, 1, 2, 255]


def test_labels_follow_their_rule(folder):
    assert read_sample(_row(folder, label="labels.png")[0])["label"].dtype == torch.int64
    sample = read_sample(_row(folder, label="labels.png", label_rule="zero-is-ignored")[0])
    assert sample["label"][0].tolist() == [255, 0, 1, 255]
    with pytest.raises(SampleError, match=r"values\.npy: class ids must be whole numbers"):
        read_sample(_row(folder, label="values.npy")[0])


def test_maps_of_another_size_are_refused_or_resized(folder):
    Image.fromarray(np.array([[1, 2]], np.uint16)).save(folder / "small.png")
    rows = _row(folder, depth="small.png")
    with pytest.raises(SampleError, match=r"small\.png: must be 3 x 4 as its image is, got 1 x 2"):
        read_sample(rows[0])
    assert read_sample(rows[0], resize_maps=True)["depth"].tolist() == [[1, 1, 2, 2]] * 3


def test_depth_may_keep_its_own_size_where_its_row_says_so(folder):
    Image.fromarray(np.array([[1, 2]], np.uint16)).save(folder / "small.png")
    Image.fromarray(np.array([[0, 255]], np.uint8)).save(folder / "small_mask.png")
    sample = read_sample(_row(folder, depth="small.png", valid="small_mask.png", depth_own_size=True)[0])
    assert sample["depth"].tolist() == [[0, 2]] and sample["valid"].tolist() == [[False, True]]
    with pytest.raises(SampleError, match=r"mask\.png: must be 1 x 2"):
        read_sample(_row(folder, depth="small.png", valid="mask.png", depth_own_size=True)[0])


def test_pairs_of_points(folder):
    rows = _row(folder, ordinal=[[[0, 0, 2, 3, 1], [1, 1, 0, 2, -1]]])
    sample = read_sample(raw_rows(rows)[0])
    assert sample["ordinal"].dtype == torch.int64
    assert sample["ordinal"].tolist() == [[0, 0, 2, 3, 1], [1, 1, 0, 2, -1]]
    assert read_sample(_row(folder, ordinal=[[]])[0])["ordinal"].shape == (0, 5)
    with pytest.raises(
        SampleError, match=r"image\.png: a point of its pairs lies at row 3, column 3, outside .* 3 x 4"
    ):
        read_sample(_row(folder, ordinal=[[[0, 0, 3, 3, 1]]])[0])


def test_a_missing_file_is_named(folder):
    with pytest.raises(SampleError, match=r"none\.png: must be a file, got nothing"):
        read_sample(raw_rows(_row(folder, depth="none.png"))[0])


def test_arrays_do_not_decode_and_pictures_do(folder):
    rows = _row(folder, depth="values.npy")
    assert rows.features["image"].decode and not rows.features["depth"].decode
    assert rows[0]["depth"] == {"path": str(folder / "values.npy"), "bytes": None}
    assert rows[0]["image"].size == (4, 3)


def test_sets_of_different_kinds_concatenate(folder):
    depth, labels = _row(folder, depth="values.npy", intrinsics=CAMERA), _row(folder, label="labels.png")
    both = concatenate_datasets([raw_rows(depth), raw_rows(labels)])
    assert [set(read_sample(row)) & {"depth", "label"} for row in both] == [{"depth"}, {"label"}]
    assert both[1]["intrinsics"] is None


def test_columns_are_checked():
    with pytest.raises(ValueError, match=r"must be among image, depth, .*got depths"):
        make_rows({"image": ["a"], "depths": ["b"]})
    with pytest.raises(ValueError, match=r"must have 2 rows as image has, got \{'depth': 1\}"):
        make_rows({"image": ["a", "b"], "depth": ["c"]})
    assert len(make_rows({"image": []})) == 0


def test_streams_have_the_same_rows(folder):
    rows = _row(folder, depth="values.npy")
    stream = raw_rows(rows.to_iterable_dataset())
    assert stream.features == raw_rows(rows).features
    assert [row["depth"] for row in stream] == [rows[0]["depth"]]


@pytest.mark.parametrize("writable", [True, False])
def test_large_tables_are_mapped_from_a_file_and_equal(tmp_path, monkeypatch, writable):
    cache = tmp_path / "cache"
    if not writable:
        cache.write_text("a file where the folder should be")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", cache)
    names = [f"/data/{index}.png" for index in range(50)]
    small = make_rows({"image": names, "intrinsics": CAMERA})
    assert not small.cache_files
    monkeypatch.setattr(samples_module, "SMALLEST_MAPPED", 0)
    for _ in range(2):
        large = make_rows({"image": names, "intrinsics": CAMERA})
        assert len(large.cache_files) == writable
        assert large.features == small.features and large.data.table == small.data.table
    assert not writable or len(list((cache / "open_dpt").iterdir())) == 1
