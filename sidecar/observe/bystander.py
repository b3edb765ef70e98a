"""The observers of the operator's commands: nothing is counted there, and only a reclaimer that runs for ever logs."""

from __future__ import annotations

from collections.abc import Mapping

from sidecar.core.commands import Notice
from sidecar.core.records import Phase, SeatRecord
from sidecar.core.state import State
from sidecar.observe.narrator import Narrator
from sidecar.ports import Outcome, ReclaimResult, Target, WatchEnd


class Bystander:
    """Implements ``ports.Observer``; passes on to a narrator what a reclaimer does, if there is one."""

    def __init__(self, narrator: Narrator | None = None) -> None:
        """Take who is told."""
        self._narrator = narrator

    def stepped(self, state: State, now: float) -> None:
        """Take no note: there is no agent."""

    def noticed(self, notice: Notice) -> None:
        """Take no note: there is no agent."""

    def requested(self, target: Target, operation: str, outcome: Outcome, seconds: float) -> None:
        """Take no note: nothing is counted."""

    def scanned(self, phases: dict[Phase, int], orphans: dict[Phase, int]) -> None:
        """Pass a scan on."""
        if self._narrator is not None:
            self._narrator.scanned(phases, orphans)

    def scan_failed(self, message: str) -> None:
        """Pass a failed scan on."""
        if self._narrator is not None:
            self._narrator.scan_failed(message)

    def left_alone(self, found: Mapping[str, str]) -> None:
        """Pass on what a scan left alone."""
        if self._narrator is not None:
            self._narrator.left_alone(found)

    def reclaimed(self, record: SeatRecord, result: ReclaimResult, why: str) -> None:
        """Pass an attempt on."""
        if self._narrator is not None:
            self._narrator.reclaimed(record, result, why)

    def watch_ended(self, why: WatchEnd) -> None:
        """Take no note: nothing is counted."""

    def turned(self, loop: str, limit: float) -> None:
        """Take no note: nobody probes a command."""

    def ended(self, loop: str) -> None:
        """Take no note: nobody probes a command."""
