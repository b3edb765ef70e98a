"""What the pool speaks about: keys and what they allow, seats, and how seats change hands. Data only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class KeyState(StrEnum):
    """What the server thinks of a key."""

    OK = "ok"
    UNKNOWN = "unknown"
    """As if it had never been issued."""
    EXPIRED = "expired"
    SUSPENDED = "suspended"
    WRONG_PRODUCT = "wrong-product"
    """Issued, but for another product."""


class Move(StrEnum):
    """How a seat changed hands."""

    TAKEN = "taken"
    RELEASED = "released"
    FORCED = "forced"
    """Taken away over the control API, by a reset, or because its key was removed."""


@dataclass(frozen=True, slots=True)
class Change:
    """A seat was taken or became free. ``used`` is how many seats of the key are taken afterwards."""

    at: float
    key_fingerprint: str
    deployment: str
    move: Move
    used: int


@dataclass(frozen=True, slots=True)
class KeySpec:
    """What a key allows. ``expires_at``: seconds since the epoch in the sense of ``now``; None: a year from now."""

    seats: int
    state: KeyState = KeyState.OK
    expires_at: float | None = None
    product_id: str = "MSICAP"
    product_name: str = "MetaDefender ICAP Server (mock)"
    licensed_to: str = "Mock Customer"
    licensed_engines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Seat:
    """One active (key, deployment ID). ``units`` is 1 unless a switch lets a deployment take more."""

    deployment: str
    taken_at: float
    last_contact: float
    units: int = 1


@dataclass(frozen=True, slots=True)
class KeyView:
    """A key as it may be shown; ``taken`` in the order in which the seats were taken."""

    fingerprint: str
    spec: KeySpec
    used: int
    taken: tuple[Seat, ...]


class Keeper(Protocol):
    """Hears what is different, while it is: for a state file, which then reads the new value from the pool."""

    def key_changed(self, key_digest: str) -> None:
        """Note that a key was added, changed or removed."""

    def seat_changed(self, key_digest: str, deployment: str) -> None:
        """Note that a seat was taken, was asked for again, or became free."""
