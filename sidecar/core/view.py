"""Readiness, status, and what the sidecar waits for: projections of (state, now) and nothing else.

Metrics, probes, ``status`` and logs all read this, so that they cannot disagree.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from sidecar.core.conclusions import asks_app, deployment_id, is_waiting, pod_ends, pod_proven
from sidecar.core.facts import AppReport
from sidecar.core.policy import IdSource, Mode, Route
from sidecar.core.state import (
    Adopted,
    AppLost,
    AppMet,
    AppUnmet,
    Denied,
    Held,
    Refusal,
    Running,
    Seat,
    State,
    Undelivered,
    Vacant,
    last_report,
)


class Stage(StrEnum):
    """Where the sidecar stands, in one word (the metric ``state``)."""

    STARTING = "starting"
    WAITING_FOR_APP = "waiting_for_app"
    ACTIVATING = "activating"
    WAITING = "waiting"
    REFUSED = "refused"
    DELIVERING = "delivering"
    ACTIVE = "active"
    GRACE = "grace"
    RELEASING = "releasing"
    STOPPING = "stopping"
    OBSERVING = "observing"
    OFF = "off"


READY = frozenset({Stage.ACTIVE, Stage.GRACE, Stage.OBSERVING, Stage.OFF})


@dataclass(frozen=True, slots=True)
class View:
    """What can be said at one moment.

    ``why`` is one sentence for people: the reason of the stage. ``faults`` are further things that are not as they
    should be. ``next_at`` is the monotonic time of the next attempt at what is waited for (None: an event decides).
    ``grace_ends_at``: monotonic end of the grace
    (None: no grace runs, or the app itself says that it is licensed, for which there is no limit).
    """

    stage: Stage
    started: bool
    why: str
    faults: tuple[str, ...] = ()
    waiting_for: str = ""
    next_at: float | None = None
    grace_ends_at: float | None = None

    @property
    def ready(self) -> bool:
        """Tell whether traffic may come: the seat is ours and the app is licensed, or grace (HONEST_READY)."""
        return self.stage in READY


def describe(state: State, now: float) -> View:
    """Project the state."""
    faults = tuple(_faults(state))
    started = _started(state)
    if not isinstance(state.stopping, Running):
        left = len(state.debts)
        why = f"stopping; {left} seat(s) to give back" if left else "stopping"
        return View(Stage.STOPPING, started=started, why=why, faults=faults)
    match state.policy.mode:
        case Mode.OFF:
            return View(Stage.OFF, started=True, why="mode is off: licensing is not ours", faults=faults)
        case Mode.OBSERVE:
            ready, why = _app_fit(state, state.app.contact)
            if ready:
                return View(Stage.OBSERVING, started=True, why=why, faults=faults)
            return View(Stage.WAITING_FOR_APP, started=True, why=why, faults=faults, waiting_for="the app")
        case Mode.ONLINE:
            return _online(state, now, started=started, faults=faults)
        case other:
            assert_never(other)


def _started(state: State) -> bool:
    """Design.md section 5, "Start order": what ``/startupz`` means depends on where the ID comes from."""
    seat = state.seat if isinstance(state.seat, Seat) else None
    if state.policy.mode is not Mode.ONLINE:
        return True
    if state.policy.id_source is IdSource.POD:
        return seat is not None and isinstance(seat.tenure, Held)
    if state.policy.route is Route.APP:
        return seat is not None and seat.stored is not None
    return True


def _online(state: State, now: float, *, started: bool, faults: tuple[str, ...]) -> View:
    end = grace_end(state)
    in_grace = end is not None and now < end
    grace_ends_at = end if in_grace and end != math.inf else None
    seat = state.seat
    held = isinstance(seat, Seat) and isinstance(seat.tenure, Held)
    if held and isinstance(seat, Seat):
        matches = deployment_id(state, now) == seat.identity.deployment_id
        fit, why = (True, "the seat is ours") if not asks_app(state.policy) else _app_fit(state, state.app.contact)
        mine = _reports(state, seat)
        lost = seat.lost_at is not None
        if fit and matches and mine:
            if in_grace:
                awaited = _lost_awaits(state, seat) if lost else ""
                return View(Stage.GRACE, started, _grace_reason(state), faults, awaited, None, grace_ends_at)
            if lost:
                awaited = _lost_awaits(state, seat)
                why = f"{_lost(seat)}, and the grace is over: waits for {awaited}"
                return View(Stage.ACTIVATING, started, why, faults, awaited, _next_at(state, seat))
            return View(Stage.ACTIVE, started, "the seat is ours and the app is licensed", faults)
        if in_grace and isinstance(state.app.contact, AppLost) and matches and mine and _was_fit(state):
            return View(Stage.GRACE, started, _grace_reason(state), faults, "the app", None, grace_ends_at)
        if not isinstance(state.app.contact, AppMet):
            return View(Stage.WAITING_FOR_APP, started, why, faults, "the app", state.app.next_at)
        refusal = state.server.refusal
        if refusal is not None and state.successor is None and state.app.contact.report.licensed is not True:
            return _refused(state, seat, refusal, started=started, faults=faults)
        next_at = seat.delivery.at if isinstance(seat.delivery, Undelivered) else state.app.next_at
        return View(Stage.DELIVERING, started, why, faults, "the app", next_at)
    fit, why = _app_fit(state, state.app.contact)
    ours = not isinstance(seat, Seat) or (not seat.blocked_by and _reports(state, seat))
    if fit and in_grace and ours:
        return View(Stage.GRACE, started, _grace_reason(state), faults, _awaited(state, now), None, grace_ends_at)
    return _without_seat(state, now, started=started, faults=faults)


def _lost(seat: Seat) -> str:
    claimed = seat.stored is not None and seat.stored.record.claim is not None
    return "our seat record was claimed by another" if claimed else "our seat record was taken away"


def _lost_awaits(state: State, seat: Seat) -> str:
    """Tell what a seat whose record was taken away waits for (rule 15)."""
    if state.ledger.down_since is not None:
        return "the ledger"
    if not pod_proven(state):
        return "a look at our own pod"
    if pod_ends(state):
        return "the end of our pod" if _pod_exists(state) else "nothing: our own pod does not exist any more"
    if seat.stored is None:
        return "its record to be written again"
    return "the activation server to confirm the seat"


def _pod_exists(state: State) -> bool:
    report = state.pod.report
    return report is None or report.uid == state.policy.owner.uid


def _reports(state: State, seat: Seat) -> bool:
    """Tell whether the app reports exactly our seat's deployment ID (rule 16)."""
    if not asks_app(state.policy):
        return True
    report = last_report(state)
    return report is not None and report.deployment_id == seat.identity.deployment_id


