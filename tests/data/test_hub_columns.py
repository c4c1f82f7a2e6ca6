"""On data sets saved to disk: the hub differs only in where `datasets` finds the files."""

import numpy as np
import pytest
from datasets import Array2D, Dataset, DatasetDict, Features, Image, Value
from PIL import Image as Picture

from open_dpt.data import load_data, raw_rows, read_sample

SIZE = (4, 3)


@pytest.fixture
def parquet(tmp_path):
    """Two pictures with 16-bit depth, in columns of other names."""
    data = {
        "rgb": [Picture.new("RGB", SIZE, color) for color in ("red", "blue")],
        "depth_map": [Picture.fromarray(np.full(SIZE[::-1], 1000 * k, np.uint16)) for k in (1, 2)],
        "id": [1, 2],
    }
    (tmp_path / "parquet").mkdir()
    features = Features({"rgb": Image(), "depth_map": Image(), "id": Value("int32")})
    Dataset.from_dict(data, features=features).to_parquet(tmp_path / "parquet" / "train.parquet")
    return tmp_path / "parquet"


@pytest.fixture
def saved(tmp_path):
    """Arrays of depth and of labels."""
    data = {
        "image": [Picture.new("RGB", SIZE, "red")],
        "metres": [np.full(SIZE[::-1], 2.5, np.float32)],
        "mask": [np.full(SIZE[::-1], 7, np.int32)],
    }
    features = Features({"image": Image(), "metres": Array2D((3, 4), "float32"), "mask": Array2D((3, 4), "int32")})
    DatasetDict({"val": Dataset.from_dict(data, features=features)}).save_to_disk(tmp_path / "saved")
    return tmp_path / "saved"


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("name", ["train.parquet", "."])
def test_pictures_in_parquet_files(parquet, name, streaming):
    rows = load_data("hub", parquet / name, streaming=streaming, depth_scale=1000, intrinsics="5,5,2,1")
    samples = [read_sample(row) for row in rows]
    assert [sample["depth"].unique().tolist() for sample in samples] == [[1], [2]]
    assert samples[0]["image"].shape == (3, 3, 4) and samples[0]["intrinsics"][0, 0] == 5
    assert [read_sample(row)["depth"].max() for row in raw_rows(rows)] == [1, 2]


@pytest.mark.parametrize("streaming", [False, True])
def test_arrays_in_a_saved_folder(saved, streaming):
    rows = load_data("hub", saved, "val", streaming=streaming, depth_column="metres", label_rule="zero-is-ignored")
    sample = read_sample(next(iter(rows)))
    assert sample["depth"].unique().tolist() == [2.5]
    assert sample["label"].unique().tolist() == [6]


def test_the_paths_of_files(tmp_path):
    Picture.new("RGB", SIZE).save(tmp_path / "a.png")
    np.save(tmp_path / "a.npy", np.ones(SIZE[::-1], np.float32))
    data = Dataset.from_dict({"image": [str(tmp_path / "a.png")], "depth": [str(tmp_path / "a.npy")]})
    data.save_to_disk(tmp_path / "saved")
    rows = load_data("hub", tmp_path / "saved")
    assert read_sample(rows[0])["depth"].unique().tolist() == [1]


def test_errors_name_the_columns(parquet, saved):
    with pytest.raises(ValueError, match="depth_scale: needed, since column depth_map holds whole numbers"):
        load_data("hub", parquet)
    with pytest.raises(ValueError, match=r"depth_column: must be one of image, metres, mask in .*, got 'depth'"):
        load_data("hub", saved, "val", depth_column="depth")
    with pytest.raises(ValueError, match=r"split must be one of val, got 'train'"):
        load_data("hub", saved)
    with pytest.raises(ValueError, match=r"nothing: cannot be opened as a data set"):
        load_data("hub", parquet / "nothing")
