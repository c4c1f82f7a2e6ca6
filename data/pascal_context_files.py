"""The two annotation files of Pascal Context that hold all images at once: JSON with run lengths, and `.pth` masks.

Each is parsed once a process and kept small in memory; forked workers share what their parent has parsed.
"""

import json
import os
import pickle
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from .readers import SampleError, explained
from .run_length import decode_runs


class DetailImage(NamedTuple):
    """An image of the JSON file.

    Args:
        file_name: such as "2008_000002.jpg".
        phase: "train", "val" or "test".
        size: (H, W).
        segments: (category id, run lengths) in the order in which they are painted.
    """

    file_name: str
    phase: str
    size: tuple[int, int]
    segments: list[tuple[int, Any]]


def read_json_labels(locator: str) -> np.ndarray:
    """Category ids of `trainval_merged.json::ID`, uint16 (H, W); 0 where nothing is painted."""
    file, _, key = locator.partition("::")
    image = detail_images(file)[key]
    mask = np.zeros(image.size, np.uint16)
    for category, counts in image.segments:
        mask[decode_runs(counts, image.size)] = category
    return mask


def detail_images(file: str | Path) -> dict[str, DetailImage]:
    """Images of the JSON file by id ("2008_000002"), in its order.

    Raises:
        SampleError: not such a file.
    """
    with explained(str(file)):
        return _detail_images(str(file), os.stat(file).st_mtime_ns)


@lru_cache(maxsize=1)
def _detail_images(file: str, stamp: int) -> dict[str, DetailImage]:
    content = json.loads(Path(file).read_bytes())
    images = {
        image["image_id"]: DetailImage(
            image["file_name"], image["phase"], (int(image["height"]), int(image["width"])), []
        )
        for image in content["images"]
    }
    for segment in content["annos_segmentation"]:
        image = images[segment["image_id"]]
        image.segments.append((int(segment["category_id"]), segment["segmentation"]["counts"]))
    return {image_name(number): image for number, image in images.items()}


def read_cached_labels(locator: str) -> np.ndarray:
    """Mask of `train.pth::ID`, uint8 (H, W) with values 0..59."""
    file, _, key = locator.partition("::")
    size, packed = cached_masks(file)[key]
    return np.frombuffer(zlib.decompress(packed), np.uint8).reshape(size)


def cached_masks(file: str | Path) -> dict[str, tuple[tuple[int, int], bytes]]:
    """Masks of a `.pth` file by image id, each as (H, W) and packed bytes, since 5,000 plain ones are 1 GB.

    Raises:
        SampleError: not such a file.
    """
    with explained(str(file)):
        return _cached_masks(str(file), os.stat(file).st_mtime_ns)


@lru_cache(maxsize=2)
def _cached_masks(file: str, stamp: int) -> dict[str, tuple[tuple[int, int], bytes]]:
    # Only PIL images may come out of the pickle; it runs no code of its own.
    with torch.serialization.safe_globals([Image.Image]):
        try:
            masks = torch.load(file, weights_only=True)
        except pickle.UnpicklingError:
            raise SampleError(
                f"{file}: must hold a dictionary of PIL masks and nothing else, got other objects or a damaged file. "
                f"It was not loaded, since a pickle can run code. Fetch it again."
            ) from None
    packed = {}
    while masks:  # emptied on the way, so that memory holds each mask once
        key, mask = masks.popitem()
        packed[image_name(key)] = (mask.size[::-1], zlib.compress(mask.convert("L").tobytes(), 1))
    return dict(sorted(packed.items()))


def image_name(number: int | str) -> str:
    """2008000002 -> "2008_000002", the name of the image's file; names stay as they are."""
    text = str(number)
    return f"{text[:4]}_{text[4:]}" if text.isdigit() else text
