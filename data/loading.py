"""Endless training batches from data sets on disk, the same ones whatever the number of workers and processes."""

from collections.abc import Callable, Iterator, Sequence
from itertools import count

import torch
from datasets import Dataset
from torch import Generator, Tensor
from torch.utils.data import DataLoader

from .batches import AUGMENTATION, REPLACEMENT, BatchPlan, Draw, generator_at
from .readers import SampleError
from .samples import raw_rows, read_sample

UNREADABLE_POLICIES = ("skip", "stop")

# Workers that give nothing for so long never will; torch alone would wait for ever.
_PATIENCE_SECONDS = 600
_MOST_TRIES = 200  # samples drawn in place of one before all are taken for unreadable


class TrainingLoader:
    """Reads, transforms and batches samples.

    Order, augmentation and the replacement of unreadable samples depend on the seed and a sample's global position
    alone: runs with other numbers of workers or processes, and resumed ones, get the same data bit by bit. Global
    random generators are neither read nor changed.

    Args:
        datasets: One data set of rows or several, see `data.samples`. Several: each sample draws one uniformly.
        transform: (sample, generator) -> dict of tensors, e.g. a `TrainTransform`.
        batch_size: Samples per batch and process.
        seed: Same seed, same batches.
        rank, world_size: This process, and all of them.
        num_workers: Processes that read ahead; 0 reads in this one.
        on_unreadable: "skip" takes another sample in place of one that cannot be read; "stop" raises.
        max_unreadable: Most samples that this process skips, each counted once, before it raises after all.
        device: Where the transform runs, in this process, on samples that workers have only decoded; None runs it in
            the workers, on the CPU. The random numbers are the same.
        read: (row) -> sample.

    Raises:
        ValueError: a setting makes no sense, or a data set is empty.
        TypeError: a data set cannot be read by index.
    """

    def __init__(
        self,
        datasets: Dataset | Sequence[Dataset],
        transform: Callable[[dict, Generator], dict[str, Tensor]],
        *,
        batch_size: int,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        num_workers: int = 0,
        on_unreadable: str = "skip",
        max_unreadable: int = 100,
        device: torch.device | str | None = None,
        read: Callable[[dict], dict] = read_sample,
    ):
        if on_unreadable not in UNREADABLE_POLICIES:
            raise ValueError(f"on_unreadable: must be one of {', '.join(UNREADABLE_POLICIES)}, got {on_unreadable!r}.")
        datasets = list(datasets) if isinstance(datasets, (list, tuple)) else [datasets]
        for dataset in datasets:
            if not isinstance(dataset, Dataset):
                raise TypeError(
                    f"datasets: must be read by index, got {type(dataset).__name__}. Load them without streaming."
                )
        datasets = [raw_rows(dataset) for dataset in datasets]
        limit = max_unreadable if on_unreadable == "skip" else 0
        self._samples = _Samples(datasets, read, None if device is not None else transform, seed, limit)
        self._transform, self._device, self._workers = transform, device, num_workers
        self._plan = BatchPlan([len(each) for each in datasets], batch_size, seed, 0, rank, world_size)
        self._limit = limit
        self.unreadable: list[str] = []

    def __len__(self) -> int:
        """Samples in all data sets together: an epoch."""
        return sum(self._plan.counts)

    def batches(self, first: int = 0) -> Iterator[dict]:
        """Batches from number `first` on, without end.

        Yields:
            What the transform gives, stacked (keys that only some samples have are left out), and `unreadable`: one
            message for each sample that was replaced.

        Raises:
            SampleError: a sample cannot be read and may not be skipped (the message names its file), or workers give
                nothing for ten minutes.
            ValueError: the transform refuses a sample.
        """
        plan = self._plan
        plan = BatchPlan(plan.counts, plan.batch_size, plan.seed, first, plan.rank, plan.world_size)
        on_device = self._device is not None
        loader = DataLoader(
            self._samples,
            batch_sampler=plan,
            num_workers=self._workers,
            collate_fn=_as_arrays if on_device else _collate,
            pin_memory=torch.cuda.is_available() and not on_device,
            prefetch_factor=4 if self._workers else None,
            timeout=_PATIENCE_SECONDS if self._workers else 0,
            generator=Generator().manual_seed(plan.seed % 2**64),  # for the workers' own seeds, else a global one
        )
        for loaded in _patiently(loader):
            batch = self._finish(loaded) if on_device else loaded
            if isinstance(batch, Exception):
                raise batch
            self._count(batch["unreadable"])
            yield batch

    def _finish(self, decoded: list) -> "dict | Exception":
        """Transform on the device what workers have read."""
        results = []
        for draw, sample, messages in decoded:
            if isinstance(sample, dict):
                sample = {key: _to_tensor(value, self._device) for key, value in sample.items()}
                generator = generator_at(self._plan.seed, AUGMENTATION, draw.position)
                sample = self._transform(sample, generator)
            results.append((draw, sample, messages))
        return _collate(results)

    def _count(self, messages: list[str]) -> None:
        self.unreadable += [message for message in dict.fromkeys(messages) if message not in self.unreadable]
        if len(self.unreadable) > self._limit:
            raise _too_many(self.unreadable, self._limit)


