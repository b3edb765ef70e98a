"""Folds what the activation server said, by the identity that was asked about (rules 4 to 8)."""

from sidecar.core import policy as points
from sidecar.core import release as releases
from sidecar.core.commands import (
    Activate,
    Deactivate,
    Notice,
    Occasion,
    PollKeys,
    ScanNow,
)
from sidecar.core.events import (
    Activated,
    ActivationDeclined,
    Deactivated,
    ServerFailed,
)
from sidecar.core.fold.change import Folded, Instant, with_debt, with_request_ended, with_seat
from sidecar.core.reasons import Cause, Failure
from sidecar.core.release import Release
from sidecar.core.replacement import replace
from sidecar.core.state import (
    Ask,
    Denied,
    Flight,
    Held,
    Outage,
    Refusal,
    Seat,
    State,
    Stopping,
    Unasked,
    Undelivered,
    Unsure,
    echo_until,
    last_report,
    with_echoes,
)
from sidecar.core.state import Delivered as NothingToDeliver


def _next_ask(state: State, seat: Seat, now: float, luck: float) -> tuple[Ask | None, bool]:
    if seat.again:
        return Ask(now + state.policy.late), False
    until = echo_until(state, seat.identity)
    if until > now:
        return Ask(until), False
    if state.policy.revalidate <= 0:
        return None, False
    return Ask(now + points.jittered(state.policy.revalidate, luck, 0.1)), False


def activated(state: State, now: float, flight: Flight, event: Activated) -> Folded:
    """Fold a granted seat; one that is no longer wanted becomes, or stays, a debt."""
    command = flight.launch.command
    if not isinstance(command, Activate):
        return state, []
    identity = command.identity
    state = replace(state, server=replace(state.server, outage=None))
    report = last_report(state)

    def seat_activated(seat: Seat) -> Seat:
        if seat.blocked_by:
            return seat  # rule 1: by now the record, and with it the seat, is somebody else's
        if isinstance(seat.tenure, Unasked) and report is not None and report.licensed is True:
            # Licensed before we ever asked: an earlier life of ours may have a deactivation under way that nobody
            # answered and whose record is gone (rule 4: once more after `late`).
            seat = replace(seat, again=True)
        if seat.lost_at is not None and flight.started < seat.lost_at:
            ask, again = seat.ask, seat.again  # whoever took the record may have freed the seat after this request
        else:
            ask, again = _next_ask(state, seat, now, event.luck)
            seat = replace(seat, lost_at=None)
        known = isinstance(seat.tenure, Held) and report is not None and report.licensed is True
        known = known and not (isinstance(seat.delivery, NothingToDeliver) and seat.delivery.mixed_up)
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
    changed = with_seat(state, identity, seat_activated)
    if changed is None:  # a seat on its way out: says nothing about whether there is one for us
        return with_request_ended(state, identity, lambda debt: releases.retaken(debt, now)), notices
    server = replace(changed.server, refusal=None, not_before=0.0)
    since = now if changed.active_since is None else changed.active_since
    return replace(changed, server=server, active_since=since), notices


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
        # A licence from the old key's seat says nothing about the new key's.
        by_us = licensed and seat is not state.successor
        if by_us or seat.risk_until > now or isinstance(seat.tenure, (Unsure, Denied)):
            since = seat.tenure.since if isinstance(seat.tenure, Denied) else now
            return replace(seat, tenure=Denied(since, by_us), ask=ask)
        if seat.stored is not None:
            debt = releases.begin(seat.stored, Cause.OPERATOR, now, state.policy.late)
            erasing.append(replace(debt, confirmed=True, quiet_at=now, late_until=now))
        return Seat(identity=seat.identity, ask=ask, written_at=seat.written_at)

    notices: list[Instant] = [
        Notice(occasion=Occasion.ACTIVATION_REFUSED, reason=event.reason, text=event.sentence, identity=identity),
        PollKeys(),
    ]
    if event.reason is Failure.NO_SEATS:
        notices.append(ScanNow())
    changed = with_seat(state, identity, seat_declined)
    if changed is None:
        return with_request_ended(state, identity, releases.withdrawn), notices
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
    return with_debt(state, command.identity.name, answer), [notice]


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
        state = with_debt(state, command.identity.name, deactivation_failed)
        return with_echoes(state, [command.identity.name] if event.sent else [], now), [notice]
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

    changed = with_seat(state, command.identity, activation_failed)
    if changed is None:
        ended = (lambda debt: releases.requested(debt, late_at)) if event.sent else releases.withdrawn
        changed = with_request_ended(state, command.identity, ended)
    server = replace(state.server, outage=outage, not_before=max(state.server.not_before, now + pause))
    notice = Notice(
        occasion=Occasion.ACTIVATION_FAILED, reason=event.reason, text=event.message, identity=command.identity
    )
    return replace(changed, server=server), [notice]
