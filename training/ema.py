"""The exponential moving average of a model's weights: smoother than the last ones, and usually better."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

FILE = "ema.safetensors"

_UPDATES = "_updates"


class MovingAverage:
    """A float32 copy of all floating-point weights and batch-norm statistics that follows the model.

    After update number n it moves by 1 - min(decay, (1 + n) / (10 + n)): early on the average is short, so that it
    does not drag the initial weights along.

    Args:
        model: Unwrapped, after `Accelerator.prepare`. Weights that FSDP2 shards are averaged shard by shard.
        decay: Of the long run, e.g. 0.999.

    Raises:
        ValueError: decay is outside (0, 1), or the weights are not there to be averaged (FSDP1, ZeRO stage 3).
    """

    def __init__(self, model: nn.Module, decay: float):
        if not 0 < decay < 1:
            raise ValueError(f"ema_decay: must be between 0 and 1, got {decay}. 0.999 is common.")
        weights = _floating(model)
        if any(weight.numel() == 0 or hasattr(weight, "ds_id") for weight in weights.values()) or any(
            ".flat_param" in f".{name}" for name in weights
        ):
            raise ValueError(
                "ema_decay: the weights are sharded in a way that hides them. Use FSDP2 (fsdp_version: 2) or ZeRO "
                "stage 1 or 2, or leave ema_decay out."
            )
        self.decay, self.updates = decay, 0
        self.shadow = {name: weight.detach().to(torch.float32, copy=True) for name, weight in weights.items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move towards the model's weights."""
        self.updates += 1
        weights = _floating(model)
        part = 1 - min(self.decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(
            list(self.shadow.values()), [weights[name].detach().float() for name in self.shadow], part
        )

    @torch.no_grad()
    def apply(self, model: nn.Module) -> None:
        """Give the model the averaged weights."""
        for name, weight in _floating(model).items():
            weight.copy_(self.shadow[name])

    @contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[None]:
        """Inside the block the model has the averaged weights; afterwards its own, bit for bit."""
        own = {name: weight.detach().clone() for name, weight in _floating(model).items()}
        self.apply(model)
        try:
            yield
        finally:
            with torch.no_grad():
                for name, weight in _floating(model).items():
                    weight.copy_(own[name])

    def save(self, folder: Path, is_main_process: bool = True) -> None:
        """Write FILE into a folder. Call this on every process: shards are gathered."""
        whole = {name: whole_tensor(tensor).cpu().contiguous() for name, tensor in self.shadow.items()}
        if is_main_process:
            save_file(whole | {_UPDATES: torch.tensor(self.updates)}, folder / FILE)

    @torch.no_grad()
    def load(self, folder: Path) -> None:
        """Continue from a folder that `save` wrote, with any number of processes.

        Raises:
            ValueError: there is no such file: the run had no average.
        """
        if not (folder / FILE).is_file():
            raise ValueError(f"{folder}: has no {FILE}, the run was started without ema_decay. Leave it out.")
        stored = load_file(folder / FILE)
        self.updates = int(stored.pop(_UPDATES))
        for name, tensor in self.shadow.items():
            tensor.copy_(_sharded_like(stored[name].to(tensor.device), tensor))


def whole_tensor(tensor: Tensor) -> Tensor:
    """A tensor gathered from its shards, if it is sharded; on every process."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def _floating(model: nn.Module) -> dict[str, Tensor]:
    named = [*model.named_parameters(), *model.named_buffers()]
    return {name: tensor for name, tensor in named if tensor.is_floating_point()}


def _sharded_like(whole: Tensor, like: Tensor) -> Tensor:
    if not hasattr(like, "full_tensor"):
        return whole
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(whole, like.device_mesh, like.placements)
