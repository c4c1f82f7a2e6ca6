"""The training loop: `fit`. One step is in `step.py`, what is kept on the disk in `checkpoints.py`.

Everything random is a function of the seed and the step. A run that is killed and started again therefore ends with
the weights of one that was not, and nothing but weights, optimizer, averages and counters has to be saved.
"""

import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from tqdm.auto import tqdm

from .checkpoints import (
    CheckpointError,
    average_weights,
    checkpoints,
    last_good,
    recover_folder,
    resumable,
    resume,
    save_checkpoint,
    set_aside_after,
)
from .ema import MovingAverage
from .errors import TrainingError, one_line
from .memory import peak_gib
from .optimizers import learning_rate_factor, set_learning_rate
from .plan import Plan
from .progress import Progress, as_main_process_sees, decisions
from .run_log import RunLog
from .step import INPUTS, train_step
from .stop import StopRequest

# Called on every process with the model as prepared and the step; gives metrics by name.
Evaluate = Callable[[nn.Module, int], dict[str, float]]
# Called on every process with the model as prepared, its folder, the step and its metrics.
SaveModel = Callable[[nn.Module, Path, int, dict[str, float]], None]


@dataclass(frozen=True)
class Settings:
    """How `fit` goes about it; the flags of `training.arguments` under the same names say what each one means."""

    output_dir: str | Path
    seed: int = 0
    lr_scheduler_type: str = "cosine"
    num_warmup_steps: int = 0
    max_grad_norm: float | None = 1.0
    ema_decay: float | None = None
    average_last: int = 1
    max_skipped_steps: int = 50
    checkpointing_steps: int | str = 1000
    checkpointing_minutes: float | None = None
    checkpoints_total_limit: int | None = 2
    resume_from_checkpoint: str = "latest"
    eval_steps: int | str = "epoch"
    metric_for_best: str | None = None
    logging_steps: int = 20

    @classmethod
    def from_args(cls, args: Namespace) -> "Settings":
        """Take the flags that have these names."""
        names = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in vars(args).items() if name in names})


@dataclass(frozen=True)
class Outcome:
    """What came out of `fit`.

    Args:
        finished: Trained to the end; otherwise a signal asked to stop and a checkpoint is written.
        model: As prepared, with the final weights: averaged if that was asked for.
        step: Optimizer steps done.
        metrics: Of the final weights.
        facts: Images seen, skipped steps, unreadable samples of this process, best step, minutes.
    """

    finished: bool
    model: nn.Module
    step: int
    metrics: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


def fit(
    accelerator: Accelerator,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loader,
    plan: Plan,
    settings: Settings,
    *,
    count: Callable[[dict], Tensor],
    run_log: RunLog,
    evaluate: Evaluate | None = None,
    save_model: SaveModel | None = None,
    before_step: Callable[[float], None] | None = None,
    recipe: dict[str, Any] | None = None,
) -> Outcome:
    """Train a model whose output has a `loss`, or continue to.

    Args:
        accelerator: With `gradient_accumulation_steps` of the plan.
        model: On any device, its parameters chosen; `optimizer` holds them, at their peak learning rates.
        loader: `.batches(first=n)` gives micro-batch n of this process and those after it, as `TrainingLoader`.
        plan: Sizes and length.
        count: What the loss of a batch is the mean over: `images_with_depth` or `labelled_pixels`.
        run_log: Not started yet.
        evaluate: Called every `settings.eval_steps` and with the final weights.
        save_model: Called when an evaluation is the best so far, by `settings.metric_for_best`.
        before_step: Called with the progress, 0 to 1, before the batches of a step are read.
        recipe: Sent to the trackers.

    Raises:
        TrainingError: no finite gradient for too long, or a checkpoint cannot be written or read.
    """
    run = _Run(accelerator, model, optimizer, plan, settings, run_log, evaluate, save_model)
    progress, device = run.progress, accelerator.device
    resumed = run.resume()
    run_log.start(progress.step, recipe)
    if resumed:
        run_log.message(f"resumed from {resumed} at step {progress.step}")
    bar = tqdm(total=plan.max_steps, initial=progress.step, unit="step", disable=not accelerator.is_local_main_process)
    batches = loader.batches(first=progress.step * plan.accumulation)
    run.model.train()
    progress.forget_pause()  # what was spent on building the model is no training
    with StopRequest(progress.forget_pause) as stop, bar:
        while True:
            fraction, late, stopping = decisions(progress.fraction, run.checkpoint_is_late(), bool(stop), device)
            if late:
                run.checkpoint()
            if stopping or fraction >= 1:
                break
            if before_step:
                before_step(fraction)
            micro_batches = run.read(batches)
            factor = learning_rate_factor(
                settings.lr_scheduler_type, fraction, progress.step, settings.num_warmup_steps
            )
            set_learning_rate(run.optimizer, run.peaks, factor)
            result = train_step(
                accelerator,
                run.model,
                run.optimizer,
                [to_device(batch, device) for batch in micro_batches],
                count=count,
                max_grad_norm=settings.max_grad_norm,
                seed=(settings.seed, progress.step),
            )
            progress.step += 1
            progress.tick()
            run.after_step(result, factor, bar)
            is_last = progress.step == plan.max_steps  # the final weights are evaluated below
            if plan.is_due(settings.eval_steps, progress.step) and not is_last:
                run.judge(averaged=True)
            if plan.is_due(settings.checkpointing_steps, progress.step):
                run.checkpoint()
    batches.close()
    bar.close()
    run.checkpoint()
    if fraction < 1:
        run_log.message(f"stopped at step {progress.step}; the same command continues")
        return Outcome(False, run.model, progress.step)
    run.use_final_weights()
    return Outcome(True, run.model, progress.step, run.judge(averaged=False), run.facts())


