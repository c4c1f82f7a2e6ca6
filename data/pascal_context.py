"""Pascal Context on the images of VOC2010, in any of the four forms that its annotations are passed around in.

| form | files | values |
|---|---|---|
| mmseg | SegmentationClassContext/*.png, ImageSets/SegmentationContext/{train,val}.txt | 0..59, 0 = background |
| encoding | train.pth, val.pth | 0..59, 0 = background |
| original | one .mat an image with `LabelMap`; split by ImageSets/Main/{train,val}.txt | 1..459 |
| detail | trainval_merged.json, run lengths | category ids among the 459 |

All four give the same 59 labels, in the order of the category ids, which is alphabetical. Lists of names that start
with the 20 classes of VOC belong to none of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset

from .class_tables import PASCAL_CONTEXT, PASCAL_CONTEXT_WITH_BACKGROUND
from .layout import DataLayoutError, keep_present, open_root, require, require_choice
from .pascal_context_files import cached_masks, detail_images
from .readers import ENTRY
from .samples import make_rows

JSON_NAME = "trainval_merged.json"
LISTS = ("ImageSets/SegmentationContext/{split}.txt", "ImageSets/Main/{split}.txt")


@dataclass(frozen=True)
class Form:
    """One form of the annotations.

    Args:
        layout: Its files, beside JPEGImages/.
        find: (folder of VOC2010, root, split) -> the file or folder of the annotations, or None.
        labels: (that place, folder of VOC2010, split) -> locator of the labels by image id.
        rules: Label rule by number of classes.
    """

    layout: str
    find: Callable[[Path, Path, str], Path | None]
    labels: Callable[[Path, Path, str], dict[str, str]]
    rules: dict[int, str]


def load(
    root: str | Path,
    split: str = "train",
    *,
    annotations: str | None = None,
    num_classes: int = 59,
    missing: str = "error",
) -> Dataset:
    """Rows of one split.

    Args:
        root: Folder `VOC2010`, or one that `VOC2010` or `VOCdevkit/VOC2010` lies in.
        split: "train" (4,998 images) or "val" (5,105).
        annotations: "mmseg", "encoding", "original" or "detail"; None takes the first that is there.
        num_classes: 59, background ignored, as Zhang et al. and hence DPT; or 60, background = 0.
        missing: "error", or "skip" to leave out images whose file is missing.

    Raises:
        DataLayoutError: no annotations, or files are missing.
        ValueError: unknown option value.
    """
    require_choice("num_classes", num_classes, (59, 60))
    if annotations is not None:
        require_choice("annotations", annotations, tuple(FORMS))
    root = open_root(root, _layout(annotations))
    voc = _voc_folder(root, annotations)
    form, place = _find_form(voc, root, split, annotations)
    labels = form.labels(place, voc, split)
    records: list[dict[str, Any]] = [
        {
            "frame": name,
            "image": voc / "JPEGImages" / f"{name}.jpg",
            "label": label,
            "file": Path(label.split(ENTRY)[0]),
        }
        for name, label in labels.items()
    ]
    records = keep_present(records, ["image", "file"], root=voc, layout=_layout(annotations), missing=missing)
    return make_rows(
        {
            "image": [record["image"] for record in records],
            "label": [record["label"] for record in records],
            "label_rule": form.rules[num_classes],
            "frame": [record["frame"] for record in records],
        }
    )


def class_names(*, num_classes: int = 59) -> list[str]:
    """Names in the order of the labels: alphabetical, after "background" if there are 60.

    Raises:
        ValueError: neither 59 nor 60.
    """
    require_choice("num_classes", num_classes, (59, 60))
    return list(PASCAL_CONTEXT if num_classes == 59 else PASCAL_CONTEXT_WITH_BACKGROUND)


def _voc_folder(root: Path, annotations: str | None) -> Path:
    for folder in (root, root / "VOC2010", root / "VOCdevkit" / "VOC2010"):
        if (folder / "JPEGImages").is_dir():
            return folder
    raise DataLayoutError(
        f"{root}: JPEGImages (of VOC2010) not found here, in VOC2010/ or in VOCdevkit/VOC2010/. "
        f"Expected inside: {_layout(annotations)}."
    )


def _find_form(voc: Path, root: Path, split: str, annotations: str | None) -> tuple[Form, Path]:
    for form in FORMS.values() if annotations is None else [FORMS[annotations]]:
        if (place := form.find(voc, root, split)) is not None:
            return form, place
    wanted = annotations or "Pascal Context"
    raise DataLayoutError(f"{voc}: no {wanted} annotations of {split} found. Expected inside: {_layout(annotations)}.")


def _layout(annotations: str | None) -> str:
    names = FORMS if annotations is None else [annotations]
    return "JPEGImages/*.jpg and " + "; or ".join(f"{FORMS[name].layout} ({name})" for name in names)


def _find_mmseg(voc: Path, root: Path, split: str) -> Path | None:
    folder = voc / "SegmentationClassContext"
    return folder if folder.is_dir() else None


def _mmseg_labels(folder: Path, voc: Path, split: str) -> dict[str, str]:
    return {name: str(folder / f"{name}.png") for name in _listed(voc, LISTS[:1], split)}


def _find_encoding(voc: Path, root: Path, split: str) -> Path | None:
    return _first_file(voc / f"{split}.pth", root / f"{split}.pth")


def _encoding_labels(file: Path, voc: Path, split: str) -> dict[str, str]:
    return {name: f"{file}{ENTRY}{name}" for name in cached_masks(file)}


def _find_original(voc: Path, root: Path, split: str) -> Path | None:
    """The folder of the .mat files, whatever it is called."""
    for parent in dict.fromkeys((voc, root)):
        for folder in (parent, *sorted(path for path in parent.iterdir() if path.is_dir())):
            if next(folder.glob("[0-9]*_[0-9]*.mat"), None) is not None:
                return folder
    return None


def _original_labels(folder: Path, voc: Path, split: str) -> dict[str, str]:
    return {name: f"{folder / name}.mat{ENTRY}LabelMap" for name in _listed(voc, LISTS, split)}


def _find_detail(voc: Path, root: Path, split: str) -> Path | None:
    return _first_file(voc / JSON_NAME, root / JSON_NAME)


def _detail_labels(file: Path, voc: Path, split: str) -> dict[str, str]:
    return {name: f"{file}{ENTRY}{name}" for name, image in detail_images(file).items() if image.phase == split}


def _listed(voc: Path, lists: tuple[str, ...], split: str) -> list[str]:
    """Image ids of the first list that is there. VOC2010's own split is that of Pascal Context."""
    paths = [voc / name.format(split=split) for name in lists]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        require(voc, [lists[0].format(split=split)], " or ".join(lists))
    return path.read_text(encoding="utf-8").split()


def _first_file(*paths: Path) -> Path | None:
    return next((path for path in paths if path.is_file()), None)


# In the order in which they are looked for: the quickest to read first.
_STORED_60 = {59: "zero-is-ignored", 60: "as-is"}
_STORED_459 = {59: "pascal-459-to-59", 60: "pascal-459-to-60"}
FORMS = {
    "mmseg": Form(
        "SegmentationClassContext/*.png with ImageSets/SegmentationContext/{train,val}.txt",
        _find_mmseg,
        _mmseg_labels,
        _STORED_60,
    ),
    "encoding": Form("train.pth, val.pth", _find_encoding, _encoding_labels, _STORED_60),
    "original": Form(
        "a folder of *.mat files with LabelMap and ImageSets/Main/{train,val}.txt",
        _find_original,
        _original_labels,
        _STORED_459,
    ),
    "detail": Form(JSON_NAME, _find_detail, _detail_labels, _STORED_459),
}
