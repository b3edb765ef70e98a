"""Events on our own pod, for people who ask Kubernetes first: what happened to its seat (observability.md).

At most one a minute for the same reason, and never in anybody's way: what cannot be posted is dropped, for the log and
the metrics have it too. It must not show a key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NamedTuple

from sidecar.core.commands import Notice, Occasion
from sidecar.core.records import SeatRecord
from sidecar.core.view import Stage
from sidecar.errors import LedgerOutage
from sidecar.observe.undecided import Undecided
from sidecar.ports import PodJournal, ReclaimResult
from sidecar.secrets import MASKER

PAUSE: Final = 60.0
"""Seconds between two events for the same reason."""
_WAITING: Final = 16
_ACTIVATED, _REFUSED, _LOST, _RELEASED = "Activated", "ActivationRefused", "LicenseLost", "SeatReleased"
_RECLAIMED: Final = "OrphanReclaimed"


class _Event(NamedTuple):
    reason: str
    note: str
    warning: bool


class PodEvents:
    """Chooses what is worth an event, and posts it."""

    def __init__(self, journal: PodJournal, clock: Callable[[], float]) -> None:
        """Take where to post, and a monotonic clock; nothing is posted before ``run``."""
        self._journal = journal
        self._clock = clock
        self._undecided = Undecided()
        self._told: dict[str, float] = {}
        self._waiting: asyncio.Queue[_Event] = asyncio.Queue(_WAITING)

    def moved(self, stage: Stage) -> None:
        """Take note of a change of the stage: a pod that waited for a seat may be refused now (rule 14)."""
        refusal = self._undecided.moved(stage)
        if refusal is not None:
            self.noticed(refusal)

    def noticed(self, notice: Notice) -> None:
        """Take note of something that the agent noticed."""
        if self._undecided.waits(notice):
            return
        match notice.occasion:
            case Occasion.ACTIVATED:
                self._tell(_ACTIVATED, f"The seat{_named(notice)} is ours.", warning=False)
            case Occasion.ACTIVATION_REFUSED:
                self._tell(_REFUSED, f"The activation server says: {notice.text}", warning=True)
            case Occasion.LICENSE_LOST:
                self._tell(_LOST, f"The app lost its licence{_named(notice)}; it is delivered again.", warning=True)
            case Occasion.RELEASED:
                self._tell(_RELEASED, f"The seat{_named(notice)} is free ({notice.reason}).", warning=False)
            case _:
                pass

    def reclaimed(self, record: SeatRecord, result: ReclaimResult) -> None:
        """Take note of an attempt to reclaim somebody else's seat."""
        if result in (ReclaimResult.RELEASED, ReclaimResult.PENDING):
            note = f"Gave back the seat of {record.owner.pod} ({record.identity.deployment_id}), which is gone."
            self._tell(_RECLAIMED, note, warning=False)

    async def run(self) -> None:
        """Post for ever."""
        while True:
            event = await self._waiting.get()
            try:
                with suppress(LedgerOutage):
                    await self._journal.post(event.reason, event.note, warning=event.warning)
            finally:
                self._waiting.task_done()

    async def told(self) -> None:
        """Wait until everything that was worth an event is posted or dropped."""
        await self._waiting.join()

    def _tell(self, reason: str, note: str, *, warning: bool) -> None:
        now = self._clock()
        if now - self._told.get(reason, -PAUSE) < PAUSE:
            return
        self._told[reason] = now
        with suppress(asyncio.QueueFull):
            self._waiting.put_nowait(_Event(reason, MASKER.mask(note), warning))


def _named(notice: Notice) -> str:
    return f" of deployment ID {notice.identity.deployment_id}" if notice.identity is not None else ""
