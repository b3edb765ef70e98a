"""Whether our own loops still turn: the only thing on which ``/livez`` depends.

A dead activation server, app or ledger is no reason to restart the sidecar, so nothing of them may ever enter here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Overdue:
    """A loop that has not turned: silent for ``silent`` seconds although it promised to turn within ``limit``."""

    loop: str
    silent: float
    limit: float

    def __str__(self) -> str:
        """Say it in words."""
        return f"{self.loop} has not turned for {self.silent:.0f} s, its limit is {self.limit:.0f} s"


class Pulses:
    """When each loop has turned last, and by when it must turn again."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Take a monotonic clock."""
        self._clock = clock
        self._turned: dict[str, tuple[float, float]] = {}

    def turned(self, loop: str, limit: float) -> None:
        """Stamp a loop that will turn again within ``limit`` seconds."""
        self._turned[loop] = (self._clock(), limit)

    def ended(self, loop: str) -> None:
        """Expect nothing more of this loop."""
        self._turned.pop(loop, None)

    def overdue(self) -> tuple[Overdue, ...]:
        """Return the loops that have exceeded their own limit."""
        now = self._clock()
        return tuple(
            Overdue(loop, now - at, limit) for loop, (at, limit) in sorted(self._turned.items()) if now - at > limit
        )

    def ages(self) -> dict[str, float]:
        """Return for each loop how many seconds ago it turned."""
        now = self._clock()
        return {loop: now - at for loop, (at, _limit) in sorted(self._turned.items())}