def _patiently(loader: DataLoader) -> Iterator:
    try:
        yield from loader
    except RuntimeError as error:
        if "timed out" not in str(error):
            raise
        raise SampleError(
            f"data: {loader.num_workers} workers gave no batch within {_PATIENCE_SECONDS} s. A stalled disk or a full "
            "shared memory (/dev/shm) does that; try fewer workers, or 0."
        ) from error


class _Samples(torch.utils.data.Dataset):
    """What a worker does: a draw -> (draw, sample or the exception that it led to, messages of unreadable samples).

    Exceptions are values here: raised in a worker, they would reach the user as a stack trace.
    """

    def __init__(
        self,
        datasets: list[Dataset],
        read: Callable[[dict], dict],
        transform: Callable | None,
        seed: int,
        max_unreadable: int,
    ):
        self.datasets, self.read, self.transform = datasets, read, transform
        self.seed, self.max_unreadable = seed, max_unreadable

    def __getitem__(self, draw: Draw) -> tuple[Draw, "dict | Exception", list[str]]:
        sample, messages = self._readable(draw)
        if self.transform and isinstance(sample, dict):
            try:
                sample = self.transform(sample, generator_at(self.seed, AUGMENTATION, draw.position))
            except ValueError as error:
                sample = error
        return draw, sample, messages

    def _readable(self, draw: Draw) -> tuple["dict | Exception", list[str]]:
        """The sample, or the first readable one of those drawn in its place."""
        messages: list[str] = []
        for attempt in count(1):
            try:
                return self.read(self.datasets[draw.dataset][draw.index]), messages
            except SampleError as error:
                messages.append(str(error))
            except ImportError as error:  # a format whose reader is not installed
                return error, messages
            if len(set(messages)) > self.max_unreadable:
                return _too_many(messages, self.max_unreadable), messages
            if attempt == _MOST_TRIES:
                text = f"{messages[-1]} {_MOST_TRIES} draws gave no readable sample in its place. Repair the data."
                return SampleError(text), messages
            generator = generator_at(self.seed, REPLACEMENT, draw.position, attempt)
            dataset = int(torch.randint(len(self.datasets), (), generator=generator))
            index = int(torch.randint(len(self.datasets[dataset]), (), generator=generator))
            draw = draw._replace(dataset=dataset, index=index)


def _too_many(messages: list[str], limit: int) -> SampleError:
    if not limit:
        return SampleError(messages[0])
    count = len(set(messages))
    return SampleError(
        f"{messages[-1]} {count} samples cannot be read, at most {limit} are skipped. Repair the data, or allow more."
    )


def _collate(samples: list[tuple[Draw, "dict | Exception", list[str]]]) -> "dict | Exception":
    results = [sample for _, sample, _ in samples]
    for result in results:
        if isinstance(result, Exception):
            return result
    keys = [key for key in results[0] if all(key in result for result in results)]
    batch = {key: torch.stack([result[key] for result in results]) for key in keys}
    return batch | {"unreadable": [message for _, _, messages in samples for message in messages]}


def _as_arrays(samples: list[tuple]) -> list[tuple]:
    """Tensors as NumPy arrays: each tensor that leaves a worker holds a file open, and here are several a sample."""

    def plain(sample: "dict | Exception") -> "dict | Exception":
        if isinstance(sample, Exception):
            return sample
        return {key: value.numpy() if isinstance(value, Tensor) else value for key, value in sample.items()}

    return [(draw, plain(sample), messages) for draw, sample, messages in samples]


def _to_tensor(value: object, device: torch.device | str) -> object:
    return torch.from_numpy(value).to(device) if hasattr(value, "__array__") else value
