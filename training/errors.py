"""How a training script ends when something goes wrong: one line and an exit status."""

import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path


class TrainingError(RuntimeError):
    """Training cannot go on; the message says why, what is safe, and what to do. Exit status 1."""


def run_script(train: Callable[[Namespace], int], args: Namespace) -> int:
    """Run `train(args)` and return the exit status of the process.

    0: trained to the end, or stopped on request with a checkpoint written. 1: training had to stop. 2: the request
    cannot be met. 130: interrupted a second time. `args.debug` lets errors through with their traces.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()  # of reading and writing weights; training has its own
    try:
        return train(args)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if args.debug:
            raise
        print(f"{Path(sys.argv[0]).name}: {one_line(error)}", file=sys.stderr, flush=True)
        return 1 if isinstance(error, TrainingError) else 2


def one_line(error: BaseException) -> str:
    """The message of an error as one line; errors that are not meant for people say their kind."""
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror.lower()}"
    if isinstance(error, (ValueError, TypeError, OSError, ImportError, TrainingError)) and text:
        return text
    return f"unexpected {type(error).__name__}: {text or 'no message'} (--debug shows where)"
