"""A folder of predictions: of any program, or of `open-dpt predict` and `open-dpt segment`. Formats: see
`prediction_files`.

Names, the first that is there wins; S is the row's scene, F its frame, and the image lies at .../c/b/a.png:

    .../c/b/a   c/b/a   b/a        the image's path, however much of it
    S/a S_a S_sync_a S/F S_F       bathroom_rgb_00045, 2011_09_26_drive_0002_sync_0000000069
    a F

each also with the endings that our commands give: a_depth, a_disparity, a_labels.
"""

from __future__ import annotations

import hashlib
import typing
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...data.readers import ENTRY, SampleError, source_name
from .base import KINDS, AdapterError, check_kind, describe
from .prediction_files import SUFFIXES, is_whole, read_prediction

if typing.TYPE_CHECKING:
    from ..protocol import InferenceRule, Protocol

ENDINGS = {"depth": ("", "_depth", "_disparity"), "segmentation": ("", "_labels")}
ENDINGS["ordinal"] = ENDINGS["depth"]

SHOWN = 3  # examples in a message


class PredictionFolder:
    """A folder of prediction files.

    Args:
        folder: Searched with all folders in it; files of other suffixes are left out.
        task: "depth", "ordinal" or "segmentation".
        kind: What the values mean. Default: what the files record; 16-bit PNGs with a `prediction_scale` hold metres.
        prediction_scale: Stored whole number / prediction_scale = metres.
        name: For tables. Default: the folder's name.

    Raises:
        AdapterError: no folder, no prediction in it, its kind is not known, or the scale is not above 0.
    """

    def __init__(
        self,
        folder: str | Path,
        task: str,
        *,
        kind: str | None = None,
        prediction_scale: float | None = None,
        name: str | None = None,
    ):
        self.folder = Path(folder).expanduser()
        if prediction_scale is not None and not 0 < prediction_scale < float("inf"):
            raise AdapterError(f"prediction scale: must be a number above 0, got {prediction_scale:g}.")
        if not self.folder.is_dir():
            raise AdapterError(f"{folder}: must be a folder with predictions, got none there. Check the path.")
        self.name = name or self.folder.resolve().name
        self.prediction_scale = prediction_scale
        self._endings = ENDINGS[task]
        self._files = _index(self.folder)
        if not self._files:
            raise AdapterError(f"{folder}: holds no prediction ({', '.join(SUFFIXES)}). Check the path.")
        if task == "segmentation":
            kind = kind or "labels"
        self.kind = check_kind(kind or self._recorded_kind(), task, str(folder))

    def check(self, rows: Iterable[dict[str, Any]], protocol: Protocol | None = None) -> None:
        """See `Adapter.check`: that every row has one file, and none serves two rows."""
        missing, ambiguous, owners, total = [], [], Counter(), 0
        for row in rows:
            total += 1
            found = self._find(source_name(row["image"]), row.get("scene"), row.get("frame"))
            owners.update(found[:1])
            if not found:
                missing.append(self._wanted(row))
            elif len(found) > 1:
                ambiguous.append(" and ".join(self._relative(path) for path in found))
        if missing:
            raise AdapterError(
                f"{self.folder}: {len(missing)} of {total} images have no prediction, such as {_some(missing)}, with "
                f"{', '.join(SUFFIXES)}. Name the files after the images."
            )
        if ambiguous:
            raise AdapterError(
                f"{self.folder}: {len(ambiguous)} of {total} images have several predictions: {_some(ambiguous)}. "
                "Leave one of each."
            )
        if shared := [self._relative(path) for path, count in owners.items() if count > 1]:
            raise AdapterError(
                f"{self.folder}: {len(shared)} files would each serve several images: {_some(shared)}. "
                "Put scenes into folders of their own."
            )

    def predict(self, samples: list[dict[str, Any]], inference: InferenceRule | None = None) -> list[Tensor]:
        """See `Adapter.predict`; answers have the size of their files."""
        return [self._read(self._path_for(sample)) for sample in samples]

    def describe(self) -> dict[str, Any]:
        """See `Adapter.describe`. Reads every file."""
        digest = hashlib.sha256()
        for path in sorted(path for paths in self._files.values() for path in paths):
            digest.update(self._relative(path).encode() + b"\0")
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        scale = None if self.prediction_scale is None else {"prediction_scale": self.prediction_scale}
        return describe(
            self.name, self.kind, str(self.folder), fingerprint=f"sha256:{digest.hexdigest()}", processor=scale
        )

    def _path_for(self, sample: dict[str, Any]) -> Path:
        found = self._find(sample["name"], sample.get("scene"), sample.get("frame"))
        if len(found) == 1:
            return found[0]
        wrong = "no prediction" if not found else f"several ({_some([self._relative(path) for path in found])})"
        raise SampleError(f"{self.folder}: must hold one prediction for {sample['name']}, got {wrong}.")

    def _find(self, image: str, scene: str | None, frame: str | None) -> list[Path]:
        """Files of the first name that is there; more than one where suffixes or endings differ."""
        for name in _names(image, scene, frame):
            if found := [path for ending in self._endings for path in self._files.get(f"{name}{ending}", [])]:
                return found
        return []

    def _wanted(self, row: dict[str, Any]) -> str:
        image = source_name(row["image"])
        # Long paths are rarely what somebody has.
        names = [name for name in _names(image, row.get("scene"), row.get("frame")) if name.count("/") < 2]
        return f"{PurePosixPath(image).name} (looked for {', '.join(list(dict.fromkeys(names))[:SHOWN])})"

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def _recorded_kind(self) -> str:
        path, values, recorded = self._first_readable()
        if recorded:
            return recorded
        if values.dtype.kind in "ui" and self.prediction_scale is not None:
            return "depth"
        known = ", ".join(f"{kind} ({meaning})" for kind, meaning in KINDS["depth"].items())
        scale = " For metres in whole numbers state the scale too (--prediction-scale)." if is_whole(values) else ""
        raise AdapterError(f"{path}: does not say what its values mean. State their kind (--kind): {known}.{scale}")

    def _first_readable(self) -> tuple[Path, np.ndarray, str | None]:
        reason = None
        for path in sorted(path for paths in self._files.values() for path in paths):
            try:
                return path, *read_prediction(path)
            except SampleError as error:
                reason = reason or error
        raise AdapterError(f"{self.folder}: holds no file that can be read. The first: {reason}")

    def _read(self, path: Path) -> Tensor:
        values, recorded = read_prediction(path)
        if recorded and recorded != self.kind:
            raise SampleError(
                f"{path}: holds {recorded}, but {self.kind} was expected: kinds must not be mixed. "
                "Put files of one kind into a folder of their own."
            )
        if self.kind == "labels":
            if not is_whole(values):
                raise SampleError(f"{path}: class ids must be whole numbers, got {values.dtype}.")
            return torch.from_numpy(values.astype(np.int64))
        if not recorded and is_whole(values):
            values = self._scaled(path, values)
        return torch.from_numpy(values.astype(np.float32))

    def _scaled(self, path: Path, values: np.ndarray) -> np.ndarray:
        if values.dtype.itemsize == 1:
            raise SampleError(f"{path}: 8 bits are too few for depth. Write 16-bit PNG, npy or npz.")
        if self.kind != "depth":
            return values  # the scale is unknown anyway, and 0 is a value like others
        if self.prediction_scale is None:
            raise SampleError(
                f"{path}: holds whole numbers without a scale. State it (--prediction-scale): 1000 for millimetres, "
                "256 as KITTI does."
            )
        return np.where(values > 0, values / self.prediction_scale, np.nan)


def _index(folder: Path) -> dict[str, list[Path]]:
    """Files by their path below the folder, without the suffix."""
    files: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file():
            files.setdefault(path.relative_to(folder).with_suffix("").as_posix(), []).append(path)
    return files


def _names(image: str, scene: str | None, frame: str | None) -> Iterator[str]:
    """Names that the prediction of an image may have, without suffix, the most telling first."""
    stem = None
    if ENTRY not in image:  # an entry of an archive is no name
        parts = PurePosixPath(image.replace("\\", "/")).with_suffix("").parts
        stem = parts[-1]
        yield from ("/".join(parts[first:]) for first in range(1 if parts[0] == "/" else 0, len(parts) - 1))
    for own in (stem, frame):
        if scene and own:
            yield from (f"{scene}/{own}", f"{scene}_{own}", f"{scene}_sync_{own}")
    yield from (own for own in (stem, frame) if own)


def _some(entries: list[str]) -> str:
    return ", ".join(entries[:SHOWN]) + (", ..." if len(entries) > SHOWN else "")
