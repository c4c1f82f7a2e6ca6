import subprocess
import sys

import pytest

from open_dpt.data import DATASETS, class_names, load_data
from open_dpt.data.registry import DatasetInfo


def test_every_entry_leads_to_a_loader_of_the_common_form():
    for name, info in DATASETS.items():
        assert info.load.__doc__, name
        assert info.validation is None or info.validation in info.splits, name
        assert info.targets in ("depth", "label", "ordinal", "any"), name
        assert "split" not in info.options and "root" not in info.options and "streaming" not in info.options


def test_depth_has_no_classes():
    assert class_names("nyuv2-bts") == []


def test_class_names_take_the_options_of_the_loader():
    assert len(class_names("pascal-context", num_classes=60, missing="skip")) == 60
    assert len(class_names("ade20k")) == 150


def test_unknown_words_are_answered_with_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match=r"data set: must be one of nyuv2-labeled, .*hub, got 'nyu'"):
        load_data("nyu", tmp_path)
    with pytest.raises(ValueError, match="split: kitti-eigen has train, test, test-161, all, got 'val'"):
        load_data("kitti-eigen", tmp_path, "val")
    with pytest.raises(ValueError, match=r"camera: not an option of kitti-eigen, .*mean 'cameras'\?"):
        load_data("kitti-eigen", tmp_path, camera="image_02")
    with pytest.raises(ValueError, match="size: not an option of kitti-test, which has none"):
        load_data("kitti-test", tmp_path, "test", size=3)


def test_the_table_costs_nothing():
    code = (
        "import sys; from open_dpt.data import DATASETS; DATASETS['redweb'];"
        "sys.exit(any(name in sys.modules for name in ('torch', 'datasets', 'numpy', 'PIL')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_rows_stream(tmp_path):
    from PIL import Image

    for index in range(3):
        for folder in ("Imgs", "RDs"):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.new("L", (4, 3), index).save(tmp_path / folder / f"{index}.{'jpg' if folder == 'Imgs' else 'png'}")
    rows, stream = load_data("redweb", tmp_path), load_data("redweb", tmp_path, streaming=True)
    assert stream.num_shards == 3 and stream.features == rows.features
    assert [row["frame"] for row in stream] == rows["frame"][:] == ["0", "1", "2"]


def test_a_loader_may_stream_in_its_own_way(monkeypatch, tmp_path):
    def load(root, split, *, streaming=False, size=1):
        return streaming, size

    monkeypatch.setattr(DatasetInfo, "load", property(lambda info: load))
    monkeypatch.setitem(DATASETS, "own", DatasetInfo("x", "x:y", "any"))
    assert load_data("own", tmp_path, "any name", streaming=True, size=2) == (True, 2)
