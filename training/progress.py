"""How far training has come: by steps, by minutes, or whichever ends first.

Learning rate and resolution are functions of this number alone, so a run can be planned either way, and a run that is
interrupted and resumed behaves like one that was not.
"""

import time
from dataclasses import dataclass, field

import torch
from accelerate import PartialState
from accelerate.utils import broadcast, reduce


@dataclass
class Progress:
    """Steps and minutes used, over all runs that were resumed into one, and what else the loop has to remember.

    Args:
        max_steps: Optimizer steps that make a whole training, or None.
        max_minutes: Minutes that make a whole training, or None.
        step: Optimizer steps done, skipped ones included.
        minutes_before: Minutes used up to the last `tick`.
        best_value: The metric of the best evaluation so far, and
        best_step: the step of that evaluation.
        skipped_steps: Steps without a finite loss and gradient, that changed no weight.
        skipped_in_a_row: Those of them since the last good step.
        unreadable: Samples that were replaced because their files cannot be read.

    Raises:
        ValueError: neither limit is given, or one is not positive.
    """

    max_steps: int | None = None
    max_minutes: float | None = None
    step: int = 0
    minutes_before: float = 0.0
    best_value: float | None = None
    best_step: int | None = None
    skipped_steps: int = 0
    skipped_in_a_row: int = 0
    unreadable: int = 0
    _since: float = field(default_factory=lambda: time.monotonic(), repr=False)

    def __post_init__(self):
        limits = [limit for limit in (self.max_steps, self.max_minutes) if limit is not None]
        if not limits or min(limits) <= 0:
            raise ValueError(
                "length of training: must be positive, got "
                f"max_steps {self.max_steps}, max_minutes {self.max_minutes}. "
                "Pass --num_train_epochs, --max_train_steps, --max_train_images or --max_minutes."
            )

    @property
    def minutes(self) -> float:
        return self.minutes_before + (time.monotonic() - self._since) / 60

    @property
    def fraction(self) -> float:
        """0 at the start, 1 when training is over."""
        by_steps = self.step / self.max_steps if self.max_steps else 0.0
        by_minutes = self.minutes / self.max_minutes if self.max_minutes else 0.0
        return min(1.0, max(by_steps, by_minutes))

    def tick(self) -> None:
        """Count the time up to now; once a step."""
        self.minutes_before, self._since = self.minutes, time.monotonic()

    def forget_pause(self) -> None:
        """Do not count the time since the last tick: the process was suspended in it."""
        self._since = time.monotonic()

    # The two methods that `Accelerator.register_for_checkpointing` asks for.
    def state_dict(self) -> dict:
        return {name: getattr(self, name) for name in _REMEMBERED} | {"minutes_before": self.minutes}

    def load_state_dict(self, state: dict) -> None:
        for name in _REMEMBERED:
            setattr(self, name, state[name])
        self._since = time.monotonic()


_REMEMBERED = (
    "step",
    "minutes_before",
    "best_value",
    "best_step",
    "skipped_steps",
    "skipped_in_a_row",
    "unreadable",
)


def as_main_process_sees(*values: float, device: torch.device | str = "cpu") -> list[float]:
    """The values that the main process passes, on every process.

    Clocks differ between processes; what they decide must not, or one process waits for another for ever.
    """
    return broadcast(torch.tensor(values, dtype=_precise(device), device=device)).tolist()


def decisions(
    fraction: float, is_late: bool, stop: bool, device: torch.device | str = "cpu"
) -> tuple[float, bool, bool]:
    """What to do before a step, the same on every process: the clock is the main one's, anyone can ask to stop."""
    own = [fraction, float(is_late)] if PartialState().is_main_process else [0.0, 0.0]
    together = torch.tensor([*own, float(stop)], dtype=_precise(device), device=device)
    fraction, is_late, stops = reduce(together, "sum").tolist()
    return fraction, is_late > 0, stops > 0


def any_process(value: bool, device: torch.device | str = "cpu") -> bool:
    """Whether the value is true on any process; the same answer on all, and none goes on before all have asked."""
    return bool(reduce(torch.tensor(float(value), device=device), "sum").item() > 0)


def _precise(device: torch.device | str) -> torch.dtype:
    return torch.float32 if torch.device(device).type == "mps" else torch.float64


def parse_resolution_schedule(text: str) -> list[tuple[int, float]]:
    """Read "128:0.75,192:0.25": image sizes in pixels, each with its part of the training.

    Returns:
        (size, fraction of training at which this size ends) pairs; the last fraction is 1.

    Raises:
        ValueError: the text has another form, or the parts do not sum to 1.
    """
    try:
        pairs = [item.split(":") for item in text.split(",")]
        sizes, parts = [int(size) for size, _ in pairs], [float(part) for _, part in pairs]
    except ValueError:
        sizes, parts = [], []
    if not sizes or min(sizes) <= 0 or min(parts) <= 0 or abs(sum(parts) - 1) > 1e-6:
        raise ValueError(
            f"resolution_schedule: must be SIZE:PART,... with parts that sum to 1, got {text!r}. "
            "For example 128:0.75,192:0.25, or 192:1 for a single size."
        )
    ends = [sum(parts[: index + 1]) for index in range(len(parts) - 1)] + [1.0]
    return list(zip(sizes, ends, strict=True))


def size_at(schedule: list[tuple[int, float]], fraction: float) -> int:
    """Image size in pixels when `fraction` of the training is done."""
    return next((size for size, end in schedule if fraction < end), schedule[-1][0])
