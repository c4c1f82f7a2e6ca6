import json

import numpy as np
import pytest
from PIL import Image

from open_dpt.data.own_data import known_depth_scale, read_class_names, read_intrinsics

K = (525.0, 0.0, 319.5, 0.0, 520.0, 239.5, 0.0, 0.0, 1.0)


def test_depth_scale_of_whole_numbers_must_be_said(tmp_path):
    path = tmp_path / "depth.png"
    Image.fromarray(np.array([[0, 1879, 1879, 3446]], np.uint16)).save(path)
    with pytest.raises(ValueError, match=r"depth_scale: needed, since .*depth\.png .*median 1879.*1\.88 m"):
        known_depth_scale([path], None, "metres")
    assert known_depth_scale([path], 1000, "metres") == 1000.0
    assert known_depth_scale([path], None, "disparity") == 1.0
    np.save(tmp_path / "depth.npy", np.ones((2, 2), np.float32))
    assert known_depth_scale([tmp_path / "gone.png", tmp_path / "depth.npy"], None, "metres") == 1.0


@pytest.mark.parametrize("scale", [0, -1, "1000", True])
def test_depth_scale_must_be_a_number_above_zero(scale):
    with pytest.raises(ValueError, match="depth_scale: must be a number above 0"):
        known_depth_scale([], scale, "metres")


@pytest.mark.parametrize(
    "value",
    [
        "525,520,319.5,239.5",
        "525 520 319.5 239.5",
        [525, 520, 319.5, 239.5],
        {"fx": 525, "fy": 520, "cx": 319.5, "cy": 239.5, "width": 640},
        json.dumps({"camera_matrix": [[525, 0, 319.5], [0, 520, 239.5], [0, 0, 1]]}),
        "525 0 319.5\n0 520 239.5\n0 0 1\n",
        [[525, 0, 319.5, 0], [0, 520, 239.5, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
    ],
)
def test_intrinsics_in_every_usual_form(value, tmp_path):
    assert read_intrinsics(value) == K
    (tmp_path / "intrinsics.txt").write_text(value if isinstance(value, str) else json.dumps(value))
    assert read_intrinsics(None, [tmp_path / "nothing", tmp_path]) == K
    assert read_intrinsics("intrinsics.txt", [tmp_path]) == K


@pytest.mark.parametrize("value", ["525,520", "a,b,c,d", {"f": 525}, [0, 520, 1, 1], "nan,1,1,1"])
def test_intrinsics_that_are_none(value):
    with pytest.raises(ValueError, match="intrinsics: must be fx,fy,cx,cy or a 3 x 3 camera matrix"):
        read_intrinsics(value)


def test_intrinsics_of_a_missing_file(tmp_path):
    assert read_intrinsics(None, [tmp_path]) is None
    with pytest.raises(FileNotFoundError, match=r"camera\.json: no such file in"):
        read_intrinsics("camera.json", [tmp_path])


@pytest.mark.parametrize(
    ("name", "text", "rule", "names"),
    [
        ("classes.txt", "sky\ntraffic light\n\n", "as-is", ["sky", "traffic light"]),
        ("classes.txt", "sky\nroad\n", "zero-is-ignored", ["sky", "road"]),  # a list is in the order of the labels
        ("classes.txt", "0: void\n1: sky\n2: road", "zero-is-ignored", ["sky", "road"]),  # numbers are stored values
        ("labels.txt", "1 sky\n3 road", "zero-is-ignored", ["sky", "class 1", "road"]),
        ("id2label.json", '{"0": "sky", "1": "road"}', "as-is", ["sky", "road"]),
        ("id2label.json", '{"sky": 0, "road": 1}', "as-is", ["sky", "road"]),
        ("classes.json", '["sky", "road"]', "as-is", ["sky", "road"]),
    ],
)
def test_class_names_of_files(tmp_path, name, text, rule, names):
    (tmp_path / name).write_text(text)
    assert read_class_names(None, root=tmp_path, label_rule=rule) == names
    assert read_class_names(name, root=tmp_path, label_rule=rule) == names


def test_class_names_that_are_wrong(tmp_path):
    assert read_class_names(None, root=tmp_path) == []
    with pytest.raises(FileNotFoundError, match=r"names\.txt: no such file"):
        read_class_names("names.txt", root=tmp_path)
    with pytest.raises(ValueError, match=r"labels must be within 0\.\.254, got 300"):
        read_class_names({300: "far"})
    with pytest.raises(ValueError, match="ids must be whole numbers, got sky"):
        read_class_names({"sky": "blue"})
    (tmp_path / "classes.json").write_text("[")
    with pytest.raises(ValueError, match=r"classes\.json: must be JSON"):
        read_class_names(None, root=tmp_path)
