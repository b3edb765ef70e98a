"""What ``/status`` shows: one projection of state and view into plain values, ready for JSON.

Keys appear by fingerprint only, and every text passes the masking although none should need it: sentences of a server
or an app are written by others. Durations are seconds; points in time are ISO 8601 in UTC, for a person with curl.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sidecar.core.records import Stored
from sidecar.core.release import Release
from sidecar.core.state import (
    Adopted,
    AppLost,
    AppMet,
    AppUnmet,
    Denied,
    Held,
    Seat,
    State,
    Unasked,
    Undelivered,
    Unsure,
    Vacant,
)
from sidecar.core.view import View
from sidecar.secrets import MASKER

Shown = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Moment:
    """The moment at which is looked: monotonic ``now`` and the wall clock at the same instant."""

    now: float
    wall: float

    def utc(self, at: float | None) -> str | None:
        """Return a monotonic point in time as UTC."""
        return None if at is None or math.isinf(at) else utc(self.wall + at - self.now)

    def until(self, at: float | None) -> float | None:
        """Return the seconds until a monotonic point in time, 0 if it is past."""
        return None if at is None or math.isinf(at) else round(max(0.0, at - self.now), 1)

    def ago(self, at: float | None) -> float | None:
        """Return the seconds since a monotonic point in time."""
        return None if at is None or math.isinf(at) else round(self.now - at, 1)


def utc(at: float) -> str | None:
    """Return seconds since the epoch as ISO 8601 to the second; None for "unknown" (0) and what no calendar knows."""
    if not at > 0:
        return None
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, OSError, ValueError):
        return None


def status(state: State, view: View, moment: Moment, version: str) -> Shown:
    """Return everything that a person asks first when something is not as it should be."""
    shown = {
        "state": view.stage.value,
        "ready": view.ready,
        "why": view.why,
        "waiting_for": view.waiting_for,
        "next_attempt_in_seconds": moment.until(view.next_at),
        "next_attempt_at": moment.utc(view.next_at),
        "grace_ends_at": moment.utc(view.grace_ends_at),
        "faults": list(view.faults),
        "seat": _seat(state.seat, moment),
        "successor": _seat(state.successor, moment) if state.successor is not None else None,
        "debts": [_debt(debt, moment) for debt in state.debts],
        "last_errors": _errors(state, moment),
        "keys": _keys(state),
        "app": _app(state, moment),
        "ledger": _ledger(state, moment),
        "pod": _pod(state, moment) if state.policy.watches_pod else None,
        "mode": state.policy.mode.value,
        "route": state.policy.route.value,
        "version": version,
        "uptime_seconds": moment.ago(state.started_at),
    }
    masked: Shown = mask(shown)
    return masked


def mask(value: Any) -> Any:
    """Return a value for JSON with every text in it masked; done before rendering, so that it stays JSON."""
    match value:
        case str():
            return MASKER.mask(value)
        case dict():
            return {name: mask(each) for name, each in value.items()}
        case list():
            return [mask(each) for each in value]
        case _:
            return value


def _seat(seat: Vacant | Adopted | Seat, moment: Moment) -> Shown | None:
    match seat:
        case Vacant():
            return None
        case Adopted(stored=records):
            return {"adopted": [_record(stored, moment) for stored in records]}
        case Seat():
            return {
                "deployment_id": seat.identity.deployment_id,
                "key_fingerprint": seat.identity.key_fingerprint,
                **_tenure(seat, moment),
                "record": None if seat.stored is None else _record(seat.stored, moment),
                "delivery": "waiting" if isinstance(seat.delivery, Undelivered) else "done",
                "delivery_tries": seat.delivery.tries,
                "asked_again_at": None if seat.ask is None else moment.utc(seat.ask.at),
                "blocked_by": seat.blocked_by,
            }


def _tenure(seat: Seat, moment: Moment) -> Shown:
    tenure = seat.tenure
    match tenure:
        case Unasked():
            return {"tenure": "not asked", "tenure_seconds": None}
        case Unsure():
            return {"tenure": "not certain", "tenure_seconds": None}
        case Held(since=since):
            return {"tenure": "held", "tenure_seconds": moment.ago(since)}
        case Denied(since=since):
            return {"tenure": "refused", "tenure_seconds": moment.ago(since)}


def _record(stored: Stored, moment: Moment) -> Shown:
    record = stored.record
    return {
        "name": stored.name,
        "deployment_id": record.identity.deployment_id,
        "key_fingerprint": record.identity.key_fingerprint,
        "phase": record.phase.value,
        "open": record.open,
        "claimed_by": record.claim.by if record.claim is not None else None,
        "age_seconds": round(moment.wall - record.created_at, 1) if record.created_at > 0 else None,
        "renewed_seconds_ago": round(moment.wall - record.renewed_at, 1) if record.renewed_at > 0 else None,
    }


def _debt(debt: Release, moment: Moment) -> Shown:
    identity = debt.record.identity
    return {
        "deployment_id": identity.deployment_id,
        "key_fingerprint": identity.key_fingerprint,
        "cause": debt.cause.value,
        "for_seconds": moment.ago(debt.since),
        "answered": debt.answered,
        "confirmed": debt.confirmed,
        "failures": debt.failures,
        "next_attempt_in_seconds": moment.until(debt.not_before),
    }


def _errors(state: State, moment: Moment) -> Shown:
    errors: Shown = {}
    refusal, outage = state.server.refusal, state.server.outage
    if refusal is not None:
        errors["refusal"] = _error(refusal.reason, refusal.sentence, refusal.since, moment, refusal.count)
    if outage is not None:
        errors["activation_server"] = _error(outage.reason, outage.message, outage.since, moment, outage.count)
    contact = state.app.contact
    if isinstance(contact, AppLost):
        errors["app"] = _error(contact.trouble, contact.message, contact.lost_at, moment, state.app.failures)
    ledger = state.ledger
    if ledger.down_since is not None:
        errors["ledger"] = _error("ledger", ledger.message, ledger.down_since, moment, ledger.failures)
    pod = state.pod
    if pod.down_since is not None:
        errors["pod"] = _error("ledger", pod.message, pod.down_since, moment, pod.failures)
    return errors


def _error(reason: str, text: str, since: float, moment: Moment, count: int) -> Shown:
    return {"reason": str(reason), "text": text, "for_seconds": moment.ago(since), "times": count}


def _keys(state: State) -> Shown:
    snapshot = state.key.snapshot
    if snapshot is None:
        return {"current": None, "previous": [], "fault": "not read yet", "warning": ""}
    return {
        "current": snapshot.current,
        "previous": list(snapshot.previous),
        "fault": snapshot.fault,
        "warning": snapshot.warning,
    }


def _app(state: State, moment: Moment) -> Shown:
    contact = state.app.contact
    asked_in = moment.until(state.app.next_at)
    match contact:
        case AppUnmet():
            return {"answers": None, "asked_in_seconds": asked_in}
        case AppMet():
            report, answered = contact.report, True
        case AppLost():
            if contact.last is None:
                return {"answers": False, "asked_in_seconds": asked_in}
            report, answered = contact.last, False
    return {
        "answers": answered,
        "deployment_id": report.deployment_id,
        "licensed": report.licensed,
        "licensed_seconds_ago": moment.ago(state.app.confirmed_at),
        "product": report.product,
        "expires_at": utc(report.expires_at),
        "parts": dict(report.parts),
        "asked_in_seconds": asked_in,
    }


def _ledger(state: State, moment: Moment) -> Shown:
    ledger = state.ledger
    return {
        "works": ledger.down_since is None,
        "listed": ledger.listed,
        "down_seconds": moment.ago(ledger.down_since),
        "failures": ledger.failures,
        "message": ledger.message,
    }


def _pod(state: State, moment: Moment) -> Shown:
    owner, report = state.policy.owner, state.pod.report
    shown: Shown = {"name": owner.pod, "namespace": owner.namespace, "uid": owner.uid, "seen": report is not None}
    if report is None:
        return shown
    app = report.app
    return shown | {
        "exists": report.uid == owner.uid,
        "deleting": report.deleting,
        "ends_at": moment.utc(state.pod.ends_at),
        "ended": report.ended,
        "app_container": None if app is None else {"id": app.id, "restarts": app.restarts, "ended": app.ended},
        "app_ended_seconds_ago": moment.ago(state.pod.app_ended_at),
    }
