"""The four annotation forms, each on two small images made in exactly that form."""

import json

import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image

from open_dpt.data import DataLayoutError, SampleError, class_names, load_data, read_sample

NAMES = {"train": "2008_000002", "val": "2008_000003"}
# Category ids: background, aeroplane, one that is none of the 59, person, wood.
STORED = np.array([[0, 2, 3, 284], [458, 458, 0, 2]], np.uint16)
OF_60 = np.array([[0, 1, 0, 37], [59, 59, 0, 1]], np.uint8)
LABELS = {60: OF_60.astype(np.int64), 59: np.array([[255, 0, 255, 36], [58, 58, 255, 0]])}


@pytest.fixture
def voc(tmp_path):
    folder = tmp_path / "VOCdevkit" / "VOC2010"
    for name in NAMES.values():
        (folder / "JPEGImages").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 2), "white").save(folder / "JPEGImages" / f"{name}.jpg")
    return folder


def _lists(voc, folder):
    (voc / "ImageSets" / folder).mkdir(parents=True)
    for split, name in NAMES.items():
        (voc / "ImageSets" / folder / f"{split}.txt").write_text(f"{name}\n")


def make_mmseg(voc):
    _lists(voc, "SegmentationContext")
    (voc / "SegmentationClassContext").mkdir()
    for name in NAMES.values():
        Image.fromarray(OF_60).save(voc / "SegmentationClassContext" / f"{name}.png")


def make_encoding(voc):
    for split, name in NAMES.items():
        masks = {int(name.replace("_", "")): Image.fromarray(OF_60)}
        torch.save(masks, voc / f"{split}.pth", _use_new_zipfile_serialization=split == "val")


def make_original(voc):
    _lists(voc, "Main")
    (voc / "trainval").mkdir()
    for name in NAMES.values():
        scipy.io.savemat(voc / "trainval" / f"{name}.mat", {"LabelMap": STORED})


def make_detail(voc):
    # Painted in order: the second lies over the first. Counts as lists, and one packed ("0h0" of another size: all).
    segments = [(3, [0, 8]), (2, [2, 1, 4, 1]), (458, [1, 1, 1, 1, 4]), (0, [0, 1, 4, 0, 0, 1, 2]), (284, [6, 1, 1])]
    content = {
        "images": [
            {
                "image_id": int(name.replace("_", "")),
                "file_name": f"{name}.jpg",
                "height": 2,
                "width": 4,
                "phase": split,
            }
            for split, name in NAMES.items()
        ],
        "categories": [{"category_id": 2, "name": "aeroplane", "onlysemantic": 0, "parts": []}],
        "annos_segmentation": [
            {
                "id": 10 * number + order,
                "image_id": int(name.replace("_", "")),
                "category_id": category,
                "segmentation": {"size": [2, 4], "counts": "08" if counts == [0, 8] else counts},
                "area": 1,
                "bbox": [0, 0, 1, 1],
                "iscrowd": 0,
                "parts": [],
            }
            for number, name in enumerate(NAMES.values())
            for order, (category, counts) in enumerate(segments)
        ],
        "annos_occlusion": [],
        "annos_boundary": [],
        "parts": [],
    }
    # A hole in the first segment: nothing is painted at the lower third pixel.
    content["annos_segmentation"].append(
        content["annos_segmentation"][3] | {"id": 99, "segmentation": {"size": [2, 4], "counts": [5, 1, 2]}}
    )
    (voc / "trainval_merged.json").write_text(json.dumps(content))


FORMS = {"mmseg": make_mmseg, "encoding": make_encoding, "original": make_original, "detail": make_detail}


@pytest.mark.parametrize("classes", [59, 60])
@pytest.mark.parametrize("split", NAMES)
@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_labels(voc, form, split, classes):
    FORMS[form](voc)
    rows = load_data("pascal-context", voc.parents[1], split, num_classes=classes)
    assert rows["frame"] == [NAMES[split]]
    np.testing.assert_array_equal(read_sample(rows[0])["label"], LABELS[classes])
    named = load_data("pascal-context", voc, split, annotations=form)
    assert named[0]["frame"] == NAMES[split]


def test_names_are_in_the_order_of_the_labels():
    names, with_background = class_names("pascal-context"), class_names("pascal-context", num_classes=60)
    assert [names[label] for label in (0, 36, 58)] == ["aeroplane", "person", "wood"]
    assert [with_background[label] for label in (0, 1, 37)] == ["background", "aeroplane", "person"]


def test_without_annotations_all_four_layouts_are_listed(voc):
    with pytest.raises(DataLayoutError) as error:
        load_data("pascal-context", voc)
    assert all(name in str(error.value) for name in FORMS)
    assert "\n" not in str(error.value)
    make_mmseg(voc)
    with pytest.raises(DataLayoutError, match=r"no original annotations of train found.*LabelMap"):
        load_data("pascal-context", voc, annotations="original")


def test_missing_parts_are_named(voc):
    with pytest.raises(DataLayoutError, match=r"JPEGImages \(of VOC2010\) not found"):
        load_data("pascal-context", voc / "JPEGImages")
    make_mmseg(voc)
    (voc / "SegmentationClassContext" / "2008_000002.png").unlink()
    with pytest.raises(DataLayoutError, match=r"SegmentationClassContext/2008_000002\.png"):
        load_data("pascal-context", voc)
    (voc / "ImageSets" / "SegmentationContext" / "val.txt").unlink()
    with pytest.raises(DataLayoutError, match=r"ImageSets/SegmentationContext/val\.txt not found"):
        load_data("pascal-context", voc, "val")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 58}, "num_classes: must be one of 59, 60, got 58"),
        ({"annotations": "png"}, "annotations: must be one of mmseg, encoding, original, detail, got 'png'"),
        ({"classes": 59}, "classes: not an option of pascal-context"),
    ],
)
def test_options_are_checked(voc, options, message):
    with pytest.raises(ValueError, match=message):
        load_data("pascal-context", voc, **options)


class Evil:
    def __reduce__(self):
        return (open, ("pwned", "w"))


@pytest.mark.parametrize("zip_format", [True, False])
def test_a_pickle_that_runs_code_is_refused(voc, tmp_path, monkeypatch, zip_format):
    monkeypatch.chdir(tmp_path)
    torch.save({2008000002: Evil()}, voc / "train.pth", _use_new_zipfile_serialization=zip_format)
    with pytest.raises(SampleError, match=r"train\.pth: must hold a dictionary of PIL masks"):
        load_data("pascal-context", voc)
    assert not (tmp_path / "pwned").exists()


def test_a_damaged_json_file_is_named(voc):
    make_detail(voc)
    (voc / "trainval_merged.json").write_text('{"images": [')
    with pytest.raises(SampleError, match=r"trainval_merged\.json: cannot be read \(Expecting value"):
        load_data("pascal-context", voc)


def test_a_broken_run_names_the_image(voc):
    make_detail(voc)
    path = voc / "trainval_merged.json"
    path.write_text(path.read_text().replace('"counts": [6, 1, 1]', '"counts": [6, 1]'))
    rows = load_data("pascal-context", voc)
    with pytest.raises(SampleError, match=r"trainval_merged\.json::2008_000002.*must add up to 2 x 4 pixels, got 7"):
        read_sample(rows[0])
