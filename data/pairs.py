"""Images and their maps in parallel folders, matched by name without suffix."""

import os
import warnings
from pathlib import Path
from typing import Any

from .layout import DataLayoutError, MissingFilesWarning, name_some, require_choice

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
LABEL_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".gif", ".npy", ".npz", ".mat")
DEPTH_SUFFIXES = (".png", ".tif", ".tiff", ".npy", ".npz", ".pfm", ".dpt", ".exr", ".h5", ".hdf5", ".mat")
SUFFIXES = {"image": IMAGE_SUFFIXES, "depth": DEPTH_SUFFIXES, "label": LABEL_SUFFIXES, "valid": LABEL_SUFFIXES}


def pair_by_stem(folders: dict[str, Path], *, root: Path, layout: str, missing: str = "error") -> list[dict[str, Any]]:
    """Match the files of several folders, searched with all below them, by their path without suffix.

    Args:
        folders: "image" and the other columns of a row, each with the folder of its files.
        root: Folder that messages call the data set.
        layout: One line that shows the expected files.
        missing: What to do with files that some folder has no partner for: "error", or "skip" to warn with the count.

    Returns:
        Ordered by name; each a path by column, and "stem": the common relative path without suffix.

    Raises:
        DataLayoutError: files have no partner and `missing` is "error"; nothing matches; or one name occurs twice.
        ValueError: `missing` is another word.
    """
    require_choice("missing", missing, ("error", "skip"))
    found = {column: _files(folder, SUFFIXES[column]) for column, folder in folders.items()}
    common = sorted(set.intersection(*(set(files) for files in found.values())))
    if not common:
        # Both sides by name, so that a prefix or a suffix in the stem is seen at once.
        shown = "; ".join(
            f"{_below(folder, root)}/ holds {next(iter(found[column]), None) or 'no ' + ' '.join(SUFFIXES[column])}"
            for column, folder in folders.items()
        )
        raise DataLayoutError(
            f"{root}: no two files have the same name up to the suffix: {shown}. Expected inside: {layout}."
        )
    matched = set(common)
    alone = {column: [path for stem, path in files.items() if stem not in matched] for column, files in found.items()}
    if any(alone.values()):
        counts = [
            f"{len(paths)} in {_below(folders[column], root)}/ ({name_some([path.name for path in paths])})"
            for column, paths in alone.items()
            if paths
        ]
        message = f"{root}: {len(common)} pairs, but files without a partner: {'; '.join(counts)}."
        if missing == "error":
            raise DataLayoutError(
                f"{message} Add what is missing, or pass missing='skip' (--option missing=skip) to use the "
                f"{len(common)} pairs."
            )
        warnings.warn(MissingFilesWarning(message, [path for paths in alone.values() for path in paths]), stacklevel=3)
    return [{"stem": stem} | {column: files[stem] for column, files in found.items()} for stem in common]


def _files(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """Path by relative path without suffix, in order of name."""
    files: dict[str, Path] = {}
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders.sort()
        for name in sorted(names):
            stem, suffix = os.path.splitext(name)
            if suffix.lower() not in suffixes or name.startswith("."):
                continue
            path = Path(parent, name)
            key = (path.parent.relative_to(folder) / stem).as_posix()
            if key in files:
                raise DataLayoutError(
                    f"{path}: has the same name as {files[key].name} up to the suffix, so it is not clear which one "
                    f"is meant. Keep one."
                )
            files[key] = path
    return files


def _below(folder: Path, root: Path) -> str:
    return folder.relative_to(root).as_posix() if folder.is_relative_to(root) else str(folder)
