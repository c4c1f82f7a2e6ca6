"""The cache: what is written is what is rendered, it resumes, and damage is named."""

import numpy as np
import pytest
import torch
from PIL import Image

from open_dpt.data.procedural import CachedScenes, cache, render_batch, write_cache
from open_dpt.data.procedural.cache import main


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(cache, "SHARD", 4)


def test_cache_holds_the_rendered_scenes(tmp_path):
    write_cache(tmp_path / "scenes", 6, (32, 48), workers=0, seed=100)
    scenes = CachedScenes(tmp_path / "scenes")
    expected = render_batch(range(100, 106), (32, 48))
    assert len(scenes) == 6
    for i in (0, 3, 4, 5):  # across the border of a shard
        assert torch.equal(scenes[i]["image"], expected.image[i])
        assert scenes[i]["disparity"].dtype == torch.float32
        torch.testing.assert_close(scenes[i]["disparity"], expected.disparity[i], rtol=1e-3, atol=1e-6)
    assert torch.equal(scenes[-1]["image"], scenes[5]["image"])
    with pytest.raises(IndexError, match="got 6"):
        scenes[6]


def test_interrupted_run_resumes_with_the_missing_shard(tmp_path, monkeypatch):
    write_cache(tmp_path, 8, 32, workers=0)
    complete = (tmp_path / "disparity-00001.npy").read_bytes()
    (tmp_path / "disparity-00001.npy").unlink()
    kept = (tmp_path / "images-00000.npy").stat().st_mtime_ns
    rendered = []
    original = cache._render_shard
    monkeypatch.setattr(cache, "_render_shard", lambda task: rendered.append(task[1]) or original(task))
    write_cache(tmp_path, 8, 32, workers=0)
    assert rendered == [1]
    assert (tmp_path / "disparity-00001.npy").read_bytes() == complete
    assert (tmp_path / "images-00000.npy").stat().st_mtime_ns == kept


def test_longer_cache_extends_a_shorter_one(tmp_path):
    write_cache(tmp_path, 3, 32, workers=0)
    write_cache(tmp_path, 6, 32, workers=0)
    assert len(CachedScenes(tmp_path)) == 6


def test_worker_processes_write_the_same_bytes(tmp_path):
    write_cache(tmp_path / "one", 8, 32, workers=0)
    write_cache(tmp_path / "two", 8, 32, workers=2)
    for name in ("images-00000.npy", "disparity-00001.npy"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_failed_write_leaves_no_half_file(tmp_path, monkeypatch):
    def full(file, array):
        file.write(b"part")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OSError, match="No space left"):
        write_cache(tmp_path, 2, 32, workers=0)
    assert [p.name for p in tmp_path.iterdir()] == ["cache.json"]


def test_truncated_shard_is_named_with_the_remedy(tmp_path):
    write_cache(tmp_path, 2, 32, workers=0)
    file = tmp_path / "images-00000.npy"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"images-00000.npy: not a complete .npy file .* Delete it"):
        CachedScenes(tmp_path)


def test_missing_and_foreign_folders_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no cached scenes"):
        CachedScenes(tmp_path / "nowhere")
    write_cache(tmp_path, 2, 32, workers=0)
    with pytest.raises(ValueError, match="Use another folder"):
        write_cache(tmp_path, 2, 64, workers=0)
    (tmp_path / "images-00000.npy").unlink()
    with pytest.raises(ValueError, match=r"images-00000.npy: missing"):
        CachedScenes(tmp_path)


@pytest.mark.parametrize(("count", "workers", "message"), [(0, 1, "count: .* got 0"), (1, -1, "workers: .* got -1")])
def test_senseless_requests_are_named(tmp_path, count, workers, message):
    with pytest.raises(ValueError, match=message):
        write_cache(tmp_path, count, 32, workers)


def test_command_writes_cache_and_contact_sheet(tmp_path, capsys):
    sheet = tmp_path / "sheet.png"
    arguments = [
        "--output",
        str(tmp_path / "c"),
        "--count",
        "3",
        "--size",
        "32",
        "--workers",
        "0",
        "--sheet",
        str(sheet),
    ]
    assert main(arguments) == 0
    assert "3/3 scenes" in capsys.readouterr().err
    assert Image.open(sheet).size == (6 * 64, 32)
    assert main([*arguments, "--scene-types", "moon"]) == 1
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: scene_types: ") and error.count("\n") == 0
