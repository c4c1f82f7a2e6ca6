"""What the evaluator asks of anything that answers images: a model, a folder of files, a function."""

from __future__ import annotations

import typing
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

if typing.TYPE_CHECKING:
    from torch import Tensor

    from ..protocol import InferenceRule, Protocol

# What a prediction's numbers mean, by the task that wants them.
KINDS = {
    "depth": {
        "depth": "metres",
        "relative-depth": "depth up to scale (and shift), larger is farther",
        "disparity": "inverse depth up to scale and shift, larger is nearer",
    },
    "segmentation": {"labels": "class ids from 0"},
}
# Ordinal pairs are judged on the same predictions as depth.
KINDS["ordinal"] = KINDS["depth"]


class AdapterError(ValueError):
    """Something cannot be evaluated. The message is one line, names it and says what to do."""


class Adapter(typing.Protocol):
    """Answers images.

    Attributes:
        name: What tables call it.
        kind: What the answers mean, a key of `KINDS[task]`.
    """

    name: str
    kind: str

    def check(self, rows: Iterable[dict[str, Any]], protocol: Protocol) -> None:
        """Find out before the first image whether every row can be answered.

        Args:
            rows: Those that will be used, raw (`data.samples.raw_rows`).
            protocol: What they will be scored by.

        Raises:
            AdapterError: some row has no answer, or the answers are not what the protocol scores.
        """

    def predict(self, samples: list[dict[str, Any]], inference: InferenceRule) -> list[Tensor]:
        """Answer some images; an answer depends on its own image only.

        Args:
            samples: Of `data.samples.read_sample`; image uint8 (3, H, W), cropped as the protocol says.
            inference: Sizes, flips and scales for models that leave them to the protocol.

        Returns:
            One (H, W) a sample, at the size of its image: float32 (NaN where unknown) or int64 class ids. Answers from
            files may have the size of the image before it was cropped.

        Raises:
            SampleError: an answer cannot be had for one of the samples.
        """

    def describe(self) -> dict[str, Any]:
        """What the answers depend on, as JSON data, None where a key does not apply: name, kind, source, revision,
        fingerprint (of weights, files or code), processor, dtype, device, uses_protocol_inference, notes."""


def check_kind(kind: str, task: str, name: str) -> str:
    """`kind`, where answers of this kind can be scored for `task`.

    Raises:
        AdapterError: they cannot.
    """
    if kind not in KINDS[task]:
        known = ", ".join(f"{key} ({meaning})" for key, meaning in KINDS[task].items())
        raise AdapterError(f"{name}: for {task}, the kind of its answers must be one of {known}; got {kind!r}.")
    return kind


def short_name(spec: str) -> str:
    """What tables call what a person named: of a path the last part, with the function of a Python file; other names
    as they are."""
    place, _, function = spec.rpartition(":")
    for path, rest in ((spec, ""), (place, f":{function}")):
        if path and Path(path).expanduser().exists():
            return f"{Path(path).expanduser().resolve().name}{rest}"
    return spec


@contextmanager
def failures_told(name: str, task: str, told: tuple[type[Exception], ...] = (), remedy: str = "") -> Iterator[None]:
    """Inside the block, turn what foreign code raises into one line: `name` cannot `task`.

    Args:
        told: Errors that are one good line already.
        remedy: A sentence for the end, with a blank before it.

    Raises:
        AdapterError: in place of all other errors.
    """
    try:
        yield
    except (AdapterError, *told):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300].rstrip(".")
        raise AdapterError(f"{name}: cannot {task} ({type(error).__name__}: {reason}).{remedy}") from error


def describe(name: str, kind: str, source: str, **known: Any) -> dict[str, Any]:
    """The keys that every description has, in one order."""
    description = {
        "name": name,
        "kind": kind,
        "source": source,
        "revision": None,
        "fingerprint": None,
        "processor": None,
        "dtype": None,
        "device": None,
        "uses_protocol_inference": False,
        "notes": [],
    }
    if unknown := set(known) - set(description):
        raise TypeError(f"description: unknown key {min(unknown)!r}.")
    return description | known
