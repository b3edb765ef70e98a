"""Events become facts: one function for each event, none decides what to do next.

An answer is folded by the identity that its flight names, so that a superseded request still changes the seat or the
debt it was about (design.md section 3, "The machine").
"""

from collections.abc import Callable
from dataclasses import replace

from sidecar.core import policy as points
from sidecar.core import release as releases
from sidecar.core.commands import (
    Activate,
    ActivateByApp,
    Deactivate,
    Erase,
    Lane,
    ListOwn,
    Notice,
    Occasion,
    PollKeys,
    ScanNow,
    Upload,
    Write,
)
from sidecar.core.events import (
    Activated,
    ActivationDeclined,
    Answer,
    AppFailed,
    AppSeen,
    Deactivated,
    KeysSeen,
    Knocked,
    LedgerFailed,
    Listed,
    ProspectsSeen,
    ServerFailed,
    Stop,
    UploadDeclined,
    WriteLost,
    Written,
)
from sidecar.core.reasons import AppTrouble, Cause, Failure
from sidecar.core.records import Identity
from sidecar.core.release import Release
from sidecar.core.state import (
    Adopted,
    AppLost,
    AppMet,
    AppUnmet,
    Ask,
    Denied,
    Flight,
    Held,
    Outage,
    Prospects,
    Refusal,
    Running,
    Seat,
    State,
    Stopping,
    Undelivered,
    Unsure,
    last_report,
    requesting,
    seats,
)
from sidecar.core.state import Delivered as NothingToDeliver

Instant = Notice | PollKeys | ScanNow
Folded = tuple[State, list[Instant]]


def _with_seat(state: State, identity: Identity, change: Callable[[Seat], Seat]) -> State | None:
    """Change the seat or successor with this identity; None if there is none."""
    if isinstance(state.seat, Seat) and state.seat.identity == identity:
        return replace(state, seat=change(state.seat))
    if state.successor is not None and state.successor.identity == identity:
        return replace(state, successor=change(state.successor))
    return None


def _with_debt(state: State, name: str, change: Callable[[Release], Release | None]) -> State:
    """Change, or drop, the debt with this record name."""
    debts = tuple(
        changed for debt in state.debts if (changed := change(debt) if debt.name == name else debt) is not None
    )
    return replace(state, debts=debts)


def _seat_of(state: State, identity: Identity) -> Seat | None:
    return next((seat for seat in seats(state) if seat.identity == identity), None)


def _ledger_up(state: State) -> State:
    return replace(state, ledger=replace(state.ledger, failures=0, not_before=0.0, down_since=None, message=""))


# --- the ledger -----------------------------------------------------------------------------------------------------


def listed(state: State, now: float, event: Listed) -> Folded:
    """Fold our own records: the first time they are adopted, later they complete what an unanswered write left open."""
    state = _ledger_up(state)
    first = not state.ledger.listed
    state = replace(state, ledger=replace(state.ledger, listed=True))
    if first:
        notices: list[Instant] = [Notice(occasion=Occasion.ADOPTED, identity=it.record.identity) for it in event.own]
        return replace(state, seat=Adopted(event.own)) if event.own else state, notices
    for stored in event.own:
        if _with_seat(state, stored.record.identity, lambda seat: seat) is not None:
            continue
        if not any(debt.name == stored.name for debt in state.debts):
            debt = releases.begin(stored, Cause.DEPLOYMENT_CHANGED, now, state.policy.late)
            state = replace(state, debts=(*state.debts, debt))
        else:
            state = _with_debt(state, stored.name, lambda debt, stored=stored: replace(debt, stored=stored))  # type: ignore[misc]
    return state, []


def written(state: State, now: float, flight: Flight, event: Written) -> Folded:
    """Fold a successful write: the version moves on, and an attempt whose record is open may ask the server."""
    state = _ledger_up(state)
    stored = event.stored
    command = flight.launch.command
    clears = isinstance(command, Write) and command.clears

    def seat_written(seat: Seat) -> Seat:
        ask = seat.ask
        if ask is not None and clears:
            ask = replace(ask, cleared=True)
        return replace(seat, stored=stored, ask=ask, written_at=now, blocked_until=0.0, blocked_by="")

    changed = _with_seat(state, stored.record.identity, seat_written)
    if changed is None:
        changed = _with_debt(state, stored.name, lambda debt: replace(debt, stored=stored))
    return changed, [Notice(occasion=Occasion.RECORD_RENEWED)]


