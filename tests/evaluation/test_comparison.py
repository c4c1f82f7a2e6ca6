import dataclasses
import json
import math

import numpy as np
import pytest
from PIL import Image

from open_dpt.evaluation.comparison import FEWEST, compare
from open_dpt.evaluation.comparison_report import draw, markdown
from open_dpt.evaluation.protocol import load_protocol
from open_dpt.evaluation.results import ResultError, build_result


def depth_result(scores, name="a", protocol="nyu-eigen", status=None, names=None, **changes):
    protocol = load_protocol(protocol)
    protocol = protocol.with_changes(changes) if changes else protocol
    rows = []
    for index, score in enumerate(scores):
        row = {"index": index, "status": "scored", "name": (names or {}).get(index, f"{index}.png"), "pixels": 10}
        row |= {"scene": f"room {index % 4}", "frame": None, "abs_rel": float(score), "delta1": 1 - float(score)}
        rows.append(row | {"sq_rel": float(score) ** 2, "delta_outliers1": 100 * float(score)})
    for index, word in (status or {}).items():
        rows[index] = {key: rows[index][key] for key in ("index", "name", "scene", "frame")} | {"status": word}
    return build_result(protocol, rows, {"name": name}, {})


@pytest.fixture(scope="module")
def scores():
    return np.random.default_rng(0).lognormal(-2, 0.5, 80)


@pytest.fixture(scope="module")
def found(scores):
    noise = np.random.default_rng(1).normal(0, 0.01, len(scores))
    results = [depth_result(scores, "a"), depth_result(scores + 0.02, "b"), depth_result(scores + noise, "c")]
    return compare(results, resamples=2000)


def test_a_small_difference_on_every_image_is_resolved_though_intervals_overlap(found):
    a, b, c = found.scores["abs_rel"]
    assert b.difference == pytest.approx(0.02)
    assert b.difference_interval == pytest.approx((0.02, 0.02))
    assert a.interval[0] < b.interval[0] < a.interval[1] < b.interval[1]
    assert (a.resolved, b.resolved, c.resolved) == (None, True, False)
    assert c.difference_interval[0] < 0 < c.difference_interval[1]
    assert (a.best, b.best) == (True, False) or c.best


def test_which_direction_is_better_depends_on_the_metric(found):
    assert [score.best for score in found.scores["abs_rel"]] == [score.best for score in found.scores["delta1"]]
    assert found.scores["delta1"][1].difference == pytest.approx(-0.02)
    text = markdown(found)
    for heading in ("delta<1.25, higher is better", "AbsRel, lower is better"):
        line = next(line for line in text.splitlines() if heading in line)
        assert line.count("worse") == 1 and line.count("not resolved") == 1 and line.count("**") == 2


def test_a_result_compared_with_itself(scores):
    found = compare([depth_result(scores, "a"), depth_result(scores, "a")], resamples=100)
    score = found.scores["abs_rel"][1]
    assert (score.difference, score.difference_interval, score.resolved) == (0, (0, 0), False)
    assert found.names == ["a (1)", "a (2)"] and all(one.best for one in found.scores["abs_rel"])


def test_the_protocols_metrics_come_first(found):
    assert list(found.scores) == ["delta1", "abs_rel", "sq_rel", "delta_outliers1"] and found.main_metrics == 2


def test_one_seed_gives_one_outcome(scores):
    results = [depth_result(scores), depth_result(scores**2)]
    first, again, other = (compare(results, resamples=200, seed=seed).to_dict() for seed in (0, 0, 1))
    assert first == again and first["scores"] != other["scores"]


