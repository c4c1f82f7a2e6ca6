"""Anything that a few lines of Python can run. A file my_model.py, evaluated by `--model my_model.py:predict`:

    import torch
    from their_package import load

    model = load("weights.pt").cuda().eval()

    @torch.inference_mode()
    def predict(image):  # uint8 (H, W, 3)
        return model.infer(image).cpu().numpy()  # (H, W), at the size of the image

    predict.kind = "depth"  # metres; or relative-depth, disparity, labels

An object (or a class without arguments) with `kind` and `predict(image)` does as well.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
import typing
from collections.abc import Callable, Iterable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .base import AdapterError, check_kind, describe, failures_told, short_name

if typing.TYPE_CHECKING:
    from ..protocol import InferenceRule, Protocol


class PythonAdapter:
    """A function from an image to a map.

    Args:
        predict: From a uint8 array (H, W, 3) to an array or tensor (H, W): floating, NaN where unknown; whole numbers
            for class ids.
        kind: What the values mean, a key of `base.KINDS[task]`.
        task: "depth", "ordinal" or "segmentation".
        name: For tables.
        source: File of the code, for the record.

    Raises:
        AdapterError: no such kind.
    """

    def __init__(
        self,
        predict: Callable[[np.ndarray], Any],
        kind: str,
        task: str,
        *,
        name: str,
        source: str | Path | None = None,
    ):
        self._predict = predict
        self.kind = check_kind(kind, task, name)
        self.name = name
        self.source = None if source is None else Path(source)

    @classmethod
    def load(cls, spec: str, task: str, *, kind: str | None = None) -> PythonAdapter:
        """Import what `file.py:name` or `package.module:name` names, and wrap it.

        Raises:
            AdapterError: it cannot be imported, has no such name, or is no function or object as described above.
        """
        place, _, name = spec.rpartition(":")
        module = _import(place)
        if not hasattr(module, name):
            known = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
            raise AdapterError(f"{place}: has no {name!r}. It has: {', '.join(known) or 'nothing to call'}.")
        found = getattr(module, name)
        if isinstance(found, type):
            with failures_told(spec, "be made without arguments"):
                found = found()
        predict = getattr(found, "predict", found)
        if not callable(predict):
            raise AdapterError(f"{spec}: must be a function or have a method predict, got {type(found).__name__}.")
        stated = kind or getattr(found, "kind", None)
        if stated is None:
            raise AdapterError(
                f'{spec}: must say what its answers mean. Write {name}.kind = "depth" (or state --kind).'
            )
        return cls(predict, stated, task, name=short_name(spec), source=inspect.getsourcefile(module))

    def check(self, rows: Iterable[dict[str, Any]], protocol: Protocol) -> None:
        """See `Adapter.check`: nothing is known before the first image."""

    def predict(self, samples: list[dict[str, Any]], inference: InferenceRule) -> list[Tensor]:
        """See `Adapter.predict`; images go one by one, the rule has no say.

        Raises:
            AdapterError: the code fails, or returns something else than a map of the image's size.
        """
        return [self._answer(sample) for sample in samples]

    def describe(self) -> dict[str, Any]:
        """See `Adapter.describe`."""
        digest = self.source and hashlib.sha256(self.source.read_bytes()).hexdigest()
        return describe(
            self.name,
            self.kind,
            str(self.source or self.name),
            fingerprint=digest and f"sha256:{digest}",
            notes=["the fingerprint is of the source file, not of weights"] if digest else [],
        )

    def _answer(self, sample: dict[str, Any]) -> Tensor:
        image = sample["image"].permute(1, 2, 0).cpu().numpy()
        with failures_told(self.name, f"answer {sample['name']}"):
            answer = self._predict(np.array(image, order="C"))
        if not isinstance(answer, Tensor):
            answer = np.asarray(answer)
            if answer.dtype.kind not in "buif":
                raise AdapterError(f"{self.name}: must return numbers, got {answer.dtype}.")
            answer = torch.from_numpy(answer.astype(np.int64 if answer.dtype.kind in "bui" else np.float32))
        answer = answer.detach()
        if answer.shape != image.shape[:2]:
            raise AdapterError(
                f"{self.name}: must return one value a pixel, shape {image.shape[:2]} as the image, got "
                f"{tuple(answer.shape)} for {sample['name']}. Resize the answer inside predict."
            )
        if self.kind != "labels":
            return answer.float()
        if answer.is_floating_point() or answer.is_complex():
            raise AdapterError(f"{self.name}: class ids must be whole numbers, got {answer.dtype}.")
        return answer.long()


def _import(place: str) -> Any:
    """The module of a file or of a dotted name; the folder it is called from may hold it."""
    path = Path(place).expanduser()
    folder = path.resolve().parent if path.suffix == ".py" else Path.cwd()
    if str(folder) not in sys.path:
        sys.path.append(str(folder))  # last: it must not hide an installed package
    if path.suffix != ".py":
        with failures_told(place, "be imported"):
            return importlib.import_module(place)
    if not path.is_file():
        raise AdapterError(f"{place}: no such file. Check the path.")
    spec = spec_from_file_location(f"_adapter_{path.stem}", path)
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickle look it up
    with failures_told(place, "be imported"):
        spec.loader.exec_module(module)
    return module
