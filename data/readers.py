"""Maps and images from whatever holds them, by locator.

A locator is a path, or `file::entry` where a file holds several arrays:

    depth.png, depth.npy, depth.pfm      a file
    a.npz::depth                         an array of an archive (a single one needs no entry)
    a.exr::Z                             a channel (Z, Y, R or the only one need no entry)
    a.h5::depth  a.h5::depth/12          an array, or the 12th (from 0) along its first axis
    a.mat::rawDepths/12                  MATLAB, any version: a variable, or the 12th along its last axis
    shard.tar::scene/0.h5::depth         a file inside an uncompressed tar, then its entry
    a.raw::float32/480x640               bare numbers, row by row, in a file of any suffix that does not say its size
    a.json::2008_000008                  whatever `LABEL_READERS` has for the suffix

MATLAB stores axes in the opposite order; what is returned has rows first: (H, W) or (H, W, 3).

Open files belong to a process: a forked or spawned worker opens its own when it first needs one, and at most
`OPEN_FILES` stay open.
"""

import io
import json
import os
import re
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch

from ..processing.image_io import image_tensor, open_image
from ..processing.writers import PNG_TEXT_KEY, read_depth

OPEN_FILES = 32
ENTRY = "::"

# Entry of a file of bare numbers, rows x columns; little-endian, as every set that has such files wrote them.
BARE = re.compile(r"float32/(\d+)x(\d+)$")
# The first number of a Sintel depth file.
DPT_TAG = 202021.25

# Channels of an EXR file that hold depth, the likeliest first: names of renderers, then grey.
EXR_CHANNELS = ("Z", "Y", "V", "R")

# Suffixes of label files that only one data set has, with "module:function" of (locator) -> array (H, W).
LABEL_READERS = {".json": "pascal_context_files:read_json_labels", ".pth": "pascal_context_files:read_cached_labels"}

Source = Any  # locator, {"path": locator, "bytes": encoded file or None}, or PIL image


class SampleError(ValueError):
    """A file of a sample cannot be used. The message is one line and names the file."""


@dataclass(frozen=True)
class StoredMap:
    """What a map's file holds.

    Args:
        values: Shape (H, W), any number type.
        valid: True where a value is known, or None where the file does not say. Shape (H, W).
        in_units: The file itself says what its values mean (open_dpt's own files); they need no scale.
    """

    values: np.ndarray
    valid: np.ndarray | None = None
    in_units: bool = False


def is_picture(locator: str) -> bool:
    """Whether an ordinary image library can open what is located."""
    return ENTRY not in locator and _suffix(locator) not in {*_ARRAYS, *LABEL_READERS, ".tar"}


def read_image(source: Source) -> torch.Tensor:
    """Read an RGB image: uint8, shape (3, H, W).

    Raises:
        SampleError: it cannot be read or is no image.
    """
    name = source_name(source)
    with explained(name):
        stored = _open(source)
        if isinstance(stored, StoredMap):
            stored = np.ascontiguousarray(stored.values)
        pixels = image_tensor(stored, name=name)
        return pixels if pixels.dtype == torch.uint8 else pixels.round().to(torch.uint8)


def read_map(source: Source) -> StoredMap:
    """Read a one-channel map (depth, disparity, label ids, mask) as it is stored.

    Raises:
        SampleError: it cannot be read or has several channels.
    """
    name = source_name(source)
    with explained(name):
        stored = _open(source)
        if not isinstance(stored, StoredMap):
            stored = _picture_map(stored, name)
    values = stored.values
    if values.ndim == 3 and 1 in (values.shape[0], values.shape[-1]):
        values = values.squeeze(0 if values.shape[0] == 1 else -1)
    if values.ndim != 2 or 0 in values.shape or values.dtype.kind not in "buif":
        raise SampleError(
            f"{name}: must hold one channel of numbers, (H, W), got {values.dtype} of shape {values.shape}. "
            f"Name another entry, or export one channel."
        )
    return StoredMap(values.astype(values.dtype.newbyteorder("="), copy=False), stored.valid, stored.in_units)


