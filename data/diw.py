"""Depth in the Wild (DIW): web photos, each with one pair of points and which of them is farther.

Sources: Chen et al., NIPS 2016, for the set; the loaders of YouTube3D (princeton-vl/YouTube3D) for the meaning of a
line: rows before columns, counted from 1 in the original image, '>' where the first point is farther.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .layout import DataLayoutError, keep_present, open_root
from .samples import columns_of, make_rows

if TYPE_CHECKING:
    from datasets import Dataset

LAYOUT = "DIW_test.csv (or DIW_Annotations/DIW_test.csv), and DIW_test/*.thumb as it names them"
ANNOTATIONS = ("DIW_test.csv", "DIW_Annotations/DIW_test.csv")
RELATIONS = {">": 1, "<": -1}
LINE = "yA,xA,yB,xB,> or <,number,number"


def load(root: str | Path, split: str, *, annotations: str | None = None, missing: str = "error") -> "Dataset":
    """The official test images, 74,441, with the column `ordinal` instead of depth.

    The two numbers at the end of a line (sources differ on which is the width) are not used: a point outside its image
    is an error when the image is read.

    Args:
        root: Folder of the set; relative paths in the annotations start there.
        split: "test".
        annotations: The CSV file, absolute or relative to root; by default one of the two usual places.
        missing: "error", or "skip" to use the images that are there.

    Raises:
        DataLayoutError: the annotations or images are missing, or a line is not understood.
    """
    root = open_root(root, LAYOUT)
    places = ANNOTATIONS if annotations is None else (annotations,)
    path = next((root / place for place in places if (root / place).is_file()), None)
    if path is None:
        raise DataLayoutError(f"{root}: {' or '.join(places)} not found. Expected inside: {LAYOUT}.")
    records = keep_present(list(_records(path, root)), ("image",), root=root, layout=LAYOUT, missing=missing)
    return make_rows(columns_of(records))


def _records(path: Path, root: Path) -> Iterator[dict[str, Any]]:
    lines = path.read_text().split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    if len(lines) % 2:
        raise DataLayoutError(f"{path}: must alternate image path and pair, got {len(lines)} lines. Fetch it again.")
    for number in range(0, len(lines), 2):
        image = root / lines[number].strip()
        pair = _pair(f"{path}, line {number + 2}", lines[number + 1])
        yield {"image": image, "ordinal": [pair], "frame": image.stem}


def _pair(where: str, line: str) -> list[int]:
    fields = [field.strip() for field in line.split(",")]
    try:
        # Floor, not round: one edition of the file has fractions, and its readers cut them off.
        points = [math.floor(float(field)) - 1 for field in fields[:4]]
        relation = RELATIONS[fields[4]]
    except (ValueError, KeyError, IndexError, OverflowError):
        raise DataLayoutError(f"{where}: must be {LINE}, got {line.strip()!r:.80}. Fetch the file again.") from None
    return [*points, relation]
