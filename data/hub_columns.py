"""Any data set of the hub, or one saved on disk, by the names of its columns."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import (
    Dataset,
    DatasetDict,
    Features,
    Image,
    IterableDataset,
    Value,
    concatenate_datasets,
    load_dataset,
    load_from_disk,
)

from .label_rules import LABEL_RULES
from .layout import require_choice
from .own_data import known_depth_scale, read_class_names, read_intrinsics
from .readers import is_picture
from .samples import IMAGE_COLUMNS, ROW_FEATURES

# Names that are looked for where no option says which column it is.
USUAL = {
    "image": ("image", "rgb", "pixel_values", "img"),
    "depth": ("depth", "depth_map", "depths"),
    "label": ("label", "annotation", "mask", "semantic", "segmentation", "labels", "semantic_segmentation"),
    "valid": ("valid", "valid_mask"),
    "scene": ("scene",),
    "frame": ("frame",),
}


def load(
    root: str | Path,
    split: str = "train",
    *,
    streaming: bool = False,
    subset: str | None = None,
    revision: str | None = None,
    image_column: str | None = None,
    depth_column: str | None = None,
    label_column: str | None = None,
    valid_column: str | None = None,
    depth_scale: float | None = None,
    depth_kind: str = "metres",
    label_rule: str = "as-is",
    id2label: Any = None,
    intrinsics: Any = None,
) -> Dataset | IterableDataset:
    """Rows of one split. Pictures stay where `datasets` keeps them; arrays are packed as .npy.

    Args:
        root: Id on the hub, a folder of Parquet files, one such file, or a folder of `Dataset.save_to_disk`.
        split: As the data set calls it.
        streaming: Read over the network while training instead of fetching first.
        subset: Name of the configuration, where there are several.
        revision: Branch, tag or commit on the hub.
        image_column, depth_column, label_column, valid_column: Names of the columns; the usual ones by default, see
            USUAL. They hold pictures, paths, or arrays.
        depth_scale: Stored value of one metre; needed for maps of whole numbers (1000: millimetres).
        depth_kind: "metres", "disparity" (any unit, larger is nearer) or "relative-depth" (any unit).
        label_rule: Key of LABEL_RULES: "as-is", or "zero-is-ignored" where 0 means not labelled.
        id2label: Class names, see `own_data.read_class_names`.
        intrinsics: "fx,fy,cx,cy" or a file, see `own_data.read_intrinsics`.

    Raises:
        ValueError: no such data set, split, column or option value, or `depth_scale` is missing.
    """
    require_choice("label_rule", label_rule, tuple(LABEL_RULES))
    data = _open(str(root), split, subset, revision, streaming)
    given = {"image": image_column, "depth": depth_column, "label": label_column, "valid": valid_column}
    names = _columns(data, given, str(root))
    data = data.select_columns(list(names.values()))
    data = data.rename_columns({name: column for column, name in names.items() if name != column})
    data = _as_sources(data)
    camera = read_intrinsics(intrinsics)
    if "depth" in names:
        first = (row["depth"] for row in data.cast_column("depth", Image(decode=False)).take(10))
        named = (source | {"path": source["path"] or f"column {names['depth']}"} for source in first if source)
        depth_scale = known_depth_scale(named, depth_scale, depth_kind)
    constants = {
        "depth_scale": depth_scale if "depth" in names else None,
        "depth_kind": depth_kind if "depth" in names else None,
        "label_rule": label_rule if "label" in names else None,
        "intrinsics": None if camera is None else list(camera),
    }
    return _with_constants(data, {name: None for name in ROW_FEATURES if name not in names} | constants)


def class_names(*, root: str | Path | None = None, id2label: Any = None, label_rule: str = "as-is") -> list[str]:
    """Names in the order of the labels; empty where no option says them."""
    local = root if root is not None and Path(root).exists() else None
    return read_class_names(id2label, root=local, label_rule=label_rule)


def _open(root: str, split: str, subset: str | None, revision: str | None, streaming: bool):
    path = Path(root).expanduser()
    try:
        if (path / "dataset_info.json").is_file() or (path / "dataset_dict.json").is_file():
            saved = load_from_disk(str(path))
            if isinstance(saved, DatasetDict):
                if split not in saved:
                    raise ValueError(f"split must be one of {', '.join(saved)}, got {split!r}")
                saved = saved[split]
            return saved.to_iterable_dataset() if streaming else saved
        if path.suffix == ".parquet" and path.is_file():
            return load_dataset("parquet", data_files={split: str(path)}, split=split, streaming=streaming)
        where = str(path) if path.is_dir() else root
        return load_dataset(where, subset, split=split, revision=revision, streaming=streaming)
    except Exception as error:  # the hub's client, file systems and builders raise all sorts of things
        text = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"{root}: cannot be opened as a data set ({text.rstrip('.')}). Check the id or folder, "
            f"the split and the subset."
        ) from None


def _columns(data, given: dict[str, str | None], root: str) -> dict[str, str]:
    """Column of a row -> column of the data."""
    if data.features is None:
        raise ValueError(f"streaming: {root} does not say which columns it has, so it cannot be streamed. Load it.")
    present = list(data.features)
    found = {}
    for column, usual in USUAL.items():
        name = given.get(column) or next((name for name in usual if name in present), None)
        if name is not None and name not in present:
            raise ValueError(f"{column}_column: must be one of {', '.join(present)} in {root}, got {name!r}.")
        if name is not None:
            found[column] = name
    if "image" not in found or not {"depth", "label"} & set(found):
        wanted = "image_column" if "image" not in found else "depth_column or label_column"
        raise ValueError(f"{wanted}: none of the usual names is in {root}, which has {', '.join(present)}. Name it.")
    return found


def _as_sources(data):
    """Every image column as `datasets.Image`: pictures and paths as they are, arrays packed as .npy."""
    for column in set(IMAGE_COLUMNS) & set(data.features):
        feature = data.features[column]
        if isinstance(feature, Image):
            continue
        if isinstance(feature, Value):
            data = data.cast_column(column, Image(decode=is_picture(str(next(iter(data))[column]))))
        else:
            packed = Features({**data.features, column: Image(decode=False)})
            data = data.map(_pack, fn_kwargs={"column": column}, features=packed)
    for column in {"scene", "frame"} & set(data.features):
        data = data.cast_column(column, Value("string"))
    return data


def _pack(row: dict[str, Any], column: str) -> dict[str, Any]:
    values = np.asarray(row[column])
    buffer = io.BytesIO()
    np.save(buffer, values.astype(np.float32) if values.dtype.kind == "f" else values)
    return {column: {"path": f"{column}.npy", "bytes": buffer.getvalue()}}


def _with_constants(data, constants: dict[str, Any]):
    """The columns of a row that are the same for all, without a copy of the others."""
    features = Features({name: data.features.get(name, feature) for name, feature in ROW_FEATURES.items()})
    if isinstance(data, IterableDataset):
        return data.map(lambda row: {name: row.get(name, constants.get(name)) for name in features}, features=features)
    schema = Features({name: features[name] for name in constants})
    table = pa.table({name: [value] * len(data) for name, value in constants.items()}, schema.arrow_schema)
    return concatenate_datasets([data, Dataset(table)], axis=1).select_columns(list(features))