def source_name(source: Source) -> str:
    """What messages call a source."""
    if isinstance(source, dict):
        source = source.get("path") or "image in the table"
    return str(source) if isinstance(source, (str, os.PathLike)) else str(getattr(source, "filename", "") or "image")


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Turns whatever a library raises on a bad file into one line that names the file."""
    try:
        yield
    except ImportError:
        raise
    except SampleError as error:
        if str(error).startswith(name.split(ENTRY)[0]):
            raise
        raise SampleError(f"{name}: {error}") from None
    except Exception as error:
        text = (str(error).splitlines() or [type(error).__name__])[0]
        if not text.startswith(name.split(ENTRY)[0]):
            text = f"{name}: cannot be read ({text.rstrip('.')}). Fetch or export it again."
        raise SampleError(text) from None


def _open(source: Source) -> "StoredMap | Any":
    """An array for files that hold arrays; else something that `open_image` takes."""
    if not isinstance(source, dict):
        source = {"path": source} if isinstance(source, (str, os.PathLike)) else {"image": source}
    path, data = source.get("path"), source.get("bytes")
    if "image" in source:
        return source["image"]
    if data is not None:
        return _decode(data, path or "", None)
    if path is None:
        raise SampleError("must hold a path or bytes, got neither. Check the table.")
    file, _, entry = str(path).partition(ENTRY)
    _require_file(file)
    if _suffix(file) == ".tar":
        member, _, entry = entry.partition(ENTRY)
        return _decode(read_member(file, member), member, entry or None)
    if bare := BARE.match(entry):
        return _read_bare(file, int(bare[1]), int(bare[2]))
    if _suffix(file) in LABEL_READERS:
        module, function = LABEL_READERS[_suffix(file)].split(":")
        return StoredMap(np.asarray(getattr(import_module(f".{module}", __package__), function)(str(path))))
    if reader := _ARRAYS.get(_suffix(file)):
        return reader(file, entry or None)
    return file


def _require_file(file: str) -> None:
    if not os.path.isfile(file):
        found = "a folder" if os.path.isdir(file) else "nothing"
        raise SampleError(f"{file}: must be a file, got {found} there. Check the path.")


def _picture_map(source: Any, name: str) -> StoredMap:
    image, _ = open_image(source, name=name)
    if image.mode not in ("L", "P", "I", "F", "1") and not image.mode.startswith("I;16"):
        raise SampleError(f"{name}: must have one channel, got mode {image.mode}. Convert it to one channel.")
    values = np.array(image)
    if PNG_TEXT_KEY not in image.info:
        return StoredMap(values)
    meaning = json.loads(image.info[PNG_TEXT_KEY])
    return StoredMap(meaning["offset"] + values / meaning["scale"], values > 0, in_units=True)


# Files that hold arrays. Each reader takes a path or binary stream and the entry, if one is named.


def _read_npy(file, entry: str | None) -> StoredMap:
    return StoredMap(np.load(file, allow_pickle=False))


def _read_npz(file, entry: str | None) -> StoredMap:
    with np.load(file, allow_pickle=False) as archive:
        if entry is None and {"values", "valid", "kind"} <= set(archive):  # written by open_dpt
            return StoredMap(archive["values"], archive["valid"], in_units=True)
        return StoredMap(archive[_choose(entry, list(archive))])


def _read_pfm(file, entry: str | None) -> StoredMap:
    return StoredMap(read_depth(Path(file))["values"])


def _read_dpt(file, entry: str | None) -> StoredMap:
    """Sintel's depth: a tag, width, height, then float32 metres."""
    numbers = np.fromfile(file, "<f4")
    if len(numbers) < 3 or numbers[0] != DPT_TAG:
        raise SampleError(f"must begin with {DPT_TAG}, the tag of a Sintel depth file. Fetch it again.")
    width, height = (int(number) for number in numbers[1:3].view("<i4"))
    return StoredMap(_shaped(numbers[3:], height, width))


def _read_bare(file: str, height: int, width: int) -> StoredMap:
    return StoredMap(_shaped(np.fromfile(file, "<f4"), height, width))


def _shaped(numbers: np.ndarray, height: int, width: int) -> np.ndarray:
    if len(numbers) != height * width:
        raise SampleError(f"must hold {height} x {width} float32 numbers, got {len(numbers)}. Fetch it again.")
    return numbers.reshape(height, width)


def _read_exr(file, entry: str | None) -> StoredMap:
    OpenEXR = _library("OpenEXR", "OpenEXR", file)
    with OpenEXR.File(str(file), separate_channels=True) as image:
        channels = image.channels()
        likely = next((name for name in EXR_CHANNELS if name in channels), None)
        return StoredMap(np.array(channels[_choose(entry or likely, list(channels))].pixels))


def _read_h5(file, entry: str | None) -> StoredMap:
    if isinstance(file, io.BytesIO):
        # Not kept open: HDF5 would close it after the interpreter that the stream needs is gone, and crash.
        with _library("h5py", "open-dpt[train]", "HDF5").File(file, "r") as opened:
            return StoredMap(_h5_entry(opened, entry))
    return StoredMap(_h5_entry(_open_h5(file), entry))


