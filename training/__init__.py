"""Pieces that training scripts are made of; `loop.fit` puts them together.

Names are imported when they are first touched: asking for a table of flags must not load torch.
"""

from importlib import import_module

_HOME = {
    "metric_alignment": ("Alignment", "align_to_metric", "make_metric"),
    "loop": ("Outcome", "Settings", "fit"),
    "step": ("StepResult", "images_with_depth", "labelled_pixels", "train_step"),
    "checkpoints": (
        "CheckpointError",
        "average_weights",
        "damage",
        "last_good",
        "resumable",
        "save_checkpoint",
        "whole_checkpoints",
    ),
    "ema": ("MovingAverage",),
    "errors": ("TrainingError", "run_script"),
    "optimizers": (
        "SCHEDULES",
        "build_optimizer",
        "learning_rate_factor",
        "parameter_groups",
        "set_learning_rate",
    ),
    "plan": ("Plan", "make_plan"),
    "progress": ("Progress", "as_main_process_sees", "parse_resolution_schedule", "size_at"),
    "run_log": ("RunLog",),
    "stop": ("StopRequest",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str):
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    return __all__
