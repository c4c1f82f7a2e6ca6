"""A table of your own files: CSV or Parquet, one row an image, paths relative to the table.

    image,depth,scene,fx,fy,cx,cy
    rgb/0001.jpg,depth/0001.png,kitchen,525,525,319.5,239.5

Columns: image, and depth or label (or both); also valid, depth_scale, depth_kind, label_rule, scene, frame, split, and
the camera as fx, fy, cx, cy or as one column intrinsics. Others are left alone.
"""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from datasets import Dataset

from .label_rules import LABEL_RULES
from .layout import DataLayoutError, keep_present, require_choice
from .own_data import known_depth_scale, read_class_names, read_intrinsics
from .readers import ENTRY
from .samples import IMAGE_COLUMNS, make_rows

TABLES = (".csv", ".parquet")
LAYOUT = "a .csv or .parquet file with columns image and depth or label (see docs/data.md)"
CAMERA = ("fx", "fy", "cx", "cy")
# Text even where every value looks like a number: 0001 is a name.
_TEXT = (*IMAGE_COLUMNS, "depth_kind", "label_rule", "scene", "frame", "split", "intrinsics")


def load(
    root: str | Path,
    split: str = "train",
    *,
    depth_scale: float | None = None,
    depth_kind: str = "metres",
    label_rule: str = "as-is",
    id2label: Any = None,
    intrinsics: Any = None,
    missing: str = "error",
) -> Dataset:
    """Rows of one split. Options speak where the table does not: its columns win.

    Args:
        root: The table, or a folder with a table named after the split, such as train.csv.
        split: Value of the column `split`; a table without takes "train" or "all", "all" takes every row.
        depth_scale: Stored value of one metre; needed for maps of whole numbers (1000: millimetres).
        depth_kind: "metres", "disparity" (any unit, larger is nearer) or "relative-depth" (any unit).
        label_rule: Key of LABEL_RULES: "as-is", or "zero-is-ignored" where 0 means not labelled.
        id2label: Class names, see `own_data.read_class_names`; a file beside the table by default.
        intrinsics: "fx,fy,cx,cy" or a file, see `own_data.read_intrinsics`.
        missing: "error", or "skip" to leave out rows whose files are missing.

    Raises:
        DataLayoutError: the table, one of its columns, or files are missing.
        ValueError: an option or a value is wrong, or `depth_scale` is missing.
    """
    require_choice("label_rule", label_rule, tuple(LABEL_RULES))
    path, named = _find_table(Path(root).expanduser().absolute(), split)
    read_class_names(id2label, root=path, label_rule=label_rule)
    table = _read_table(path)
    if "image" not in table.column_names or not {"depth", "label"} & set(table.column_names):
        raise DataLayoutError(f"{path}: must have columns image and depth or label, has {_names(table)}.")
    records = _of_split(table, path, "all" if named else split)
    for record in records:
        for column in IMAGE_COLUMNS:
            record[column] = _absolute(path.parent, record.get(column))
            record[f"{column}_file"] = None if record[column] is None else Path(record[column].split(ENTRY)[0])
    files = [f"{column}_file" for column in IMAGE_COLUMNS]
    records = keep_present(records, files, root=path.parent, layout=f"what {path.name} names", missing=missing)
    depths = [record["depth"] for record in records]
    scales = [record.get("depth_scale") for record in records]
    if any(depth and scale is None for depth, scale in zip(depths, scales, strict=True)):
        unsaid = (depth for depth, scale in zip(depths, scales, strict=True) if depth and scale is None)
        depth_scale = known_depth_scale(unsaid, depth_scale, depth_kind)
    camera = read_intrinsics(intrinsics, [path.parent])
    columns = {name: [record.get(name) for record in records] for name in (*IMAGE_COLUMNS, "scene", "frame")}
    return make_rows(
        columns
        | {
            "depth_scale": [_default(scale, depth_scale) for scale in scales],
            "depth_kind": [_default(record.get("depth_kind"), depth_kind) for record in records],
            "label_rule": [_default(record.get("label_rule"), label_rule) for record in records],
            "intrinsics": [_default(_camera(record), camera) for record in records],
        }
    )


def class_names(*, root: str | Path | None = None, id2label: Any = None, label_rule: str = "as-is") -> list[str]:
    """Names in the order of the labels; empty where no file and no option says them."""
    return read_class_names(id2label, root=root, label_rule=label_rule)


def _find_table(root: Path, split: str) -> tuple[Path, bool]:
    """The table, and whether its name says the split."""
    if root.is_dir():
        found = [path for suffix in TABLES if (path := root / f"{split}{suffix}").is_file()]
        if not found:
            raise DataLayoutError(f"{root}: {split}.csv or {split}.parquet not found. Name the table, {LAYOUT}.")
        return found[0], True
    if not root.is_file() or root.suffix.lower() not in TABLES:
        found = "another file" if root.exists() else "nothing"
        raise DataLayoutError(f"{root}: must be {LAYOUT}, got {found} there.")
    return root, False


def _read_table(path: Path) -> pa.Table:
    types = dict.fromkeys(_TEXT, pa.string())
    options = pa.csv.ConvertOptions(column_types=types, strings_can_be_null=True)
    try:
        if path.suffix.lower() == ".csv":
            return pa.csv.read_csv(path, convert_options=options)
        table = pa.parquet.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{path}: cannot be read ({str(error).splitlines()[0]}). Write it again.") from None
    if pictures := [field.name for field in table.schema if pa.types.is_struct(field.type)]:
        raise DataLayoutError(f"{path}: {pictures[0]} holds pictures, not paths. Open it as data set 'hub'.")
    return table


def _of_split(table: pa.Table, path: Path, split: str) -> list[dict[str, Any]]:
    records = table.to_pylist()
    for record in records:
        record |= {name: str(record[name]) for name in _TEXT[:-1] if record.get(name) is not None}
    if split == "all" or ("split" not in table.column_names and split == "train"):
        return records
    if "split" not in table.column_names:
        raise ValueError(f"split: {path} has no column split, so there is only train, got {split!r}. Add the column.")
    chosen = [record for record in records if record["split"] == split]
    if not chosen:
        known = sorted({str(record["split"]) for record in records})
        raise ValueError(f"split: must be one of {', '.join(known)}, got {split!r}. Name one of them.")
    return chosen


def _absolute(folder: Path, value: Any) -> str | None:
    return None if value in (None, "") else str(folder / str(value))


def _camera(record: dict[str, Any]) -> tuple[float, ...] | None:
    if record.get("intrinsics") is not None:
        return read_intrinsics(record["intrinsics"])
    values = [record.get(name) for name in CAMERA]
    return None if None in values else read_intrinsics(values)


def _default(value: Any, default: Any) -> Any:
    return default if value is None else value


def _names(table: pa.Table) -> str:
    return ", ".join(table.column_names) or "none"
