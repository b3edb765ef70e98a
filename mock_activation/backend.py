"""Everything behind the two HTTP faces: pool, faults, journal, counts, and the state to which a reset returns."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Final

from mock_activation.answers import Outcome
from mock_activation.commits import Commits
from mock_activation.events import Broadcast, Kind
from mock_activation.faults import NAMES, Faults, Happening, Operation, Rule
from mock_activation.journal import Entry, Journal
from mock_activation.pool import Change, KeySpec, Pool
from mock_activation.profiles import PROFILES, choose
from mock_activation.switches import Switches

CALM: Final = "calm"
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
        Outcome.WRONG_PRODUCT,
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
        profile: str = CALM,
        seed: int = 0,
    ) -> None:
        """Start with these keys and this profile of faults; ``now`` gives seconds since the epoch.

        ``seed`` is what the faults choose by. ``KeyError``: there is no such profile.
        """
        self._real_now = now
        self.advanced = 0.0
        """Seconds by which the clock was advanced."""
        self.events = Broadcast()
        """Tells whoever watches what happens."""
        self.history: deque[Change] = deque(maxlen=HISTORY_LENGTH)
        """The last seats that were taken and became free, oldest first."""
        self.pool = Pool(keys, switches, on_change=self._seat_changed)
        self.profile = profile
        """The name of the profile that was chosen last; rules may have been added since."""
        self.faults = Faults(seed, now=self.now, on_event=self._fault_changed)
        self._first_profile = (profile, seed)
        for fault in PROFILES[profile].faults:
            self.faults.add(fault)
        self.journal = Journal(on_change=self._journal_changed)
        self.requests: dict[tuple[str, str], int] = {
            (operation, answer): 0 for operation, outcomes in _POSSIBLE.items() for answer in (*outcomes, *NAMES)
        }
        """How many requests, by (operation, what was answered: an outcome, or the fault that took its place)."""
        self.commits: Commits | None = None
        """What writes the state file, if there is one."""
        self.begin_here()

    def begin_here(self) -> None:
        """Let a reset return to the keys and switches of now."""
        self._first_keys = self.pool.specs()
        self._first_switches = self.pool.switches

    async def saved(self) -> None:
        """Return when everything that happened up to now may be answered. Raises ``StateError``."""
        if self.commits is not None:
            await self.commits.saved()

    def now(self) -> float:
        """Return seconds since the epoch, by the clock that can be advanced."""
        return self._real_now() + self.advanced

    def advance(self, seconds: float) -> None:
        """Let so many seconds have passed, for the keys' ends, the ages of seats and the faults' time windows."""
        self.advanced += seconds
        self.tell_state("clock")

    def choose(self, profile: str, seed: int) -> None:
        """Put a profile's rules in the place of all rules. ``KeyError``: there is no such profile."""
        choose(self.faults, profile, seed)
        self.profile = profile
        self.tell_profile()

    def reseed(self, seed: int) -> None:
        """Let the faults begin again to choose; the rules stay."""
        self.faults.reseed(seed)
        self.tell_profile()

    def tell_state(self, what: str) -> None:
        """Tell whoever watches that something is different that has no events of its own."""
        self.events.publish(Kind.STATE, lambda: {"at": self.now(), "what": what})

    def tell_profile(self) -> None:
        """Tell whoever watches which profile and seed are in force."""
        self.events.publish(Kind.PROFILE, lambda: {"at": self.now(), "name": self.profile, "seed": self.faults.seed})

    def _seat_changed(self, change: Change) -> None:
        self.history.append(change)
        self.events.publish(Kind.SEATS, lambda: asdict(change))

    def _journal_changed(self, entry: Entry) -> None:
        self.events.publish(Kind.JOURNAL, lambda: asdict(entry))

    def _fault_changed(self, happening: Happening, rule: Rule | None) -> None:
        def tell() -> dict[str, object]:
            about = {} if rule is None else {"number": rule.number, "fault": rule.fault.name, "fired": rule.fired}
            return {"at": self.now(), "what": happening, **about}

        self.events.publish(Kind.FAULTS, tell)

    def count(self, operation: Operation, answer: str) -> None:
        """Count one request that was dealt with."""
        # A test may call its own fault as it likes, so not every answer is known beforehand.
        self.requests[operation, answer] = self.requests.get((operation, answer), 0) + 1

    def reset(self) -> None:
        """Be as at the start: its keys and switches, no seats, faults or journal. Counters only ever grow."""
        self.pool.clear(self.now())
        self.pool.revert(self._first_keys, self.now())
        self.pool.switches = self._first_switches
        self.advanced = 0.0
        self.journal.clear()
        self.history.clear()
        self.choose(*self._first_profile)
        self.tell_state("reset")