def _without_seat(state: State, now: float, *, started: bool, faults: tuple[str, ...]) -> View:
    refusal, outage = state.server.refusal, state.server.outage
    seat = state.seat
    awaited = _awaited(state, now)
    snapshot = state.key.snapshot
    if snapshot is None or snapshot.current is None or not state.ledger.listed:
        why = f"waits for {awaited}"
        return View(Stage.STARTING, started, why, faults, awaited, state.ledger.not_before or None)
    if isinstance(seat, Vacant) and state.debts:
        return View(Stage.RELEASING, started, "gives back the seat of an app that is gone", faults, awaited)
    if isinstance(seat, (Vacant, Adopted)) or not seat.identity.deployment_id:
        return View(Stage.WAITING_FOR_APP, started, f"waits for {awaited}", faults, awaited, state.app.next_at)
    next_at = _next_at(state, seat)
    if seat.blocked_by:
        why = f"deployment ID {seat.identity.deployment_id}: {seat.blocked_by}; it is not shared"
        return View(Stage.REFUSED, started, why, faults, "the other instance to end", next_at)
    if refusal is not None:
        return _refused(state, seat, refusal, started=started, faults=faults)
    why = outage.message if outage is not None else "asks the activation server for a seat"
    if state.ledger.down_since is not None:  # no ledger, no request (rule 2)
        why = f"waits for the ledger: {state.ledger.message}"
    return View(Stage.ACTIVATING, started, why, faults, awaited, next_at)


def _next_at(state: State, seat: Seat) -> float:
    return max(state.server.not_before, seat.blocked_until, seat.ask.at if seat.ask is not None else 0.0)


def _refused(state: State, seat: Seat, refusal: Refusal, *, started: bool, faults: tuple[str, ...]) -> View:
    """Tell of a "no" for an app that has no licence: also where a seat was ours before (rules 7 and 14)."""
    next_at = _next_at(state, seat)
    if is_waiting(state):
        prospect = "it is looked whether one" if state.prospects.names is None else "one"
        why = f"all seats are in use, and {prospect} is about to become free: {refusal.sentence}"
        return View(Stage.WAITING, started, why, faults, "a seat", next_at)
    return View(Stage.REFUSED, started, refusal.sentence, faults, "the activation server", next_at)


def _awaited(state: State, now: float) -> str:
    snapshot = state.key.snapshot
    if snapshot is None or snapshot.current is None:
        return "a usable activation key"
    if state.policy.watches_pod and state.pod.report is None:
        return "a look at our own pod"
    if not state.ledger.listed or state.ledger.down_since is not None:
        return "the ledger"
    if deployment_id(state, now) is None:
        return "the app's deployment ID"
    return "the activation server"


