"""Files for predictions. Every file appears complete or not at all: a temporary name first, then a rename."""

import errno
import io
import json
import os
import secrets
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

# Pixels of a metric 16-bit PNG per metre, as in KITTI: 4 mm steps up to 256 m. NYU's 1000 gives 1 mm up to 65.5 m.
METRIC_SCALE = 256.0

# Pictures and depth gain little from the search for repetitions: without it, encoding takes a fifth of the time, and
# files are a tenth to a third larger. Label maps are left to the default.
_QUICK_PNG = {"compress_type": zlib.Z_RLE}

# Key of the PNG text chunk that says how pixels turn back into values.
PNG_TEXT_KEY = "open_dpt"

_FORMATS = {".png": "png16", ".npy": "npy", ".npz": "npz", ".pfm": "pfm"}

_REMEDIES = {
    errno.ENOSPC: "no space left on device. Free space, or choose another folder.",
    errno.EDQUOT: "disk quota exceeded. Free space, or choose another folder.",
    errno.EACCES: "no permission to write. Change the folder's mode, or choose another.",
    errno.EPERM: "no permission to write. Change the folder's mode, or choose another.",
    errno.EROFS: "the file system is read-only. Choose another folder.",
    errno.ENOENT: "the folder does not exist. Create it first.",
    errno.EISDIR: "must be a file name, got a folder. Name a file inside it.",
}


@contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Binary file that takes its name `path` only when the block ends without an error; otherwise nothing is left.

    Raises:
        OSError (its own subclass kept): the file cannot be written; the message names the path and the remedy.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with explained_errors(path):
        try:
            with temporary.open("xb") as file:
                yield file
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def explained_errors(path: Path) -> Iterator[None]:
    """OSErrors of writing `path` as one line that names it and the remedy; their class stays."""
    try:
        yield
    except OSError as error:
        remedy = _REMEDIES.get(error.errno, f"could not be written ({error.strerror or error}). Check the path.")
        explained = type(error)(f"{path}: {remedy}")
        explained.errno = error.errno
        raise explained from None


def write_image(path: Path, picture: np.ndarray) -> None:
    """Write uint8 RGB (H, W, 3) in the format of the suffix (.png, .jpg, .webp, ...)."""
    suffix = path.suffix.lower()
    format = Image.registered_extensions().get(suffix)
    if format is None:
        raise ValueError(f"{path}: suffix must name a picture format such as .png or .jpg, got {suffix!r}.")
    _write_picture(path, Image.fromarray(picture), format, **(_QUICK_PNG if format == "PNG" else {}))


def write_labels(path: Path, labels: np.ndarray, colors: np.ndarray) -> None:
    """Write class ids (H, W) as a PNG whose pixels are the ids: 8-bit with palette up to id 255, else 16-bit grey."""
    if labels.min() < 0 or labels.max() > 65535:
        raise ValueError(f"labels: must be within 0..65535 for a PNG, got {labels.min()}..{labels.max()}.")
    if labels.max() < 256:
        image = Image.fromarray(labels.astype(np.uint8))
        image.putpalette(colors[:256].tobytes())
    else:
        image = Image.fromarray(labels.astype(np.uint16))
    _write_picture(path, image, "PNG")


def write_depth(
    path: Path, values: np.ndarray, valid: np.ndarray, kind: str, unit: str, *, format: str | None = None, **options
) -> None:
    """Write a map (H, W) in the named format, or the one of the suffix; arguments as in `DepthPrediction.save`."""
    format = format or _FORMATS.get(path.suffix.lower())
    if format not in _FORMATS.values():
        known = ", ".join([*_FORMATS.values(), "color"])
        raise ValueError(f"{path}: format must be one of {known}, got {format or path.suffix}.")
    if options and format != "png16":
        raise TypeError(f"{next(iter(options))}: not an option of format {format}.")
    if format == "png16":
        return write_png16(path, values, valid, kind, unit, **options)
    missing = np.where(valid, values, np.nan if unit == "relative" else 0).astype("<f4")
    with atomic_write(path) as file:
        if format == "npy":
            np.save(file, missing)
        elif format == "npz":
            np.savez_compressed(file, values=values, valid=valid, kind=kind, unit=unit)
        else:
            # Portable float map: rows from bottom to top; a negative scale marks little-endian values.
            file.write(f"Pf\n{values.shape[1]} {values.shape[0]}\n-1.0\n".encode())
            file.write(np.ascontiguousarray(missing[::-1]).tobytes())


