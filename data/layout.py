"""What a data set's folder must hold, and messages of one line that say what is missing and what was expected."""

import os
import warnings
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

# More names than this make a message unreadable.
NAMES_IN_MESSAGE = 3

# Remedy where a data set has a split "all" and nothing of a list is there.
TAKE_ALL = "Split 'all' takes whatever lies there."


class DataLayoutError(FileNotFoundError):
    """A data set's file or folder is missing. The message names it and the layout that was expected."""


class MissingFilesWarning(UserWarning):
    """Files were left out of a data set because they, or their partners, are missing.

    Args:
        message: One line with counts and the first names.
        files: All of them.
    """

    def __init__(self, message: str, files: Sequence[Path]) -> None:
        super().__init__(message)
        self.files = list(files)


def open_root(root: str | Path, layout: str) -> Path:
    """The folder of a data set as an absolute path, so that rows stay right when the working folder changes.

    Args:
        root: What the user passed.
        layout: One line that shows the expected files, such as "sync/<scene>/rgb_*.jpg".

    Raises:
        DataLayoutError: there is no such folder.
    """
    path = Path(os.path.abspath(Path(root).expanduser()))
    if not path.is_dir():
        found = "a file" if path.exists() else "nothing"
        raise DataLayoutError(f"{path}: must be the data set's folder, got {found} there. Expected inside: {layout}.")
    return path


def require(root: Path, names: Iterable[str], layout: str) -> None:
    """Check that every name (a file or folder relative to `root`, `*` allowed) exists.

    Raises:
        DataLayoutError: some do not; all of them are named.
    """
    absent = [name for name in names if next(root.glob(name), None) is None]
    if absent:
        raise DataLayoutError(f"{root}: {', '.join(absent)} not found. Expected inside: {layout}.")


def keep_present(
    records: Sequence[dict[str, Any]], keys: Sequence[str], *, root: Path, layout: str, missing: str, remedy: str = ""
) -> list[dict[str, Any]]:
    """Records whose files all exist.

    Args:
        records: Each holds a `Path` (or None: nothing to check) under each of `keys`.
        missing: "error" to raise when a file is missing, "skip" to leave its record out and warn with the count.
        remedy: What to do when no record is complete.

    Raises:
        DataLayoutError: files are missing and `missing` is "error", or no record is complete.
        ValueError: `missing` is another word.
    """
    require_choice("missing", missing, ("error", "skip"))
    listing = cache(_names_in)  # one listing a folder is far quicker than one question a file
    absent = [
        [path for key in keys if (path := record.get(key)) is not None and path.name not in listing(path.parent)]
        for record in records
    ]
    complete = [record for record, files in zip(records, absent, strict=True) if not files]
    if len(complete) == len(records) and records:
        return complete
    files = [path for paths in absent for path in paths]
    found = f"{len(files)} files are missing: {name_some(files, root)}" if files else "no images found"
    message = f"{root}: {found}."
    if missing == "error" or not complete:
        remedy = "Pass missing='skip' (--option missing=skip) to use the rest." if complete else remedy
        raise DataLayoutError(f"{message} Expected inside: {layout}. {remedy}".rstrip())
    message = f"{message} {len(records) - len(complete)} of {len(records)} rows are left out."
    warnings.warn(MissingFilesWarning(message, files), stacklevel=3)
    return complete


def require_choice(name: str, value: Any, known: Sequence[Any]) -> None:
    """Check an option.

    Raises:
        ValueError: `value` is not in `known`.
    """
    if value not in known:
        raise ValueError(f"{name}: must be one of {', '.join(map(str, known))}, got {value!r}.")


def name_some(names: Sequence[str | Path], root: Path | None = None) -> str:
    """The first names, and how many more there are; paths inside `root` without it."""
    first = [
        str(name.relative_to(root)) if isinstance(name, Path) and root and name.is_relative_to(root) else str(name)
        for name in names[:NAMES_IN_MESSAGE]
    ]
    more = len(names) - len(first)
    return ", ".join(first) + (f" and {more} more" if more > 0 else "")


def _names_in(folder: Path) -> frozenset[str]:
    try:
        return frozenset(path.name for path in folder.iterdir())
    except OSError:  # absent, no folder, or not ours to read: nothing in it can be used
        return frozenset()
