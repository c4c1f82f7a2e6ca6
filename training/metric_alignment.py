"""From disparity without a unit to metres: the step between relative training and metric fine-tuning.

Source: Ranftl et al., arXiv:2103.13413, section 4.1, with the robust scale and shift of arXiv:1907.01341, eq. 5 and 6:
per training sample scale = s(d*) / s(d) and shift = t(d*) - scale t(d), with t the median and s the mean absolute
deviation from it of predicted disparity d and of true disparity d* = 1 / depth; both averaged over the training set.
"""

import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import Tensor

from ..data.predictions import RowPrediction, UnreadableRow, predict_rows
from ..modeling_dpt.alignment import align_robust
from ..modeling_dpt.fingerprint import fingerprint
from .alignment_journal import AlignmentJournal

logger = logging.getLogger(__name__)

# Why a sample has no scale and shift of its own; counted in `Alignment` by these names.
LEFT_OUT = ("empty", "constant", "unreadable")


@dataclass(frozen=True)
class Alignment:
    """Means over the samples that count; unpacks as `scale, shift`.

    Attributes:
        scale, shift: disparity in 1/m = scale * predicted disparity + shift.
        correlation: Of predicted and true disparity, mean over images; 1 is perfect.
        images: Samples that count.
        empty: Samples left out because no pixel has ground truth.
        constant: Samples left out because prediction or ground truth is the same everywhere.
        unreadable: Samples left out because a file cannot be read.
    """

    scale: float
    shift: float
    correlation: float
    images: int
    empty: int = 0
    constant: int = 0
    unreadable: int = 0

    def __iter__(self):
        yield from (self.scale, self.shift)


def align_to_metric(
    model: torch.nn.Module,
    processor: Any,
    rows: Iterable[dict],
    accelerator: Any = None,
    *,
    min_depth: float = 1e-3,
    max_depth: float | None = None,
    journal: str | Path | None = None,
    settings: dict | None = None,
    on_sample: Callable[[int], Any] | None = None,
    **reading,
) -> Alignment:
    """Mean scale and shift that turn a relative model's disparity into 1 / metres; one pass, the model is not changed.

    Args:
        model: Relative DPTForDepthEstimation, not yet prepared by accelerate; moved to the accelerator's device.
        processor: Its image processor.
        rows: Training rows with depth in metres, as `data.predictions.predict_rows` takes them.
        accelerator: `accelerate.Accelerator`: each process does its share. The result is the same for any number.
        min_depth, max_depth: Metres; ground truth strictly between them counts.
        journal: Folder that records each sample; the same call continues from it.
        settings: What the rows are, as JSON data; a journal of other settings is not continued.
        on_sample: Called with the index of each sample that this process has done.
        reading: batch_size, limit, num_workers, on_unreadable, read of `predict_rows`.

    Raises:
        ValueError: the model is not relative, no sample counts, a row has no depth in metres, the journal is of
            another run, or prediction and ground truth run opposite ways.
    """
    if model.config.depth_estimation_type != "relative" or model.config.invert_depth:
        raise ValueError("model: must be a relative one, got a model that answers in metres already.")
    if accelerator is not None:
        model.to(accelerator.device)
    record = None
    if journal is not None:
        depends = {"model": fingerprint(model), "image size": dict(processor.size)}
        depends |= {"min_depth": min_depth, "max_depth": max_depth, "limit": reading.get("limit")}
        depends |= {"rows": len(rows) if hasattr(rows, "__len__") else None, **(settings or {})}
        record = AlignmentJournal(journal, depends, accelerator)
    done = dict(record.entries) if record else {}
    own = []
    for entry in predict_rows(model, processor, rows, accelerator, skip=done.keys(), **reading):
        own.append({"index": entry.index, **_sample_result(entry, min_depth, max_depth)})
        if record:
            record.add(own[-1])
        if on_sample:
            on_sample(entry.index)
    everywhere = gather_object(own) if accelerator is not None and accelerator.num_processes > 1 else own
    return _mean(done | {entry["index"]: entry for entry in everywhere})


