"""The files of a result: result.json and rows.parquet. `results` says what they mean."""

import csv
import hashlib
import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..processing.writers import atomic_write

FORMAT, FORMAT_VERSION = "open-dpt-result", 1
RESULT_FILE, ROWS_FILE, CONFUSION_FILE = "result.json", "rows.parquet", "confusion.csv"
SECTIONS = ("protocol", "data", "counts", "metrics", "model", "environment", "extra")

# What everything else relies on.
_NEEDED = (("protocol", ("label", "sha256", "task", "score")), ("data", ("images_sha256",)))


class ResultError(ValueError):
    """A result cannot be read, or not be compared. The message is one line and names the file."""


def write_result(folder: Path, content: dict[str, Any], rows: Any) -> Path:
    """Write both files, each complete or not at all; `rows` (a `pyarrow.Table` or None) first, the JSON names them."""
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    content = {"format": FORMAT, "format_version": FORMAT_VERSION} | content
    if rows is not None:
        data = io.BytesIO()
        pq.write_table(rows, data, compression="zstd")
        with atomic_write(folder / ROWS_FILE) as file:
            file.write(data.getbuffer())
        content["rows"] = {"file": ROWS_FILE, "images": rows.num_rows, "sha256": sha256(data.getvalue())}
    with atomic_write(folder / RESULT_FILE) as file:
        file.write(json.dumps(storable(content), indent=1, allow_nan=False).encode() + b"\n")
    return folder / RESULT_FILE


def write_confusion(folder: Path, names: list[str], matrix: list[list[int]]) -> None:
    """Pixels of each [true class][predicted class] as CSV, with a line and a column of names."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["true \\ predicted", *names])
    lines.writerows([name, *row] for name, row in zip(names, matrix, strict=True))
    with atomic_write(folder / CONFUSION_FILE) as file:
        file.write(text.getvalue().encode())


def result_path(path: str | Path) -> Path:
    """result.json itself where `path` is its folder."""
    path = Path(path)
    return path / RESULT_FILE if path.is_dir() else path


def read_sections(path: Path) -> dict[str, Any]:
    """The JSON of a result.

    Raises:
        ResultError: it cannot be read, or is something else.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise ResultError(f"{path}: {(error.strerror or str(error)).lower()}. Check the path.") from None
    except (ValueError, RecursionError):
        raise ResultError(f"{path}: is damaged, not JSON. Evaluate again, or copy it again.") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ResultError(f"{path}: is no result of `open-dpt evaluate`. Name a {RESULT_FILE} or its folder.")
    if content.get("format_version") != FORMAT_VERSION:
        raise ResultError(
            f"{path}: format_version must be {FORMAT_VERSION}, got {content.get('format_version')!r}. "
            "Read it with the open_dpt that wrote it."
        )
    missing = [name for name in SECTIONS if not isinstance(content.get(name), dict)]
    missing += [f"{name}.{key}" for name, keys in _NEEDED if not missing for key in keys if key not in content[name]]
    if missing:
        raise ResultError(f"{path}: is damaged, it has no {missing[0]}. Evaluate again, or copy it again.")
    if not isinstance(content["protocol"]["score"], dict):
        raise ResultError(f"{path}: is damaged, protocol.score is no mapping. Evaluate again, or copy it again.")
    content["metrics"] = {name: _number(path, name, value) for name, value in content["metrics"].items()}
    return content


def _number(path: Path, name: str, value: Any) -> float:
    """As `storable` has written it."""
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ResultError(f"{path}: is damaged, metrics.{name} is no number: {value!r}. Evaluate again.") from None


def read_rows(path: Path, content: dict[str, Any]) -> Any:
    """The `pyarrow.Table` of rows that the JSON at `path` names.

    Raises:
        ResultError: it is not there, damaged, or that of another result.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    described = content.get("rows")
    if not isinstance(described, dict):
        raise ResultError(f"{path}: names no rows of single images, which this needs. Evaluate again.")
    place = path.parent / Path(str(described.get("file"))).name
    try:
        data = place.read_bytes()
    except OSError:
        raise ResultError(f"{place}: cannot be read, {path.name} needs it. Copy the result's whole folder.") from None
    if sha256(data) != described.get("sha256"):
        raise ResultError(f"{place}: is damaged, or of another result than {path}. Copy the result's whole folder.")
    try:
        # Without threads: a program that ends while they are being started is aborted, and the file is small.
        return pq.read_table(io.BytesIO(data), use_threads=False, pre_buffer=False)
    except pa.ArrowException:
        raise ResultError(f"{place}: is no Parquet file that can be read. Evaluate again.") from None


def storable(value: Any) -> Any:
    """JSON data. Numbers that JSON does not have become the words "nan", "inf" and "-inf"; `float` takes them back."""
    if isinstance(value, Mapping):
        return {str(key): storable(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [storable(one) for one in value]
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
