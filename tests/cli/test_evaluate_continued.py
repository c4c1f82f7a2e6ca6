"""`open-dpt evaluate` that is stopped, continued, or given an output in use: nothing is lost, nothing mixed.

The data and the command are fixtures of conftest.
"""

import errno
import json

import numpy as np
import pytest

from open_dpt.evaluation.results import Result
from open_dpt.evaluation.row_files import RowWriter

ERROR = 1.1  # of the predictions, a factor


def _result(place) -> Result:
    return Result.load(place / "out")


def test_an_output_of_other_settings_is_left_alone(run, place):
    assert run()[0] == 0
    before = (place / "out/result.json").read_bytes()
    run("--align", "median").refused("out: holds rows made with another protocol", "--overwrite")
    assert (place / "out/result.json").read_bytes() == before
    assert run("--align", "median", "--overwrite")[0] == 0
    assert _result(place).metrics["abs_rel"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("output", ["file", "file/below"])
def test_an_output_that_cannot_be_a_folder_is_refused(run, place, output):
    (place / "file").write_text("mine")
    run("--output", str(place / output)).refused("file")
    assert (place / "file").read_text() == "mine"


def test_a_full_disk_keeps_what_is_finished(run, place, monkeypatch):
    add, calls = RowWriter.add, []

    def full(self, row):
        calls.extend([row["index"]] if "index" in row else [])
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device", str(place / "out"))
        add(self, row)

    monkeypatch.setattr(RowWriter, "add", full)
    run().refused("out: no space left on device. Free some space.")
    assert not (place / "out/result.json").exists()
    assert run()[0] == 0
    assert calls == [0, 1, 2, 2, 3]  # two were kept
    assert _result(place).metrics["abs_rel"] == pytest.approx(ERROR - 1, rel=1e-6)


CODE = """
from pathlib import Path
import numpy as np

def predict(image):
    with open("calls", "a") as file:
        file.write("x")
    if Path("stop").exists() and len(Path("calls").read_text()) == 3:
        raise KeyboardInterrupt
    return np.full(image.shape[:2], 2.0)

predict.kind = "depth"
"""


def test_a_run_that_is_interrupted_continues(run, place):
    (place / "mine.py").write_text(CODE)
    (place / "stop").touch()
    status, out, lines = run(model="mine.py:predict", kind=None)
    assert status == 130 and not out
    assert [line.split(": ", 1)[1] for line in lines] == [
        "keeps what is finished; the same command continues.",
        "interrupted",
    ]
    (place / "stop").unlink()
    status, out, _ = run(model="mine.py:predict", kind=None)
    assert status == 0 and "4 scored of 4" in out
    assert (place / "calls").stat().st_size >= 3 + 2
    rows = _result(place).rows.to_pylist()
    assert [row["index"] for row in rows] == [0, 1, 2, 3]


def test_a_first_mistake_is_not_in_the_way_of_the_mended_command(run, place):
    run("--change", "score.truth_range=[0.001,10]", scale=1).refused("none of 4 images")
    status, _, lines = run("--change", "score.truth_range=[0.001,10]")
    assert status == 0 and not lines


def test_files_of_somebody_else_are_left_alone(run, place):
    (place / "out").mkdir()
    for name in ("rows-0.jsonl", "rows-mine.jsonl"):
        (place / "out" / name).write_text('{"my": "rows"}\n')
    run().refused("rows-0.jsonl: is no file of this command")
    (place / "out/rows-0.jsonl").unlink()
    assert run("--overwrite")[0] == 0
    assert (place / "out/rows-mine.jsonl").read_text() == '{"my": "rows"}\n'


def test_a_line_torn_by_a_crash_is_done_again(run, place):
    assert run()[0] == 0
    expected = _result(place)
    (rows,) = (place / "out").glob("rows-*.jsonl")
    text = rows.read_text()
    rows.write_text(text[: len(text) - 40])
    (place / "out/result.json").unlink()
    assert run()[0] == 0
    assert _result(place).metrics == expected.metrics and _result(place).counts == expected.counts


def test_own_code_that_fails_is_told_in_one_line(run, place):
    (place / "mine.py").write_text("def predict(image):\n    return 1 / 0\n\npredict.kind = 'depth'\n")
    run(model="mine.py:predict", kind=None).refused("mine.py:predict", "ZeroDivisionError")
    (place / "mine.py").write_text("def predict(image):\n    return image\n\npredict.kind = 'depth'\n")
    run(model="mine.py:predict", kind=None).refused("must return one value a pixel")


# What must change nothing.


def test_batches_limits_and_formats_change_no_score(run, place):
    assert run()[0] == 0
    expected = {row["name"]: row["abs_rel"] for row in _result(place).rows.to_pylist()}
    assert run("--batch-size", "3", "--overwrite")[0] == 0
    assert {row["name"]: row["abs_rel"] for row in _result(place).rows.to_pylist()} == expected
    assert run("--limit", "2", "--overwrite")[0] == 0
    some = {row["name"]: row["abs_rel"] for row in _result(place).rows.to_pylist()}
    assert len(some) == 2 and some.items() <= expected.items()
    for path in (place / "pred").iterdir():
        np.savez(path.with_suffix(".npz"), np.load(path))
        path.unlink()
    assert run("--overwrite")[0] == 0
    assert {row["name"]: row["abs_rel"] for row in _result(place).rows.to_pylist()} == expected


def test_the_result_is_json_without_surprises(run, place):
    """NaN is no JSON: other programs must be able to read it."""
    np.save(place / "pred/2.npy", np.full((48, 64), np.nan, np.float32))
    assert run()[0] == 0
    text = (place / "out/result.json").read_text()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in result.json"))
