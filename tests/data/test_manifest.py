import datasets
import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest
from PIL import Image

from open_dpt.data import DataLayoutError, class_names, load_data, read_sample


@pytest.fixture
def folder(tmp_path):
    for name in ("0001", "0002"):
        Image.new("RGB", (2, 1), "gray").save(tmp_path / f"{name}.jpg")
        Image.fromarray(np.array([[1000, 2000]], np.uint16)).save(tmp_path / f"{name}_d.png")
        Image.fromarray(np.array([[1, 2]], np.uint8)).save(tmp_path / f"{name}_m.png")
    np.save(tmp_path / "0002_d.npy", np.array([[1.0, 3.0]], np.float32))
    return tmp_path


def _write(folder, *lines, name="data.csv"):
    (folder / name).write_text("\n".join(lines) + "\n")
    if name.endswith(".parquet"):
        table = pyarrow.csv.read_csv(folder / name)
        pyarrow.parquet.write_table(table, folder / name)
    return folder / name


@pytest.mark.parametrize("name", ["data.csv", "data.parquet"])
def test_columns_win_over_options(folder, name):
    lines = ["image,depth,depth_scale,fx,fy,cx,cy,scene,note"]
    lines += ["0001.jpg,0001_d.png,500,1,1,0,0,007,x", "0002.jpg,0002_d.png,,,,,,008,y"]
    rows = load_data("manifest", _write(folder, *lines, name=name), depth_scale=1000, intrinsics="9,9,0,0")
    first, second = (read_sample(row) for row in rows)
    assert (first["depth"].tolist(), second["depth"].tolist()) == ([[2, 4]], [[1, 2]])
    assert (first["intrinsics"][0, 0], second["intrinsics"][0, 0]) == (1, 9)
    assert rows["scene"] == (["007", "008"] if name.endswith("csv") else ["7", "8"])  # a name, not a number


def test_labels_and_locators_and_splits(folder):
    lines = ["image,label,split", "0001.jpg,0001_m.png,train", "0002.jpg,0002_m.png,val"]
    path = _write(folder, *lines)
    (folder / "classes.txt").write_text("1 sky\n2 road\n")
    rows = load_data("manifest", path, "val", label_rule="zero-is-ignored")
    assert len(rows) == 1 and read_sample(rows[0])["label"].tolist() == [[0, 1]]
    assert class_names("manifest", path, label_rule="zero-is-ignored") == ["sky", "road"]
    assert len(load_data("manifest", path, "all")) == 2
    with pytest.raises(ValueError, match="split: must be one of train, val, got 'test'"):
        load_data("manifest", path, "test")


def test_one_table_a_split_and_paths_that_are_absolute_or_blank(folder):
    _write(folder, "image,depth", f"{folder}/0002.jpg,0002_d.npy", "0001.jpg,", name="val.csv")
    rows = load_data("manifest", folder, "val")
    assert read_sample(rows[0])["depth"].tolist() == [[1, 3]]
    assert rows[1]["depth"] is None
    with pytest.raises(DataLayoutError, match=r"train\.csv or train\.parquet not found"):
        load_data("manifest", folder)


def test_a_table_of_pictures_is_sent_to_the_hub_loader(folder):
    pictures = datasets.Features({"image": datasets.Image(), "depth": datasets.Value("string")})
    path = str(folder / "data.parquet")
    datasets.Dataset.from_dict({"image": [str(folder / "0001.jpg")], "depth": ["x"]}, features=pictures).to_parquet(
        path
    )
    with pytest.raises(DataLayoutError, match=r"image holds pictures, not paths. Open it as data set 'hub'"):
        load_data("manifest", path)


def test_errors_name_the_table(folder):
    with pytest.raises(DataLayoutError, match=r"x\.csv: must be a \.csv or \.parquet file .* got nothing there"):
        load_data("manifest", folder / "x.csv")
    with pytest.raises(DataLayoutError, match=r"must have columns image and depth or label, has image, mask"):
        load_data("manifest", _write(folder, "image,mask", "a,b"))
    with pytest.raises(DataLayoutError, match=r"gone\.jpg.*what data\.csv names"):
        load_data("manifest", _write(folder, "image,depth", "gone.jpg,0001_d.png"))
    with pytest.raises(ValueError, match=r"depth_scale: needed"):
        load_data("manifest", _write(folder, "image,depth", "0001.jpg,0001_d.png"))
    with pytest.raises(ValueError, match=r"has no column split"):
        load_data("manifest", _write(folder, "image,depth", "0001.jpg,0001_d.png"), "val")
    with pytest.raises(ValueError, match=r"data\.csv: cannot be read"):
        load_data("manifest", _write(folder, "image,depth", "0001.jpg"))
