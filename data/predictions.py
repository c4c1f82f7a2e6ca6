"""A model's answers for the rows of a data set, at the size of their ground truth; each process does its share.

Shape legend: H W pixels of the image and its ground truth.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from .read_ahead import UnreadableRow, expected, read_ahead, tried
from .samples import raw_rows, read_sample, spread

# Batches of input that are read ahead to find images of equal size.
WINDOW_BATCHES = 4


@dataclass(frozen=True)
class RowPrediction:
    """What the model says of one row.

    Attributes:
        index: Position of the row in the data set.
        sample: What `read_sample` gives for it.
        values: float32 (H, W), the model's `predicted_depth`; or int64 (H, W), class ids. On the CPU.
    """

    index: int
    sample: dict[str, Any]
    values: Tensor


def predict_rows(
    model: torch.nn.Module,
    processor: Any,
    rows: Iterable[dict],
    accelerator: Any = None,
    *,
    batch_size: int = 1,
    limit: int | None = None,
    skip: Collection[int] = frozenset(),
    num_workers: int = 0,
    on_unreadable: str = "stop",
    read: Callable[[dict], dict] = read_sample,
) -> Iterator[RowPrediction | UnreadableRow]:
    """Predict this process's share of the rows; all processes together see every row once.

    Every process calls the model equally often, as FSDP and DDP demand: one that is done repeats a blank input until
    all are. So each must read its stream to the end.

    Args:
        model: DPTForDepthEstimation or DPTForSemanticSegmentation, as `accelerator.prepare` left it. Runs in
            evaluation mode; its mode is restored.
        processor: DPTImageProcessor of the model.
        rows: `datasets.Dataset`, `IterableDataset` or a list of rows in the form of `data.samples`.
        accelerator: `accelerate.Accelerator`; None for one process, on the device of the model.
        batch_size: Images of equal input size that run together.
        limit: Use so many rows only, spread evenly over the data set (of a stream: the first ones).
        skip: Positions to leave out, the same in every process.
        num_workers: Processes that read ahead; not for a stream.
        on_unreadable: "stop" raises at a row that cannot be read; "skip" yields an `UnreadableRow`.
        read: From a row to a sample.

    Yields:
        One entry for each row of the share, in the order in which batches fill.

    Raises:
        ValueError: an option is impossible, or (SampleError) a row cannot be read.
        OSError: a file cannot be read.
    """
    if on_unreadable not in ("stop", "skip"):
        raise ValueError(f"on_unreadable: must be 'stop' or 'skip', got {on_unreadable!r}.")
    if batch_size < 1 or (limit is not None and limit < 1):
        raise ValueError(f"batch_size, limit: must be 1 or more, got {batch_size} and {limit}.")
    stream = _prepared(rows, processor, read, limit, skip, accelerator, num_workers)
    was_training = model.training
    model.eval()
    try:
        yield from _predict(model, processor, stream, accelerator, batch_size, on_unreadable)
    finally:
        model.train(was_training)


def _predict(model, processor, stream: Iterator, accelerator, batch_size: int, on_unreadable: str) -> Iterator:
    plain = model if accelerator is None else accelerator.unwrap_model(model)
    device = plain.device if accelerator is None else accelerator.device
    failures: list[UnreadableRow] = []
    batches = _batched(stream, batch_size, failures)
    while True:
        batch = next(batches, None)
        if failures and on_unreadable == "stop":
            raise failures[0].error
        yield from failures
        failures.clear()
        if not _anyone(batch is not None, accelerator):
            return
        inputs = _blank(processor) if batch is None else torch.stack([pixels for *_, pixels in batch])
        with torch.no_grad(), nullcontext() if accelerator is None else accelerator.autocast():
            outputs = model(pixel_values=inputs.to(device, plain.dtype))
        if batch is None:
            continue
        sizes = [_truth_size(sample) for _, sample, _ in batch]
        if "logits" in outputs:
            maps = processor.post_process_semantic_segmentation(outputs, sizes)
        else:
            maps = [one["predicted_depth"] for one in processor.post_process_depth_estimation(outputs, sizes)]
        for (index, sample, _), values in zip(batch, maps, strict=True):
            yield RowPrediction(index, sample, values.cpu())


@dataclass(frozen=True)
class _Prepare:
    """From the index of a row to (index, sample, network input)."""

    rows: Any
    processor: Any
    read: Callable[[dict], dict]

    def __call__(self, index: int) -> tuple[int, dict, Tensor]:
        sample = self.read(self.rows[index])
        return index, sample, self.processor(sample["image"])["pixel_values"][0]


def _prepared(rows: Any, processor, read, limit: int | None, skip: Collection[int], accelerator, workers: int):
    """What `_Prepare` makes of this process's rows, and `UnreadableRow`s."""
    rank, world = (0, 1) if accelerator is None else (accelerator.process_index, accelerator.num_processes)
    rows = rows if isinstance(rows, list) else raw_rows(rows)
    if hasattr(rows, "__len__"):
        indices = [index for index in spread(len(rows), limit) if index not in skip]
        return read_ahead(_Prepare(rows, processor, read), indices[rank::world], workers)
    left = ((index, row) for index, row in enumerate(islice(rows, limit)) if index not in skip)
    share = islice(left, rank, None, world)
    return expected(tried(_Prepare({index: row}, processor, read), index) for index, row in share)


def _batched(stream: Iterator, batch_size: int, failures: list[UnreadableRow]) -> Iterator[list]:
    """Lists of items whose inputs have one shape; what could not be read goes to `failures`."""
    waiting: dict[tuple, list] = {}
    for item in stream:
        if isinstance(item, UnreadableRow):
            failures.append(item)
            continue
        group = waiting.setdefault(tuple(item[2].shape), [])
        group.append(item)
        if len(group) == batch_size or sum(map(len, waiting.values())) >= WINDOW_BATCHES * batch_size:
            largest = max(waiting, key=lambda shape: len(waiting[shape]))
            yield waiting.pop(largest)
    yield from waiting.values()


def _anyone(busy: bool, accelerator) -> bool:
    if accelerator is None or accelerator.num_processes == 1:
        return busy
    return bool(accelerator.reduce(torch.tensor([float(busy)], device=accelerator.device), "sum").item())


def _blank(processor) -> Tensor:
    height, width = processor.geometry(processor.size["height"], processor.size["width"]).output
    return torch.zeros(1, 3, height, width)


def _truth_size(sample: dict) -> tuple[int, int]:
    maps = [sample[key] for key in ("depth", "disparity", "label", "image") if sample.get(key) is not None]
    return tuple(maps[0].shape[-2:])
