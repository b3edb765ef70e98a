"""The wish to stop: Ctrl-C, SIGTERM, a closed terminal. A signal only counts; who waits looks.

An exception out of a signal handler could come between the start of a process and its entry in the list of those that
are to be ended.
"""

from __future__ import annotations

import signal
from types import FrameType


class StopWishedError(Exception):
    """Somebody wants the demo to end."""


class Stops:
    """How often somebody wished it."""

    def __init__(self) -> None:
        """Begin at 0."""
        self.wishes = 0

    def install(self) -> None:
        """Count from now on, to the end of the program."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._count)

    def check(self) -> None:
        """Raise ``StopWishedError`` if it was wished."""
        if self.wishes:
            raise StopWishedError

    def _count(self, _number: int, _frame: FrameType | None) -> None:
        self.wishes += 1
