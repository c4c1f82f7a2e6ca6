import json
import sys

import numpy as np
import pytest

from open_dpt.cli.main import main
from open_dpt.evaluation.protocol import load_protocol
from open_dpt.evaluation.results import build_result


@pytest.fixture
def folders(tmp_path):
    """Two results of one protocol; the second is worse on every image."""
    for name, more in (("large", 0.0), ("small", 0.05)):
        rows = [
            {
                "index": index,
                "status": "scored",
                "name": f"{index}.png",
                "pixels": 1,
                "abs_rel": 0.1 + more + index / 1e3,
            }
            for index in range(30)
        ]
        build_result(load_protocol("nyu-eigen"), rows, {"name": "dpt"}, {}).save(tmp_path / name)
    return tmp_path / "large", tmp_path / "small"


def run(*words):
    return main(["compare", *map(str, words)])


def test_a_folder_stands_for_its_result(folders, capsys):
    large, small = folders
    assert run(large, small / "result.json", "--resamples", 100) == 0
    out = capsys.readouterr().out
    assert "# large / small" in out  # the models share a name, the folders do not
    assert "+0.0500 [+0.0500, +0.0500] worse" in out and "drawn 100 times" in out


def test_files(folders, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    output = tmp_path / "new" / "comparison"
    assert run(*folders, "--resamples", 100, "--names", "L, S", "--output", output) == 0
    captured = capsys.readouterr()
    assert (output / "comparison.md").read_text() == captured.out and "# L / S" in captured.out
    content = json.loads((output / "comparison.json").read_text())
    assert content["names"] == ["L", "S"] and content["scores"]["abs_rel"][1]["resolved"] is True
    assert (output / "comparison.png").stat().st_size > 1000
    assert "wrote comparison.md, comparison.json, comparison.png" in captured.err


def test_without_matplotlib_the_table_is_written_all_the_same(folders, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert run(*folders, "--resamples", 10, "--output", tmp_path / "out") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["comparison.json", "comparison.md"]
    assert "comparison.png: not drawn. matplotlib: is needed" in capsys.readouterr().err


def test_different_protocols(folders, tmp_path, capsys):
    rows = [
        {"index": index, "status": "scored", "name": f"{index}.png", "pixels": 1, "abs_rel": 0.1}
        for index in range(30)
    ]
    changed = load_protocol("nyu-eigen").with_changes({"alignment": "median"})
    build_result(changed, rows, {"name": "other"}, {}).save(tmp_path / "changed")
    assert run(folders[0], tmp_path / "changed") == 2
    error = capsys.readouterr().err
    assert "open-dpt compare: other: must be measured as dpt was" in error and "--allow-different" in error
    assert error.count("\n") == 1
    assert run(folders[0], tmp_path / "changed", "--allow-different", "--resamples", 10) == 0
    assert "NOT MEASURED IN ONE WAY" in capsys.readouterr().out


def test_a_row_of_table_1(tmp_path, capsys):
    for protocol in ("zero-shot-kitti", "zero-shot-nyu"):
        rows = [{"index": 0, "status": "scored", "name": "0.png", "pixels": 1, "delta_outliers1": 12.5}]
        build_result(load_protocol(protocol), rows, {"name": "mine"}, {}).save(tmp_path / protocol)
    assert run(tmp_path / "zero-shot-kitti", tmp_path / "zero-shot-nyu", "--table-1") == 0
    out = capsys.readouterr().out
    row = next(line for line in out.splitlines() if line.startswith("mine"))
    assert row.split()[-6:] == ["-", "-", "-", "12.50", "12.50", "-"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["{large}"], "is one result, a comparison needs two or more"),
        (["{large}", "{large}/nothing.json"], "nothing.json: no such file or directory"),
        (["{large}", "{large}/.."], "result.json: no such file or directory"),
        (["{large}", "{small}", "--names", "a"], "--names: must be 2 different names"),
        (["{large}", "{small}", "--names", "a,a"], "--names: must be 2 different names"),
        (["{large}", "{small}", "--output", "{large}/result.json"], "is a file, --output must be a folder"),
        (["{large}", "{small}", "--by", "scene"], "0.png: has no scene to draw by. Compare by image."),
        (["{large}", "--table-1"], "nyu-eigen v1: belongs to no column of table 1"),
    ],
)
def test_what_cannot_be_done_is_one_line(folders, capsys, words, said):
    places = dict(zip(("large", "small"), folders, strict=True))
    assert run(*(word.format(**places) for word in words)) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_damaged_rows_are_one_line(folders, capsys):
    rows = folders[1] / "rows.parquet"
    rows.write_bytes(rows.read_bytes()[:50])
    assert run(*folders) == 2
    assert "rows.parquet: is damaged, or of another result than" in capsys.readouterr().err


def test_numbers_are_the_same_each_time(folders, capsys):
    outputs = []
    for _ in range(2):
        assert run(*folders, "--resamples", 50) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]
    assert np.char.count(outputs[0], "AbsRel") == 1
