"""CamVid, the 11-class version of the SegNet authors: 480 x 360 street images, label pictures with ids, 11 = void."""

from pathlib import Path

from datasets import Dataset

from .class_tables import CAMVID
from .layout import open_root, require
from .pairs import pair_by_stem
from .samples import make_rows

# Folders of images and of labels: one folder a kind, or the layout of the SegNet tutorial.
FOLDERS = (("images/{split}", "annotations/{split}"), ("{split}", "{split}annot"))
LAYOUT = "images/{split}/*.jpg with annotations/{split}/*.png, or {split}/*.png with {split}annot/*.png"


def load(root: str | Path, split: str = "train", *, missing: str = "error") -> Dataset:
    """Rows of one split; `scene` is the clip, `frame` its frame.

    Args:
        root: Folder with `images/` and `annotations/`, or with `train/` and `trainannot/` as in the SegNet tutorial.
        split: "train" (367 images), "val" (101) or "test" (233).
        missing: "error", or "skip" to leave out files without a partner.

    Raises:
        DataLayoutError: a folder or a file is missing.
    """
    layout = LAYOUT.format(split=split)
    root = open_root(root, layout)
    choices = [[name.format(split=split) for name in names] for names in FOLDERS]
    names = next((names for names in choices if all((root / name).is_dir() for name in names)), choices[0])
    require(root, names, layout)
    images, labels = (root / name for name in names)
    pairs = pair_by_stem({"image": images, "label": labels}, root=root, layout=layout, missing=missing)
    clips_and_frames = [pair["stem"].rpartition("_") for pair in pairs]
    return make_rows(
        {
            "image": [pair["image"] for pair in pairs],
            "label": [pair["label"] for pair in pairs],
            "label_rule": "camvid",
            "scene": [clip for clip, _, _ in clips_and_frames],
            "frame": [frame for _, _, frame in clips_and_frames],
        }
    )


def class_names() -> list[str]:
    return list(CAMVID)
