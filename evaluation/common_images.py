"""Which images several results have in common."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from .result_files import ResultError
from .results import Result


def common_rows(results: Sequence[Result], names: Sequence[str]) -> tuple[list[list[dict]], dict[str, str]]:
    """Rows of the images that all results have scored, in one order; and the other images with what is wrong.

    Raises:
        ResultError: there is no image that all have scored.
    """
    tables = [_by_image(result.rows) for result in results]
    if len({result.data["images_sha256"] for result in results}) > 1:
        shared = next((key for table in tables for key in table if key[-1] > 1), None)
        if shared:
            raise ResultError(
                f"{shared[-2]}: is the name of several images, so other lists cannot be matched with it."
            )
    everywhere = dict.fromkeys(key for table in tables for key in table)
    left_out: dict[str, str] = {}
    for key in everywhere:
        for name, table in zip(names, tables, strict=True):
            status = table[key]["status"] if key in table else "missing"
            if status != "scored":
                left_out[_spoken(key)] = f"{status} in {name}"
                break
    kept = [key for key in everywhere if all(key in table and table[key]["status"] == "scored" for table in tables)]
    if not kept:
        raise ResultError(f"{', '.join(names)}: need images that all have scored, got none. Evaluate the same images.")
    return [[table[key] for key in kept] for table in tables], left_out


def groups_of(rows: list[dict], by: str) -> tuple[np.ndarray, int]:
    """Which unit each image belongs to (N,), and how many units there are.

    Raises:
        ResultError: an image has no scene.
    """
    if by == "image":
        return np.arange(len(rows)), len(rows)
    scenes = [row.get("scene") for row in rows]
    if None in scenes:
        raise ResultError(f"{rows[scenes.index(None)]['name']}: has no scene to draw by. Compare by image.")
    _, groups = np.unique(scenes, return_inverse=True)
    return groups, int(groups.max()) + 1


def _by_image(rows: Any) -> dict[tuple, dict]:
    """Rows by scene, frame and name; images that share them (those in a table have no files) by their order, too."""
    found, seen = {}, Counter()
    for row in rows.to_pylist():
        key = (row.get("scene"), row.get("frame"), row["name"])
        seen[key] += 1
        found[(*key, seen[key])] = row
    return found


def _spoken(key: tuple) -> str:
    *_, name, number = key
    return name if number == 1 else f"{name} ({number})"
