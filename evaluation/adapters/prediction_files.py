"""Reading one prediction file.

Depth: 16-bit PNG, npy, npz (one array, or one called depth, disparity or predicted_depth), pfm. Class ids: PNG whose
pixels are the ids (grey or palette), npy, npz (one array, or one called labels). PNG and npz of `open-dpt predict` say
themselves what they hold.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...data.readers import ENTRY, SampleError, explained, read_map
from ...processing.writers import PNG_TEXT_KEY

SUFFIXES = (".png", ".npy", ".npz", ".pfm")

# Arrays of an npz that are taken before others, with the kind that the name tells.
ARRAYS = {"depth": None, "disparity": "disparity", "predicted_depth": None, "labels": "labels"}

# (kind, unit) as our own files record them.
RECORDED = {
    ("depth", "metre"): "depth",
    ("depth", "relative"): "relative-depth",
    ("disparity", "relative"): "disparity",
    ("disparity", "metre"): "disparity",
}


def read_prediction(path: Path) -> tuple[np.ndarray, str | None]:
    """Read one file.

    Returns:
        Values as they are stored, (H, W), NaN where the file says that they are unknown; and their kind (a key of
        `KINDS`) where the file says that.

    Raises:
        SampleError: it cannot be read, or holds something else.
    """
    with explained(str(path)):
        locator, recorded = _npz_entry(path) if path.suffix.lower() == ".npz" else (str(path), None)
        stored = read_map(locator)
        if stored.in_units and recorded is None:
            with Image.open(path) as image:
                recorded = _kind_of(json.loads(image.info[PNG_TEXT_KEY]))
        values = stored.values
        if stored.valid is not None:
            values = np.where(stored.valid, values, np.nan)
        return values, recorded


def _npz_entry(path: Path) -> tuple[str, str | None]:
    """Locator of the array to read, and the kind."""
    with np.load(path, allow_pickle=False) as archive:
        if {"values", "valid", "kind", "unit"} <= set(archive):  # written by open_dpt
            return str(path), _kind_of({"kind": str(archive["kind"]), "unit": str(archive["unit"])})
        names = list(archive)
    known = [name for name in ARRAYS if name in names]
    if len(known) == 1:
        return f"{path}{ENTRY}{known[0]}", ARRAYS[known[0]]
    if len(names) == 1:
        return str(path), None
    raise SampleError(f"{path}: must hold one array, or one of {', '.join(ARRAYS)}; got {', '.join(names)}.")


def _kind_of(meaning: dict[str, Any]) -> str:
    try:
        return RECORDED[meaning["kind"], meaning["unit"]]
    except KeyError:
        raise SampleError(f"says its values are {meaning}, which is not known here. Write it again.") from None


def is_whole(values: np.ndarray) -> bool:
    """Whether values are stored as whole numbers."""
    return values.dtype.kind in "biu"
