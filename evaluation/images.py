"""The images of an evaluation: which they are, and how they are read, cropped and batched."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch.utils.data import DataLoader

from ..data import raw_rows, read_sample
from ..data.readers import source_name
from .image_crops import crop_box


@dataclass(frozen=True)
class Unreadable:
    """Stands for an image whose files cannot be read."""

    index: int
    error: Exception


class Images:
    """Rows of a data set, read as a protocol shows them to a model.

    Args:
        rows: `datasets.Dataset`, or a list of rows in the form of `data.samples`.
        image_crop: A key of `image_crops.IMAGE_CROPS`.

    Raises:
        ValueError: there is no row, or their number is not known.
    """

    def __init__(self, rows: Any, image_crop: str = "none"):
        if not hasattr(rows, "__len__"):
            raise ValueError("rows: must be a list or a datasets.Dataset, got a stream. Load it without streaming.")
        if not len(rows):
            raise ValueError("rows: the data set holds no image, need at least one. Check its folder and split.")
        self.rows = rows if isinstance(rows, list) else raw_rows(rows)
        self.image_crop = image_crop

    def __len__(self) -> int:
        return len(self.rows)

    def spread(self, limit: int | None) -> list[int]:
        """Indices of `limit` images, evenly over all; of all without a limit."""
        count = min(limit or len(self), len(self))
        return [position * len(self) // count for position in range(count)]

    def identity(self, index: int) -> dict[str, Any]:
        """index, name, scene and frame: what every row of the results begins with."""
        row = self.rows[index]
        return {
            "index": index,
            "name": source_name(row["image"]),
            "scene": row.get("scene"),
            "frame": row.get("frame"),
        }

    def sha256(self) -> str:
        """Hash of what identifies the images, in order."""
        digest = hashlib.sha256()
        for row in self.rows:
            digest.update(repr((source_name(row["image"]), row.get("scene"), row.get("frame"))).encode())
        return digest.hexdigest()

    def read(self, index: int) -> dict[str, Any]:
        """A sample, uncropped.

        Returns:
            What `read_sample` gives, and row_index, image_size (H, W).

        Raises:
            ValueError, OSError: a file cannot be read.
        """
        sample = read_sample(self.rows[index])
        return sample | {"row_index": index, "image_size": tuple(sample["image"].shape[-2:])}

    def cropped(self, sample: dict[str, Any]) -> dict[str, Any]:
        """The sample with what the model sees of its image, and crop (top, left, height, width), None for all of it.

        Maps keep the size of the whole image.

        Raises:
            ValueError: the image is too small.
        """
        if self.image_crop == "none":
            return sample | {"crop": None}
        try:
            top, bottom, left, right = crop_box(self.image_crop, sample["image_size"])
        except ValueError as error:
            raise ValueError(f"{sample['name']}: {error}") from None
        image = sample["image"][:, top:bottom, left:right].contiguous()
        return sample | {"image": image, "crop": (top, left, bottom - top, right - left)}

    def batches(self, indices: list[int], batch_size: int, num_workers: int) -> Iterator[list[dict] | Unreadable]:
        """Samples in order, `batch_size` at a time; one that cannot be read comes by itself.

        Raises:
            Exception: whatever else goes wrong while reading, such as a missing package.
        """
        batch = []
        loader = DataLoader(_Reading(self, indices), batch_size=None, num_workers=num_workers, collate_fn=_as_it_is)
        for item in loader:
            if isinstance(item, Unreadable):
                if not isinstance(item.error, (OSError, ValueError)):
                    raise item.error
                yield item
                continue
            batch.append(self.cropped(item))
            if len(batch) == batch_size:
                yield batch
                batch = []
        if batch:
            yield batch


@dataclass(frozen=True)
class _Reading:
    """What a data loader reads ahead of."""

    images: Images
    indices: list[int]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, position: int) -> dict[str, Any] | Unreadable:
        index = self.indices[position]
        try:
            return self.images.read(index)
        except Exception as error:
            # As a value: a data loader would put a whole stack trace into the message.
            return Unreadable(index, error)


def _as_it_is(item: Any) -> Any:
    return item