def test_images_that_one_result_lacks_are_left_out_and_said(scores):
    complete, partial = depth_result(scores), depth_result(scores + 0.1, "b", status={3: "unreadable", 5: "empty"})
    found = compare([complete, partial], resamples=50)
    assert found.left_out == {"3.png": "unreadable in b", "5.png": "empty in b"} and found.images == 78
    assert found.scores["abs_rel"][0].value == pytest.approx(np.delete(scores, [3, 5]).mean())
    text = markdown(found)
    assert "Left out: 2 images: 3.png (unreadable in b), 5.png (empty in b)." in text
    assert "a has scored 80 images; its numbers here are those of the 78 in common." in text


def test_images_are_matched_by_name_and_not_by_place(scores):
    turned = depth_result(scores[::-1], "b", names={index: f"{79 - index}.png" for index in range(80)})
    with pytest.raises(ResultError, match="other images"):
        compare([depth_result(scores), turned])
    # Scenes go by place in these rows, so they are made equal first.
    one, two = (
        dataclasses.replace(result, rows=result.rows.drop_columns(["scene"]))
        for result in (depth_result(scores), turned)
    )
    found = compare([one, two], allow_different=True, resamples=50)
    assert found.scores["abs_rel"][1].difference_interval == (0, 0)


def test_drawing_scenes_widens_intervals_where_their_images_are_alike():
    room = np.random.default_rng(0).lognormal(-2, 0.5, 4)
    results = [depth_result(room[np.arange(80) % 4] * factor, str(factor)) for factor in (1, 2)]
    by_image, by_scene = (compare(results, resamples=1000, by=by) for by in ("image", "scene"))
    widths = [np.ptp(found.scores["abs_rel"][0].interval) for found in (by_image, by_scene)]
    assert widths[1] > 3 * widths[0]
    assert by_scene.units == 4 and by_scene.images == 80
    assert "--by scene" in markdown(by_image) and "--by scene" not in markdown(by_scene)
    assert "Only 4 scenes: too few" in markdown(by_scene)


def test_few_images_resolve_nothing():
    better, worse = ([0.1] * (FEWEST - 1), [0.3] * (FEWEST - 1))
    found = compare([depth_result(worse), depth_result(better, "b")], resamples=50)
    assert found.scores["abs_rel"][1].resolved is None
    assert "too few to tell" in markdown(found) and f"Only {FEWEST - 1} images: too few" in markdown(found)
    found = compare([depth_result([*worse, 0.3]), depth_result([*better, 0.1], "b")], resamples=50)
    assert found.scores["abs_rel"][1].resolved is True


def test_pooled_and_segmentation_results(scores):
    changes = {"score.averaging": "pixel"}
    found = compare([depth_result(scores, **changes), depth_result(scores * 2, "b", **changes)], resamples=50)
    assert found.scores["abs_rel"][1].difference == pytest.approx(scores.mean())
    generator = np.random.default_rng(0)

    def segmentation(right, name):
        rows = [
            {"index": index, "name": str(index), "status": "scored", "pixels": 100}
            | {"confusion": [[k, k, right], [k, (k + 1) % 3, 100 - right]]}
            for index, k in enumerate(generator.integers(0, 3, 40).tolist())
        ]
        return build_result(load_protocol("ade20k"), rows, {"name": name}, {})

    found = compare([segmentation(60, "a"), segmentation(70, "b")], resamples=200)
    assert list(found.scores) == ["pixel_accuracy", "mean_iou", "mean_iou_present"]
    assert found.scores["pixel_accuracy"][1].difference == pytest.approx(0.1)
    assert found.scores["mean_iou"][1].resolved and "**70.00** [70.00, 70.00]" in markdown(found)


def test_different_protocols_are_refused_or_marked(scores):
    results = [depth_result(scores), depth_result(scores, "b", alignment="median")]
    with pytest.raises(ResultError, match=r"b: must be measured as a was, got .*alignment median instead of none"):
        compare(results)
    found = compare(results, allow_different=True, resamples=50)
    assert "NOT MEASURED IN ONE WAY" in markdown(found) and "alignment median instead of none" in found.marks[0]
    assert found.labels == ["nyu-eigen v1", "nyu-eigen v1 with alignment=median"]


