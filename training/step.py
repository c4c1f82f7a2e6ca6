"""One optimizer step, whose loss is the exact mean over everything in the global batch.

A model's loss is the mean over what its batch knows: images with a valid pixel for depth, labelled pixels for
segmentation. The mean of such means is not the mean, so each is weighted by its count over the count of all
micro-batches of all processes. Two processes, twice the accumulation and twice the batch then agree up to rounding.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import Tensor, nn

INPUTS = ("pixel_values", "labels", "valid_mask")


def images_with_depth(batch: dict) -> Tensor:
    """How many images of a depth batch have a valid pixel."""
    return batch["valid_mask"].flatten(1).any(1).sum()


def labelled_pixels(batch: dict, ignore_index: int = 255) -> Tensor:
    """How many pixels of a segmentation batch have a label."""
    return (batch["labels"] != ignore_index).sum()


@dataclass(frozen=True)
class StepResult:
    """What one step did; the same on every process.

    Args:
        loss: Mean over the global batch.
        gradient_norm: Before clipping; nan where DeepSpeed does not tell.
        failed: Loss or gradient was not finite, so no weight changed.
        updated: The weights changed. Neither failed nor updated: the fp16 loss scaler looks for its scale.
    """

    loss: float
    gradient_norm: float
    failed: bool
    updated: bool


def train_step(
    accelerator: Accelerator,
    model: nn.Module,
    optimizer,
    batches: list[dict],
    *,
    count: Callable[[dict], Tensor],
    max_grad_norm: float | None = None,
    seed: tuple[int, int] = (0, 0),
) -> StepResult:
    """Take one optimizer step over the micro-batches of this process.

    Args:
        accelerator: Made with `gradient_accumulation_steps=len(batches)`.
        model, optimizer: As `accelerator.prepare` returned them.
        batches: Inputs of the model, on its device.
        count: What the loss of a batch is the mean over, e.g. `images_with_depth`.
        max_grad_norm: Gradients are scaled down to this norm; None or 0 for never.
        seed: (seed, step). Dropout depends on these, the micro-batch and the process alone, so nothing has to be saved
            to repeat it.
    """
    counts = torch.stack([count(batch) for batch in batches]).to(_precise(accelerator.device))
    total = accelerator.reduce(counts.sum(), "sum").clamp(min=1)
    # Gradients are averaged over processes, and backward divides by the accumulation.
    weights = counts / total * (accelerator.num_processes * len(batches))
    losses, norm = [], None
    for number, (batch, weight) in enumerate(zip(batches, weights, strict=True)):
        torch.manual_seed(_mixed(*seed, number * accelerator.num_processes + accelerator.process_index))
        with accelerator.accumulate(model):
            loss = model(**{key: batch[key] for key in INPUTS if key in batch}).loss
            losses.append(loss.detach().to(counts.dtype))
            accelerator.backward(loss * weight.to(loss.dtype))
            if accelerator.sync_gradients:
                norm = accelerator.clip_grad_norm_(model.parameters(), max_grad_norm or torch.inf)
    mean = accelerator.reduce((torch.stack(losses) * counts).sum() / total, "sum").item()
    return _update(accelerator, optimizer, mean, _as_float(norm))


def _update(accelerator: Accelerator, optimizer, loss: float, norm: float) -> StepResult:
    inside_backward = accelerator.distributed_type == DistributedType.DEEPSPEED  # its engine has stepped already
    scaler = accelerator.scaler
    # With a loss scaler an infinite gradient is how it finds its scale, until there is nothing left to scale down.
    overflow = scaler is not None and not _finite(norm) and scaler.get_scale() > 1
    failed = not _finite(loss) or not (_finite(norm) or overflow or inside_backward)
    if not failed or overflow:
        optimizer.step()
    elif scaler is not None:
        scaler.update(scaler.get_scale())  # forget this step's unscaling
    optimizer.zero_grad()
    return StepResult(loss, norm, failed, updated=not failed and not optimizer.step_was_skipped)


def _mixed(*numbers: int) -> int:
    """One seed out of several numbers; neighbours give unrelated ones."""
    value = 0
    for number in numbers:
        value = (value * 6364136223846793005 + number + 1442695040888963407) % 2**63
    return value


def _finite(value: float) -> bool:
    return abs(value) < float("inf")  # also False for nan


def _as_float(norm) -> float:
    if norm is None:
        return float("nan")
    norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
    return float(norm)


def _precise(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "mps" else torch.float64
