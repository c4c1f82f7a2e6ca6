"""A result: what one model scored under one protocol, with everything that the numbers depend on.

result = build_result(protocol, rows, adapter.describe(), {"dataset": ...})
result.save("nyu_large")                        # result.json and rows.parquet
Result.load("nyu_large").metrics["abs_rel"]
"""

import json
import math
import os
import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .._version import __version__
from .aggregate import aggregate, confusion_matrix, counts, iou_per_class
from .protocol import WORDS, word
from .result_files import (
    SECTIONS,
    ResultError,
    read_rows,
    read_sections,
    result_path,
    sha256,
    storable,
    write_confusion,
    write_result,
)

__all__ = ["Result", "ResultError", "build_result", "comparable", "differences", "images_sha256"]

_LIBRARIES = ("torch", "transformers", "datasets", "numpy")
# Keys of a result's protocol that change no number; of the number of images it is only a check.
_WORDS = (*WORDS, "changes", "label", "sha256", "data.images")
# Where these differ, so does much else that need not be told.
_ROOTS = ("task", "data.dataset", "data.split")
# Rules of which a message tells the difference.
_TOLD = 4


@dataclass(frozen=True)
class Result:
    """What one model scored under one protocol.

    Attributes:
        protocol: `Protocol.to_dict()`, with its label and sha256.
        data: dataset, split, options; images_sha256 of the list of images that were used; how many are expected (None:
            any number), listed in the split, and used; classes for segmentation.
        counts: Of `aggregate.counts`.
        metrics: Of `aggregate.aggregate`.
        model: Of `Adapter.describe`.
        environment: Versions of open_dpt, Python and libraries, platform, and when the result was made.
        extra: Segmentation: iou_per_class as [name, IoU] in class order, None for a class that occurs nowhere.
        rows: One an image, a `pyarrow.Table` ordered by index; None where they were not read.
    """

    protocol: dict[str, Any]
    data: dict[str, Any]
    counts: dict[str, int]
    metrics: dict[str, float]
    model: dict[str, Any]
    environment: dict[str, Any]
    extra: dict[str, Any] = field(default_factory=dict)
    rows: Any = field(default=None, repr=False, compare=False)

    @property
    def name(self) -> str:
        """What tables call the model."""
        return str(self.model.get("name") or "model")

    @property
    def fingerprint(self) -> str:
        """16 characters of a hash over protocol, images, counts, model and environment, without the time."""
        environment = {key: value for key, value in self.environment.items() if key != "created"}
        parts = [self.protocol["sha256"], self.data["images_sha256"], self.counts, self.model, environment]
        return sha256(json.dumps(storable(parts), sort_keys=True).encode())[:16]

    def confusion(self) -> Any:
        """Segmentation: pixels of each [true class, predicted class], int64 (K, K)."""
        return confusion_matrix(self.rows, self.data["classes"])

    def save(self, folder: str | os.PathLike) -> Path:
        """Write result.json and rows.parquet into `folder`, made if missing; each is complete or not there.

        Segmentation also gets confusion.csv, for spreadsheets: a line a true class, a column a predicted one.

        Returns:
            The path of result.json.

        Raises:
            OSError: a file cannot be written; the message names it.
        """
        content = {"fingerprint": self.fingerprint} | {name: getattr(self, name) for name in SECTIONS}
        path = write_result(Path(folder), content, self.rows)
        if "classes" in self.data and self.rows is not None:
            names = [name for name, _ in self.extra["iou_per_class"]]
            write_confusion(path.parent, names, self.confusion().tolist())
        return path

    @classmethod
    def load(cls, path: str | os.PathLike, *, rows: bool = True) -> "Result":
        """Read what `save` wrote.

        Args:
            path: result.json, or its folder.
            rows: Also read the rows.

        Raises:
            ResultError: there is no such file, it is damaged or something else, or its rows are not those it names.
        """
        path = result_path(path)
        content = read_sections(path)
        return cls(**{name: content[name] for name in SECTIONS}, rows=read_rows(path, content) if rows else None)


