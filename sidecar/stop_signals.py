"""SIGTERM and SIGINT, caught before anything heavy is imported, and counted until somebody listens.

A signal sets an event, nothing else; but the first one also starts the watchdog, before the event loop has a turn: a
loop that is blocked would never do it. One that comes while the libraries are still being loaded must not be lost: the
kubelet sends it once.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from types import FrameType

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """Counts the wishes to stop."""

    def __init__(self) -> None:
        """Count nothing yet."""
        self.count = 0
        self._alarm: Callable[[], None] | None = None

    def install(self) -> StopSignals:
        """Catch the signals from now on, with plain handlers: there is no event loop yet."""
        for number in SIGNALS:
            signal.signal(number, self._seen)
        return self

    def attach(self, loop: asyncio.AbstractEventLoop, *, alarm: Callable[[], None] | None = None) -> asyncio.Queue[int]:
        """Hand the signals over to the loop; the queue gets the count after each, those before included.

        ``alarm`` is called once, at the first signal or now if that has come already, from within the handler: it must
        take no lock.
        """
        from asyncio import Queue  # noqa: PLC0415 - the handlers stand before a tenth of a second of imports

        arrivals: Queue[int] = Queue()

        def tell() -> None:
            arrivals.put_nowait(self.count)

        self._alarm = alarm
        for number in SIGNALS:
            loop.add_signal_handler(number, tell)  # wakes the loop, whatever it waits for
        # And yet our own handlers again: a callback of the loop would wait for whatever blocks it.
        self.install()
        if self.count:
            self._ring()
            tell()
        return arrivals

    def _seen(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        self._ring()

    def _ring(self) -> None:
        alarm, self._alarm = self._alarm, None
        if alarm is not None:
            alarm()