def write_png16(
    path: Path,
    values: np.ndarray,
    valid: np.ndarray,
    kind: str,
    unit: str,
    *,
    scale: float | None = None,
    value_range: tuple[float, float] | None = None,
) -> None:
    """Write a map as 16-bit grey PNG; pixel 0 means missing.

    Depth in metres is stored as metres * scale, rounded (default 256, KITTI; 1000 for NYU), beyond 16 bits saturated.
    Anything else is spread over 1..65535, from its minimum to its maximum or over `value_range`. Either way the PNG
    text "open_dpt" holds JSON with kind, unit, scale and offset: value = offset + pixel / scale.
    """
    offset = 0.0
    if kind == "depth" and unit == "metre":
        if value_range is not None:
            raise TypeError("value_range: metric depth is stored in absolute units. Use scale.")
        scale = METRIC_SCALE if scale is None else float(scale)
        if not scale > 0:
            raise ValueError(f"scale: must be above 0, got {scale}.")
    else:
        if scale is not None:
            raise TypeError("scale: only depth in metres has a fixed scale. Use value_range.")
        known = values[valid] if valid.any() else np.zeros(1)
        low, high = map(float, value_range or (known.min(), known.max()))
        scale = 65534 / (high - low) if high > low else 1.0
        offset = low - 1 / scale
    with np.errstate(invalid="ignore"):
        pixels = np.rint((values.astype(np.float64) - offset) * scale)
    pixels = np.where(valid, np.clip(np.nan_to_num(pixels), 1, 65535), 0).astype(np.uint16)
    text = PngInfo()
    text.add_text(PNG_TEXT_KEY, json.dumps({"kind": kind, "unit": unit, "scale": scale, "offset": offset}))
    _write_picture(path, Image.fromarray(pixels), "PNG", pnginfo=text, **_QUICK_PNG)


def read_depth(path: Path) -> dict[str, Any]:
    """Read a file of `write_depth`: values, valid, and kind and unit where the format holds them.

    Raises:
        ValueError: not such a file. OSError: it cannot be read.
    """
    suffix = path.suffix.lower()
    if suffix == ".npz":
        with np.load(path, allow_pickle=False) as data:
            return {
                "values": data["values"],
                "valid": data["valid"],
                "kind": str(data["kind"]),
                "unit": str(data["unit"]),
            }
    if suffix == ".npy":
        return {"values": np.load(path, allow_pickle=False)}
    if suffix == ".pfm":
        return {"values": _read_pfm(path)}
    with Image.open(path) as image:
        if PNG_TEXT_KEY not in image.info:
            raise ValueError(f"{path}: must be a PNG written as png16, got one without its {PNG_TEXT_KEY!r} text.")
        meaning = json.loads(image.info[PNG_TEXT_KEY])
        pixels = np.array(image)
    values = meaning["offset"] + pixels / meaning["scale"]
    return {"values": values, "valid": pixels > 0, "kind": meaning["kind"], "unit": meaning["unit"]}


def _write_picture(path: Path, image: Image.Image, format: str, **options) -> None:
    # Encoded in memory first: PIL's encoders turn a full disk into "encoder error -2".
    data = io.BytesIO()
    image.save(data, format=format, **options)
    with atomic_write(path) as file:
        file.write(data.getbuffer())


def _read_pfm(path: Path) -> np.ndarray:
    with path.open("rb") as file:
        magic, size, scale = (file.readline().split() for _ in range(3))
        if magic != [b"Pf"] or len(size) != 2:
            raise ValueError(f"{path}: must be a one-channel PFM file, got header {magic!r}.")
        width, height = map(int, size)
        values = np.frombuffer(file.read(), "<f4" if float(scale[0]) < 0 else ">f4")
    return values.reshape(height, width)[::-1].astype(np.float32)