def write_lost(state: State, now: float, flight: Flight, event: WriteLost) -> Folded:
    """Fold a lost compare-and-swap: somebody else wrote, or an answer to an earlier write of ours was lost."""
    state = _ledger_up(state)
    command = flight.launch.command
    name = command.name if isinstance(command, (Write, Erase)) else ""
    current = event.current
    ours = current is not None and current.record.owner.uid == state.policy.owner.uid
    notices: list[Instant] = []

    def debt_lost(debt: Release) -> Release | None:
        if current is None:
            return None if debt.confirmed else replace(debt, stored=None)
        # Another instance's record under this name: its seat is not ours to release any more.
        return replace(debt, stored=current) if ours else None

    def seat_lost(seat: Seat) -> Seat:
        if current is None:
            notices.append(Notice(occasion=Occasion.RECORD_LOST, identity=seat.identity))
            return replace(seat, stored=None, ask=Ask(now))
        if not ours:
            owner = current.record.owner
            text = f"its record belongs to {owner.pod} (uid {owner.uid})"
            notices.extend((Notice(occasion=Occasion.RECORD_FOREIGN, text=text, identity=seat.identity), ScanNow()))
            return replace(seat, stored=None, blocked_until=now + state.policy.lease / 4, blocked_by=text)
        ask = seat.ask
        if current.record.claim is not None:
            notices.append(Notice(occasion=Occasion.RECORD_LOST, identity=seat.identity, text="it was claimed"))
            ask = Ask(now + points.CLAIM_TIME)
        return replace(seat, stored=current, ask=replace(ask, cleared=False) if ask is not None else None)

    # A debt comes first: while it lasts, the seat of the same name does not write.
    if any(debt.name == name for debt in state.debts):
        return _with_debt(state, name, debt_lost), notices
    for seat in seats(state):
        if seat.identity.name == name:
            return _with_seat(state, seat.identity, seat_lost) or state, notices
    return state, notices


def erased(state: State, flight: Flight) -> Folded:
    """Fold the end of a record: its seat is settled."""
    command = flight.launch.command
    name = command.name if isinstance(command, Erase) else ""
    return _with_debt(_ledger_up(state), name, lambda _debt: None), []


def ledger_failed(state: State, now: float, flight: Flight, event: LedgerFailed) -> Folded:
    """Fold an outage of the ledger; what a write of an unknown outcome left there is looked for again."""
    ledger = state.ledger
    failures = ledger.failures + 1
    command = flight.launch.command
    unsure = isinstance(command, Write) and command.over is None and _seat_of(state, command.record.identity) is None
    ledger = replace(
        ledger,
        listed=ledger.listed and not unsure,
        failures=failures,
        not_before=now + points.ledger_pause(failures, event.luck),
        down_since=now if ledger.down_since is None else ledger.down_since,
        message=event.message,
    )
    return replace(state, ledger=ledger), [
        Notice(occasion=Occasion.RECORD_FAILED, reason=Failure.LEDGER, text=event.message)
    ]


# --- the activation server ------------------------------------------------------------------------------------------


def _next_ask(state: State, seat: Seat, now: float, luck: float) -> tuple[Ask | None, bool]:
    if seat.again:
        return Ask(now + state.policy.late), False
    if state.policy.revalidate <= 0:
        return None, False
    return Ask(now + points.jittered(state.policy.revalidate, luck, 0.1)), False


