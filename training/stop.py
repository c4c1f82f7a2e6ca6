"""Stopping politely when the operating system asks, and noticing that it paused us."""

import signal
import threading
from collections.abc import Callable
from types import FrameType


class StopRequest:
    """True once SIGTERM or SIGINT has arrived; a second SIGINT interrupts at once, as usual.

    Use as a context manager: the handlers there were before come back at its end.

    Args:
        on_continue: Called when the process goes on after it was suspended (SIGCONT).
    """

    def __init__(self, on_continue: Callable[[], None] | None = None) -> None:
        self.arrived = False
        handlers = {signal.SIGTERM: self._note, signal.SIGINT: self._note}
        if on_continue is not None and hasattr(signal, "SIGCONT"):
            handlers[signal.SIGCONT] = lambda number, frame: on_continue()
        if threading.current_thread() is not threading.main_thread():  # only there Python takes handlers
            handlers = {}
        self._before = {number: signal.signal(number, handler) for number, handler in handlers.items()}

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.arrived = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def __bool__(self) -> bool:
        return self.arrived

    def __enter__(self) -> "StopRequest":
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
