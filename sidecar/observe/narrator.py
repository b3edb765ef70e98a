"""The story of this sidecar as log lines: one for each change of its state with the cause, and what matters besides.

What is asked again and again for hours is told the first time, then at powers of two or once in five minutes, and once
when it is over. The loggers' own masking keeps keys out (``logs``); this module decides only what is said and how loud.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from sidecar.core.commands import Notice, Occasion
from sidecar.core.reasons import AppTrouble, Failure
from sidecar.core.records import Identity, Phase, SeatRecord
from sidecar.core.view import READY, Stage, View
from sidecar.observe.logs import logger
from sidecar.observe.repeats import Repeats, Row
from sidecar.observe.undecided import Undecided
from sidecar.ports import ReclaimResult


class Log(Protocol):
    """What is needed of a structlog logger."""

    def log(self, level: int, event: str, **fields: Any) -> Any:
        """Write a line."""


DEBUG, INFO, WARNING, ERROR = 10, 20, 30, 40

_STAGES: Final = {
    Stage.WAITING: WARNING,
    Stage.REFUSED: ERROR,
    Stage.GRACE: WARNING,
    Stage.RELEASING: WARNING,
}
"""The states that are more than ``info``; leaving a ready state is at least a warning, unless we stop."""

_LINES: Final = {
    Occasion.ADOPTED: (INFO, "found our own seat record"),
    Occasion.ACTIVATION_ASKED: (DEBUG, "asking for a seat"),
    Occasion.ACTIVATED: (INFO, "seat confirmed"),
    Occasion.ACTIVATION_FAILED: (WARNING, "no answer to the activation"),
    Occasion.ACTIVATION_REFUSED: (ERROR, "activation refused"),
    Occasion.DELIVERED: (INFO, "licence delivered to the app"),
    Occasion.DELIVERY_FAILED: (WARNING, "licence not delivered"),
    Occasion.LICENSE_LOST: (WARNING, "the app lost its licence"),
    Occasion.RELEASE_ASKED: (DEBUG, "giving a seat back"),
    Occasion.RELEASED: (INFO, "seat released"),
    Occasion.RELEASE_UNKNOWN: (INFO, "seat unknown to the server"),
    Occasion.RELEASE_FAILED: (WARNING, "no answer to the release"),
    Occasion.RECORD_FAILED: (WARNING, "the ledger does not work"),
    Occasion.RECORD_LOST: (WARNING, "our seat record was taken away"),
    Occasion.RECORD_FOREIGN: (ERROR, "the ID belongs to another instance"),
    Occasion.APP_UNANSWERED: (INFO, "the app does not answer"),
    Occasion.APP_FAILED: (WARNING, "the app failed"),
    Occasion.ID_CHANGED: (INFO, "the deployment ID changed"),
    Occasion.KEY_CHANGED: (INFO, "activation key taken"),
    Occasion.KEY_UNUSABLE: (WARNING, "activation key unusable"),
    Occasion.RESTART_ASKED: (WARNING, "asking the app to restart"),
    Occasion.RESTART_FAILED: (WARNING, "the file restart-app failed"),
    Occasion.STOPPING: (DEBUG, "told to stop"),
    Occasion.HANDED_OVER: (WARNING, "seat handed over"),
    Occasion.SEAT_LEFT: (INFO, "seat left for the next sidecar of this pod"),
    Occasion.POD_FOREIGN: (ERROR, "this is not the pod that the settings name"),
    Occasion.POD_UNSEEN: (WARNING, "our own pod cannot be seen"),
}
"""How loud and in which words; what is missing (renewed, checked) is told by what it ends."""

_LOUDNESS: Final = {
    (Occasion.ACTIVATION_REFUSED, Failure.NO_SEATS.value): WARNING,
    (Occasion.APP_UNANSWERED, AppTrouble.FORBIDDEN.value): WARNING,
}
"""No free seat often passes by itself; a 403 of the app seldom does."""

_EVENTS: Final = {
    (Occasion.RELEASE_FAILED, reason.value): "the release was not confirmed"
    for reason in (Failure.PROTOCOL, Failure.HTTP_5XX, Failure.RATE_LIMITED)
}
"""Other words where there was an answer: ``why`` tells which."""

_REPEATED: Final = frozenset(
    {
        Occasion.ACTIVATION_FAILED,
        Occasion.ACTIVATION_REFUSED,
        Occasion.DELIVERY_FAILED,
        Occasion.RELEASE_FAILED,
        Occasion.RECORD_FAILED,
        Occasion.APP_UNANSWERED,
        Occasion.RESTART_FAILED,
        Occasion.KEY_UNUSABLE,
        Occasion.POD_UNSEEN,
    }
)
"""Troubles that are counted whatever seat they are about: an app that crashes for hours has a new ID each time."""

_UNLIMITED: Final = frozenset({Occasion.HANDED_OVER, Occasion.RELEASED, Occasion.KEY_CHANGED})

_ENDS: Final = {
    Occasion.ACTIVATED: (Occasion.ACTIVATION_FAILED, Occasion.ACTIVATION_REFUSED),
    Occasion.ACTIVATION_REFUSED: (Occasion.ACTIVATION_FAILED,),
    Occasion.DELIVERED: (Occasion.DELIVERY_FAILED,),
    Occasion.RELEASED: (Occasion.RELEASE_FAILED,),
    Occasion.RELEASE_UNKNOWN: (Occasion.RELEASE_FAILED,),
    Occasion.RECORD_RENEWED: (Occasion.RECORD_FAILED,),
    Occasion.APP_CHECKED: (Occasion.APP_UNANSWERED,),
    Occasion.KEY_CHANGED: (Occasion.KEY_UNUSABLE,),
    Occasion.KEY_USABLE: (Occasion.KEY_UNUSABLE,),
    Occasion.POD_SEEN: (Occasion.POD_UNSEEN,),
}
_OVER: Final = {
    Occasion.RECORD_RENEWED: "the ledger works again",
    Occasion.APP_CHECKED: "the app answers",
    Occasion.KEY_USABLE: "activation key usable again",
    Occasion.POD_SEEN: "our own pod is seen again",
}
"""Ends that have no line of their own."""

_RECLAIMS: Final = {
    ReclaimResult.RELEASED: (INFO, "orphan's seat released"),
    ReclaimResult.PENDING: (INFO, "orphan's seat released, to be looked at again"),
    ReclaimResult.CONFLICT: (DEBUG, "orphan claimed by another"),
    ReclaimResult.FAILED: (WARNING, "orphan's seat not released"),
    ReclaimResult.UNKNOWN_KEY: (WARNING, "seat under an unknown key"),
}

_LOOK: Final = "`license-sidecar list` shows it, docs/operations.md (List seats) tells what to do"
_MOST_LEFT_ALONE: Final = 20
"""Lines for one scan: a backup that was restored, or a namespace without a Role, is one story."""


class Narrator:
    """Turns what the observers hear into lines."""

    def __init__(self, clock: Callable[[], float], log: Log | None = None) -> None:
        """Take a monotonic clock, and a logger other than the sidecar's own."""
        self._log: Log = logger("sidecar") if log is None else log
        self._clock = clock
        self._repeats = Repeats()
        self._stage: Stage | None = None
        self._undecided = Undecided()
        self._orphans = 0
        self._left_alone: dict[str, str] = {}

    def moved(self, view: View) -> None:
        """Tell a change of the state."""
        before, self._stage = self._stage, view.stage
        refusal = self._undecided.moved(view.stage)
        if refusal is not None:
            self.noticed(refusal)
        level = _STAGES.get(view.stage, INFO)
        if before in READY and not view.ready and view.stage is not Stage.STOPPING:
            level = max(level, WARNING)
        fields: dict[str, Any] = {"state": view.stage.value, "why": view.why}
        if before is not None:
            fields["before"] = before.value
        self._log.log(level, "state changed", **fields)

    def noticed(self, notice: Notice) -> None:
        """Tell a notice, if it is one for people and not the same as just before."""
        occasion, reason = notice.occasion, notice.reason
        for trouble in _ENDS.get(occasion, ()):
            self._over(trouble, occasion)
        waits = self._undecided.waits(notice)
        if occasion not in _LINES:
            return
        level, event = _LINES[occasion]
        level = _LOUDNESS.get((occasion, str(reason)), level)
        event = _EVENTS.get((occasion, str(reason)), event)
        if waits:
            level, event = INFO, "no free seat"
        row = Row(1, 0.0)
        if occasion not in _UNLIMITED:
            name = notice.identity.name if notice.identity is not None and occasion not in _REPEATED else ""
            about = f"{event} {reason} {name} {'' if name else self._own(notice)}"
            told = self._repeats.tell(occasion, about, self._clock())
            if told is None:
                return
            row = told
        fields = _seat(notice.identity)
        if reason:
            fields["reason"] = str(reason)
        if notice.text:
            fields["key_fingerprint" if notice.occasion is Occasion.KEY_CHANGED else "why"] = notice.text
        self._log.log(level, event, **fields, **self._row(row))

    def scanned(self, _phases: dict[Phase, int], orphans: dict[Phase, int]) -> None:
        """Tell when the number of orphans has changed."""
        row = self._repeats.over("scan")
        if row is not None:
            self._log.log(INFO, "the ledger is scanned again", **self._row(row))
        count = sum(orphans.values())
        if count != self._orphans:
            self._orphans = count
            self._log.log(WARNING if count else INFO, "orphans in the ledger", orphans=count)

    def scan_failed(self, message: str) -> None:
        """Tell a scan that could not be finished."""
        row = self._repeats.tell("scan", "", self._clock())
        if row is not None:
            self._log.log(WARNING, "the ledger was not scanned", why=message, **self._row(row))

    def left_alone(self, found: Mapping[str, str]) -> None:
        """Tell what a scan left alone: each once, and again when its reason is another."""
        news = [(name, why) for name, why in found.items() if self._left_alone.get(name) != why]
        self._left_alone = dict(found)
        for name, why in news[:_MOST_LEFT_ALONE]:
            row = self._repeats.tell("left alone", f"{name} {why}", self._clock())
            if row is not None:
                self._log.log(WARNING, "left alone in the ledger", name=name, why=why, look=_LOOK, **self._row(row))
        if len(news) > _MOST_LEFT_ALONE:
            more = len(news) - _MOST_LEFT_ALONE
            self._log.log(WARNING, "more is left alone in the ledger", more=more, look=_LOOK)

    def reclaimed(self, record: SeatRecord, result: ReclaimResult, why: str) -> None:
        """Tell an attempt to reclaim a seat."""
        identity = record.identity
        # A scan finds every record under an unknown key again: one row for the key, not for each record.
        about = identity.key_fingerprint if result is ReclaimResult.UNKNOWN_KEY else identity.name
        succeeded = result in (ReclaimResult.RELEASED, ReclaimResult.PENDING)
        row = Row(1, self._clock()) if succeeded else self._repeats.tell(f"reclaim {result}", about, self._clock())
        if row is not None:
            level, event = _RECLAIMS[result]
            fields = {**_seat(identity), "owner": record.owner.pod}
            self._log.log(level, event, why=why, **fields, **self._row(row))

    def stumbled(self, where: str, error: Exception) -> None:
        """Tell a bug in what observes, once in a while, with its traceback."""
        row = self._repeats.tell("observer", where, self._clock())
        if row is not None:
            self._log.log(ERROR, "a bug in the observation", where=where, exc_info=error, **self._row(row))

    def _over(self, trouble: Occasion, end: Occasion) -> None:
        row = self._repeats.over(trouble)
        if row is not None and end in _OVER:
            self._log.log(INFO, _OVER[end], **self._row(row))

    @staticmethod
    def _own(notice: Notice) -> str:
        # Facts without a seat (an ID that changed) differ by their text; troubles would, by a number in it, each time.
        return "" if notice.occasion in _REPEATED else notice.text

    def _row(self, row: Row) -> dict[str, Any]:
        if row.count == 1:
            return {}
        return {"times": row.count, "for_seconds": round(self._clock() - row.since, 1)}


def _seat(identity: Identity | None) -> dict[str, Any]:
    if identity is None:
        return {}
    return {"deployment_id": identity.deployment_id, "key_fingerprint": identity.key_fingerprint}