def activated(state: State, now: float, flight: Flight, event: Activated) -> Folded:
    """Fold a granted seat; one that is no longer wanted becomes, or stays, a debt."""
    command = flight.launch.command
    if not isinstance(command, Activate):
        return state, []
    identity = command.identity
    state = replace(state, server=replace(state.server, refusal=None, outage=None, not_before=0.0))
    report = last_report(state)

    def seat_activated(seat: Seat) -> Seat:
        ask, again = _next_ask(state, seat, now, event.luck)
        known = isinstance(seat.tenure, Held) and report is not None and report.licensed is True
        fresher = event.licence.expires_at > (report.expires_at if report is not None else 0.0)
        deliver = state.policy.id_source is not points.IdSource.POD and not (known and not fresher)
        tenure = seat.tenure if isinstance(seat.tenure, Held) else Held(now)
        delivery = (
            Undelivered(event.licence, now, seat.delivery.tries)
            if deliver
            else NothingToDeliver(now, seat.delivery.tries)
        )
        return replace(seat, tenure=tenure, ask=ask, again=again, delivery=delivery)

    notices: list[Instant] = [Notice(occasion=Occasion.ACTIVATED, identity=identity)]
    changed = _with_seat(state, identity, seat_activated)
    if changed is None:
        changed = _with_debt(state, identity.name, lambda debt: releases.retaken(debt, now))
    if changed.active_since is None and _seat_of(changed, identity) is not None:
        changed = replace(changed, active_since=now)
    return changed, notices


def activation_declined(state: State, now: float, flight: Flight, event: ActivationDeclined) -> Folded:
    """Fold a refusal: it ends the record only if nothing else can have taken the seat (rule 5)."""
    command = flight.launch.command
    if not isinstance(command, Activate):
        return state, []
    identity = command.identity
    before = state.server.refusal
    same = before is not None and before.reason is event.reason
    count = before.count + 1 if same and before is not None else 1
    since = before.since if before is not None else now
    pause = points.refusal_pause(state.policy, event.reason, count, event.luck)
    refusal = Refusal(event.reason, event.sentence, since, count)
    report = last_report(state)
    licensed = report is not None and report.licensed is True
    erasing: list[Release] = []

    def seat_declined(seat: Seat) -> Seat:
        ask = Ask(now)
        if isinstance(seat.tenure, Held):
            return replace(seat, ask=ask)
        if licensed or seat.risk_until > now or isinstance(seat.tenure, (Unsure, Denied)):
            since = seat.tenure.since if isinstance(seat.tenure, Denied) else now
            return replace(seat, tenure=Denied(since, licensed), ask=ask)
        if seat.stored is not None:
            debt = releases.begin(seat.stored, Cause.OPERATOR, now, state.policy.late)
            erasing.append(replace(debt, confirmed=True, quiet_at=0.0))
        return Seat(identity=seat.identity, ask=ask, written_at=seat.written_at)

    notices: list[Instant] = [
        Notice(occasion=Occasion.ACTIVATION_REFUSED, reason=event.reason, text=event.sentence, identity=identity),
        PollKeys(),
    ]
    if event.reason is Failure.NO_SEATS:
        notices.append(ScanNow())
    changed = _with_seat(state, identity, seat_declined)
    if changed is None:
        return state, notices
    server = replace(state.server, refusal=refusal, outage=None, not_before=now + pause)
    return replace(changed, server=server, debts=(*changed.debts, *erasing)), notices


def deactivated(state: State, now: float, flight: Flight, event: Deactivated) -> Folded:
    """Fold a definite answer to a deactivation."""
    command = flight.launch.command
    if not isinstance(command, Deactivate):
        return state, []
    late = state.policy.late

    def answer(debt: Release) -> Release:
        if event.unknown:
            return releases.unknown(debt, flight.started, now, late)
        return releases.released(debt, flight.started)

    occasion = Occasion.RELEASE_UNKNOWN if event.unknown else Occasion.RELEASED
    notice = Notice(occasion=occasion, reason=command.cause, identity=command.identity)
    return _with_debt(state, command.identity.name, answer), [notice]


