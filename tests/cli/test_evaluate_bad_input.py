"""`open-dpt evaluate` with all that can be wrong: one line that says what would be right, or a count.

Predictions are files, so that no model runs. The data and the command are fixtures of conftest.
"""

import numpy as np
import pytest
from PIL import Image

from open_dpt.evaluation.protocol import load_protocol, protocol_names
from open_dpt.evaluation.results import Result

HEIGHT, WIDTH, IMAGES = 48, 64, 4
ERROR = 1.1  # of the predictions, a factor


def _picture(path, values, dtype):
    Image.fromarray(values.astype(dtype)).save(path)


def _cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _result(place) -> Result:
    return Result.load(place / "out")


def test_good_input_is_scored(run, place):
    status, out, lines = run()
    assert status == 0 and not lines and "images: 4 scored of 4" in out
    assert _result(place).metrics["abs_rel"] == pytest.approx(ERROR - 1, rel=1e-6)


# What is asked for.


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--limit", "0"), "--limit: must be 1 or more, got 0"),
        (("--limit", "all"), "--limit: must be a whole number, got 'all'"),
        (("--workers", "-1"), "--workers: must be 0 or more, got -1"),
        (("--option", "depth_scale"), "--option: must be KEY=VALUE, got 'depth_scale'"),
        (("--kind", "dept"), "'dept' (choose from"),
        (("--limt", "3"), "unrecognized arguments: --limt 3"),
    ],
)
def test_a_word_that_is_no_option_or_value_is_named(run, capsys, words, told):
    with pytest.raises(SystemExit) as exit_:
        run(*words)
    assert exit_.value.code == 2 and told in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"protocol": "own-foldr"}, ["'own-foldr'", "Did you mean 'own-folder'?"]),
        ({"more": ("--change", "score.windw=none")}, ["score.windw", "Did you mean 'score.window'?"]),
        ({"more": ("--change", "score.window=eigne")}, ["must be one of none, eigen, garg", "Did you mean 'eigen'?"]),
        ({"more": ("--change", "alignement=median")}, ["alignement", "Did you mean 'alignment'?"]),
        ({"more": ("--change", "score.truth_range=[5,1]")}, ["score.truth_range must be", "[5, 1]"]),
        ({"more": ("--change", 'metrics=["rmse"]')}, ["metrics describes the protocol"]),
        ({"more": ("--align", "meadian")}, ["alignment must be one of", "Did you mean 'median'?"]),
        ({"more": ("--option", "depth_scal=1")}, ["depth_scal: not an option of folder", "mean 'depth_scale'?"]),
        ({"more": ("--prediction-scale", "-1000")}, ["prediction scale: must be a number above 0, got -1000"]),
        ({"more": ("--prediction-scale", "0")}, ["prediction scale: must be a number above 0, got 0"]),
        ({"more": ("--split", "tset")}, ["tset", "Expected inside"]),
        ({"protocol": "zero-shot-kitti", "scale": None, "more": ("--split", "tset")}, ["test-161", "tset"]),
        ({"protocol": None}, ["--protocol: is needed", "For example"]),
        ({"data": None}, ["--data: is needed", "For example"]),
        ({"data": "dta"}, ["dta: must be the data set's folder, got nothing", "Expected inside"]),
        ({"model": "prde/x"}, ["prde/x"]),
        ({"model": "pred.py:predict"}, ["pred.py: no such file"]),
        ({"kind": None}, ["does not say what its values mean", "--kind", "depth (metres)"]),
        ({"kind": "disparity"}, ["needs predictions in metres, got disparity", "least-squares-disparity"]),
        ({"kind": "labels"}, ["must be one of depth (metres)", "got 'labels'"]),
        ({"protocol": "camvid", "scale": None}, ["must be one of labels (class ids from 0)", "got 'depth'"]),
        ({"scale": None}, ["depth_scale: needed", "1000 (millimetres", "--option depth_scale=1000"]),
    ],
)
def test_a_request_that_cannot_be_met_is_refused_before_anything_is_written(run, place, words, told):
    run(*words.pop("more", ()), **words).refused(*told)
    assert not (place / "out").exists()


