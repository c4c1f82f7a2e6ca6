"""How many images make a step and how many steps make a training: one place for this arithmetic."""

import argparse
import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """Sizes of a run.

    Args:
        samples: In one epoch.
        batch_size: Images of one process in one forward pass.
        processes: That train together.
        accumulation: Forward passes of each process in one optimizer step.
        max_steps: Optimizer steps of the whole training; None if it ends by the clock alone.
        max_minutes: Minutes of the whole training, or None.
    """

    samples: int
    batch_size: int
    processes: int = 1
    accumulation: int = 1
    max_steps: int | None = None
    max_minutes: float | None = None

    @property
    def total_batch(self) -> int:
        """Images in one optimizer step."""
        return self.batch_size * self.processes * self.accumulation

    @property
    def steps_per_epoch(self) -> float:
        return self.samples / self.total_batch

    def is_due(self, every: int | str | None, step: int) -> bool:
        """Whether something that happens every so many steps, or every "epoch", happens after step number `step`."""
        if every == "epoch":
            return int(step / self.steps_per_epoch) > int((step - 1) / self.steps_per_epoch)
        return bool(every) and step % every == 0

    def __str__(self) -> str:
        end = f"{self.max_steps} steps ({self.max_steps / self.steps_per_epoch:.4g} epochs)" if self.max_steps else ""
        clock = f"{self.max_minutes:g} minutes" if self.max_minutes else ""
        return (
            f"{self.samples} samples; {self.total_batch} images a step = {self.batch_size} x {self.processes} "
            f"process{'es' * (self.processes > 1)} x {self.accumulation} accumulated; "
            f"{' or '.join(filter(None, (end, clock)))}"
        )


def make_plan(args: argparse.Namespace, samples: int, processes: int, resumed_total: int | None = None) -> Plan:
    """The plan that the flags of `training.arguments` ask for.

    Args:
        args: Flags of length and batch size.
        samples: In one epoch.
        processes: That train together.
        resumed_total: Images in a step of the run that is continued. They are kept: another number of processes
            changes the accumulation.

    Raises:
        ValueError: no accumulation gives the images in a step that are asked for, or no length is given.
    """
    total, share = args.total_train_batch_size, args.per_device_train_batch_size * processes
    if min(share, args.gradient_accumulation_steps, samples) < 1:
        raise ValueError(
            "batches: sizes must be positive, got per_device_train_batch_size "
            f"{args.per_device_train_batch_size}, gradient_accumulation_steps {args.gradient_accumulation_steps} and "
            f"{samples} samples. Check the flags and the data."
        )
    if resumed_total is not None and total not in (None, resumed_total):
        raise ValueError(
            f"total_train_batch_size: the run to be resumed has {resumed_total} images a step, got {total}. "
            "Leave the flag out, or start in another --output_dir."
        )
    wanted = resumed_total or total or share * args.gradient_accumulation_steps
    if wanted % share:
        sizes = [n for n in range(1, wanted + 1) if wanted % (n * processes) == 0]
        fitting = f"one of {', '.join(map(str, sizes))}" if sizes else f"another number of processes than {processes}"
        raise ValueError(
            f"per_device_train_batch_size: {wanted} images a step are {'kept' if resumed_total else 'asked for'}, got "
            f"{args.per_device_train_batch_size} x {processes} processes. Choose {fitting}."
        )
    limits = [
        args.max_train_steps,
        args.num_train_epochs and math.ceil(args.num_train_epochs * samples / wanted - 1e-9),
        args.max_train_images and math.ceil(args.max_train_images / wanted),
    ]
    steps = min((limit for limit in limits if limit is not None), default=None)
    if (steps is None and args.max_minutes is None) or (steps is not None and steps < 1):
        raise ValueError(
            f"length of training: must be positive, got {steps} steps, {args.max_minutes} minutes. "
            "Pass --num_train_epochs, --max_train_steps, --max_train_images or --max_minutes."
        )
    return Plan(samples, args.per_device_train_batch_size, processes, wanted // share, steps, args.max_minutes)