def server_failed(state: State, now: float, flight: Flight, event: ServerFailed) -> Folded:
    """Fold an outage: an activation that was sent may still take effect ``late`` seconds from now (rule 4)."""
    command = flight.launch.command
    late_at = now + state.policy.late
    if isinstance(command, Deactivate):
        stopping = isinstance(state.stopping, Stopping)

        def deactivation_failed(debt: Release) -> Release:
            if stopping:
                pause = min(1.0, 0.1 * 2.0**debt.failures) * (0.5 + 0.5 * event.luck)
            else:
                pause = points.outage_pause(state.policy, debt.failures + 1, event.luck, event.retry_after)
            return releases.failed(debt, now, pause)

        notice = Notice(
            occasion=Occasion.RELEASE_FAILED, reason=event.reason, text=event.message, identity=command.identity
        )
        return _with_debt(state, command.identity.name, deactivation_failed), [notice]
    if not isinstance(command, Activate):
        return state, []
    before = state.server.outage
    count = 1 if before is None else before.count + 1
    outage = Outage(event.reason, event.message, now if before is None else before.since, count)
    pause = points.outage_pause(state.policy, count, event.luck, event.retry_after)

    def activation_failed(seat: Seat) -> Seat:
        if not event.sent:
            return replace(seat, ask=Ask(now))
        tenure = seat.tenure if isinstance(seat.tenure, Held) else Unsure()
        return replace(seat, ask=Ask(now), tenure=tenure, risk_until=late_at)

    changed = _with_seat(state, command.identity, activation_failed)
    if changed is None:
        changed = _with_debt(
            state,
            command.identity.name,
            lambda debt: releases.requested(debt, late_at) if event.sent else releases.requested(debt, 0.0),
        )
    server = replace(state.server, outage=outage, not_before=max(state.server.not_before, now + pause))
    notice = Notice(
        occasion=Occasion.ACTIVATION_FAILED, reason=event.reason, text=event.message, identity=command.identity
    )
    return replace(changed, server=server), [notice]


# --- the app --------------------------------------------------------------------------------------------------------

FRESH_LICENCE = 10.0
"""For so long after a delivery the app is asked every second whether it took effect."""


def app_seen(state: State, now: float, event: AppSeen) -> Folded:
    """Fold the app's answer; a licence that it lost is delivered again, through the activation server."""
    report = event.report
    before = last_report(state)
    notices: list[Instant] = [Notice(occasion=Occasion.APP_CHECKED)]
    changed_id = before is not None and before.deployment_id != report.deployment_id and report.deployment_id
    if changed_id and before is not None and before.deployment_id:
        notices.append(Notice(occasion=Occasion.ID_CHANGED, text=f"{before.deployment_id} -> {report.deployment_id}"))
    seat = state.seat if isinstance(state.seat, Seat) else None
    ours = seat is not None and seat.identity.deployment_id == report.deployment_id
    licensed = report.licensed is True
    app = replace(state.app, contact=AppMet(report, now), failures=0)
    if ours and licensed:
        app = replace(app, confirmed_at=now)
    if changed_id:
        app = replace(app, takes_upload=None, confirmed_at=None)
    lapsed = now - seat.delivery.at if seat is not None else 0.0
    eager = report.deployment_id is None or (
        ours and not licensed and seat is not None and isinstance(seat.tenure, Held) and lapsed < FRESH_LICENCE
    )
    pause = 1.0 if eager else points.jittered(state.policy.app_interval, event.luck)
    state = replace(state, app=replace(app, next_at=now + pause))
    if seat is None or not ours or isinstance(seat.delivery, Undelivered):
        return state, notices
    if licensed:
        held = seat
        if state.policy.route is points.Route.APP and not isinstance(seat.tenure, Held):
            held = replace(seat, tenure=Held(now))
            notices.append(Notice(occasion=Occasion.ACTIVATED, identity=seat.identity, text="the app did it itself"))
            state = replace(state, active_since=state.active_since or now)
        return replace(state, seat=replace(held, delivery=replace(seat.delivery, tries=0))), notices
    if state.policy.route is points.Route.APP or report.licensed is None or not isinstance(seat.tenure, Held):
        return state, notices
    asking = seat.ask is not None and (seat.ask.cleared or seat.ask.at <= now)
    if asking or requesting(state, seat.identity):
        return state, notices
    tries = seat.delivery.tries
    was_licensed = app.confirmed_at is not None and app.confirmed_at >= seat.delivery.at
    adopted = seat.delivery.at == 0.0
    if tries == 0 and (was_licensed or adopted):
        notices.append(Notice(occasion=Occasion.LICENSE_LOST, identity=seat.identity))
    elif lapsed >= min(300.0, FRESH_LICENCE * 2.0 ** min(tries, 6)):
        tries += 1
    else:
        return state, notices
    seat = replace(seat, ask=Ask(now), delivery=NothingToDeliver(now, tries))
    return replace(state, seat=seat, app=replace(state.app, confirmed_at=None)), notices


