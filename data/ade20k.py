"""ADE20K SceneParse150: label pictures hold 0 for "none of these" and 1..150."""

import warnings
from pathlib import Path

from datasets import Dataset

from .class_tables import ADE20K
from .layout import open_root, require
from .pairs import pair_by_stem
from .samples import make_rows

FOLDER = "ADEChallengeData2016"
LAYOUT = "images/{training,validation}/*.jpg and annotations/{training,validation}/*.png"
# Split: name of its folders, number of images.
SPLITS = {"train": ("training", 20_210), "validation": ("validation", 2_000)}


def load(root: str | Path, split: str = "train", *, missing: str = "error") -> Dataset:
    """Rows of one split; `scene` is the scene category where `sceneCategories.txt` is there.

    Args:
        root: Folder `ADEChallengeData2016`, or the one that it lies in.
        split: "train" (20,210 images) or "validation" (2,000); other counts are warned about.
        missing: "error", or "skip" to leave out files without a partner.

    Raises:
        DataLayoutError: a folder or a file is missing.
    """
    root = open_root(root, LAYOUT)
    root = root / FOLDER if (root / FOLDER).is_dir() else root
    name, expected = SPLITS[split]
    require(root, [f"images/{name}", f"annotations/{name}"], LAYOUT)
    folders = {"image": root / "images" / name, "label": root / "annotations" / name}
    pairs = pair_by_stem(folders, root=root, layout=LAYOUT, missing=missing)
    if len(pairs) != expected:
        warnings.warn(f"{root}: {split} has {expected:,} images when complete, found {len(pairs):,}.", stacklevel=2)
    scenes = _scene_categories(root / "sceneCategories.txt")
    return make_rows(
        {
            "image": [pair["image"] for pair in pairs],
            "label": [pair["label"] for pair in pairs],
            "label_rule": "zero-is-ignored",
            "scene": [scenes.get(pair["stem"]) for pair in pairs],
            "frame": [pair["stem"] for pair in pairs],
        }
    )


def class_names() -> list[str]:
    return list(ADE20K)


def _scene_categories(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    lines = (line.split() for line in path.read_text(encoding="utf-8").splitlines())
    return {words[0]: words[1] for words in lines if len(words) == 2}