def _app_fit(state: State, contact: AppUnmet | AppMet | AppLost) -> tuple[bool, str]:
    """Tell whether the app says now that it is licensed and fit, as far as ``readiness.require`` counts."""
    match contact:
        case AppUnmet():
            return False, "the app has not been asked yet"
        case AppLost(message=message):
            return False, f"the app does not answer: {_bare(message)}"
        case AppMet(report=report):
            return _report_fit(state, report)
        case other:
            assert_never(other)


def _report_fit(state: State, report: AppReport) -> tuple[bool, str]:
    if report.licensed is not True:  # HONEST_READY: `readiness.require` chooses among the other parts
        return False, "the app does not say that it is licensed"
    unfit = [name for name, fit in report.parts if name in state.policy.require and not fit]
    if unfit:
        return False, f"the app reports as not fit: {', '.join(unfit)}"
    return True, "the app is licensed"


def _was_fit(state: State) -> bool:
    """Tell whether the last thing that the app said was that it is licensed and fit: without that, no grace."""
    report = last_report(state)
    return report is not None and _report_fit(state, report)[0]


def _grace_since(state: State) -> float | None:
    """Return the first moment at which something that should confirm the licence did not (rule 16), or None."""
    moments = []
    seat = state.seat
    contact = state.app.contact
    if isinstance(contact, AppLost) and state.app.confirmed_at is not None:
        moments.append(contact.lost_at)
    if state.server.outage is not None:
        moments.append(state.server.outage.since)
    held = isinstance(seat, Seat) and isinstance(seat.tenure, Held)
    if state.server.refusal is not None and (state.successor is None or not held):
        moments.append(state.server.refusal.since)
    if state.ledger.down_since is not None:
        moments.append(state.ledger.down_since)
    if isinstance(seat, Seat) and isinstance(seat.tenure, Denied):
        moments.append(seat.tenure.since)
    if held and isinstance(seat, Seat) and seat.lost_at is not None:
        moments.append(seat.lost_at)
    return min(moments, default=None)


def grace_end(state: State) -> float | None:
    """Return when the grace that runs now will end (monotonic seconds), or None."""
    since = _grace_since(state)
    if since is None:
        return None
    # What the app itself reports as licensed keeps a held seat ready for as long as it says so; but the record of a pod
    # that is gone was taken for good, and so was its seat.
    seat = state.seat
    held = isinstance(seat, Seat) and isinstance(seat.tenure, Held)
    taken = isinstance(seat, Seat) and seat.lost_at is not None and not _pod_exists(state)
    if held and not taken and isinstance(state.app.contact, AppMet):
        return math.inf
    return since + state.policy.grace


def _grace_reason(state: State) -> str:
    contact, server = state.app.contact, state.server
    if isinstance(contact, AppLost):
        return f"grace: the app was licensed and does not answer now ({_bare(contact.message)})"
    seat = state.seat
    if isinstance(seat, Seat) and isinstance(seat.tenure, Held) and seat.lost_at is not None:
        return f"grace: the app is licensed, but {_lost(seat)}; waits for {_lost_awaits(state, seat)}"
    if server.refusal is not None:
        return f"grace: the app is licensed although the activation server says: {server.refusal.sentence}"
    if server.outage is not None:
        return f"grace: the app is licensed, the activation server does not answer ({_bare(server.outage.message)})"
    return f"grace: the app is licensed, the ledger does not answer ({state.ledger.message})"


def _faults(state: State) -> list[str]:
    faults = []
    snapshot = state.key.snapshot
    if snapshot is not None:
        faults += [text for text in (snapshot.fault, snapshot.warning) if text]
    if state.pod.down_since is not None:
        faults.append(f"our own pod: {state.pod.message}")
    if state.ledger.down_since is not None:
        faults.append(f"ledger: {state.ledger.message}")
    if isinstance(state.seat, Seat) and state.seat.lost_at is not None:
        faults.append(f"{_lost(state.seat)}; the seat is not certain")
    if state.server.outage is not None:
        faults.append(_said_by("activation server", state.server.outage.message))
    if state.server.refusal is not None:
        faults.append(f"activation server says: {state.server.refusal.sentence}")
    if state.successor is not None and state.server.refusal is not None:
        faults.append("the new key was refused; the seat under the old key is kept")
    if isinstance(state.app.contact, AppLost):
        faults.append(_said_by("app", state.app.contact.message))
    report = last_report(state)
    given = state.policy.given_id
    if state.policy.id_source is IdSource.FIXED and report is not None and report.deployment_id not in (None, given):
        faults.append(f"deployment_id.value is {given}, but the app reports {report.deployment_id}")
    return faults


def _bare(message: str) -> str:
    """Return the message of an outage without whose it is, for a sentence that has named them already."""
    return message.removeprefix("app: ").removeprefix("activation server: ")


def _said_by(whom: str, message: str) -> str:
    return message if message.startswith(f"{whom}: ") else f"{whom}: {message}"
