"""Errors told to people: one line each."""

import errno
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PACKAGE = str(Path(__file__).parents[1])

# What to do about errors that come from the operating system as they are.
_REMEDIES = {
    errno.ENOENT: "Check the path.",
    errno.EACCES: "Change its mode or owner, or choose another place.",
    errno.EPERM: "Change its mode or owner, or choose another place.",
    errno.ENOSPC: "Free some space.",
    errno.ENOTDIR: "Choose another place.",
    errno.EEXIST: "Choose another place.",
    errno.EROFS: "Choose another place.",
}


class RequestError(ValueError):
    """The request cannot be met; the message says why and what to do."""


def one_line(error: BaseException) -> str:
    """`error` as one line without the formats of the operating system and of libraries."""
    if isinstance(error, OSError) and error.errno is not None and error.strerror:
        subject = f"{error.filename}: " if error.filename else ""
        if error.strerror == os.strerror(error.errno):
            return f"{subject}{error.strerror.lower()}. {_REMEDIES.get(error.errno, '')}".strip()
        return f"{subject}{error.strerror}"
    text = " ".join(str(error).split())
    if isinstance(error, (ValueError, TypeError, OSError, ImportError)) and text:
        return text
    return f"unexpected {type(error).__name__}: {text or 'no message'} (--debug shows where)"


@contextmanager
def plain_warnings(command: str) -> Iterator[None]:
    """Our own warnings as lines like those of errors, by the first of several processes; others as they come."""
    with warnings.catch_warnings():
        shown = warnings.showwarning

        def show(message, category, filename, *rest, **more):
            if category.__name__ == "DecompressionBombWarning":
                return  # Pillow's, about an image that is read; one of twice the size is refused by name
            if not filename.startswith(_PACKAGE):
                shown(message, category, filename, *rest, **more)
            elif os.environ.get("RANK", "0") == "0":
                print(f"open-dpt {command}: {' '.join(str(message).split())}", file=sys.stderr)

        warnings.showwarning = show
        yield
