"""Your own folder: images beside depth maps or label maps of the same names.

    images/0001.jpg  depths/0001.png                        one set
    train/images/0001.jpg  train/depths/0001.png            one folder a split
    images/train/0001.jpg  masks/train/0001.png             the other way round
    train/kitchen/images/0001.jpg  train/kitchen/depths/... and one a scene

Beside them, all optional: `intrinsics.txt` (fx fy cx cy, or 3 x 3) in the scene, the split or the root, and
`classes.txt` (a name a line) in the root.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datasets import Dataset

from .label_rules import LABEL_RULES
from .layout import DataLayoutError, open_root, require_choice
from .own_data import known_depth_scale, read_class_names, read_intrinsics
from .pairs import pair_by_stem
from .readers import ENTRY
from .samples import make_rows

# Column of a row: names that its folder may have.
FOLDERS = {
    "image": ("images", "image", "rgb", "imgs"),
    "depth": ("depths", "depth"),
    "label": ("masks", "annotations", "labels", "mask"),
    "valid": ("valid", "valid_masks"),
}
LAYOUT = "[SPLIT/][SCENE/]images/NAME.jpg and depths/NAME.png (or .npy .npz .exr .pfm) or masks/NAME.png"
# Folders that are no scenes of the training split.
OTHER_SPLITS = ("val", "valid", "validation", "test")


def load(
    root: str | Path,
    split: str = "train",
    *,
    depth_scale: float | None = None,
    depth_kind: str = "metres",
    depth_entry: str | None = None,
    label_rule: str = "as-is",
    id2label: Any = None,
    intrinsics: Any = None,
    missing: str = "error",
) -> Dataset:
    """Rows of one split.

    Args:
        root: Folder as above.
        split: Name of a split folder; "train" or "all" for a folder without; "all" for everything in it.
        depth_scale: Stored value of one metre; needed for maps of whole numbers (1000: millimetres).
        depth_kind: "metres", "disparity" (any unit, larger is nearer) or "relative-depth" (any unit).
        depth_entry: Name of the array in .npz, .h5, .mat or .exr files that hold several.
        label_rule: Key of LABEL_RULES: "as-is", or "zero-is-ignored" where 0 means not labelled.
        id2label: Class names, see `own_data.read_class_names`; a file in `root` by default.
        intrinsics: "fx,fy,cx,cy" or a file, see `own_data.read_intrinsics`; a file near the images by default.
        missing: "error", or "skip" to leave out files without a partner.

    Raises:
        DataLayoutError: folders or files are missing, or names do not match.
        ValueError: an option is wrong, or `depth_scale` is missing.
    """
    root = open_root(root, LAYOUT)
    require_choice("label_rule", label_rule, tuple(LABEL_RULES))
    read_class_names(id2label, root=root, label_rule=label_rule)  # a wrong one is told before training starts
    columns: dict[str, list] = {name: [] for name in (*FOLDERS, "intrinsics", "scene", "frame")}
    base, scenes = _scenes(root, split)
    for scene, folders in scenes:
        if not {"depth", "label"} & set(folders):
            raise DataLayoutError(
                f"{scene}: images have neither {'/, '.join(FOLDERS['depth'])}/ nor {'/, '.join(FOLDERS['label'])}/ "
                f"beside them. Expected inside: {LAYOUT}."
            )
        camera = read_intrinsics(intrinsics, list(dict.fromkeys((scene, base, root))))
        for pair in pair_by_stem(folders, root=root, layout=LAYOUT, missing=missing):
            for column in FOLDERS:
                columns[column].append(pair.get(column))
            parent = (scene.relative_to(base) / pair["stem"]).parent.as_posix()
            columns["scene"].append(None if parent == "." else parent)
            columns["frame"].append(Path(pair["stem"]).name)
            columns["intrinsics"].append(camera)
    depths = [_with_entry(path, depth_entry) for path in columns["depth"]]
    if has_depth := any(depths):
        depth_scale = known_depth_scale(filter(None, depths), depth_scale, depth_kind)
    return make_rows(
        columns
        | {
            "depth": depths,
            "depth_scale": depth_scale if has_depth else None,
            "depth_kind": depth_kind if has_depth else None,
            "label_rule": label_rule if any(columns["label"]) else None,
        }
    )


def class_names(*, root: str | Path | None = None, id2label: Any = None, label_rule: str = "as-is") -> list[str]:
    """Names in the order of the labels; empty where no file and no option says them."""
    return read_class_names(id2label, root=root, label_rule=label_rule)


def _scenes(root: Path, split: str) -> tuple[Path, list[tuple[Path, dict[str, Path]]]]:
    """The folder that scenes are named from, and each scene with the folders of its columns."""
    if (root / split).is_dir():
        base, scenes = root / split, list(_search(root / split, depth=1))
    elif inside := {column: path / split for column, path in _columns(root).items() if (path / split).is_dir()}:
        base, scenes = root, [(root, inside)] if "image" in inside else []
    elif split == "all":
        base, scenes = root, list(_search(root, depth=2))
    elif split == "train":
        found = _search(root, depth=1)
        base, scenes = root, [each for each in found if each[0] == root or each[0].name not in OTHER_SPLITS]
    else:
        base, scenes = root, []
    if not scenes:
        held = ", ".join(sorted(path.name + "/" for path in base.iterdir() if path.is_dir())) or "no folders"
        raise DataLayoutError(f"{base}: no images of split {split!r}, it holds {held}. Expected inside: {LAYOUT}.")
    return base, scenes


def _search(folder: Path, depth: int) -> Iterator[tuple[Path, dict[str, Path]]]:
    """Folders that hold images, `folder` itself or down to `depth` below."""
    columns = _columns(folder)
    if "image" in columns:
        yield folder, columns
    elif depth:
        for child in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
            yield from _search(child, depth - 1)


def _columns(folder: Path) -> dict[str, Path]:
    found = {
        column: next((path for name in names if (path := folder / name).is_dir()), None)
        for column, names in FOLDERS.items()
    }
    return {column: path for column, path in found.items() if path is not None}


def _with_entry(path: Path | None, entry: str | None) -> str | None:
    if path is None:
        return None
    return f"{path}{ENTRY}{entry}" if entry else str(path)
