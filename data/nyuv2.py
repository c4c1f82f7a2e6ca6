"""NYU Depth v2 in its three public forms. Depth in metres, images 480 x 640.

Camera intrinsics are None: the lists state a focal length of 518.8579 pixels, but no source that was read states the
principal point of these images.

Sources: the data set's own readme; BTS (cleinc/bts) for folders and lists; the card of sayakpaul/nyu_depth_v2.
"""

import re
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from .layout import (
    TAKE_ALL,
    DataLayoutError,
    MissingFilesWarning,
    keep_present,
    name_some,
    open_root,
    require,
    require_choice,
)
from .readers import ENTRY, SampleError, open_h5, read_map, tar_members
from .samples import ROW_FEATURES, columns_of, make_rows
from .split_lists import read_split_list

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

LABELED_FILE = "nyu_depth_v2_labeled.mat"
LABELED_LAYOUT = f"{LABELED_FILE}, splits.mat (optional)"
# What the .mat file calls the two versions of depth.
DEPTH_ARRAYS = {"raw": "rawDepths", "filled": "depths"}
# Number of images of the whole file: only then do shipped indices fit.
LABELED_IMAGES = 1449

BTS_LAYOUT = (
    "sync/<scene>/rgb_00000.jpg and sync_depth_00000.png (training), "
    "official_splits/test/<scene type>/rgb_00000.jpg and sync_depth_00000.png (test)"
)
BTS_DEPTH_SCALE = 1000.0

# Split -> how its shards begin, and how many there are.
SHARDS = {"train": ("train", 12), "validation": ("val", 2)}
SHARD_LAYOUT = "data/train-000000.tar to train-000011.tar, data/val-000000.tar, data/val-000001.tar"


def load_labeled(root: str | Path, split: str, *, depth: str = "raw", scene: str = "scenes") -> "Dataset":
    """The official labelled file, `nyu_depth_v2_labeled.mat`, and `splits.mat`.

    Without splits.mat the shipped list of the same 654 test images is used.

    Args:
        root: Folder of both files.
        split: "train" (795), "test" (654) or "all".
        depth: "raw", measured values with holes, or "filled", in-painted. Raw is the default, for training too: every
            published protocol scores on raw depth, losses skip holes, and in-painted values were never measured.
        scene: What the column `scene` holds: "scenes" (one recording, kitchen_0004) or "sceneTypes" (kitchen).

    Raises:
        DataLayoutError: a file is missing. SampleError: one cannot be read. ValueError: bad option.
    """
    require_choice("depth", depth, tuple(DEPTH_ARRAYS))
    require_choice("scene", scene, ("scenes", "sceneTypes"))
    root = open_root(root, LABELED_LAYOUT)
    require(root, [LABELED_FILE], LABELED_LAYOUT)
    path = root / LABELED_FILE
    file = open_h5(path)
    arrays = ("images", DEPTH_ARRAYS[depth], scene)
    if absent := [name for name in arrays if name not in file]:
        raise SampleError(f"{path}: must hold {', '.join(arrays)}, but has no {', '.join(absent)}. Fetch it again.")
    count = file["images"].shape[0]
    indices = _labeled_indices(root, split, count)
    scenes = _text_cells(file, scene)
    return make_rows(
        {
            "image": [f"{path}{ENTRY}images/{index}" for index in indices],
            "depth": [f"{path}{ENTRY}{DEPTH_ARRAYS[depth]}/{index}" for index in indices],
            "depth_kind": "metres",
            "depth_scale": 1.0,
            "scene": [scenes[index] for index in indices],
            "frame": [f"{index:05d}" for index in indices],
        }
    )


def load_bts(root: str | Path, split: str, *, missing: str = "error") -> "Dataset":
    """Folders as BTS, AdaBins and DPT's evaluation have them.

    Only the folder that a split needs must be there. Test images have a black border of 7 to 8 pixels, training images
    a white one.

    Args:
        root: Folder that holds sync/ or official_splits/ (or nyu_depth_v2/ with these).
        split: "train" (the 24,231 images of the list, in sync/), "test" (654, in official_splits/test),
            "official-train" (whatever lies in official_splits/train), "all" (whatever lies in any of these folders).
        missing: "error", or "skip" to use what is there of a list.

    Raises:
        DataLayoutError: folders or listed files are missing. ValueError: bad option.
    """
    root = open_root(root, BTS_LAYOUT)
    if not (root / "sync").is_dir() and not (root / "official_splits").is_dir():
        root = root / "nyu_depth_v2" if (root / "nyu_depth_v2").is_dir() else root
    sync, test = "sync", "official_splits/test"
    if split == "train":
        require(root, [sync], BTS_LAYOUT)
        records = _bts_listed(root / sync, "nyu_train_24k")
    elif split == "test":
        require(root, [test], BTS_LAYOUT)
        records = _bts_listed(root / test, "nyu_test_654")
    else:
        folders = ["official_splits/train"] if split == "official-train" else [sync, "official_splits/train", test]
        records = [record for folder in folders for record in _bts_found(root / folder)]
    records = keep_present(records, ("image", "depth"), root=root, layout=BTS_LAYOUT, missing=missing, remedy=TAKE_ALL)
    return make_rows(columns_of(records) | {"depth_kind": "metres", "depth_scale": BTS_DEPTH_SCALE})


