"""What was asked and what became of it: the last requests, in order, without any key.

Bounded, so that a mock that runs for weeks does not grow. It decides nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from mock_activation.faults import Operation

DEFAULT_LENGTH: Final = 10_000


class Fate(StrEnum):
    """What became of a request."""

    PENDING = "pending"
    """Delayed or hanging."""
    ANSWERED = "answered"
    UNANSWERED = "unanswered"
    """Cut on purpose, or the client had gone."""


@dataclass(slots=True)
class Entry:
    """One request.

    ``at`` and ``done_at`` are seconds since the epoch; ``deployment`` and ``quantity`` only as far as they may be
    shown; ``outcome`` is empty if the pool never saw the request; ``status`` is what was sent, None if nothing was.
    """

    number: int
    at: float
    operation: Operation
    key_fingerprint: str
    deployment: str
    quantity: str
    fault: str = ""
    outcome: str = ""
    status: int | None = None
    fate: Fate = Fate.PENDING
    done_at: float | None = None


class Journal:
    """The last requests."""

    def __init__(
        self, length: int = DEFAULT_LENGTH, *, on_change: Callable[[Entry], None] = lambda _entry: None
    ) -> None:
        """Keep at most ``length`` entries; ``on_change`` hears of each that is held back or done with."""
        self._entries: deque[Entry] = deque(maxlen=length)
        self._last = 0
        self.changed = on_change

    def open(self, at: float, operation: Operation, key_fingerprint: str, deployment: str, quantity: str) -> Entry:
        """Note a request at its arrival; whoever handles it fills in the rest."""
        self._last += 1
        entry = Entry(self._last, at, operation, key_fingerprint, deployment, quantity)
        self._entries.append(entry)
        return entry

    def entries(self, *, operation: Operation | None = None, deployment: str | None = None) -> list[Entry]:
        """Return what is kept, oldest first, only what matches."""
        return [
            entry
            for entry in self._entries
            if operation in (None, entry.operation) and deployment in (None, entry.deployment)
        ]

    def clear(self) -> None:
        """Forget all entries; numbers go on, so that a reader notices the gap."""
        self._entries.clear()
