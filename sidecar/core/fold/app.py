"""Folds what the app said or did not say (rules 16 and 17)."""

from sidecar.core import policy as points
from sidecar.core import release as releases
from sidecar.core.commands import (
    ActivateByApp,
    Notice,
    Occasion,
    Upload,
)
from sidecar.core.events import (
    AppFailed,
    AppSeen,
    Knocked,
    UploadDeclined,
)
from sidecar.core.facts import AppReport
from sidecar.core.fold.change import Folded, Instant, with_request_ended, with_seat
from sidecar.core.reasons import AppTrouble, Failure
from sidecar.core.records import Identity
from sidecar.core.replacement import replace
from sidecar.core.state import (
    AppLost,
    AppMet,
    AppUnmet,
    AppView,
    Ask,
    Flight,
    Held,
    Seat,
    State,
    Undelivered,
    last_report,
    requesting,
)
from sidecar.core.state import Delivered as NothingToDeliver

FRESH_LICENCE = 10.0
"""For so long after a delivery the app is asked every second whether it took effect."""


def app_seen(state: State, now: float, flight: Flight, event: AppSeen) -> Folded:
    """Fold the app's answer; a licence that it lost is delivered again, through the activation server."""
    if flight.overdue and isinstance(state.app.contact, AppMet):
        return state, []  # a later question was answered before: this answer may name an ID that is history
    report = event.report
    if report.deployment_id is None and state.policy.id_source is points.IdSource.FIXED:
        # Asked without an API key, the app does not tell its ID; the settings do.
        report = replace(report, deployment_id=state.policy.given_id)
    before = last_report(state)
    notices: list[Instant] = [Notice(occasion=Occasion.APP_CHECKED)]
    changed_id = before is not None and before.deployment_id != report.deployment_id and report.deployment_id
    if changed_id and before is not None and before.deployment_id:
        notices.append(Notice(occasion=Occasion.ID_CHANGED, text=f"{before.deployment_id} -> {report.deployment_id}"))
    seat = state.seat if isinstance(state.seat, Seat) else None
    ours = seat is not None and seat.identity.deployment_id == report.deployment_id
    licensed = report.licensed is True
    confirmed_at, takes_upload = state.app.confirmed_at, state.app.takes_upload
    if ours and licensed:
        confirmed_at = now
    if changed_id:
        confirmed_at = takes_upload = None
    lapsed = now - seat.delivery.at if seat is not None else 0.0
    eager = report.deployment_id is None or (
        ours and not licensed and seat is not None and isinstance(seat.tenure, Held) and lapsed < FRESH_LICENCE
    )
    pause = 1.0 if eager else points.jittered(state.policy.app_interval, event.luck)
    app = AppView(
        AppMet(report, now), now + pause, takes_upload=takes_upload, answered_at=now, confirmed_at=confirmed_at
    )
    state = replace(state, app=app)
    if seat is not None and ours and _took_effect(state, seat, before, report):
        notices.append(Notice(occasion=Occasion.DELIVERED, identity=seat.identity))
        # What its tries sent may still be under way: `risk_until` goes on saying so (rule 4).
        return replace(state, seat=replace(seat, delivery=NothingToDeliver(now))), notices
    if seat is None or not ours or isinstance(seat.delivery, Undelivered):
        return state, notices
    if licensed:
        held = seat
        if state.policy.route is points.Route.APP and not isinstance(seat.tenure, Held):
            held = replace(seat, tenure=Held(now))
            notices.append(Notice(occasion=Occasion.ACTIVATED, identity=seat.identity, text="the app did it itself"))
            state = replace(state, active_since=state.active_since or now)
        if held is not seat or seat.delivery.tries:
            state = replace(state, seat=replace(held, delivery=replace(seat.delivery, tries=0)))
        return state, notices
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
    again = seat.again or (seat.ask is not None and seat.ask.at <= now + points.confirm_after(state.policy))
    seat = replace(seat, ask=Ask(now), again=again, delivery=NothingToDeliver(now, tries))
    return replace(state, seat=seat, app=replace(state.app, confirmed_at=None)), notices


def _took_effect(state: State, seat: Seat, before: AppReport | None, report: AppReport) -> bool:
    """Tell whether a delivery that was tried and not answered has licensed the app all the same.

    Only a change proves it: who was licensed as well before may live on another licence, that of a former key say.
    """
    delivery = seat.delivery
    if not isinstance(delivery, Undelivered) or delivery.tries == 0 or requesting(state, seat.identity):
        return False
    expires_at = delivery.licence.expires_at
    if before is None or before.deployment_id != report.deployment_id or _is_licensed_until(before, expires_at):
        return False
    return _is_licensed_until(report, expires_at)


def _is_licensed_until(report: AppReport, expires_at: float) -> bool:
    return report.licensed is True and (report.expires_at == 0.0 or report.expires_at >= expires_at)


