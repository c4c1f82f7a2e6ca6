"""Files that are no checkpoints are told apart, and no code of theirs runs."""

import os
from pathlib import Path

import pytest
import torch

from open_dpt.modeling_dpt.conversion.reading import read_hub_weights, read_weights


class RunsCode:
    def __reduce__(self):
        return os.mkdir, ("executed",)


@pytest.fixture
def checkpoint(tmp_path):
    torch.save({"a": torch.ones(1000)}, tmp_path / "model.pt")
    return tmp_path / "model.pt"


def test_a_file_with_code_is_refused_and_the_code_does_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"a": torch.ones(1), "b": RunsCode()}, "bad.pt")
    with pytest.raises(ValueError, match=r"only tensors are read.*code \((posix|nt).mkdir\).*not run") as caught:
        read_weights("bad.pt")
    assert "\n" not in str(caught.value)
    assert not Path("executed").exists()


@pytest.mark.parametrize("kept", [0, 3, 100, 2000])
@pytest.mark.parametrize("legacy", [False, True])
def test_a_truncated_file(tmp_path, kept, legacy):
    path = tmp_path / "model.pt"
    torch.save({"a": torch.ones(1000)}, path, _use_new_zipfile_serialization=not legacy)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"truncated|damaged|empty") as caught:
        read_weights(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_a_truncated_safetensors_file(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"\x40\0\0\0\0\0\0\0{")
    with pytest.raises(ValueError, match="truncated or no safetensors file"):
        read_weights(tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!DOCTYPE html><title>Google Drive", "got a web page"),
        (b"\n <html>", "got a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "got a Git LFS pointer"),
        (b"hello, this is text", r"truncated or no PyTorch checkpoint|damaged"),
        (b"vm-1234.example", r"truncated or no PyTorch checkpoint|damaged"),
        (bytes(range(256)), r"truncated or no PyTorch checkpoint|damaged"),
    ],
)
def test_other_files(tmp_path, content, message):
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_weights(path)


@pytest.mark.parametrize(("content", "got"), [([1, 2], "list"), ({"epoch": 3}, "without tensors")])
def test_a_pickle_without_weights(tmp_path, content, got):
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(ValueError, match=f"dictionary of tensors is required, got .*{got}"):
        read_weights(tmp_path / "model.pt")


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_weights(tmp_path / "absent.pt")
    with pytest.raises(ValueError, match="got a folder"):
        read_weights(tmp_path)


def test_an_unreadable_file(checkpoint, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(PermissionError, match="may not be read"):
        read_weights(checkpoint)


def test_a_shard_that_is_missing(tmp_path):
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-00001-of-00002.safetensors"}}')
    with pytest.raises(FileNotFoundError, match=r"model-00001-of-00002.safetensors named in"):
        read_hub_weights(tmp_path)
