"""Which samples make up batch number n, and with which random numbers: a function of the seed and n alone.

Nothing has to be saved to continue in the middle of an epoch, and the same seed gives the same batches again. Samples
are numbered by their global position: batch n of rank r holds positions (n * world_size + r) * batch_size and on.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

# What random numbers are drawn for. Each has its own stream, so that none repeats another's numbers.
ORDER, CHOICE, AUGMENTATION, REPLACEMENT = range(4)

_BLOCK = 16384  # positions whose data sets are drawn at once


class Draw(NamedTuple):
    """The sample at a position: number `index` of data set number `dataset`."""

    position: int
    dataset: int
    index: int


class BatchPlan:
    """Endless shuffled epochs over one or several data sets, to be given to a DataLoader as `batch_sampler`.

    Of several data sets, each sample first draws one uniformly (PAPER 4.1), then takes the next of that set's own
    shuffled epoch. Every process of a distributed run takes its own part of each global batch. Samples left over at
    the end of an epoch are carried into the next one.

    Args:
        counts: Samples in each data set.
        batch_size: Samples per batch and process.
        seed: Same seed, same batches.
        first: Batch to begin with, when a run is resumed.
        rank: This process.
        world_size: All processes.

    Raises:
        ValueError: a data set is empty or the batch size not positive.
    """

    def __init__(
        self, counts: Sequence[int], batch_size: int, seed: int, first: int = 0, rank: int = 0, world_size: int = 1
    ):
        if not counts or min(counts) < 1 or batch_size < 1:
            raise ValueError(
                f"batches: need at least one sample of each data set and a positive batch size, got "
                f"{', '.join(map(str, counts)) or 'no'} samples and batch size {batch_size}. Check the data folder."
            )
        self.counts, self.batch_size, self.seed = list(counts), batch_size, seed
        self.first, self.rank, self.world_size = first, rank, world_size
        self._choices = _Choices(len(counts), seed)
        self._orders: dict[int, tuple[int, Tensor]] = {}

    def __iter__(self) -> Iterator[list[Draw]]:
        batch = self.first
        while True:
            yield self.draws(batch)
            batch += 1

    def draws(self, batch: int) -> list[Draw]:
        """Samples of this process in batch number `batch`."""
        return [self._draw(position) for position in self.positions(batch)]

    def positions(self, batch: int) -> range:
        """Global positions of this process's samples in batch number `batch`."""
        start = (batch * self.world_size + self.rank) * self.batch_size
        return range(start, start + self.batch_size)

    def _draw(self, position: int) -> Draw:
        dataset, number = self._choices[position]
        epoch, index = divmod(number, self.counts[dataset])
        if self._orders.get(dataset, (None,))[0] != epoch:
            generator = generator_at(self.seed, ORDER, dataset, epoch)
            self._orders[dataset] = epoch, torch.randperm(self.counts[dataset], generator=generator)
        return Draw(position, dataset, int(self._orders[dataset][1][index]))


def generator_at(seed: int, *numbers: int) -> Generator:
    """A generator of its own for a use and a position, so that nothing drawn elsewhere matters."""
    # Hashed, because torch seeds its CPU generator with 32 bits only: sums and products would collide.
    state = np.random.SeedSequence([seed % 2**64, *numbers]).generate_state(1, np.uint64)
    return Generator().manual_seed(int(state[0]))


def augmentation_draws(seed: int, positions: Sequence[int], width: int) -> Tensor:
    """Random numbers in [0, 1) for the samples at these positions. Shape (len(positions), width)."""
    return torch.stack([torch.rand(width, generator=generator_at(seed, AUGMENTATION, at)) for at in positions])


class _Choices:
    """Which data set each position draws, and how many positions before it drew the same one."""

    def __init__(self, datasets: int, seed: int):
        self.datasets, self.seed = datasets, seed
        self._block, self._before = -1, torch.zeros(datasets, dtype=torch.long)
        self._drawn = self._numbers = self._before[:0]

    def __getitem__(self, position: int) -> tuple[int, int]:
        if self.datasets == 1:
            return 0, position
        block, offset = divmod(position, _BLOCK)
        if block != self._block:
            self._go_to(block)
        return int(self._drawn[offset]), int(self._numbers[offset])

    def _go_to(self, block: int) -> None:
        if block < self._block:
            self._block, self._before, self._drawn = -1, torch.zeros_like(self._before), self._drawn[:0]
        while self._block < block:  # all before are counted: half a second for the paper's 69 million samples
            self._before = self._before + torch.bincount(self._drawn, minlength=self.datasets)
            self._block += 1
            generator = generator_at(self.seed, CHOICE, self._block)
            self._drawn = torch.randint(self.datasets, (_BLOCK,), generator=generator)
        earlier = F.one_hot(self._drawn, self.datasets).cumsum(0) - 1 + self._before
        self._numbers = earlier.gather(1, self._drawn[:, None])[:, 0]