def to_device(batch: dict, device: torch.device) -> dict[str, Tensor]:
    """The inputs of the model out of a batch."""
    return {key: batch[key].to(device, non_blocking=True) for key in INPUTS if key in batch}


class _Run:
    """What `fit` holds in its hands, and what it does between steps."""

    def __init__(self, accelerator, model, optimizer, plan, settings, run_log, evaluate, save_model):
        self.accelerator, self.plan, self.settings, self.log = accelerator, plan, settings, run_log
        self.evaluate, self.save_model = evaluate, save_model
        self.folder = Path(settings.output_dir)
        self.peaks = [group["lr"] for group in optimizer.param_groups]
        model.train()  # marks the parameters no output depends on, before DDP counts them
        self.model, self.optimizer = accelerator.prepare(model, optimizer)
        self.average = MovingAverage(self.plain_model, settings.ema_decay) if settings.ema_decay else None
        self.progress = Progress(plan.max_steps, plan.max_minutes)
        accelerator.register_for_checkpointing(self.progress)
        self.losses: list[float] = []
        self.first_in_window = 0
        self.window = self.last_checkpoint = time.monotonic()
        self.saved_at: int | None = None

    @property
    def plain_model(self) -> nn.Module:
        return self.accelerator.unwrap_model(self.model)

    def resume(self) -> Path | None:
        """Load the checkpoint that the settings ask for; later ones no longer count."""
        found = resume(
            self.accelerator,
            resumable(self.folder, self.settings.resume_from_checkpoint),
            extra=self.average.load if self.average else lambda folder: None,
            say=self.accelerator.print,
        )
        self.first_in_window = self.progress.step
        self.accelerator.step = 0  # counts micro-batches; a checkpoint lies between steps
        if found:
            self.saved_at = self.progress.step if found.parent == self.folder else None
        if self.accelerator.is_main_process:
            recover_folder(self.folder / "best")
            for folder in set_aside_after(self.folder, self.progress.step):
                self.accelerator.print(f"{folder}: renamed to {folder.name}.set_aside, it is not what is continued")
        self.accelerator.wait_for_everyone()
        return found

    def checkpoint_is_late(self) -> bool:
        minutes = self.settings.checkpointing_minutes
        return bool(minutes) and time.monotonic() - self.last_checkpoint > 60 * minutes

    def checkpoint(self) -> None:
        """Write a checkpoint, unless this step has one."""
        self.last_checkpoint = time.monotonic()
        if self.saved_at == self.progress.step:
            return
        keep = self.settings.checkpoints_total_limit
        average = self.average
        save_checkpoint(
            self.accelerator,
            self.folder,
            self.progress.step,
            keep and max(keep, self.settings.average_last),
            facts={"total_batch": self.plan.total_batch, "processes": self.plan.processes},
            extra=(lambda folder: average.save(folder, self.accelerator.is_main_process)) if average else None,
        )
        self.saved_at = self.progress.step
        self.last_checkpoint = time.monotonic()

    def read(self, batches: Iterator[dict]) -> list[dict]:
        """The micro-batches of a step; samples that were replaced in them are reported.

        Raises:
            TrainingError: a sample cannot be read and may not be replaced.
        """
        try:
            read = [next(batches) for _ in range(self.plan.accumulation)]
        except (ValueError, OSError) as error:
            raise TrainingError(f"{one_line(error)} {last_good(self.folder)}") from error
        for text in (text for batch in read for text in batch.get("unreadable", ())):
            self.progress.unreadable += 1
            self.log.message(f"unreadable, replaced: {text}")
            if not self.accelerator.is_main_process:
                print(f"unreadable, replaced: {text}", file=sys.stderr)
        return read

    def after_step(self, result, factor: float, bar: tqdm) -> None:
        """Count skipped steps and give up on too many; move the average; log."""
        progress, settings = self.progress, self.settings
        if result.failed:
            progress.skipped_steps += 1
            progress.skipped_in_a_row += 1
            self.log.message(
                f"step {progress.step}: skipped, loss {result.loss:.4g}, gradient norm {result.gradient_norm:.4g} "
                f"({progress.skipped_steps} skipped so far)"
            )
            if progress.skipped_in_a_row >= settings.max_skipped_steps:
                raise TrainingError(
                    f"training: {progress.skipped_in_a_row} steps in a row without a finite loss and gradient, at "
                    f"step {progress.step}. {last_good(self.folder)} Lower --learning_rate or look at the data."
                )
        else:
            progress.skipped_in_a_row = 0
            self.losses.append(result.loss)
        if self.average and result.updated:
            self.average.update(self.plain_model)
        bar.update()
        if progress.step % settings.logging_steps == 0 and self.losses:
            seconds, self.window = time.monotonic() - self.window, time.monotonic()
            steps, self.first_in_window = progress.step - self.first_in_window, progress.step
            values = {
                "loss": sum(self.losses) / len(self.losses),
                "learning_rate": factor * self.peaks[-1],
                "encoder_learning_rate": factor * self.peaks[0],
                "gradient_norm": result.gradient_norm,
                "epoch": progress.step / self.plan.steps_per_epoch,
                "images_per_second": steps * self.plan.total_batch / seconds,
                "peak_memory_gib": peak_gib(self.accelerator.device),
                "minutes": progress.minutes,
            }
            self.log.scalars(progress.step, {key: float(f"{value:.6g}") for key, value in values.items()})
            bar.set_postfix(loss=f"{values['loss']:.4f}", images_per_s=f"{values['images_per_second']:.1f}")
            self.losses = []

    def judge(self, averaged: bool) -> dict[str, float]:
        """Evaluate, log, and keep the model if it is the best so far.

        Args:
            averaged: With the moving average in place of the model's own weights, where there is one.
        """
        if self.evaluate is None:
            return {}
        start, plain = time.monotonic(), self.plain_model
        if averaged and self.average:
            with self.average.applied_to(plain):
                metrics = self._evaluated_and_kept()
        else:
            metrics = self._evaluated_and_kept()
        self.model.train()
        self.window += time.monotonic() - start  # images_per_second is of training
        return metrics

    def _evaluated_and_kept(self) -> dict[str, float]:
        self.model.eval()
        metrics, progress = self.evaluate(self.model, self.progress.step), self.progress
        self.log.scalars(progress.step, {f"eval/{key}": value for key, value in metrics.items()})
        shown = ", ".join(f"{key} {value:.4g}" for key, value in metrics.items() if isinstance(value, (int, float)))
        self.log.message(f"step {progress.step}: {shown}")
        name = self.settings.metric_for_best
        if name is None:
            return metrics
        sign, key = (-1, name[1:]) if name.startswith("-") else (1, name)
        if key not in metrics:
            raise ValueError(f"metric_for_best: must be one of {', '.join(metrics)}, got {key!r}.")
        # The main process decides: sums in another order may differ in the last bit.
        (value,) = as_main_process_sees(metrics[key], device=self.accelerator.device)
        is_better = progress.best_value is None or sign * value > sign * progress.best_value
        if is_better and value == value:  # nan is no result
            progress.best_value, progress.best_step = value, progress.step
            if self.save_model:
                try:
                    self.save_model(self.model, self.folder / "best", progress.step, metrics)
                except OSError as error:
                    raise CheckpointError(
                        f"{self.folder / 'best'}: not written ({one_line(error)}). {last_good(self.folder)}"
                    ) from error
        return metrics

    def use_final_weights(self) -> None:
        """Put averaged weights into the model, if that was asked for; training is over after that."""
        if self.average:
            self.average.apply(self.plain_model)
        elif self.settings.average_last > 1:
            self.plain_model.load_state_dict(average_weights(checkpoints(self.folder)[-self.settings.average_last :]))

    def facts(self) -> dict[str, Any]:
        progress = self.progress
        return {
            "steps": progress.step,
            "images": progress.step * self.plan.total_batch,
            "epochs": round(progress.step / self.plan.steps_per_epoch, 3),
            "minutes": round(progress.minutes, 1),
            "skipped_steps": progress.skipped_steps,
            "unreadable_samples": progress.unreadable,
            "best_step": progress.best_step,
            "best_value": progress.best_value,
        }