def _contact_lost(state: State, now: float, trouble: AppTrouble, message: str) -> AppLost:
    contact = state.app.contact
    if isinstance(contact, AppLost):
        since = contact.since if contact.trouble is trouble else now
        return AppLost(contact.last, trouble, message, since, contact.lost_at)
    return AppLost(last_report(state), trouble, message, now, now)


def app_failed(state: State, now: float, flight: Flight, event: AppFailed) -> Folded:
    """Fold an app that did not answer a question or did not take a licence."""
    command = flight.launch.command
    text = event.message
    if not isinstance(command, (Upload, ActivateByApp)):
        failures = state.app.failures + 1
        contact = _contact_lost(state, now, event.trouble, text)
        next_at = now + points.app_pause(state.policy, failures, event.luck)
        app = replace(state.app, contact=contact, failures=failures, next_at=next_at)
        return replace(state, app=app), [Notice(occasion=Occasion.APP_UNANSWERED, reason=event.trouble, text=text)]
    late_at = now + state.policy.late
    identity = command.identity

    def delivery_failed(seat: Seat) -> Seat:
        delivery = seat.delivery
        if isinstance(delivery, Undelivered):
            pause = min(60.0, 1.0 * 2.0 ** min(delivery.tries, 6)) * (0.5 + 0.5 * event.luck)
            delivery = replace(delivery, at=now + pause, tries=delivery.tries + 1)
        return replace(seat, delivery=delivery, risk_until=late_at if event.sent else seat.risk_until)

    changed = _with_seat(state, identity, delivery_failed)
    if changed is None:
        quiet_at = late_at if event.sent else 0.0
        changed = _with_debt(state, identity.name, lambda debt: releases.requested(debt, quiet_at))
    notice = Notice(occasion=Occasion.DELIVERY_FAILED, reason=Failure.APP, text=text, identity=identity)
    return replace(changed, app=replace(changed.app, next_at=now)), [notice]


def delivered(state: State, now: float, flight: Flight) -> Folded:
    """Fold a licence that the app took: whether it is licensed is asked at once."""
    command = flight.launch.command
    if not isinstance(command, (Upload, ActivateByApp)):
        return state, []
    identity = command.identity
    changed = _with_seat(
        state, identity, lambda seat: replace(seat, delivery=NothingToDeliver(now, seat.delivery.tries))
    )
    app = replace(state.app, next_at=now)
    if isinstance(command, Upload):
        app = replace(app, takes_upload=True)
    if changed is None:
        changed = state
        if isinstance(command, ActivateByApp):
            changed = _with_debt(state, identity.name, lambda debt: releases.retaken(debt, now))
    return replace(changed, app=app), [Notice(occasion=Occasion.DELIVERED, identity=identity)]


def upload_declined(state: State, now: float, flight: Flight, event: UploadDeclined) -> Folded:
    """Fold an app without upload: route ``auto`` goes on with the product's own activation."""
    command = flight.launch.command
    if not isinstance(command, Upload):
        return state, []
    pause = 0.0 if state.policy.route is points.Route.AUTO else 60.0

    def declined(seat: Seat) -> Seat:
        if isinstance(seat.delivery, Undelivered):
            return replace(seat, delivery=replace(seat.delivery, at=now + pause))
        return seat

    changed = _with_seat(state, command.identity, declined) or state
    notice = Notice(
        occasion=Occasion.DELIVERY_FAILED, reason=Failure.APP, text=event.message, identity=command.identity
    )
    return replace(changed, app=replace(changed.app, takes_upload=False)), [notice]


