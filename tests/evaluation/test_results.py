import hashlib
import json
import math

import numpy as np
import pytest

from open_dpt.evaluation.protocol import load_protocol
from open_dpt.evaluation.results import Result, ResultError, build_result, comparable, differences, images_sha256

MODEL = {"name": "mine", "kind": "depth", "revision": "abc", "weights": "0123", "processor": {"size": [384, 384]}}
DATA = {"dataset": "nyuv2-bts", "split": "test", "options": {}, "listed": 654, "limit": 3}


def depth_rows(root="/data/nyu", scores=(0.1, 0.3), first=0):
    rows = [
        {
            "index": first + index,
            "status": "scored",
            "name": f"{root}/a/{index:03d}.jpg",
            "scene": "a",
            "abs_rel": score,
        }
        | {
            "frame": None,
            "pixels": 10 * (index + 1),
            "rmse": 1.0,
            "rmse_log": 0.1,
            "log_bias": 0.0,
            "nan_pixels": index,
        }
        for index, score in enumerate(scores)
    ]
    last = {
        "index": first + len(rows),
        "status": "empty",
        "name": f"{root}/b/9.jpg",
        "scene": "b",
        "reason": "no truth",
    }
    return [*rows, last]


def make(rows=None, protocol="nyu-eigen", **changes):
    protocol = load_protocol(protocol)
    protocol = protocol.with_changes(changes) if changes else protocol
    return build_result(protocol, rows or depth_rows(), MODEL, DATA, roots=["/data/nyu"])


def test_a_result_says_all_that_its_numbers_depend_on():
    result = make()
    protocol = load_protocol("nyu-eigen")
    assert result.metrics["abs_rel"] == pytest.approx(0.2)
    assert result.protocol["label"] == "nyu-eigen v1" and result.protocol["sha256"] == protocol.sha256
    assert result.data["expected"] == 654 and result.data["used"] == 3 and result.data["listed"] == 654
    assert result.counts == {"images": 2, "empty": 1, "unreadable": 0, "pixels": 30, "nan_pixels": 1}
    assert result.model == MODEL and result.name == "mine"
    assert {"open_dpt", "python", "platform", "torch", "transformers", "datasets", "numpy"} <= set(result.environment)


def test_round_trip(tmp_path):
    result = make()
    path = result.save(tmp_path / "new" / "folder")
    for place in (path, path.parent):
        again = Result.load(place)
        assert again == result
        assert again.rows.equals(result.rows)
        assert again.fingerprint == result.fingerprint == json.loads(path.read_text())["fingerprint"]
    assert Result.load(path, rows=False).rows is None
    assert sorted(file.name for file in path.parent.iterdir()) == ["result.json", "rows.parquet"]


def test_rows_are_ordered_and_keep_every_field(tmp_path):
    rows = depth_rows()
    make(rows[::-1]).save(tmp_path)
    table = Result.load(tmp_path).rows
    assert table["index"].to_pylist() == [0, 1, 2]
    assert table["reason"].to_pylist() == [None, None, "no truth"]
    assert table["abs_rel"].to_pylist() == [0.1, 0.3, None]


def test_numbers_that_json_does_not_have_survive(tmp_path):
    result = make(depth_rows(scores=(0.1, math.inf, math.nan)))
    text = result.save(tmp_path).read_text()
    assert math.isnan(Result.load(tmp_path).metrics["abs_rel"])
    json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


def test_the_list_of_images_does_not_depend_on_where_it_lies():
    here, there = depth_rows(), depth_rows(root="/elsewhere")
    protocol = load_protocol("nyu-eigen")
    moved = build_result(protocol, there, MODEL, DATA, roots=["/elsewhere/"])
    unknown_root = build_result(protocol, there, MODEL, DATA)
    assert moved.data["images_sha256"] == unknown_root.data["images_sha256"] == make(here).data["images_sha256"]
    assert moved.rows["name"].to_pylist() == ["a/000.jpg", "a/001.jpg", "b/9.jpg"]


@pytest.mark.parametrize(("key", "value"), [("name", "other.jpg"), ("scene", "x"), ("frame", "7")])
def test_the_hash_is_of_scene_frame_name_and_order(key, value):
    rows = depth_rows()
    assert images_sha256(rows) != images_sha256([rows[0] | {key: value}, *rows[1:]])
    assert images_sha256(rows) != images_sha256(rows[::-1])
    assert images_sha256(rows) == images_sha256([row | {"abs_rel": 9} for row in rows])


def test_the_fingerprint_knows_the_model_and_not_the_time():
    result = make()
    later = Result(**{**vars(result), "environment": result.environment | {"created": "later"}})
    other = Result(**{**vars(result), "model": MODEL | {"weights": "4567"}})
    assert result.fingerprint == later.fingerprint != other.fingerprint


