"""A save is complete or leaves everything as it was."""

import errno

import pytest

from open_dpt.modeling_dpt.conversion.folders import complete_folder


def test_a_new_folder_appears_complete(tmp_path):
    with complete_folder(tmp_path / "deep" / "new") as folder:
        (folder / "config.json").write_text("{}")
        assert not (tmp_path / "deep" / "new").exists()
    assert [path.name for path in (tmp_path / "deep" / "new").iterdir()] == ["config.json"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["new"]


def test_an_existing_folder_keeps_its_other_files_but_not_old_shards(tmp_path):
    for name in ("notes.txt", "model-00001-of-00002.safetensors", "model.safetensors.index.json", "config.json"):
        (tmp_path / name).write_text("old")
    with complete_folder(tmp_path) as folder:
        (folder / "model.safetensors").write_text("new")
        (folder / "config.json").write_text("new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors", "notes.txt"]
    assert (tmp_path / "config.json").read_text() == "new"


@pytest.mark.parametrize(
    ("number", "message"), [(errno.ENOSPC, "the disk is full. Free some space"), (errno.EACCES, "not permitted")]
)
@pytest.mark.parametrize("exists", [True, False])
def test_a_failure_changes_nothing(tmp_path, number, message, exists):
    target = tmp_path / "model"
    if exists:
        target.mkdir()
        (target / "config.json").write_text("old")
    with pytest.raises(OSError, match=message) as caught, complete_folder(target) as folder:
        (folder / "config.json").write_text("half")
        raise OSError(number, "from the system")
    assert caught.value.errno == number and "\n" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == ([target, target / "config.json"] if exists else [])
    assert not exists or (target / "config.json").read_text() == "old"


def test_the_error_of_a_full_disk_from_safetensors(tmp_path):
    from safetensors import SafetensorError

    with pytest.raises(OSError, match="the disk is full"), complete_folder(tmp_path / "model"):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "model").write_text("")
    with (
        pytest.raises(NotADirectoryError, match="a folder is required, got a file"),
        complete_folder(tmp_path / "model"),
    ):
        pass
