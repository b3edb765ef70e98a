"""The one ``Observer`` of a running sidecar: passes everything on to metrics, log lines and pulses.

It runs in the middle of the agent's step, so it never waits and never raises: a bug in what only watches must not
cost anybody a seat.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress

from sidecar.core.commands import Notice
from sidecar.core.records import Phase, SeatRecord
from sidecar.core.state import State
from sidecar.core.view import Stage, describe
from sidecar.observe.metrics import Metrics
from sidecar.observe.narrator import Narrator
from sidecar.observe.pod_events import PodEvents
from sidecar.observe.pulses import Pulses
from sidecar.ports import Outcome, ReclaimResult, Target, WatchEnd


class Observers:
    """Implements ``ports.Observer``. ``bugs`` counts what went wrong in the watching itself."""

    def __init__(self, metrics: Metrics, narrator: Narrator, pulses: Pulses) -> None:
        """Take who is told."""
        self._events: PodEvents | None = None
        self.bugs = 0
        self._metrics = metrics
        self._narrator = narrator
        self._pulses = pulses
        self._state: State | None = None
        self._stage: Stage | None = None
        self._look_again_at = math.inf

    def tell_pod(self, events: PodEvents) -> None:
        """Tell these too, from now on."""
        self._events = events
        if self._stage is not None:
            events.moved(self._stage)

    def stepped(self, state: State, now: float) -> None:
        """Take note of the machine's state; it is projected only if it is another, or if a grace has run out."""
        if state is self._state and now < self._look_again_at:
            return
        self._guarded(lambda: self._stepped(state, now))

    def noticed(self, notice: Notice) -> None:
        """Take note of something worth a log line or a count."""
        self._guarded(lambda: self._metrics.noticed(notice))
        self._guarded(lambda: self._narrator.noticed(notice))
        if (events := self._events) is not None:
            self._guarded(lambda: events.noticed(notice))

    def requested(self, target: Target, operation: str, outcome: Outcome, seconds: float) -> None:
        """Take note of a request that ended."""
        self._guarded(lambda: self._metrics.requested(target, operation, outcome, seconds))

    def scanned(self, phases: dict[Phase, int], orphans: dict[Phase, int]) -> None:
        """Take note of a finished scan of the ledger."""
        self._guarded(lambda: self._metrics.scanned(phases, orphans))
        self._guarded(lambda: self._narrator.scanned(phases, orphans))

    def scan_failed(self, message: str) -> None:
        """Take note of a scan that could not be finished."""
        self._guarded(self._metrics.scan_failed)
        self._guarded(lambda: self._narrator.scan_failed(message))

    def left_alone(self, found: Mapping[str, str]) -> None:
        """Take note of what a scan left alone."""
        self._guarded(lambda: self._narrator.left_alone(found))

    def reclaimed(self, record: SeatRecord, result: ReclaimResult, why: str) -> None:
        """Take note of an attempt to reclaim somebody else's seat."""
        self._guarded(lambda: self._metrics.reclaimed(result))
        self._guarded(lambda: self._narrator.reclaimed(record, result, why))
        if (events := self._events) is not None:
            self._guarded(lambda: events.reclaimed(record, result))

    def watch_ended(self, why: WatchEnd) -> None:
        """Take note of a watch that begins anew."""
        self._guarded(lambda: self._metrics.watch_restarted(why))

    def turned(self, loop: str, limit: float) -> None:
        """Take note that a loop of ours has turned."""
        self._pulses.turned(loop, limit)

    def ended(self, loop: str) -> None:
        """Take note that a loop has ended on purpose."""
        self._pulses.ended(loop)

    def _stepped(self, state: State, now: float) -> None:
        self._state = state
        self._metrics.stepped(state)
        view = describe(state, now)
        self._look_again_at = math.inf if view.grace_ends_at is None else view.grace_ends_at
        if view.stage is not self._stage:
            self._stage = view.stage
            self._metrics.moved(view.stage)
            self._narrator.moved(view)
            if self._events is not None:
                self._events.moved(view.stage)

    def _guarded(self, tell: Callable[[], None]) -> None:
        try:
            tell()
        except Exception as error:  # noqa: BLE001 - see the module's docstring
            self.bugs += 1
            where = getattr(tell, "__qualname__", "observers").replace(".<locals>.<lambda>", "")
            with suppress(Exception):  # then the logger itself is what is broken
                self._narrator.stumbled(where, error)