@pytest.mark.parametrize("name", [name for name in protocol_names() if not name.startswith("own-")])
def test_each_protocol_says_what_its_data_set_lacks(run, place, name):
    (place / "empty").mkdir()
    task = load_protocol(name).task
    kind = "labels" if task == "segmentation" else "disparity" if name.startswith("zero-shot") else "depth"
    run(protocol=name, data="empty", kind=kind, scale=None).refused(str(place / "empty"), "Expected inside")


# Predictions.


def test_a_prediction_of_another_size_is_refused(run, place):
    np.save(place / "pred/2.npy", np.ones((HEIGHT // 2, WIDTH // 2), np.float32))
    run().refused("2.png: prediction must be 48 x 64 as its image is, got 24 x 32")


def test_a_missing_prediction_is_refused_before_the_run(run, place):
    (place / "pred/2.npy").unlink()
    run().refused("1 of 4 images have no prediction", "images/2, 2")
    assert not (place / "out").exists()


@pytest.mark.parametrize(
    ("value", "counted", "told"),
    [(np.nan, "nan_pixels", "NaN"), (-1, "nonpositive_pixels", "not positive"), (0, "nonpositive_pixels", "not po")],
)
def test_unusable_predictions_are_counted_and_take_the_least_value(run, place, value, counted, told):
    for name in range(IMAGES):
        prediction = np.load(place / f"pred/{name}.npy")
        prediction[:12] = 0.001  # what the protocol puts in their place
        np.save(place / f"pred/{name}.npy", prediction)
    assert run()[0] == 0
    expected = _result(place)
    for name in range(IMAGES):
        prediction = np.load(place / f"pred/{name}.npy")
        prediction[:12] = value
        np.save(place / f"pred/{name}.npy", prediction)
    status, out, _ = run("--overwrite")
    found = _result(place)
    assert status == 0 and f"predictions among them: 3,072 {told}" in out
    assert found.counts[counted] == 3072 and expected.counts[counted] == 0
    assert found.metrics == pytest.approx(expected.metrics, rel=1e-6, nan_ok=True)
    assert found.counts["pixels"] == expected.counts["pixels"]


def test_unusable_predictions_are_left_out_where_the_protocol_says_so(run, place):
    for name in range(IMAGES):
        prediction = np.load(place / f"pred/{name}.npy")
        prediction[:12] = np.nan
        np.save(place / f"pred/{name}.npy", prediction)
    assert run("--change", "score.unusable=excluded")[0] == 0
    found = _result(place)
    assert found.metrics["abs_rel"] == pytest.approx(ERROR - 1, rel=1e-6)
    assert (found.counts["nan_pixels"], found.counts["pixels"]) == (3072, IMAGES * HEIGHT * WIDTH - 3072)
    assert "score.unusable=excluded" in found.protocol["label"]


def test_an_image_without_a_usable_prediction_is_left_out_and_counted(run, place):
    np.save(place / "pred/2.npy", np.full((HEIGHT, WIDTH), np.nan, np.float32))
    status, out, _ = run("--change", "score.unusable=excluded")
    assert status == 0 and _result(place).counts["empty"] == 1
    assert "3 scored of 4" in out


@pytest.mark.parametrize(
    ("factor", "scale", "told"),
    [
        (1000, 1000, "units: predictions are about 1,100 times the ground truth (median of 4 images). 1000 is the"),
        (1 / 256, 1000, "units: ground truth is about 233 times the predictions (median of 4 images). 256 is the"),
        (
            1,
            1,
            "units: ground truth is about 909 times the predictions (median of 4 images). 1000 is the factor of mi",
        ),
        (1, 1_000_000, "units: predictions are about 1,100 times the ground truth"),
    ],
)
def test_mixed_units_are_told(run, place, factor, scale, told):
    for path in (place / "pred").iterdir():
        np.save(path, np.load(path) * factor)
    # Ground truth below 0.001 m would not count at all.
    status, _, lines = run("--change", "score.truth_range=[0,null]", scale=scale)
    assert status == 0 and len(lines) == 1 and told in lines[0]
    assert _result(place).extra["warning"] in lines[0]


def test_mixed_units_are_told_where_nothing_counts_because_of_them(run):
    run("--change", "score.truth_range=[0.001,10]", scale=1).refused("none of 4 images", "ground truth is about 909")


def test_another_prediction_scale_is_another_run(run, place):
    for path in (place / "pred").iterdir():
        _picture(path.with_suffix(".png"), np.load(path) * 1000, np.uint16)
        path.unlink()
    assert run("--prediction-scale", "1000")[0] == 0
    assert _result(place).metrics["abs_rel"] == pytest.approx(ERROR - 1, abs=1e-3)
    run("--prediction-scale", "500").refused("out: holds rows made with another model's processor", "--overwrite")
    assert run("--prediction-scale", "500", "--overwrite")[0] == 0
    assert _result(place).metrics["abs_rel"] == pytest.approx(2 * ERROR - 1, abs=1e-3)


# Ground truth and files.


def test_an_image_without_ground_truth_is_left_out_and_counted(run, place):
    _picture(place / "data/depths/1.png", np.zeros((HEIGHT, WIDTH)), np.uint16)
    status, out, _ = run()
    found = _result(place)
    assert status == 0 and "3 scored of 4" in out and "1 without ground truth that counts" in out
    assert found.metrics["abs_rel"] == pytest.approx(ERROR - 1, rel=1e-6)
    assert (found.counts["images"], found.counts["empty"], found.counts["pixels"]) == (3, 1, 3 * HEIGHT * WIDTH)
    assert found.rows.to_pylist()[1]["reason"] == "ground truth has no known pixel"


def test_no_ground_truth_at_all_is_refused(run, place):
    for path in (place / "data/depths").iterdir():
        _picture(path, np.zeros((HEIGHT, WIDTH)), np.uint16)
    run().refused("none of 4 images could be scored: 4 empty (ground truth has no known pixel). Check")


@pytest.mark.parametrize(
    ("file", "told"),
    [("data/images/1.png", "truncated"), ("data/depths/1.png", "truncated"), ("pred/1.npy", "1.npy: cannot be read")],
)
def test_a_file_cut_short_is_named_and_the_others_are_scored(run, place, file, told):
    _cut(place / file)
    status, out, lines = run()
    assert status == 1 and "1 unreadable" in out
    assert len(lines) == 1 and lines[0].startswith("open-dpt evaluate: left out: ") and told in lines[0]
    assert str(place / file).endswith(file) and file.rpartition("/")[2] in lines[0]
    assert _result(place).metrics["abs_rel"] == pytest.approx(ERROR - 1, rel=1e-6)


def test_a_file_that_was_mended_is_read_by_the_next_run(run, place):
    whole = (place / "data/images/1.png").read_bytes()
    _cut(place / "data/images/1.png")
    assert run()[0] == 1
    (place / "data/images/1.png").write_bytes(whole)
    status, out, lines = run()
    assert status == 0 and not lines and "4 scored of 4" in out


def test_nothing_readable_is_refused(run, place):
    for path in (place / "data/images").iterdir():
        _cut(path)
    run().refused("none of 4 images could be scored: 4 unreadable (", "0.png: image is corrupt or truncated")


def test_truth_of_another_size_is_named(run, place):
    _picture(place / "data/depths/1.png", np.full((HEIGHT, WIDTH // 2), 2000), np.uint16)
    status, _, lines = run()
    assert status == 1 and "1.png: must be 48 x 64 as its image is, got 48 x 32" in lines[0]


def test_a_missing_partner_is_refused_or_skipped(run, place):
    (place / "data/depths/1.png").unlink()
    run().refused("files without a partner", "missing='skip'")
    status, out, lines = run("--option", "missing=skip")
    assert status == 0 and "3 scored of 3" in out
    assert len(lines) == 1 and "data: 3 pairs, but files without a partner: 1 in images/ (1.png)" in lines[0]