def test_segmentation_has_iou_by_class_and_a_confusion_matrix(tmp_path):
    rows = [
        {"index": 0, "name": "a", "status": "scored", "pixels": 5, "confusion": [[0, 0, 4], [0, 2, 1]]},
        {"index": 1, "name": "b", "status": "scored", "pixels": 3, "confusion": [[2, 2, 3]]},
    ]
    protocol = load_protocol("ade20k").with_changes({"score.classes": None})
    build_result(protocol, rows, MODEL, DATA, class_names=["wall", "sky", "wall"]).save(tmp_path)
    result = Result.load(tmp_path)
    assert result.extra["iou_per_class"] == [["wall", 0.8], ["sky", None], ["wall", 0.75]]
    np.testing.assert_array_equal(result.confusion(), [[4, 0, 1], [0, 0, 0], [0, 0, 3]])
    assert result.metrics["mean_iou"] == pytest.approx((0.8 + 0.75) / 3) and result.data["classes"] == 3
    lines = (tmp_path / "confusion.csv").read_text().splitlines()
    assert lines == ["true \\ predicted,wall,sky,wall", "wall,4,0,1", "sky,0,0,0", "wall,0,0,3"]


def test_nothing_scored_is_refused():
    with pytest.raises(ValueError, match="need an image that was scored, got 0 images, 1 empty"):
        make(depth_rows(scores=()))


def test_equal_ways_of_measuring_are_comparable():
    comparable([make(), make(depth_rows(scores=(0.5, 0.6))), make()])
    comparable([make()])


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (lambda: make(**{"score.window": "none"}), "score.window none instead of eigen"),
        (
            lambda: make(**{"alignment": "median", "inference.flip": True}),
            r"alignment median instead of none, inference.flip true instead of false\)",
        ),
        (
            lambda: make(protocol="kitti-eigen-garg"),
            r"kitti-eigen-garg v1 \(data.dataset kitti-eigen instead of nyuv2-bts\)",
        ),
        (lambda: make(depth_rows(scores=(0.1, 0.2, 0.3))), "4 images instead of 3"),
        (lambda: make(depth_rows(root="/data/nyu/x")), "other images"),
    ],
)
def test_what_differs_is_said(second, said):
    with pytest.raises(ResultError, match=f"b.json: must be measured as a.json was, got .*{said}") as error:
        comparable([make(), second()], ["a.json", "b.json"])
    assert "\n" not in str(error.value) and "--allow-different" in str(error.value)
    assert "title" not in str(error.value)


def test_a_new_wording_of_a_protocol_is_no_difference():
    result = make()
    other = Result(**{**vars(result), "protocol": result.protocol | {"title": "new words", "metrics": ["rmse"]}})
    assert differences(result, other) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such file or directory"),
        (b'{"format": "open-dpt-res', "is damaged, not JSON"),
        (b"\xff\xfe\x00", "is damaged, not JSON"),
        (b"[1, 2]", "is no result of `open-dpt evaluate`"),
        (b'{"abs_rel": 0.1}', "is no result of `open-dpt evaluate`"),
        (b'{"format": "open-dpt-result", "format_version": 99}', "format_version must be 1, got 99"),
        (b'{"format": "open-dpt-result", "format_version": 1}', "is damaged, it has no protocol"),
    ],
)
def test_damaged_and_foreign_json(tmp_path, content, said):
    path = tmp_path / "result.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ResultError) as error:
        Result.load(path)
    assert str(error.value).startswith(f"{path}: ") and said in str(error.value) and "\n" not in str(error.value)


def test_json_that_lost_a_part(tmp_path):
    path = make().save(tmp_path)
    content = json.loads(path.read_text())
    del content["data"]["images_sha256"]
    path.write_text(json.dumps(content))
    with pytest.raises(ResultError, match=r"it has no data\.images_sha256"):
        Result.load(path)


@pytest.mark.parametrize(
    ("section", "values", "said"),
    [
        ("metrics", {"abs_rel": "good"}, "metrics.abs_rel is no number: 'good'"),
        ("metrics", {"abs_rel": None}, "metrics.abs_rel is no number: None"),
        ("protocol", {"score": 3}, "protocol.score is no mapping"),
    ],
)
def test_json_that_was_edited_by_hand(tmp_path, section, values, said):
    path = make().save(tmp_path)
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {section: content[section] | values}))
    with pytest.raises(ResultError) as error:
        Result.load(path)
    assert str(error.value).startswith(f"{path}: is damaged, {said}")


def test_damaged_and_missing_rows(tmp_path):
    path = make().save(tmp_path)
    rows = tmp_path / "rows.parquet"
    data = rows.read_bytes()
    rows.write_bytes(data[:-20])
    with pytest.raises(ResultError, match=r"rows\.parquet: is damaged, or of another result"):
        Result.load(path)
    rows.unlink()
    with pytest.raises(ResultError, match=r"rows\.parquet: cannot be read, result\.json needs it"):
        Result.load(path)
    assert Result.load(path, rows=False).metrics
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"rows": None}))
    with pytest.raises(ResultError, match="names no rows of single images"):
        Result.load(path)


def test_rows_that_are_no_parquet(tmp_path):
    path = make().save(tmp_path)
    rows = tmp_path / "rows.parquet"
    rows.write_bytes(b"PAR1 nothing PAR1")
    content = json.loads(path.read_text())
    content["rows"]["sha256"] = hashlib.sha256(rows.read_bytes()).hexdigest()
    path.write_text(json.dumps(content))
    with pytest.raises(ResultError, match="is no Parquet file that can be read"):
        Result.load(path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        make().save(tmp_path / "file")
