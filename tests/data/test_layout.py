import pytest

from open_dpt.data.layout import DataLayoutError, MissingFilesWarning, keep_present, name_some, open_root, require


def test_a_root_is_absolute_and_must_be_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    assert open_root("a/../a", "x") == tmp_path / "a"
    (tmp_path / "file").touch()
    for name, found in (("none", "nothing"), ("file", "a file")):
        with pytest.raises(
            DataLayoutError, match=rf"{name}: must be the data set's folder, got {found}.*inside: x/\*"
        ):
            open_root(name, "x/*.png")


def test_all_absent_names_are_said_at_once(tmp_path):
    (tmp_path / "here").mkdir()
    with pytest.raises(DataLayoutError, match=r"gone, b/\*\.png not found\. Expected inside: LAYOUT"):
        require(tmp_path, ["here", "gone", "b/*.png"], "LAYOUT")


def _keep(root, names, **options):
    records = [{"image": root / name, "depth": None} for name in names]
    kept = keep_present(records, ("image", "depth"), root=root, layout="LAYOUT", **options)
    return [record["image"].name for record in kept]


def test_missing_files_stop_or_are_skipped(tmp_path):
    for name in "ab":
        (tmp_path / name).touch()
    assert _keep(tmp_path, "ab", missing="error") == ["a", "b"]
    with pytest.raises(DataLayoutError, match=r"1 files are missing: c\..*LAYOUT\. Pass missing='skip'"):
        _keep(tmp_path, "acb", missing="error")
    with pytest.warns(MissingFilesWarning, match="5 files are missing: c, d, e and 2 more. 5 of 7 rows") as caught:
        assert _keep(tmp_path, "acdbefg", missing="skip") == ["a", "b"]
    assert [path.name for path in caught[0].message.files] == list("cdefg")
    with pytest.raises(DataLayoutError, match="no images found"):
        _keep(tmp_path, "", missing="skip")
    with pytest.raises(DataLayoutError, match=r"LAYOUT\. REMEDY$"):
        _keep(tmp_path, "x", missing="skip", remedy="REMEDY")
    with pytest.raises(ValueError, match="missing: must be one of error, skip, got 'no'"):
        _keep(tmp_path, "a", missing="no")


def test_names_are_few(tmp_path):
    assert name_some(["a", "b"]) == "a, b"
    assert name_some([tmp_path / "x" / "y"], tmp_path) == "x/y"
