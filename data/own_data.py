"""What must be said about data that nobody knows yet: the scale of depth, the camera, the names of classes."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .label_rules import IGNORED, LABEL_RULES, apply_label_rule
from .layout import require_choice
from .readers import SampleError, read_map, source_name
from .samples import DEPTH_KINDS

INTRINSICS_FILES = ("intrinsics.txt", "intrinsics.json")
CLASS_FILES = ("classes.txt", "labels.txt", "id2label.json", "classes.json")

# Maps that are opened to see what they hold; more would only be needed if so many were damaged.
_TRIED = 10
# Scales that are in use, as examples in a message.
_SCALES = {1000: "millimetres, as NYU and most sensors", 256: "KITTI", 5000: "TUM"}

Matrix = tuple[float, ...]


def known_depth_scale(maps: Iterable[Any], depth_scale: float | None, depth_kind: str) -> float:
    """The scale to divide stored values by, checked against what the maps hold.

    Args:
        maps: Paths or locators of the depth maps.
        depth_scale: What the user says; None where nothing.
        depth_kind: Key of DEPTH_KINDS.

    Raises:
        ValueError: whole numbers are stored and nobody says in which unit; or `depth_scale` is not above 0.
    """
    require_choice("depth_kind", depth_kind, tuple(DEPTH_KINDS))
    if depth_scale is not None:
        if isinstance(depth_scale, bool) or not isinstance(depth_scale, (int, float)) or not depth_scale > 0:
            raise ValueError(f"depth_scale: must be a number above 0 (stored value of 1 metre), got {depth_scale!r}.")
        return float(depth_scale)
    if depth_kind == "metres":
        for source, _ in zip(maps, range(_TRIED), strict=False):
            try:
                stored = read_map(source)
            except SampleError:  # told when it is used; another one shows the type as well
                continue
            if stored.values.dtype.kind in "bui" and not stored.in_units:
                raise ValueError(_scale_message(source_name(source), stored.values))
            break
    return 1.0


def _scale_message(name: str, values: np.ndarray) -> str:
    median = float(np.median(values[values > 0])) if (values > 0).any() else 0.0
    examples = ", ".join(f"{scale} ({unit}) would make it {median / scale:.3g} m" for scale, unit in _SCALES.items())
    return (
        f"depth_scale: needed, since {name} holds whole numbers (median {median:.0f}). Metres = stored value / "
        f"depth_scale: {examples}; or divide the stored value of a point by its distance in metres. Pass it "
        f"(--option depth_scale=1000), or depth_kind='disparity' for maps without a unit."
    )


def read_intrinsics(value: Any, folders: Sequence[Path] = ()) -> Matrix | None:
    """Camera matrix, row by row, in pixels with the origin at the centre of the top left pixel.

    Args:
        value: fx, fy, cx, cy as text, sequence or mapping; a 3 x 3 matrix (or the 4 x 4 some tools write); the name
            of a .txt or .json file with any of these; or None for the file of the usual name, if there is one.
        folders: Where files are looked for, in order.

    Raises:
        ValueError: not such a value. FileNotFoundError: there is no such file.
    """
    if value is None:
        path = _first(folders, INTRINSICS_FILES)
        return None if path is None else _matrix(path.read_text(encoding="utf-8"), str(path))
    if isinstance(value, (str, Path)) and Path(value).suffix in (".txt", ".json"):
        path = _first(folders, (str(value),))
        if path is None:
            where = ", ".join(map(str, folders)) or "the current folder"
            raise FileNotFoundError(f"{value}: no such file in {where}. Check the name, or pass fx,fy,cx,cy.")
        return _matrix(path.read_text(encoding="utf-8"), str(path))
    return _matrix(value, "intrinsics")


def _matrix(value: Any, name: str) -> Matrix:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = re.split(r"[\s,;]+", value.strip())
    if isinstance(value, Mapping):
        keys = ("fx", "fy", "cx", "cy")
        value = [value.get(key) for key in keys] if set(keys) <= set(value) else next(iter(value.values()), None)
    try:
        numbers = np.array(value, dtype=np.float64).ravel()
    except (ValueError, TypeError):
        numbers = np.zeros(0)
    if len(numbers) == 4:
        fx, fy, cx, cy = numbers
        numbers = np.array([fx, 0, cx, 0, fy, cy, 0, 0, 1])
    elif len(numbers) == 16:
        numbers = numbers.reshape(4, 4)[:3, :3].ravel()
    if len(numbers) != 9 or not np.isfinite(numbers).all() or numbers[0] <= 0 or numbers[4] <= 0:
        raise ValueError(f"{name}: must be fx,fy,cx,cy or a 3 x 3 camera matrix in pixels, got {str(value)[:60]}.")
    return tuple(numbers.tolist())


def read_class_names(id2label: Any, *, root: str | Path | None = None, label_rule: str = "as-is") -> list[str]:
    """Class names in the order of the labels.

    Args:
        id2label: A list of names in the order of the labels; a mapping from stored values to names; or a file with
            either: JSON, or text with a name, or a stored value and its name, a line. None: the file of a usual name
            in `root`, if there is one.
        root: Where files are looked for first.
        label_rule: How stored values become labels; values that it ignores lose their names.

    Returns:
        Empty where nothing is said. Labels without a name are called "class 7".

    Raises:
        ValueError: not such a value. FileNotFoundError: there is no such file.
    """
    require_choice("label_rule", label_rule, tuple(LABEL_RULES))
    folders = [] if root is None else [Path(root) if Path(root).is_dir() else Path(root).parent]
    name = "id2label"
    if id2label is None:
        id2label = _first(folders, CLASS_FILES)
        if id2label is None:
            return []
    if isinstance(id2label, (str, Path)):
        path = _first([*folders, Path()], (str(id2label),))
        if path is None:
            raise FileNotFoundError(f"{id2label}: no such file. Name a JSON or text file with the class names.")
        id2label, name = _parse_names(path), str(path)
    if isinstance(id2label, Mapping):
        return _by_stored_value(id2label, name, label_rule)
    if not isinstance(id2label, Sequence) or not id2label or not all(isinstance(word, str) for word in id2label):
        raise ValueError(f"{name}: must be a list of names or a mapping from ids to names, got {str(id2label)[:60]}.")
    return list(id2label)


def _parse_names(path: Path) -> Any:
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix == ".json":
        try:
            return json.loads(text)
        except ValueError as error:
            raise ValueError(f"{path}: must be JSON ({error}). Write a list of names.") from None
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    numbered = [re.fullmatch(r"(\d+)\s*[\s:,;=]\s*(.+)", line) for line in lines]
    return {int(match[1]): match[2] for match in numbered} if all(numbered) else lines


def _by_stored_value(names: Mapping, subject: str, label_rule: str) -> list[str]:
    if names and all(isinstance(value, int) for value in names.values()):  # label2id
        names = {value: key for key, value in names.items()}
    try:
        values = [int(key) for key in names]
    except ValueError:
        raise ValueError(f"{subject}: ids must be whole numbers, got {', '.join(map(str, names))[:60]}.") from None
    labels = apply_label_rule(label_rule, torch.tensor(values, dtype=torch.int64)).tolist()
    found = {label: str(name) for label, name in zip(labels, names.values(), strict=True) if label != IGNORED}
    if not found or max(found) > IGNORED:
        raise ValueError(f"{subject}: labels must be within 0..254, got {max(found, default='none')}.")
    return [found.get(label, f"class {label}") for label in range(max(found) + 1)]


def _first(folders: Sequence[Path], names: Sequence[str]) -> Path | None:
    return next((path for folder in folders for name in names if (path := folder / name).is_file()), None)
