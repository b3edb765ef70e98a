"""What follows from the facts at one moment, without any decision: small questions that several parts ask.

Pure functions of (state, now): what the app's ID is, which seat we should have, what its record should say, whether
"no seats" means waiting. What is done about it is decided in ``settle`` and ``plan``.
"""

from typing import assert_never

from sidecar.core.facts import PodReport
from sidecar.core.policy import IdSource, Mode, Policy, Route
from sidecar.core.reasons import AppEnd, AppTrouble, Failure
from sidecar.core.records import Identity, Owner, Phase, SeatRecord
from sidecar.core.replacement import replace
from sidecar.core.state import AppLost, AppMet, AppUnmet, Held, Seat, State, Undelivered, last_report, requesting


def app_failed(state: State, now: float) -> bool:
    """Tell whether the app counts as failed (rule 17)."""
    failing_at = app_fails_at(state)
    return failing_at is not None and now >= failing_at


def app_fails_at(state: State) -> float | None:
    """Return when the app will count as failed if it stays as it is, or None."""
    contact = state.app.contact
    if state.policy.watches_pod:
        return _container_fails_at(state, contact)
    if not isinstance(contact, AppLost):
        return None
    if contact.trouble is AppTrouble.REFUSED:
        return contact.since + state.policy.failure_grace
    if contact.trouble is AppTrouble.SILENT:
        return contact.since + state.policy.unreachable_after
    return None


def _container_fails_at(state: State, contact: AppUnmet | AppMet | AppLost) -> float | None:
    """In Kubernetes the pod's status decides; silence of the REST port alone does not (rule 17)."""
    pod, since = state.pod, state.pod.app_ended_at
    if since is None or pod.down_since is not None or state.ledger.down_since is not None:
        return None  # what the status said before we lost sight of it may be history; the ledger may notice that first
    if pod.report is not None and (pod.report.deleting or pod.report.ended):
        return None  # the end of the pod is no crash: the shutdown gives the seat back
    if state.app.answered_at >= since:
        # The status lags behind the app's own answer: until it tells of another end, only a closed port agrees with it.
        if not isinstance(contact, AppLost) or contact.trouble is not AppTrouble.REFUSED:
            return None
        since = max(since, contact.since)
    return since + state.policy.failure_grace


def app_end(state: State) -> AppEnd:
    """Return how the app failed, for whoever counts it."""
    report = state.pod.report
    if state.policy.watches_pod and report is not None and report.app is not None:
        return report.app.ended or AppEnd.EXIT
    contact = state.app.contact
    refused = isinstance(contact, AppLost) and contact.trouble is AppTrouble.REFUSED
    return AppEnd.EXIT if refused else AppEnd.UNREACHABLE


def pod_proven(state: State) -> bool:
    """Tell whether a look at our pod is new enough to take a seat with (rule 15)."""
    return not state.policy.watches_pod or state.pod.looked_at >= state.pod.doubted_at


def pod_ends(state: State) -> bool:
    """Tell whether our pod is known to end, or to be gone: nothing new is taken for it (rule 15)."""
    report = state.pod.report
    return report is not None and ends(report, state.policy.owner.uid)


def ends(report: PodReport, uid: str) -> bool:
    """Tell whether this report says that our pod ends: deletion and terminal phases are never taken back."""
    return report.uid != uid or report.deleting or report.ended


def asks_app(policy: Policy) -> bool:
    """Tell whether there is a REST API to ask (source ``pod`` is for apps without)."""
    return policy.mode is not Mode.OFF and policy.id_source is not IdSource.POD


def deployment_id(state: State, now: float) -> str | None:
    """Return the app's deployment ID as far as it is known and the app has not failed."""
    policy = state.policy
    if app_failed(state, now):
        return None
    if policy.id_source is IdSource.POD:
        return policy.given_id
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
    phase, stored, owner = Phase.ACTIVE if held else Phase.ACTIVATING, seat.stored, _owner(state)
    if stored is not None and stored.record.phase is phase and stored.record.open == is_open:
        record = stored.record
        if not record.unknown and record.claim is None and record.owner == owner:
            return record
    return SeatRecord(identity=seat.identity, owner=owner, phase=phase, open=is_open)


def _owner(state: State) -> Owner:
    """Return us, with the app's container as far as the pod's status tells it (rule 1)."""
    owner, report = state.policy.owner, state.pod.report
    if report is None or report.app is None or report.app.id in ("", owner.container_id):
        return owner
    return replace(owner, container_id=report.app.id)


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