def knocked(state: State, now: float, event: Knocked) -> Folded:
    """Fold a look at the app's port between two questions."""
    contact = state.app.contact
    app = state.app
    match event.trouble:
        case None:
            if isinstance(contact, AppLost) and contact.trouble is AppTrouble.REFUSED:
                back = replace(contact, trouble=AppTrouble.BROKEN, message="answers again", since=now)
                app = replace(app, contact=back, next_at=now)
        case AppTrouble.REFUSED:
            if not isinstance(contact, AppLost) or contact.trouble is not AppTrouble.REFUSED:
                app = replace(
                    app, contact=_contact_lost(state, now, AppTrouble.REFUSED, "its port refuses connections")
                )
        case _:
            if isinstance(contact, (AppMet, AppUnmet)):
                app = replace(app, contact=_contact_lost(state, now, event.trouble, "its port does not answer"))
    return replace(state, app=app), []


# --- keys, prospects, stop ------------------------------------------------------------------------------------------


def keys_seen(state: State, now: float, event: KeysSeen) -> Folded:
    """Fold the key folder; another key forgets the refusals of the one before."""
    before, snapshot = state.key.snapshot, event.snapshot
    notices: list[Instant] = []
    if snapshot.fault and (before is None or before.fault != snapshot.fault):
        notices.append(Notice(occasion=Occasion.KEY_UNUSABLE, text=snapshot.fault))
    server = state.server
    if snapshot.current != (before.current if before is not None else None) and snapshot.current is not None:
        notices.append(Notice(occasion=Occasion.KEY_CHANGED, text=f"key {snapshot.current}"))
        server = replace(server, refusal=None, not_before=now if server.refusal is not None else server.not_before)
    return replace(state, key=replace(state.key, snapshot=snapshot), server=server), notices


def prospects_seen(state: State, now: float, event: ProspectsSeen) -> Folded:
    """Fold a look at the ledger while waiting: as soon as one of the seats waited for goes, ask again."""
    went = state.prospects.names - event.names
    server = state.server
    if went and server.refusal is not None and server.refusal.reason is Failure.NO_SEATS:
        soon = now + points.freed_pause(event.waiting, event.luck)
        server = replace(server, not_before=min(server.not_before, soon))
    return replace(state, prospects=Prospects(event.names, event.waiting), server=server), []


def stop(state: State, now: float, event: Stop) -> Folded:
    """Fold the wish to end; a second one cuts short what the first still waits for."""
    match state.stopping:
        case Running():
            drain_until = min(now + state.policy.drain, event.deadline) if event.release else now
            stopping = Stopping(now, event.deadline, event.release, drain_until)
            return replace(state, stopping=stopping), [Notice(occasion=Occasion.STOPPING)]
        case Stopping() as before:
            deadline = min(before.deadline, event.deadline)
            return replace(state, stopping=replace(before, deadline=deadline, drain_until=now)), []


# --- flights --------------------------------------------------------------------------------------------------------

LANE_OF: dict[type, Lane] = {
    ListOwn: Lane.LEDGER,
    Write: Lane.LEDGER,
    Erase: Lane.LEDGER,
    Activate: Lane.SERVER,
    Deactivate: Lane.SERVER,
}
"""The lane of each command; everything else belongs to the app's lane."""


def overdue_answer(flight: Flight) -> Answer:
    """Return what a flight whose deadline passed counts as until its real answer comes."""
    op = flight.launch.op
    message = "no answer within its deadline"
    match LANE_OF.get(type(flight.launch.command), Lane.APP):
        case Lane.LEDGER:
            return LedgerFailed(op=op, message=message)
        case Lane.SERVER:
            return ServerFailed(op=op, reason=Failure.TIMEOUT, message=message)
        case Lane.APP:
            return AppFailed(op=op, trouble=AppTrouble.SILENT, message=message, sent=True)
