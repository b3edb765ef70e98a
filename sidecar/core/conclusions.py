"""What follows from the facts at one moment, without any decision: small questions that several parts ask.

Pure functions of (state, now): what the app's ID is, which seat we should have, what its record should say, whether
"no seats" means waiting. What is done about it is decided in ``settle`` and ``plan``.
"""

from typing import assert_never

from sidecar.core.policy import IdSource, Mode, Policy, Route
from sidecar.core.reasons import AppTrouble, Failure
from sidecar.core.records import Identity, Phase, SeatRecord
from sidecar.core.state import AppLost, Held, Seat, State, Undelivered, last_report, requesting


def app_failed(state: State, now: float) -> bool:
    """Tell whether the app counts as failed (rule 17, outside Kubernetes)."""
    failing_at = app_fails_at(state)
    return failing_at is not None and now >= failing_at


def app_fails_at(state: State) -> float | None:
    """Return when the app will count as failed if it stays as it is, or None."""
    contact = state.app.contact
    if not isinstance(contact, AppLost):
        return None
    if contact.trouble is AppTrouble.REFUSED:
        return contact.since + state.policy.failure_grace
    if contact.trouble is AppTrouble.SILENT:
        return contact.since + state.policy.unreachable_after
    return None


def asks_app(policy: Policy) -> bool:
    """Tell whether there is a REST API to ask (source ``pod`` is for apps without)."""
    return policy.mode is not Mode.OFF and policy.id_source is not IdSource.POD


def deployment_id(state: State, now: float) -> str | None:
    """Return the app's deployment ID as far as it is known and the app has not failed."""
    policy = state.policy
    if policy.id_source is IdSource.POD:
        return policy.given_id
    if app_failed(state, now):
        return None
    report = last_report(state)
    if report is None or report.deployment_id is None:
        return None
    return policy.given_id if policy.id_source is IdSource.FIXED else report.deployment_id


def wanted_identity(state: State, now: float) -> Identity | None:
    """Return the seat that we should have, or None while that is not known."""
    policy = state.policy
    snapshot = state.key.snapshot
    if policy.mode is not Mode.ONLINE or snapshot is None or snapshot.current is None:
        return None
    known = deployment_id(state, now)
    if known is None and policy.route is Route.APP:
        known = ""
    return None if known is None else Identity(policy.server, snapshot.current, known)


def is_waiting(state: State) -> bool:
    """Tell whether "no seats" means waiting: some seat will become free by the protocol itself (rule 14)."""
    refusal = state.server.refusal
    if refusal is None or refusal.reason is not Failure.NO_SEATS:
        return False
    prospects = state.prospects
    if prospects.names is None or prospects.names or prospects.freed == refusal.count:
        return True
    return any(
        not debt.answered and not debt.confirmed and _of_current_key(state, debt.record.identity)
        for debt in state.debts
    )


def _of_current_key(state: State, identity: Identity) -> bool:
    snapshot = state.key.snapshot
    same = snapshot is not None and snapshot.current == identity.key_fingerprint
    return same and identity.server == state.policy.server


def through_product(state: State, seat: Seat) -> bool:
    """Tell whether the next delivery goes through the app's own activation (design.md section 5)."""
    match state.policy.route:
        case Route.PRODUCT:
            return True
        case Route.AUTO:
            # Upload is unproven on ICAP Server: where it said yes and the app stayed unlicensed, take turns.
            tries = seat.delivery.tries
            return state.app.takes_upload is False or tries % 2 == 1
        case Route.UPLOAD | Route.APP:
            return False
        case other:
            assert_never(other)


def wanted_record(state: State, seat: Seat, now: float) -> SeatRecord:
    """Return what the ledger should hold for this seat now: what it holds already if that is right."""
    held = isinstance(seat.tenure, Held)
    if state.policy.route is Route.APP:
        is_open = not held
    else:
        is_open = (
            (seat.ask is not None and seat.ask.cleared)
            or seat.risk_until > now
            or requesting(state, seat.identity)
            or (isinstance(seat.delivery, Undelivered) and through_product(state, seat))
        )
    phase, stored = Phase.ACTIVE if held else Phase.ACTIVATING, seat.stored
    if stored is not None and stored.record.phase is phase and stored.record.open == is_open:
        record = stored.record
        if not record.unknown and record.claim is None and record.owner == state.policy.owner:
            return record
    return SeatRecord(identity=seat.identity, owner=state.policy.owner, phase=phase, open=is_open)


def alike(one: SeatRecord, other: SeatRecord) -> bool:
    """Compare two records without their times, which whoever writes stamps."""
    return one is other or (
        one.phase is other.phase
        and one.open == other.open
        and one.unknown == other.unknown
        and one.claim == other.claim
        and one.owner == other.owner
        and one.identity == other.identity
    )


def may_act(state: State, identity: Identity) -> bool:
    """Tell whether this seat can be released at all: our own server and a key that we have (rule 6)."""
    snapshot = state.key.snapshot
    return (
        identity.server == state.policy.server
        and bool(identity.deployment_id)
        and snapshot is not None
        and identity.key_fingerprint in snapshot.known()
    )
