"""Every data set by name. Its module is imported when it is asked for, so the table itself costs nothing.

A home is "module:function" of this folder. The function takes `(root, split, **options)` and returns rows of the form
of `samples.make_rows`; its keyword-only parameters are the data set's options. One that also takes `streaming`
streams in its own way; for the others rows are streamed from the table.
"""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

# Parts that an IterableDataset of rows is cut into, so that as many workers can share it.
STREAM_PARTS = 64


@dataclass(frozen=True)
class DatasetInfo:
    """What is known of a data set before it is opened.

    Args:
        title: One line for people.
        home: "module:function" that loads it.
        targets: "depth", "label", "ordinal" (pairs of points), or "any" where the rows decide.
        splits: Names of its splits; empty where any name may be asked for.
        validation: Split that a training run measures itself on; None where there is no such split.
        names: "module:function" of `(*, root, **options) -> list[str]`, the class names in the order of the ids.
    """

    title: str
    home: str
    targets: str
    splits: tuple[str, ...] = ()
    validation: str | None = None
    names: str | None = None

    @property
    def load(self) -> Callable[..., Any]:
        return _import(self.home)

    @property
    def options(self) -> list[str]:
        """Names of the options that `load_data` takes for this data set."""
        return [name for name in _keywords(self.load) if name != "streaming"]

    def class_names(self, root: str | Path | None = None, **options) -> list[str]:
        """Class names in the order of the ids; arguments as for `load_data`. Empty for depth."""
        if self.names is None:
            return []
        function = _import(self.names)
        known = _keywords(function)
        given = {"root": root, **options}
        return list(function(**{name: value for name, value in given.items() if name in known}))


DATASETS: dict[str, DatasetInfo] = {
    "nyuv2-labeled": DatasetInfo(
        "NYU Depth v2, the official labelled .mat file, 795 / 654 images",
        "nyuv2:load_labeled",
        "depth",
        ("train", "test", "all"),
        "test",
    ),
    "nyuv2-bts": DatasetInfo(
        "NYU Depth v2, folders as BTS made them, 24,231 / 654 images",
        "nyuv2:load_bts",
        "depth",
        ("train", "test", "official-train", "all"),
        "test",
    ),
    "nyuv2-shards": DatasetInfo(
        "NYU Depth v2, tar shards of .h5 files (FastDepth's, as on the hub), 47,584 / 654 images",
        "nyuv2:load_shards",
        "depth",
        ("train", "validation"),
        "validation",
    ),
    "kitti-eigen": DatasetInfo(
        "KITTI raw with annotated depth, Eigen's split, 23,158 / 652 images",
        "kitti:load_eigen",
        "depth",
        ("train", "test", "test-161", "all"),
        "test",
    ),
    "kitti-val-selection": DatasetInfo(
        "KITTI depth, val_selection_cropped, 1,000 images",
        "kitti:load_val_selection",
        "depth",
        ("validation",),
        "validation",
    ),
    "kitti-test": DatasetInfo(
        "KITTI depth prediction, the official test images, without ground truth", "kitti:load_test", "depth", ("test",)
    ),
    "redweb": DatasetInfo(
        "ReDWeb V1, web stereo pictures, disparity", "relative_depth:load_redweb", "depth", ("train",)
    ),
    "hrwsi": DatasetInfo(
        "HR-WSI, web stereo pictures, disparity", "relative_depth:load_hrwsi", "depth", ("train", "val"), "val"
    ),
    "blendedmvs": DatasetInfo(
        "BlendedMVS, rendered depth in an unknown unit", "relative_depth:load_blendedmvs", "depth", ("train",)
    ),
    "diw": DatasetInfo("Depth in the Wild, pairs of points, 74,441 images", "diw:load", "ordinal", ("test",)),
    "eth3d": DatasetInfo(
        "ETH3D, DSLR images of the multi-view training scenes, 454 images",
        "zero_shot_depth:load_eth3d",
        "depth",
        ("all",),
        "all",
    ),
    "sintel": DatasetInfo(
        "MPI Sintel with depth, final pass, 1,064 images", "zero_shot_depth:load_sintel", "depth", ("all",), "all"
    ),
    "tum-dynamic": DatasetInfo(
        "TUM RGB-D, the frames with people of Li et al., 1,815 images",
        "zero_shot_depth:load_tum",
        "depth",
        ("test",),
        "test",
    ),
    "pascal-context": DatasetInfo(
        "Pascal Context, 59 classes, or 60 with background",
        "pascal_context:load",
        "label",
        ("train", "val"),
        "val",
        "pascal_context:class_names",
    ),
    "ade20k": DatasetInfo(
        "ADE20K SceneParse150",
        "ade20k:load",
        "label",
        ("train", "validation"),
        "validation",
        "ade20k:class_names",
    ),
    "camvid": DatasetInfo(
        "CamVid, 11 classes of street scenes",
        "camvid:load",
        "label",
        ("train", "val", "test"),
        "val",
        "camvid:class_names",
    ),
    "folder": DatasetInfo(
        "Your own images/ with depths/ or masks/, matched by stem", "folder:load", "any", names="folder:class_names"
    ),
    "manifest": DatasetInfo(
        "A CSV or Parquet table of your own files", "manifest:load", "any", names="manifest:class_names"
    ),
    "hub": DatasetInfo(
        "Any data set of the hub, by column names", "hub_columns:load", "any", names="hub_columns:class_names"
    ),
}


