"""`open-dpt data check`, from the folder to the exit status."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from open_dpt.cli.main import main

REAL = Path(__file__).parents[3] / "shared" / "real"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in range(3):
        for kind in ("images", "depths"):
            (tmp_path / "own" / kind).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (48, 40), "gray").save(tmp_path / "own" / "images" / f"{number}.jpg")
        metres = np.linspace(1, 3, 48 * 40).reshape(40, 48)
        Image.fromarray((metres * 1000).astype(np.uint16)).save(tmp_path / "own" / "depths" / f"{number}.png")
    return tmp_path / "own"


def check(*words):
    return main(["data", "check", *map(str, words)])


def test_a_good_folder(folder, capsys):
    assert check(folder, "--dataset", "folder", "--option", "depth_scale=1000", "--samples", 2) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[0] == "own (folder, train): 3 rows, 3 opened"
    assert any(line.startswith("depth") and "1 to 3 m, median 2 m" in line for line in lines)
    assert "problem" not in captured.err
    with Image.open("open_dpt_output/folder_train.png") as sheet:
        assert sheet.width > 400


def test_missing_and_broken_files_are_named_and_the_status_is_1(folder, capsys):
    (folder / "depths" / "0.png").unlink()
    (folder / "depths" / "1.png").write_bytes(b"damaged")
    arguments = ["--dataset", "folder", "--option", "depth_scale=1000", "--output", "sheet.jpg"]
    assert check(folder, *arguments) == 1
    captured = capsys.readouterr()
    assert f"problem: missing, or without a partner: {folder}/images/0.jpg" in captured.err
    assert f"problem: row 0: {folder}/depths/1.png" in captured.err
    assert captured.err.count("problem:") == 2
    assert Path("sheet.jpg").is_file()
    (folder / "depths" / "2.png").write_bytes(b"damaged")
    assert check(folder, *arguments) == 1
    assert "none: no sample can be read" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--dataset", "folder"], "depth_scale: needed, since"),
        (["--dataset", "folder", "--option", "scale=3"], "scale: not an option of folder, which has depth_scale"),
        (["--dataset", "folder", "--split", "test"], "no images of split 'test'"),
        (["--dataset", "camvid"], "images/train, annotations/train not found. Expected inside:"),
    ],
)
def test_what_cannot_be_opened_has_status_2_and_one_line(folder, capsys, options, message):
    assert check(folder, *options) == 2
    captured = capsys.readouterr()
    assert len(captured.err.splitlines()) == 1 and message in captured.err
    assert captured.err.startswith("open-dpt data: ")


def test_bad_words_are_refused_with_what_is_known(capsys):
    for words, message in (
        (["--dataset", "imagenet"], "invalid choice: 'imagenet'"),
        (["--dataset", "folder", "--option", "scale"], "must be KEY=VALUE, got 'scale'"),
        (["--dataset", "folder", "--limit", "0"], "must be 1 or more, got 0"),
    ):
        with pytest.raises(SystemExit) as exit_:
            check("x", *words)
        assert exit_.value.code == 2 and message in capsys.readouterr().err


def test_help_lists_the_data_sets(capsys):
    with pytest.raises(SystemExit):
        check("--help")
    text = capsys.readouterr().out
    assert all(name in text for name in ("nyuv2-bts", "kitti-eigen", "pascal-context", "manifest"))


@pytest.mark.skipif(not REAL.is_dir(), reason=f"needs {REAL}")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["camvid", "--dataset", "camvid", "--split", "val", "--limit", 4], "101 rows, 4 opened"),
        (["kitti", "--dataset", "kitti-eigen", "--split", "all"], "3 rows, 3 opened"),
        (["nyu", "--dataset", "nyuv2-bts", "--split", "all"], "3 rows, 3 opened"),
    ],
)
def test_real_data_is_without_problems(words, expected, tmp_path, capsys):
    assert check(REAL / words[0], *words[1:], "--output", tmp_path / "sheet.png") == 0
    assert expected in capsys.readouterr().out
    assert (tmp_path / "sheet.png").stat().st_size > 100_000