def make_metric(model: torch.nn.Module, scale: float, shift: float, max_depth: float | None = None) -> None:
    """Let a relative model answer in metres: depth = 1 / (scale * disparity + shift), in its configuration and live.

    A loss chosen for relative training is dropped: the model learns by the default for metres.

    Args:
        model: Relative DPTForDepthEstimation; changed in place.
        scale, shift: Of `align_to_metric`.
        max_depth: Farthest answer in metres. Without it, where scale * disparity + shift is not positive the answer is
            1e8 m and no gradient comes back; see DPTConfig. Give it before fine-tuning a model whose head is not
            limited to positive values.

    Raises:
        ValueError: the model is not relative or ends in a sigmoid, scale is not positive, shift is not finite, or
            max_depth is not positive.
    """
    config = model.config
    if config.depth_estimation_type != "relative" or config.head_activation == "sigmoid":
        raise ValueError(
            "model: must be relative with head_activation 'relu' or 'none', got "
            f"{config.depth_estimation_type} with {config.head_activation!r}."
        )
    if not (math.isfinite(scale) and scale > 0 and math.isfinite(shift)):
        raise ValueError(
            "scale: must be positive, so that larger disparity is nearer, with a finite shift; got "
            f"{scale:g} and {shift:g}. Check that the model gives disparity and the data depth in metres."
        )
    if max_depth is not None and not max_depth > 0:
        raise ValueError(f"max_depth: must be positive metres or None, got {max_depth}.")
    config.depth_estimation_type, config.depth_loss = "metric", None
    config.depth_scale, config.depth_shift = scale * config.depth_scale, scale * config.depth_shift + shift
    config.invert_depth, config.max_depth = True, max_depth
    model.configuration_changed()


def _sample_result(entry: RowPrediction | UnreadableRow, min_depth: float, max_depth: float | None) -> dict:
    """Scale, shift and correlation of one sample, or why it has none."""
    if isinstance(entry, UnreadableRow):
        logger.warning("left out: %s", entry.error)
        return {"left_out": "unreadable"}
    depth = entry.sample.get("depth")
    if depth is None:
        raise ValueError(f"{entry.sample['name']}: needs depth in metres to align to, got none. Check the data set.")
    disparity, depth = entry.values.double(), depth.double()
    valid = (depth > min_depth) & (depth < (max_depth or math.inf)) & disparity.isfinite()
    if not valid.any():
        return {"left_out": "empty"}
    truth = torch.where(valid, 1 / depth, 0.0)
    scale, shift = (value.item() for value in align_robust(disparity[None], truth[None], valid[None]))
    correlation = _correlation(disparity[valid], truth[valid])
    # Spread at the level of rounding is none: float32 predictions of a constant map.
    if not scale or correlation is None:
        return {"left_out": "constant"}
    return {"scale": scale, "shift": shift, "correlation": correlation}


def _correlation(first: Tensor, second: Tensor) -> float | None:
    """Pearson's, of two vectors; None where one is constant."""
    centred = [values - values.mean() for values in (first, second)]
    rounding = [torch.finfo(torch.float32).eps * values.abs().mean() for values in (first, second)]
    spreads = [values.square().mean().sqrt() for values in centred]
    if any(spread <= limit for spread, limit in zip(spreads, rounding, strict=True)):
        return None
    return ((centred[0] * centred[1]).mean() / (spreads[0] * spreads[1])).item()


def _mean(entries: dict[int, dict]) -> Alignment:
    # In the order of the rows and summed exactly: the same whoever did which sample.
    results = [entries[index] for index in sorted(entries)]
    left_out = [entry["left_out"] for entry in results if "left_out" in entry]
    counts = {reason: left_out.count(reason) for reason in LEFT_OUT}
    counted = [entry for entry in results if "left_out" not in entry]
    if not counted:
        told = ", ".join(f"{count} {name}" for name, count in counts.items())
        raise ValueError(
            f"alignment: needs an image with ground truth and a prediction that varies, got none in {len(results)} "
            f"({told}). Check the unit of the depth maps and max_depth."
        )
    means = {
        key: math.fsum(entry[key] for entry in counted) / len(counted) for key in ("scale", "shift", "correlation")
    }
    if means["correlation"] <= 0:
        raise ValueError(
            f"alignment: prediction and 1 / depth must rise together, got a mean correlation of "
            f"{means['correlation']:.2f}. Does the model give depth instead of disparity, or do the data hold "
            "disparity instead of depth?"
        )
    return Alignment(**means, images=len(counted), **counts)
