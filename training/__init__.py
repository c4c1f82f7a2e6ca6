"""Pieces that training scripts are made of. The loop itself stands in the script, where it can be read."""

from .checkpoints import average_weights, checkpoints, find_checkpoint, save_checkpoint
from .optimizers import SCHEDULES, build_optimizer, learning_rate_factor, parameter_groups, set_learning_rate
from .progress import Progress, as_main_process_sees, parse_resolution_schedule, size_at
from .stop import StopRequest

__all__ = [
    "SCHEDULES",
    "Progress",
    "StopRequest",
    "as_main_process_sees",
    "average_weights",
    "build_optimizer",
    "checkpoints",
    "find_checkpoint",
    "learning_rate_factor",
    "parameter_groups",
    "parse_resolution_schedule",
    "save_checkpoint",
    "set_learning_rate",
    "size_at",
]
