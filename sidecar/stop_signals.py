"""SIGTERM and SIGINT, caught before anything heavy is imported, and counted until somebody listens.

A signal sets an event, nothing else; but the first one also starts the watchdog, before the event loop has a turn: a
loop that is blocked would never do it. One that comes while the libraries are still being loaded must not be lost: the
kubelet sends it once. Until the settings are read the default budget holds: reading them may be what hangs.
"""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Final

from sidecar.watchdog import WATCHDOG

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from types import FrameType

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
EARLY_BUDGET: Final = 20.0
"""Seconds: the default of ``shutdown.budget``."""


class StopSignals:
    """Counts the wishes to stop."""

    def __init__(self) -> None:
        """Count nothing yet."""
        self.count = 0
        self._alarm: Callable[[float], None] | None = lambda _early: WATCHDOG.arm(EARLY_BUDGET)
        self._first_at = 0.0

    def install(self) -> StopSignals:
        """Catch the signals from now on, with plain handlers: there is no event loop yet."""
        for number in SIGNALS:
            signal.signal(number, self._seen)
        return self

    def attach(
        self, loop: asyncio.AbstractEventLoop, *, alarm: Callable[[float], None] | None = None
    ) -> asyncio.Queue[float]:
        """Hand the signals over to the loop; the queue gets one item for each, or one for all that came before.

        An item is how many seconds ago its signal came. ``alarm`` is called once with the same, at the first signal or
        now if that has come already, from within the handler: it must take no lock.
        """
        from asyncio import Queue  # noqa: PLC0415 - the handlers stand before a tenth of a second of imports

        arrivals: Queue[float] = Queue()

        def tell() -> None:
            arrivals.put_nowait(0.0)

        self._alarm = alarm
        for number in SIGNALS:
            loop.add_signal_handler(number, tell)  # wakes the loop, whatever it waits for
        # And yet our own handlers again: a callback of the loop would wait for whatever blocks it.
        self.install()
        if self.count:
            self._ring()
            arrivals.put_nowait(time.monotonic() - self._first_at)
        return arrivals

    def _seen(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        if self.count == 1:
            self._first_at = time.monotonic()
        self._ring()

    def _ring(self) -> None:
        alarm, self._alarm = self._alarm, None
        if alarm is not None:
            alarm(time.monotonic() - self._first_at)
