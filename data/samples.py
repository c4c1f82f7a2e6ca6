"""The one form of every data set's rows, and the step from a row to tensors.

A row is self-contained: paths are absolute, scale and meaning ride along. Rows of different sets can be concatenated
(after `raw_rows`), shuffled and filtered with the means of `datasets`.

| column | holds |
|---|---|
| image, depth, label, valid | `datasets.Image` with a path or locator (see `readers`), never pixels; or None |
| depth_scale | stored value / depth_scale = unit |
| depth_kind | a key of `DEPTH_KINDS` |
| label_rule | a key of `label_rules.LABEL_RULES` |
| depth_own_size | True: depth, and valid, may have another size than the image |
| ordinal | pairs of points, each [row a, column a, row b, column b, 1 where a is farther or -1]; pixels from 0 |
| intrinsics | 3 x 3 camera matrix, row by row, in pixels; origin: centre of the top left pixel |
| scene, frame | what groups and orders images |
"""

import hashlib
import os
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import torch
from datasets import Dataset, DatasetInfo, Features, Image, IterableDataset, List, Value
from datasets.table import InMemoryTable
from torch import Tensor

from ..processing.geometry import IGNORE_LABEL
from ..processing.writers import atomic_write
from .readers import SampleError, StoredMap, is_picture, read_image, read_map, source_name

# Bytes from which on a table of rows is memory-mapped.
SMALLEST_MAPPED = 2**20

IMAGE_COLUMNS = ("image", "depth", "label", "valid")

DEPTH_KINDS = {
    "metres": "depth in metres; 0, negative and not finite: missing",
    "disparity": "disparity in any unit; missing as for metres, but with a `valid` map 0 counts as far away",
    "relative-depth": "depth in an unknown unit: read as disparity, 1 / depth, so that nobody takes it for metres",
}

ROW_FEATURES = Features(
    {
        **{name: Image(decode=False) for name in IMAGE_COLUMNS},
        "depth_scale": Value("float64"),
        "depth_kind": Value("string"),
        "depth_own_size": Value("bool"),
        "ordinal": List(List(Value("int32"))),
        "label_rule": Value("string"),
        "intrinsics": List(Value("float64")),
        "scene": Value("string"),
        "frame": Value("string"),
    }
)


def make_rows(columns: dict[str, Any]) -> Dataset:
    """A data set of rows from columns.

    Args:
        columns: By names of `ROW_FEATURES`; at least `image`, a list. A list is a column, anything else (a tuple of 9
            for `intrinsics`) is repeated; columns that are not given are None. Image columns hold paths, locators,
            `{"path", "bytes"}` or None.

    Returns:
        Rows with the features of `ROW_FEATURES`; image columns that hold ordinary pictures decode to PIL images.

    Raises:
        ValueError: unknown column, or columns of different lengths.
    """
    if unknown := sorted(set(columns) - set(ROW_FEATURES)):
        raise ValueError(f"columns: must be among {', '.join(ROW_FEATURES)}, got {unknown[0]}.")
    count = len(columns["image"])
    filled = {}
    for name in ROW_FEATURES:
        value = columns.get(name)
        filled[name] = value if isinstance(value, list) else [value] * count
    if wrong := {name: len(values) for name, values in filled.items() if len(values) != count}:
        raise ValueError(f"columns: must have {count} rows as image has, got {wrong}.")
    features = ROW_FEATURES.copy()
    for name in IMAGE_COLUMNS:
        filled[name] = sources = [_stored_source(value) for value in filled[name]]
        features[name] = Image(decode=all(is_picture(source["path"] or "") for source in sources if source))
    return _mapped(pa.table(filled, features.arrow_schema), features)


def columns_of(records: list[dict[str, Any]]) -> dict[str, list]:
    """Columns for `make_rows` from records that all have the keys of the first; other keys are left out."""
    return {key: [record[key] for record in records] for key in records[0] if key in ROW_FEATURES}


def raw_rows(rows: "Dataset | IterableDataset") -> "Dataset | IterableDataset":
    """The same rows with every image column as `{"path", "bytes"}`: same features for all sets, nothing decoded."""
    for name in IMAGE_COLUMNS:
        if name in (rows.features or {}):
            rows = rows.cast_column(name, Image(decode=False))
    return rows