def build_result(
    protocol: Any,
    rows: list[dict[str, Any]],
    model: Mapping[str, Any],
    data: Mapping[str, Any],
    *,
    roots: Sequence[str | os.PathLike] = (),
    class_names: Sequence[str] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Result:
    """The result of a run from its rows.

    Args:
        protocol: `Protocol` as it was used.
        rows: One an image, in any order; all have status, index and name.
        model: Of `Adapter.describe`.
        data: dataset, split, options, listed (rows of the split before any limit), and what else describes the images.
        roots: Folders of the data. Names of images become relative to them, so that no result knows where data lay.
        class_names: In class order; needed for segmentation where the protocol leaves the number of classes open.
        extra: Further JSON data to keep.

    Raises:
        ValueError: no image was scored.
    """
    rules = protocol.to_dict()
    rows = sorted(rows, key=lambda row: row["index"])
    names = _relative([str(row["name"]) for row in rows], roots)
    rows = [row | {"name": name} for row, name in zip(rows, names, strict=True)]
    classes = rules["score"].get("classes") or (len(class_names) if class_names else None)
    described = dict(data) | {"images_sha256": images_sha256(rows), "expected": rules["data"]["images"]}
    described["used"] = len(rows)
    scores, extra = aggregate(rows, rules, classes=classes), dict(extra or {})
    if rules["task"] == "segmentation" and classes:
        described["classes"] = classes
        extra["iou_per_class"] = _iou_by_name(rows, classes, class_names)
    return Result(
        protocol=rules | {"label": protocol.label, "sha256": protocol.sha256},
        data=described,
        counts=counts(rows),
        metrics=scores,
        model=dict(model),
        environment=_environment(),
        extra=extra,
        rows=_table(rows),
    )


def images_sha256(rows: Iterable[Mapping[str, Any]]) -> str:
    """Hash of a list of images: scene, frame and name of each, in order."""
    lines = ("\t".join(str(row.get(key) or "") for key in ("scene", "frame", "name")) for row in rows)
    return sha256("\n".join(lines).encode())


def comparable(results: Sequence[Result], names: Sequence[str] | None = None) -> None:
    """Do nothing if the results may stand in one table.

    Args:
        results: At least one.
        names: What to call each in the message; its model's name by default.

    Raises:
        ResultError: protocols or lists of images differ; the message says in what.
    """
    names = names or [result.name for result in results]
    for result, name in zip(results[1:], names[1:], strict=True):
        if found := differences(results[0], result):
            raise ResultError(
                f"{name}: must be measured as {names[0]} was, got {'; '.join(found)}. "
                "Evaluate both in one way, or add --allow-different for a table that is marked."
            )


def differences(first: Result, second: Result) -> list[str]:
    """What keeps the second result from being compared with the first, in words; empty if nothing does."""
    found = []
    if first.protocol["sha256"] != second.protocol["sha256"]:
        before, after = (dict(_rules(result.protocol)) for result in (first, second))
        keys = sorted(key for key in {**before, **after} if before.get(key) != after.get(key))
        keys = [key for key in _ROOTS if key in keys] or keys
        told = [f"{key} {word(after.get(key))} instead of {word(before.get(key))}" for key in keys[:_TOLD]]
        rest = ", ..." if len(keys) > _TOLD else ""
        found.append(f"the protocol {second.protocol['label']} ({', '.join(told)}{rest})")
    if first.data["images_sha256"] != second.data["images_sha256"]:
        used = [result.data.get("used") for result in (first, second)]
        found.append(f"{used[1]} images instead of {used[0]}" if used[0] != used[1] else "other images")
    return found


def _iou_by_name(rows: list[dict], classes: int, names: Sequence[str] | None) -> list[list]:
    names = names if names and len(names) == classes else range(classes)
    iou = iou_per_class(confusion_matrix(rows, classes)).tolist()
    # Pairs, no dict: two classes may share a name.
    return [[str(name), None if math.isnan(value) else value] for name, value in zip(names, iou, strict=True)]


def _environment() -> dict[str, str]:
    found = {"open_dpt": __version__, "python": platform.python_version(), "platform": platform.platform()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found | {"created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


def _relative(names: list[str], roots: Sequence[str | os.PathLike]) -> list[str]:
    paths = [Path(root).expanduser() for root in roots]
    starts = {
        f"{place.as_posix().rstrip('/')}/" for path in paths for place in (path, path.absolute(), path.resolve())
    }
    longest_first = sorted(starts - {"./"}, key=len, reverse=True)
    names = [next((name[len(start) :] for start in longest_first if name.startswith(start)), name) for name in names]
    # Still absolute: the files of an option that lie elsewhere. Relative to what those have in common.
    outside = [os.path.dirname(name) for name in names if os.path.isabs(name)]
    common = os.path.commonpath(outside) if outside else ""
    return [os.path.relpath(name, common) if os.path.isabs(name) else name for name in names]


def _table(rows: list[dict[str, Any]]) -> Any:
    import pyarrow as pa

    # By column: `Table.from_pylist` takes the keys of the first row for all there are.
    keys = dict.fromkeys(key for row in rows for key in row)
    return pa.table({key: pa.array([row.get(key) for row in rows]) for key in keys})


def _rules(values: Mapping[str, Any], above: str = ""):
    """Dotted key and value of all that changes numbers."""
    for key, value in values.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping) and name not in _WORDS:
            yield from _rules(value, f"{name}.")
        elif name not in _WORDS:
            yield name, value