def test_different_lists_are_refused_or_cut_to_what_is_common(scores):
    results = [depth_result(scores), depth_result(scores[:50], "b")]
    with pytest.raises(ResultError, match="50 images instead of 80"):
        compare(results)
    found = compare(results, allow_different=True, resamples=50)
    assert found.images == 50 and len(found.left_out) == 30 and found.left_out["79.png"] == "missing in b"
    assert "and 20 more" in markdown(found)


def test_refusals(scores):
    result = depth_result(scores)
    with pytest.raises(ValueError, match="needs two or more, got 1"):
        compare([result])
    for options in ({"by": "pixel"}, {"resamples": 0}, {"level": 1.0}):
        with pytest.raises(ValueError, match="by, resamples, level: must be"):
            compare([result, result], **options)
    with pytest.raises(ResultError, match="need images that all have scored, got none"):
        other = depth_result(scores, "b", names={index: f"x{index}" for index in range(80)})
        compare([result, other], allow_different=True)
    ordinal = [{"index": 0, "name": "0.png", "scene": "room 0", "status": "scored", "pairs": 1, "wrong": 0, "ties": 0}]
    ordinal = build_result(load_protocol("zero-shot-diw"), ordinal, {"name": "b"}, {})
    with pytest.raises(ResultError, match="need a metric that all have, got tasks depth, ordinal"):
        compare([result, ordinal], allow_different=True)
    bare = dataclasses.replace(result, rows=result.rows.drop_columns(["scene"]))
    with pytest.raises(ResultError, match=r"0\.png: has no scene to draw by"):
        compare([bare, bare], by="scene")


def test_numbers_that_were_edited_are_refused(scores):
    result = depth_result(scores)
    edited = dataclasses.replace(result, metrics=result.metrics | {"abs_rel": 0.05})
    with pytest.raises(ResultError, match=r"b: abs_rel must be what its rows give, 0\.1\d+, got 0\.05"):
        compare([result, edited], ["a", "b"])


def test_images_that_share_a_name_are_matched_by_order(scores):
    names = dict.fromkeys(range(80), "image in the table")
    results = [depth_result(scores, names=names), depth_result(scores + 0.01, "b", names=names)]
    assert compare(results, resamples=20).scores["abs_rel"][1].difference_interval == pytest.approx((0.01, 0.01))
    with pytest.raises(ResultError, match="image in the table: is the name of several images"):
        compare([results[0], depth_result(scores[:40], "b", names=names)], allow_different=True)


def test_infinite_and_missing_scores_are_shown(scores):
    endless = depth_result([*scores[:-1], math.inf], "b")
    found = compare([depth_result(scores), endless], resamples=100)
    assert found.scores["abs_rel"][1].value == math.inf and found.scores["abs_rel"][0].best
    assert "inf" in markdown(found)
    json.dumps(found.to_dict(), allow_nan=False)


def test_small_resolved_differences_do_not_read_zero(scores):
    found = compare([depth_result(scores), depth_result(scores + 3e-6, "b")], resamples=100)
    line = next(line for line in markdown(found).splitlines() if line.startswith("| AbsRel"))
    assert "+0.000003 [+0.000003, +0.000003] worse" in line


def test_the_picture(found, tmp_path):
    pytest.importorskip("matplotlib")
    draw(found, tmp_path / "comparison.png")
    picture = np.asarray(Image.open(tmp_path / "comparison.png").convert("RGB")).astype(int)
    red = (picture[..., 0] > 150) & (picture[..., 1] < 80)
    columns = np.flatnonzero(red.any(0))
    assert columns.size and columns.min() > picture.shape[1] / 2  # differences stand on the right


def test_without_matplotlib_one_line_says_what_to_install(found, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(
        ImportError, match=r"^matplotlib: is needed to draw\. Install it with `pip install 'open-dpt\[eval"
    ):
        draw(found, tmp_path / "comparison.png")
