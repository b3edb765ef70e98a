"""How late the event loop is: whether something blocks it shows here before it shows in any time-out.

A timer that arms itself again, not a task: nobody has to own it, and it costs one wake-up in five seconds.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

EVERY: Final = 5.0
_REMEMBERED: Final = 12
"""Samples: a minute of them."""


class Lag:
    """Measures from ``start`` to ``stop``."""

    def __init__(self, every: float = EVERY) -> None:
        """Take the seconds between two samples."""
        self._every = every
        self._samples: deque[float] = deque(maxlen=_REMEMBERED)
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Measure the running loop from now on."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(loop.time() + self._every, self._sample, loop)

    def stop(self) -> None:
        """Measure no longer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def worst(self) -> float:
        """Return the longest delay of the last minute in seconds, 0.0 before the first sample."""
        return max(self._samples, default=0.0)

    def _sample(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        if self._timer is not None:
            self._samples.append(max(0.0, now - self._timer.when()))
            self._timer = loop.call_at(now + self._every, self._sample, loop)