def _contact_lost(
    state: State, now: float, trouble: AppTrouble, message: str, *, began: float | None = None
) -> AppLost:
    """Return the contact as it is from ``now`` on; the trouble itself may have begun before."""
    contact = state.app.contact
    since = now if began is None else began
    if isinstance(contact, AppLost):
        since = contact.since if contact.trouble is trouble else since
        return AppLost(contact.last, trouble, message, since, contact.lost_at)
    return AppLost(last_report(state), trouble, message, since, now)


def app_failed(state: State, now: float, flight: Flight, event: AppFailed) -> Folded:
    """Fold an app that did not answer a question or did not take a licence."""
    command = flight.launch.command
    text = event.message
    if not isinstance(command, (Upload, ActivateByApp)):
        if flight.overdue:
            return state, []  # it counted as unanswered already
        failures = state.app.failures + 1
        # Silence counts from the question that got no answer, not from the time-out (rule 17).
        began = flight.started if event.trouble is AppTrouble.SILENT else now
        contact = replace(_contact_lost(state, now, event.trouble, text, began=began), lingers=event.lingers)
        pause = points.app_pause(state.policy, failures, event.luck)
        next_at = now + (min(pause, points.LINGERS_POLL) if event.lingers else pause)
        app = replace(state.app, contact=contact, failures=failures, next_at=next_at)
        return replace(state, app=app), [Notice(occasion=Occasion.APP_UNANSWERED, reason=event.trouble, text=text)]
    late_at = now + state.policy.late
    identity = command.identity

    def delivery_failed(seat: Seat) -> Seat:
        delivery = seat.delivery
        if isinstance(delivery, Undelivered):
            pause = min(60.0, 1.0 * 2.0 ** min(delivery.tries, 6)) * (0.5 + 0.5 * event.luck)
            delivery = replace(delivery, at=now + pause, tries=delivery.tries + 1, cleared=False)
        return replace(seat, delivery=delivery, risk_until=late_at if event.sent else seat.risk_until)

    changed = with_seat(state, identity, delivery_failed)
    if changed is None:
        ended = (lambda debt: releases.requested(debt, late_at)) if event.sent else releases.withdrawn
        changed = with_request_ended(state, identity, ended)
    notice = Notice(occasion=Occasion.DELIVERY_FAILED, reason=Failure.APP, text=text, identity=identity)
    return replace(changed, app=replace(changed.app, next_at=now)), [notice]


def delivered(state: State, now: float, flight: Flight) -> Folded:
    """Fold a licence that the app took: whether it is licensed is asked at once."""
    command = flight.launch.command
    if not isinstance(command, (Upload, ActivateByApp)):
        return state, []
    identity = command.identity
    changed = with_seat(
        state, identity, lambda seat: replace(seat, delivery=NothingToDeliver(now, seat.delivery.tries))
    )
    app = replace(state.app, next_at=now)
    if isinstance(command, Upload):
        app = replace(app, takes_upload=True)
    if changed is None:
        changed = _mixed_up(state, now, identity)
        if isinstance(command, ActivateByApp):
            changed = with_request_ended(changed, identity, lambda debt: releases.retaken(debt, now))
    return replace(changed, app=app), [Notice(occasion=Occasion.DELIVERED, identity=identity)]


def _mixed_up(state: State, now: float, other: Identity) -> State:
    """Deliver our seat's licence again: the app has just taken that of a seat on its way out, under another key."""
    seat = state.seat
    if not isinstance(seat, Seat) or seat.identity.deployment_id != other.deployment_id:
        return state
    if not isinstance(seat.tenure, Held) or isinstance(seat.delivery, Undelivered):
        return state
    delivery = NothingToDeliver(now, seat.delivery.tries, mixed_up=True)
    return replace(state, seat=replace(seat, ask=Ask(now), delivery=delivery))


def upload_declined(state: State, now: float, flight: Flight, event: UploadDeclined) -> Folded:
    """Fold an app without upload: route ``auto`` goes on with the product's own activation."""
    command = flight.launch.command
    if not isinstance(command, Upload):
        return state, []
    pause = 0.0 if state.policy.route is points.Route.AUTO else 60.0

    def declined(seat: Seat) -> Seat:
        if isinstance(seat.delivery, Undelivered):
            return replace(seat, delivery=replace(seat.delivery, at=now + pause, cleared=False))
        return seat

    changed = with_seat(state, command.identity, declined) or state
    notice = Notice(
        occasion=Occasion.DELIVERY_FAILED, reason=Failure.APP, text=event.message, identity=command.identity
    )
    # A container that was replaced declines the licence of the former one's ID: it is asked who it is before it is told
    # to activate itself, for that would take a seat for an ID that nobody has written down.
    return replace(changed, app=replace(changed.app, takes_upload=False, next_at=now)), [notice]


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
