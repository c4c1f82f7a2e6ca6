"""The images of an evaluation: which they are, and how they are read, cropped and batched."""

from collections.abc import Iterator
from typing import Any

from ..data import raw_rows, read_sample
from ..data.read_ahead import UnreadableRow, read_ahead
from ..data.readers import source_name
from .crops import crop_box


class Images:
    """Rows of a data set, read as a protocol shows them to a model.

    Args:
        rows: `datasets.Dataset`, or a list of rows in the form of `data.samples`.
        image_crop: A key of `crops.IMAGE_CROPS`.

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

    def identity(self, index: int) -> dict[str, Any]:
        """index, name, scene and frame: what every row of the results begins with."""
        row = self.rows[index]
        return {
            "index": index,
            "name": source_name(row["image"]),
            "scene": row.get("scene"),
            "frame": row.get("frame"),
        }

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
        """The sample with what the model sees of its image, and crop, its box (`crops.Box`); None for all of it.

        Maps keep the size of the whole image.

        Raises:
            ValueError: the image is too small.
        """
        if self.image_crop == "none":
            return sample | {"crop": None}
        try:
            top, bottom, left, right = box = crop_box(self.image_crop, sample["image_size"])
        except ValueError as error:
            raise ValueError(f"{sample['name']}: {error}") from None
        image = sample["image"][:, top:bottom, left:right].contiguous()
        return sample | {"image": image, "crop": box}

    def batches(self, indices: list[int], batch_size: int, num_workers: int) -> Iterator[list[dict] | UnreadableRow]:
        """Samples in order, `batch_size` at a time; one that cannot be read comes by itself.

        Raises:
            Exception: whatever else goes wrong while reading, such as a missing package.
        """
        batch = []
        for item in read_ahead(self.read, indices, num_workers):
            if isinstance(item, UnreadableRow):
                yield item
                continue
            batch.append(self.cropped(item))
            if len(batch) == batch_size:
                yield batch
                batch = []
        if batch:
            yield batch
