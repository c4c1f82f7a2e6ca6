"""What every streaming metric is: sums of fixed size that live where the maps live and add up over processes."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class StreamingSums:
    """Base of the metrics: one vector of sums, float64 or int64.

    It follows the first maps to their device and stays there; where a device has no float64 (mps) it stays on the CPU.
    """

    def __init__(self, length: int, dtype: torch.dtype = torch.float64):
        self._sums = torch.zeros(length, dtype=dtype)
        self._started = self._gathered = False

    def state(self) -> Tensor:
        """Everything summed so far, as one vector: what other processes need."""
        return self._sums.clone()

    def merge(self, state: Tensor) -> None:
        """Add the state of another metric of the same settings, say of another process."""
        self._sums += state.to(self._sums)

    def gather(self, accelerator: Any = None) -> "StreamingSums":
        """Add up all processes; each then holds the whole, so `compute` says the same everywhere.

        Sums are exchanged, never samples: nothing is padded or counted twice as long as the processes' shares have no
        sample in common (those of `data.predictions.predict_rows` have none; for an `accelerator.prepare`d loader,
        which repeats samples to fill its last batch, see `fresh_samples`).

        Args:
            accelerator: `accelerate.Accelerator`; None for one process. Every process must call this.

        Returns:
            This metric.

        Raises:
            ValueError: called a second time, which would count everything once more per process.
        """
        if self._gathered:
            raise ValueError("gather: must be called once, got a second call. Make a new metric to go on.")
        self._gathered = True
        if accelerator is not None and accelerator.num_processes > 1:
            self._sums = accelerator.reduce(self._sums.to(accelerator.device), "sum")
        return self

    def _add(self, sums: Tensor) -> None:
        if not self._started:
            self._started, self._sums = True, self._sums.to(sums.device)
        self._sums += sums.to(self._sums.device)


def fresh_samples(accelerator: Any, batch_size: int) -> int:
    """How many samples of this process's current batch are no repeats; the first ones are.

    A loader from `accelerator.prepare` repeats samples of the beginning until the last batch of every process is full.

    Args:
        accelerator: `accelerate.Accelerator` whose prepared loader is being read.
        batch_size: Samples in this process's current batch.
    """
    state = accelerator.gradient_state
    if not state.end_of_dataloader or state.remainder <= 0:
        return batch_size
    return min(max(state.remainder - accelerator.process_index * batch_size, 0), batch_size)


def as_maps(values: Tensor | Sequence[Tensor]) -> list[Tensor]:
    """(B, H, W), (H, W) or a list of (H, W) of any sizes as a list of detached maps."""
    if isinstance(values, Tensor):
        values = [values] if values.ndim == 2 else values
    return [value.detach() for value in values]


def exact_device(tensor: Tensor) -> torch.device:
    """The tensor's device, or the CPU where that has no float64."""
    return torch.device("cpu") if tensor.device.type == "mps" else tensor.device
