"""Rows of a run as they are finished: one JSON line each, so that a stopped run loses nothing.

Each process appends to a file of its own, rows-RANK.jsonl, whose first line holds what the rows depend on. A later run
reads all of them, whatever the number of processes was. After a crash at most the last line is torn, and that image is
done again.
"""

import json
from pathlib import Path
from typing import Any

NAME = "rows-{}.jsonl"

# Values up to this length are shown when a run does not fit an earlier one; hashes are longer.
LONGEST_TOLD = 64


def read_rows(folder: Path | None, settings: dict[str, Any], *, overwrite: bool = False) -> dict[int, dict[str, Any]]:
    """Rows that earlier runs have finished, by index; unreadable images are left out, they get another chance.

    Files in which nothing was scored are removed.

    Args:
        folder: None, or one that is not there, holds no rows.
        settings: What rows depend on, flat JSON data.
        overwrite: Remove what is there.

    Raises:
        ValueError: the folder holds rows of other settings; the message says in what they differ.
        OSError: a file cannot be read or removed.
    """
    done = {}
    for path in sorted(folder.glob(NAME.format("[0-9]*"))) if folder else ():
        head, *rows = _lines(path) or [{"settings": None}]
        if "settings" not in head and not overwrite:
            raise ValueError(f"{path}: is no file of this command. Choose another --output.")
        # What a first mistake leaves behind must not be in the way of the mended command.
        if overwrite or not any(row["status"] == "scored" for row in rows):
            path.unlink()
            continue
        _check(path.parent, head["settings"], json.loads(json.dumps(settings)))
        done |= {row["index"]: row for row in rows if row["status"] != "unreadable"}
    return done


class RowWriter:
    """Adds rows to the file of one process. A context manager.

    Args:
        folder: Made if missing. None: rows are not kept.
        settings: As in `read_rows`, which must have found nothing else there.
        rank: Of the process.

    Raises:
        OSError: the file cannot be written.
    """

    def __init__(self, folder: Path | None, settings: dict[str, Any], rank: int):
        self._stream = None
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / NAME.format(rank)
        text = path.read_bytes() if path.is_file() else b""
        # What a crash tore off stays behind as a line of its own; without a first line nothing after it counts.
        started = bool(text) and bool(_lines(path))
        self._stream = path.open("a" if started else "w", encoding="utf-8")
        if not started:
            self.add({"settings": settings})
        elif not text.endswith(b"\n"):
            self._stream.write("\n")

    def add(self, row: dict[str, Any]) -> None:
        """The row has left this process when this returns."""
        if self._stream:
            self._stream.write(json.dumps(row) + "\n")
            self._stream.flush()

    def __enter__(self) -> "RowWriter":
        return self

    def __exit__(self, *error: Any) -> None:
        if self._stream:
            self._stream.close()


def _check(folder: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    if changed := sorted(key for key in {**old, **new} if old.get(key) != new.get(key)):
        values = [(key, *(json.dumps(one.get(key)) for one in (old, new))) for key in changed]
        told = [f"{key} {then}, now {now}" for key, then, now in values if max(len(then), len(now)) < LONGEST_TOLD]
        raise ValueError(
            f"{folder}: holds rows made with another {', '.join(changed)}{f' ({told[0]})' if told else ''}. "
            "Choose another --output, or replace them with --overwrite."
        )


def _lines(path: Path) -> list[dict[str, Any]]:
    """Whole lines; torn ones are left out. Empty if the first one is torn."""
    values = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines()):
        try:
            values.append(json.loads(line))
        except json.JSONDecodeError:
            if not number:
                return []
    return values
