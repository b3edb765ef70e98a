"""SIGTERM and SIGINT, caught before anything heavy is imported, and counted until somebody listens.

A signal sets an event, nothing else. One that comes while the libraries are still being loaded must not be lost: the
kubelet sends it once.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from types import FrameType
from typing import Final

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """Counts the wishes to stop."""

    def __init__(self) -> None:
        """Count nothing yet."""
        self.count = 0
        self._tell: Callable[[], None] | None = None

    def install(self) -> StopSignals:
        """Catch the signals from now on, with plain handlers: there is no event loop yet."""
        for number in SIGNALS:
            signal.signal(number, self._seen)
        return self

    def attach(self, loop: asyncio.AbstractEventLoop) -> asyncio.Queue[int]:
        """Hand the signals over to the loop; the queue gets the count after each, those before included."""
        arrivals: asyncio.Queue[int] = asyncio.Queue()

        def tell() -> None:
            arrivals.put_nowait(self.count)

        self._tell = tell
        for number in SIGNALS:
            loop.add_signal_handler(number, self._seen, number, None)
        if self.count:
            tell()
        return arrivals

    def _seen(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        if self._tell is not None:
            self._tell()