def load_data(
    name: str, root: str | Path, split: str = "train", *, streaming: bool = False, **options
) -> "Dataset | IterableDataset":
    """Open a data set where it lies; nothing but paths is read.

    Args:
        name: A key of `DATASETS`.
        root: Folder of the data set (for "hub" its id, for "manifest" the table).
        split: One of `DATASETS[name].splits`.
        streaming: Return an `IterableDataset`.
        options: Those of the loader, see `DATASETS[name].options` and the docstring of `DATASETS[name].load`.

    Returns:
        Rows of the form of `samples.make_rows`; `samples.read_sample` turns one into tensors.

    Raises:
        ValueError: unknown name, split, option or option value.
        DataLayoutError: a file or folder is missing; the message says which, and what was expected.
    """
    info = _known(name, options)
    if info.splits and split not in info.splits:
        raise ValueError(f"split: {name} has {', '.join(info.splits)}, got {split!r}. Name one of them.")
    load = info.load
    if streaming and "streaming" in _keywords(load):
        return load(root, split, streaming=True, **options)
    rows = load(root, split, **options)
    return rows.to_iterable_dataset(num_shards=max(1, min(STREAM_PARTS, len(rows)))) if streaming else rows


def class_names(name: str, root: str | Path | None = None, **options) -> list[str]:
    """Class names of a data set in the order of its ids; empty for depth. Options as for `load_data`.

    Your own sets may keep their names in a file inside `root`.

    Raises:
        ValueError: unknown name or option.
    """
    return _known(name, options).class_names(root, **options)


def _known(name: str, options: dict) -> DatasetInfo:
    if name not in DATASETS:
        remedy = _nearest(name, DATASETS) or "Name one of them."
        raise ValueError(f"data set: must be one of {', '.join(DATASETS)}, got {name!r}. {remedy}")
    info = DATASETS[name]
    if unknown := sorted(set(options) - set(info.options)):
        known = ", ".join(info.options) or "none"
        remedy = _nearest(unknown[0], info.options) or "Remove it."
        raise ValueError(f"{unknown[0]}: not an option of {name}, which has {known}. {remedy}")
    return info


def _nearest(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"Did you mean {close[0]!r}?" if close else ""


def _import(home: str) -> Callable[..., Any]:
    module, function = home.split(":")
    return getattr(import_module(f".{module}", __package__), function)


def _keywords(function: Callable) -> list[str]:
    parameters = inspect.signature(function).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
