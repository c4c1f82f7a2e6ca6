"""Which samples make up batch number n: a function of the seed and n alone.

Nothing has to be saved to continue in the middle of an epoch, and the same seed gives the same batches again.
"""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor


class BatchPlan:
    """Endless shuffled epochs over a data set, to be given to a DataLoader as `batch_sampler`.

    Every process of a distributed run takes its own part of each global batch. Samples left over at the end of an
    epoch are carried into the next one.

    Args:
        count: Samples in the data set.
        batch_size: Samples per batch and process.
        seed: Same seed, same batches.
        first_step: Batch to begin with, when a run is resumed.
        rank: This process.
        world_size: All processes.

    Raises:
        ValueError: the data set is empty or the batch size not positive.
    """

    def __init__(
        self, count: int, batch_size: int, seed: int, first_step: int = 0, rank: int = 0, world_size: int = 1
    ):
        if count < 1 or batch_size < 1:
            raise ValueError(
                f"batches: need at least one sample and a positive batch size, got {count} samples and batch size "
                f"{batch_size}. Check the data folder and --per_device_train_batch_size."
            )
        self.count, self.batch_size, self.seed = count, batch_size, seed
        self.first_step, self.rank, self.world_size = first_step, rank, world_size
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.long)

    def __iter__(self) -> Iterator[list[int]]:
        step = self.first_step
        while True:
            yield self.indices(step)
            step += 1

    def indices(self, step: int) -> list[int]:
        """Samples of this process in batch number `step`."""
        start = (step * self.world_size + self.rank) * self.batch_size
        return [self._sample(position) for position in range(start, start + self.batch_size)]

    def _sample(self, position: int) -> int:
        epoch, index = divmod(position, self.count)
        if epoch != self._epoch:
            generator = Generator().manual_seed(self.seed * 1_000_003 + epoch)
            self._epoch, self._order = epoch, torch.randperm(self.count, generator=generator)
        return int(self._order[index])


def step_draws(seed: int, step: int, batch_size: int, width: int, rank: int = 0, world_size: int = 1) -> Tensor:
    """Random numbers in [0, 1) for the samples of this process in batch number `step`. Shape (batch_size, width).

    Each process draws for the whole global batch and takes its rows, so that one process and many see the same.
    """
    generator = Generator().manual_seed((seed + 1) * 1_000_000_007 + step)
    return torch.rand(world_size * batch_size, width, generator=generator)[rank * batch_size :][:batch_size]