def spread(count: int, limit: int | None) -> list[int]:
    """Positions of at most `limit` of `count` rows, evenly over all; of all without a limit."""
    chosen = min(limit or count, count)
    return [place * count // chosen for place in range(chosen)]


def read_sample(row: dict[str, Any], *, resize_maps: bool = False) -> dict[str, Any]:
    """Read what a row points to.

    Args:
        row: Of `make_rows`, decoded or raw; missing columns count as None.
        resize_maps: Bring maps of another size to the image's (nearest) instead of refusing them.

    Returns:
        image uint8 (3, H, W) RGB; where the row has them: depth float32 (H, W) in metres, 0 = missing, or disparity
        float32 (H, W), any unit; valid bool (H, W), True where depth or disparity is usable; label int64 (H, W),
        255 = ignored; ordinal int64 (P, 5) as in the row; intrinsics float64 (3, 3). Always: name (the image's path),
        scene, frame (strings or None). Depth and valid of a row with `depth_own_size` keep the size that they have.

    Raises:
        SampleError: a file is missing, unreadable or of another size, or a point lies outside its image; the message
            is one line and names the file.
        ImportError: the file's format needs a package that is not installed.
    """
    image = read_image(row["image"])
    size = tuple(image.shape[-2:])
    sample = {"image": image, "name": source_name(row["image"]), "scene": row.get("scene"), "frame": row.get("frame")}
    marked = stored = None
    if row.get("depth") is not None:
        keep = row.get("depth_own_size") and not resize_maps
        stored = read_map(row["depth"]) if keep else _read_fitting(row["depth"], size, resize_maps)
    if row.get("valid") is not None:
        fitting = size if stored is None else stored.values.shape
        marked = torch.from_numpy(_read_fitting(row["valid"], fitting, resize_maps).values != 0)
    if stored is not None:
        sample |= _depth(row, stored, marked)
    if row.get("ordinal") is not None:
        sample["ordinal"] = _ordinal(row, size)
    if row.get("label") is not None:
        sample["label"] = _label(row, size, resize_maps)
        if marked is not None:
            sample["label"][~marked] = IGNORE_LABEL
    if row.get("intrinsics") is not None:
        sample["intrinsics"] = torch.tensor(row["intrinsics"], dtype=torch.float64).reshape(3, 3)
    return sample


def _depth(row: dict, stored: StoredMap, marked: Tensor | None) -> dict[str, Tensor]:
    kind = row.get("depth_kind") or "metres"
    if kind not in DEPTH_KINDS:
        known = ", ".join(DEPTH_KINDS)
        raise SampleError(f"{source_name(row['depth'])}: depth_kind must be one of {known}, got {kind}.")
    values = torch.from_numpy(np.array(stored.values, dtype=np.float32))
    if not stored.in_units:
        values = values / (row.get("depth_scale") or 1.0)
    far_is_zero = kind == "disparity" and (marked is not None or stored.valid is not None)
    valid = values.isfinite() & ((values >= 0) if far_is_zero else (values > 0))
    if stored.valid is not None:
        valid &= torch.from_numpy(np.array(stored.valid, dtype=bool))
    if marked is not None:
        valid &= marked
    if kind == "relative-depth":
        values = torch.where(valid, 1 / values, 0.0)
    values = torch.where(valid, values, 0.0)
    return {"depth" if kind == "metres" else "disparity": values, "valid": valid}


def _ordinal(row: dict, size: tuple[int, int]) -> Tensor:
    pairs = torch.tensor(row["ordinal"], dtype=torch.int64).reshape(-1, 5)
    for point in (pairs[:, :2], pairs[:, 2:4]):
        outside = ((point < 0) | (point >= torch.tensor(size))).any(1)
        if outside.any():
            (y, x), (height, width) = point[outside][0].tolist(), size
            raise SampleError(
                f"{source_name(row['image'])}: a point of its pairs lies at row {y}, column {x}, outside the image of "
                f"{height} x {width}. Use the images in their original size."
            )
    return pairs


def _label(row: dict, size: tuple[int, int], resize_maps: bool) -> Tensor:
    from .label_rules import apply_label_rule

    values = _read_fitting(row["label"], size, resize_maps).values
    if values.dtype.kind == "f" and not (values == np.rint(values)).all():
        raise SampleError(f"{source_name(row['label'])}: class ids must be whole numbers, got {values.dtype}.")
    return apply_label_rule(row.get("label_rule") or "as-is", torch.from_numpy(values.astype(np.int64)))


def _read_fitting(source: Any, size: tuple[int, int], resize: bool) -> StoredMap:
    stored = read_map(source)
    if stored.values.shape == size:
        return stored
    if not resize:
        (height, width), (rows, columns) = stored.values.shape, size
        raise SampleError(
            f"{source_name(source)}: must be {rows} x {columns} as its image is, got {height} x {width}. "
            f"Pair it with its own image, or resize the maps."
        )
    # The pixel under the centre of each new one.
    nearest = ((np.arange(new) * 2 + 1) * old // (2 * new) for old, new in zip(stored.values.shape, size, strict=True))
    index = np.ix_(*nearest)
    valid = None if stored.valid is None else stored.valid[index]
    return StoredMap(stored.values[index], valid, stored.in_units)


def _mapped(table: pa.Table, features: Features) -> Dataset:
    """Large tables are memory-mapped, so that processes share them, from a file in the cache of `datasets`.

    The file is named after what it holds: it is never out of date, and used again by the next run.
    """
    info = DatasetInfo(features=features)
    if table.nbytes < SMALLEST_MAPPED:
        return Dataset(InMemoryTable(table), info)
    data = pa.BufferOutputStream()
    with pa.ipc.new_stream(data, table.schema) as stream:
        stream.write_table(table)
    content = data.getvalue()
    path = Path(datasets.config.HF_DATASETS_CACHE) / "open_dpt" / f"{hashlib.sha256(content).hexdigest()[:32]}.arrow"
    try:
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as file:
                file.write(content)
        return Dataset.from_file(str(path), info=info)
    except OSError:  # no home, no space, read-only: memory will do
        return Dataset(InMemoryTable(table), info)


def _stored_source(value: Any) -> dict[str, Any] | None:
    if value is None or isinstance(value, dict):
        return value
    return {"path": os.fspath(value), "bytes": None}
