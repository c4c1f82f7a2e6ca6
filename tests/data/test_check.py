import numpy as np
import pytest
from PIL import Image

from open_dpt.data import load_data, make_rows, raw_rows
from open_dpt.data.check import check_rows


@pytest.fixture
def depth_rows(tmp_path):
    """Rows of one image each for maps in metres, stored in millimetres."""

    def make(*maps, scale=1000.0, dtype=np.uint16):
        paths = {"image": [], "depth": []}
        for number, metres in enumerate(maps):
            Image.new("RGB", (40, 40), "gray").save(tmp_path / f"{number}.jpg")
            Image.fromarray(np.asarray(metres * 1000).astype(dtype)).save(tmp_path / f"{number}.png")
            paths["image"].append(tmp_path / f"{number}.jpg")
            paths["depth"].append(tmp_path / f"{number}.png")
        return raw_rows(make_rows(paths | {"depth_scale": scale, "depth_kind": "metres"}))

    return make


@pytest.fixture
def label_rows(tmp_path):
    def make(*maps):
        paths = {"image": [], "label": []}
        for number, ids in enumerate(maps):
            Image.new("RGB", np.asarray(ids).shape[1::-1], "gray").save(tmp_path / f"{number}.jpg")
            Image.fromarray(np.asarray(ids, np.uint8)).save(tmp_path / f"{number}.png")
            paths["image"].append(tmp_path / f"{number}.jpg")
            paths["label"].append(tmp_path / f"{number}.png")
        return raw_rows(make_rows(paths | {"label_rule": "as-is"}))

    return make


def ramp(low=1.0, high=3.0):
    return np.linspace(low, high, 1600).reshape(40, 40)


def test_ranges_and_valid_share(depth_rows):
    holes = ramp()
    holes[:10] = 0
    report = check_rows(depth_rows(ramp(), holes))
    assert (report.problems, report.notes) == ([], [])
    first, second = report.usable
    assert first.depth == pytest.approx((1, 2, 3), abs=2e-3) and first.size == (40, 40)
    assert (first.valid, second.valid) == (1, 0.75)


@pytest.mark.parametrize(("scale", "message"), [(1, "1000 times too small"), (1e6, "1000 times too large")])
def test_a_wrong_scale_is_told_with_its_factor(depth_rows, scale, message):
    report = check_rows(depth_rows(ramp(), scale=scale))
    assert len(report.problems) == 1 and message in report.problems[0]


@pytest.mark.parametrize("scale", [200, 256, 5000])
def test_a_plausible_scale_is_not(depth_rows, scale):
    assert check_rows(depth_rows(ramp(), scale=scale)).problems == []


def test_odd_maps_are_named(depth_rows):
    rows = depth_rows(ramp(), np.full((40, 40), 2.0), np.zeros((40, 40)), ramp(0.001, 0.01))
    problems = check_rows(rows).problems
    assert [line.split(":")[1] for line in problems] == [
        " median outside 0.1 to 200 m",
        " no valid pixel",
        " one value everywhere",
    ]
    assert [name in line for name, line in zip(["3.jpg", "2.jpg", "1.jpg"], problems, strict=True)] == [True] * 3


def test_stored_values_that_lose_something(depth_rows):
    problems = check_rows(depth_rows(ramp(0.01, 0.25), dtype=np.uint8)).problems
    assert any("stored in 8 bits" in line for line in problems)
    full = ramp()
    full[:5] = 65.535
    assert any("(65535)" in line for line in check_rows(depth_rows(full)).problems)


def test_files_that_cannot_be_used_are_named_with_their_row(depth_rows, tmp_path):
    rows = depth_rows(ramp(), ramp(), ramp(), ramp())
    (tmp_path / "1.png").write_bytes(b"no picture")
    (tmp_path / "2.jpg").unlink()
    Image.fromarray(np.ones((20, 40), np.uint16)).save(tmp_path / "3.png")
    report = check_rows(rows)
    assert len(report.usable) == 1 and len(report.problems) == 3
    for row, (line, text) in enumerate(zip(report.problems, ["1.png", "2.jpg", "must be 40 x 40"], strict=True), 1):
        assert line.startswith(f"row {row}: ") and text in line


def test_labels_are_counted_and_compared_with_the_classes(label_rows):
    rows = label_rows(np.tile([0, 1, 1, 255], (40, 10)), np.tile([0, 1, 3, 9], (40, 10)))
    report = check_rows(rows, ["sky", "road", "car", "tree"])
    assert dict(report.label_counts) == {0: 800, 1: 1200, 3: 400, 9: 400, 255: 400}
    assert len(report.problems) == 1
    assert "ids outside the 4 classes (9): 1 of the samples" in report.problems[0] and "1.jpg" in report.problems[0]
    assert report.notes == ["labels: 1 classes do not occur (car)."]
    unnamed = check_rows(rows)
    assert unnamed.problems == [] and "ids 0 to 9 without names" in unnamed.notes[0]


def test_colour_pictures_instead_of_labels(label_rows, tmp_path):
    grey = np.arange(1600).reshape(40, 40) % 256
    assert any("as many as a grey picture has levels" in line for line in check_rows(label_rows(grey)).problems)
    rows = label_rows(np.zeros((40, 40)))
    Image.new("RGB", (40, 40), "red").save(tmp_path / "0.png")
    assert "0.png: must have one channel, got mode RGB" in check_rows(rows).problems[0]
    ignored = check_rows(label_rows(np.full((40, 40), 255)))
    assert "every pixel is ignored" in ignored.problems[0]


def test_a_limit_spreads_over_the_rows_and_results_come_in_order(depth_rows):
    rows = depth_rows(*[ramp()] * 10)
    seen = []
    report = check_rows(rows, limit=4, workers=3, on_sample=lambda each: seen.append(each.index))
    assert seen == [each.index for each in report.measured] == [0, 2, 5, 7]


def test_sizes_scenes_and_cameras(tmp_path):
    for scene in ("a", "b"):
        for folder in ("images", "masks"):
            (tmp_path / scene / folder).mkdir(parents=True)
        Image.new("RGB", (40, 20)).save(tmp_path / scene / "images" / "1.jpg")
        Image.new("L", (40, 20)).save(tmp_path / scene / "masks" / "1.png")
    (tmp_path / "b" / "intrinsics.txt").write_text("1 1 2 2")
    report = check_rows(raw_rows(load_data("folder", tmp_path)))
    assert [(each.scene, each.size, each.has_intrinsics) for each in report.usable] == [
        ("a", (20, 40), False),
        ("b", (20, 40), True),
    ]
    assert "less than 32 pixels" in report.notes[-1]