def load_shards(
    root: str | Path, split: str, *, missing: str = "error", streaming: bool = False
) -> "Dataset | IterableDataset":
    """Tar shards of FastDepth's .h5 files (`rgb`, `depth`), as sayakpaul/nyu_depth_v2 on the hub has them.

    Files are read out of the tars, nothing is unpacked. Whether depth is raw or in-painted is not documented.

    Args:
        root: Folder with data/*.tar, or the folder of the tars itself.
        split: "train" (47,584 images in 12 shards) or "validation" (654 in 2).
        missing: "error", or "skip" to use the shards that are there.
        streaming: Read each shard's directory only when its turn comes.

    Raises:
        DataLayoutError: shards are missing. SampleError: one is no uncompressed tar. ValueError: bad option.
    """
    require_choice("missing", missing, ("error", "skip"))
    root = open_root(root, SHARD_LAYOUT)
    folder = root / "data" if (root / "data").is_dir() else root
    prefix, count = SHARDS[split]
    expected = [folder / f"{prefix}-{number:06d}.tar" for number in range(count)]
    shards = [path for path in expected if path.is_file()]
    if absent := [path.name for path in expected if path not in shards]:
        message = f"{folder}: {name_some(absent)} not found."
        if missing == "error" or not shards:
            remedy = " Pass missing='skip' (--option missing=skip) to use the rest." if shards else ""
            raise DataLayoutError(f"{message} Expected in the data set's folder: {SHARD_LAYOUT}.{remedy}")
        files = [folder / name for name in absent]
        warnings.warn(
            MissingFilesWarning(f"{message} {len(absent)} of {count} shards are left out.", files), stacklevel=2
        )
    if streaming:
        from datasets import IterableDataset

        return IterableDataset.from_generator(
            _stream_shards, features=ROW_FEATURES, gen_kwargs={"shards": [str(path) for path in shards]}
        )
    records = [record for path in shards for record in _shard_records(str(path))]
    return make_rows(columns_of(records) | {"depth_kind": "metres", "depth_scale": 1.0})


def _labeled_indices(root: Path, split: str, count: int) -> list[int]:
    """0-based indices of a split."""
    if split == "all":
        return list(range(count))
    path = root / "splits.mat"
    if path.is_file():
        name = {"train": "trainNdxs", "test": "testNdxs"}[split]
        indices = [int(number) - 1 for number in read_map(f"{path}{ENTRY}{name}").values.ravel()]
    elif count == LABELED_IMAGES:
        test = {frame.number for frame in read_split_list("nyu_test_654")}
        indices = sorted(test if split == "test" else set(range(count)) - test)
    else:
        raise DataLayoutError(
            f"{path}: not found, and {LABELED_FILE} has {count} images where the shipped list is made for "
            f"{LABELED_IMAGES}. Put splits.mat next to it, or ask for split 'all'."
        )
    if not indices or min(indices) < 0 or max(indices) >= count:
        raise SampleError(
            f"{path}: must number images from 1 to {count} as {LABELED_FILE} has them, "
            f"got {min(indices, default=-1) + 1} to {max(indices, default=-1) + 1}. Use the files of one release."
        )
    return indices


def _text_cells(file: Any, name: str) -> list[str]:
    """Strings of a MATLAB cell array: references to arrays of character codes."""
    references = file[name][()].ravel()
    return ["".join(map(chr, file[reference][()].ravel())) for reference in references]


def _bts_listed(folder: Path, split_list: str) -> list[dict[str, Any]]:
    scenes = cache(folder.joinpath)  # joining paths is most of the time
    return [_bts_record(scenes(frame.scene), f"{frame.number:05d}") for frame in read_split_list(split_list)]


def _bts_found(folder: Path) -> list[dict[str, Any]]:
    images = sorted(folder.glob("*/rgb_*.jpg"))
    return [_bts_record(path.parent, path.stem.removeprefix("rgb_")) for path in images]


def _bts_record(folder: Path, frame: str) -> dict[str, Any]:
    image, depth = folder / f"rgb_{frame}.jpg", folder / f"sync_depth_{frame}.png"
    return {"image": image, "depth": depth, "scene": folder.name, "frame": frame}


def _stream_shards(shards: list[str]) -> Iterator[dict[str, Any]]:
    for shard in shards:
        for record in _shard_records(shard):
            sources = {key: {"path": record[key], "bytes": None} for key in ("image", "depth")}
            yield {**dict.fromkeys(ROW_FEATURES), **record, **sources, "depth_kind": "metres", "depth_scale": 1.0}


def _shard_records(shard: str) -> list[dict[str, Any]]:
    members = sorted(name for name in tar_members(shard) if re.search(r"\.h(df)?5$", name))
    if not members:
        raise SampleError(f"{shard}: must hold .h5 files, got none. Fetch it again.")
    return [
        {
            "image": f"{shard}{ENTRY}{member}{ENTRY}rgb",
            "depth": f"{shard}{ENTRY}{member}{ENTRY}depth",
            "scene": PurePosixPath(member).parent.name,
            "frame": PurePosixPath(member).stem,
        }
        for member in members
    ]
