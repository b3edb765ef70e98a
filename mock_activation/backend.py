"""Everything behind the two HTTP faces: pool, faults, journal, counts, and the state to which a reset returns."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from mock_activation.answers import Outcome
from mock_activation.faults import NAMES, Faults, Operation
from mock_activation.journal import Journal
from mock_activation.pool import Change, KeySpec, Pool
from mock_activation.switches import Switches

HISTORY_LENGTH: Final = 100_000
_INVALID: Final = (Outcome.INVALID_KEY, Outcome.INVALID_DEPLOYMENT)
_POSSIBLE: Final[dict[Operation, tuple[Outcome, ...]]] = {
    Operation.ACTIVATION: (
        Outcome.ACTIVATED,
        *_INVALID,
        Outcome.INVALID_QUANTITY,
        Outcome.UNKNOWN_KEY,
        Outcome.EXPIRED,
        Outcome.SUSPENDED,
        Outcome.NO_SEATS,
    ),
    Operation.DEACTIVATION: (Outcome.RELEASED, *_INVALID, Outcome.NOT_ACTIVE),
}


class Backend:
    """What one mock activation server consists of, without its sockets."""

    def __init__(
        self,
        keys: Mapping[str, KeySpec | int],
        switches: Switches | None = None,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Start with these keys; ``now`` gives seconds since the epoch."""
        self.now = now
        self.history: deque[Change] = deque(maxlen=HISTORY_LENGTH)
        """The last seats that were taken and became free, oldest first."""
        self.pool = Pool(keys, switches, on_change=self.history.append)
        self.faults = Faults()
        self.journal = Journal()
        self.requests: dict[tuple[str, str], int] = {
            (operation, answer): 0 for operation, outcomes in _POSSIBLE.items() for answer in (*outcomes, *NAMES)
        }
        """How many requests, by (operation, what was answered: an outcome, or the fault that took its place)."""
        self._first_keys = self.pool.specs()
        self._first_switches = self.pool.switches

    def count(self, operation: Operation, answer: str) -> None:
        """Count one request that was dealt with."""
        # A test may call its own fault as it likes, so not every answer is known beforehand.
        self.requests[operation, answer] = self.requests.get((operation, answer), 0) + 1

    def reset(self) -> None:
        """Be as at the start: its keys and switches, no seats, faults or journal. Counters only ever grow."""
        self.pool.clear(self.now())
        self.pool.revert(self._first_keys, self.now())
        self.pool.switches = self._first_switches
        self.faults.clear()
        self.journal.clear()
        self.history.clear()