def _read_mat(file, entry: str | None) -> StoredMap:
    h5py = _library("h5py", "open-dpt[train]", file)
    if h5py.is_hdf5(file):  # version 7.3: h5py shows the axes reversed
        return StoredMap(_h5_entry(_open_h5(file), entry).T)
    scipy_io = _library("scipy.io", "open-dpt[train]", file)
    variables = {name: value for name, value in scipy_io.loadmat(file).items() if not name.startswith("__")}
    name, index = _split_index(entry, variables)
    values = variables[_choose(name, list(variables))]
    return StoredMap(values if index is None else values[..., index])


_ARRAYS: dict[str, Callable[[Any, str | None], StoredMap]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".pfm": _read_pfm,
    ".dpt": _read_dpt,
    ".exr": _read_exr,
    ".h5": _read_h5,
    ".hdf5": _read_h5,
    ".mat": _read_mat,
}
# Those that need no file of their own.
_FROM_BYTES = (".npy", ".npz", ".h5", ".hdf5")


def _decode(data: bytes, name: str, entry: str | None) -> "StoredMap | bytes":
    """Arrays in the bytes of a file; as they are where `open_image` takes them."""
    suffix = _suffix(name)
    if suffix not in _ARRAYS:
        return data
    if suffix not in _FROM_BYTES:
        raise SampleError(
            f"inside a table or tar must be a picture, {', '.join(_FROM_BYTES)}, got {suffix}. Unpack it."
        )
    return _ARRAYS[suffix](io.BytesIO(data), entry)


def tar_members(shard: str | os.PathLike) -> dict[str, tuple[int, int]]:
    """Files of an uncompressed tar: name -> (offset, size) in bytes. Read once a process, then remembered.

    Raises:
        SampleError: not such a tar.
    """
    with explained(str(shard)):
        _require_file(str(shard))
        return _tar_members(str(shard), _stamp(shard))


@lru_cache(maxsize=256)
def _tar_members(shard: str, stamp: tuple[int, int]) -> dict[str, tuple[int, int]]:
    with tarfile.open(shard, "r:") as archive:
        return {item.name: (item.offset_data, item.size) for item in archive if item.isfile()}


def read_member(shard: str, member: str) -> bytes:
    """Bytes of one file of an uncompressed tar.

    Raises:
        SampleError: not such a tar, or it has no such file.
    """
    members = tar_members(shard)
    if member not in members:
        raise SampleError(f"{shard}: holds no file {member!r}, but {len(members)} others. Check the name.")
    offset, size = members[member]
    with open(shard, "rb") as file:
        file.seek(offset)
        data = file.read(size)
    if len(data) < size:
        raise SampleError(f"{shard}: ends inside {member!r}. Fetch it again.")
    return data


def open_h5(file: str | os.PathLike):
    """The `h5py.File` of this process for a path; it stays open, do not close it.

    Raises:
        SampleError: no HDF5 file. ImportError: h5py is not installed.
    """
    with explained(str(file)):
        _require_file(str(file))
        return _open_h5(str(file))


def _open_h5(file: str):
    _library("h5py", "open-dpt[train]", file)
    return _cached_h5(file, _stamp(file), os.getpid())


@lru_cache(maxsize=OPEN_FILES)
def _cached_h5(file: str, stamp: tuple[int, int], process: int):
    import h5py

    # Data are only read: a lock gains nothing, and some network file systems have none.
    return h5py.File(file, "r", locking=False)


def _stamp(file: str | os.PathLike) -> tuple[int, int]:
    status = os.stat(file)
    return status.st_mtime_ns, status.st_size


def _h5_entry(file, entry: str | None) -> np.ndarray:
    key, index = _split_index(entry, file)
    if key is None or key not in file:
        key = _choose(key, [name for name in file if not name.startswith("#")])
    array = file[key]
    return array[()] if index is None else array[index]


def _split_index(entry: str | None, names: Any) -> tuple[str | None, int | None]:
    """ "rawDepths/12" -> ("rawDepths", 12), unless an array has that very name."""
    name, _, index = (entry or "").rpartition("/")
    return (name, int(index)) if name and index.isdigit() and entry not in names else (entry, None)


def _choose(entry: str | None, names: list[str]) -> str:
    if entry is None and len(names) == 1:
        return names[0]
    if entry not in names:
        raise SampleError(f"entry must be one of {', '.join(names)}, got {entry}. Write FILE{ENTRY}ENTRY.")
    return entry


def _library(module: str, package: str, file: Any) -> Any:
    try:
        return import_module(module)
    except ImportError:
        raise ImportError(f"{file}: needs the package {module.split('.')[0]}. Run: pip install {package}") from None


def _suffix(locator: str) -> str:
    return PurePosixPath(locator.split(ENTRY)[0]).suffix.lower()


__all__ = [
    "SampleError",
    "StoredMap",
    "is_picture",
    "open_h5",
    "read_image",
    "read_map",
    "read_member",
    "source_name",
    "tar_members",
]
