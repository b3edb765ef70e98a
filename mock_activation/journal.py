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


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries: None is any. ``after`` is a number that theirs must be greater than."""

    operation: Operation | None = None
    deployment: str | None = None
    key_fingerprint: str | None = None
    outcome: str | None = None
    fault: str | None = None
    fate: Fate | None = None
    status: int | None = None
    after: int = 0

    def matches(self, entry: Entry) -> bool:
        """Tell whether this entry is one of them."""
        return (
            entry.number > self.after
            and self.operation in (None, entry.operation)
            and self.deployment in (None, entry.deployment)
            and self.key_fingerprint in (None, entry.key_fingerprint)
            and self.outcome in (None, entry.outcome)
            and self.fault in (None, entry.fault)
            and self.fate in (None, entry.fate)
            and self.status in (None, entry.status)
        )


class Journal:
    """The last requests."""

    def __init__(
        self, length: int = DEFAULT_LENGTH, *, on_change: Callable[[Entry], None] = lambda _entry: None
    ) -> None:
        """Keep at most ``length`` entries; ``on_change`` hears of each that is held back or done with."""
        self._entries: deque[Entry] = deque(maxlen=length)
        self._last = 0
        self._on_change = on_change
        self.listeners: set[Callable[[Entry], None]] = set()
        """Whoever waits for an entry; called like ``on_change``."""

    def open(self, at: float, operation: Operation, key_fingerprint: str, deployment: str, quantity: str) -> Entry:
        """Note a request at its arrival; whoever handles it fills in the rest."""
        self._last += 1
        entry = Entry(self._last, at, operation, key_fingerprint, deployment, quantity)
        self._entries.append(entry)
        return entry

    def changed(self, entry: Entry) -> None:
        """Take note that an entry is held back or done with."""
        self._on_change(entry)
        if self.listeners:
            for listener in tuple(self.listeners):
                listener(entry)

    def entries(
        self,
        wanted: Wanted | None = None,
        *,
        operation: Operation | None = None,
        deployment: str | None = None,
    ) -> list[Entry]:
        """Return what is kept, oldest first, only what matches."""
        wanted = wanted or Wanted(operation, deployment)
        return [entry for entry in self._entries if wanted.matches(entry)]

    @property
    def last(self) -> int:
        """Return the number of the last entry."""
        return self._last

    def clear(self) -> None:
        """Forget all entries; numbers go on, so that a reader notices the gap."""
        self._entries.clear()
