"""Stopping politely when the operating system asks."""

import signal
from types import FrameType


class StopRequest:
    """True once SIGTERM or SIGINT has arrived; a second SIGINT interrupts at once, as usual."""

    def __init__(self) -> None:
        self.arrived = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.arrived = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def __bool__(self) -> bool:
        return self.arrived
