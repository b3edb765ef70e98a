"""What follows from the facts alone: which seat we should have, and which of our seats have become debts.

Runs after every event. It asks nobody for anything; ``plan`` does.
"""

from typing import assert_never

from sidecar.core import release as releases
from sidecar.core.commands import (
    Command,
    Follow,
    Notice,
    Occasion,
    Write,
)
from sidecar.core.conclusions import app_end, app_failed, asks_app, ends, may_act, wanted_identity, wanted_record
from sidecar.core.fold.wishes import grace_end, stopping_now
from sidecar.core.policy import CLAIM_TIME, Mode, Route, confirm_after
from sidecar.core.reasons import AppTrouble, Cause, Failure
from sidecar.core.records import Identity, Phase, SeatRecord, Stored
from sidecar.core.release import NEVER, Release
from sidecar.core.replacement import replace
from sidecar.core.restart_file import settle_restart_file
from sidecar.core.state import (
    Adopted,
    AppLost,
    Ask,
    Deciding,
    Denied,
    Held,
    Prospects,
    Running,
    Seat,
    State,
    Stopping,
    Unasked,
    Undelivered,
    Unsure,
    Vacant,
    last_report,
    requesting,
)


def settle(state: State, now: float) -> tuple[State, list[Command]]:
    """Bring seat, successor and debts into line with what is known."""
    commands: list[Command] = []
    # What is free for good and has no record left is settled.
    done = [it for it in state.debts if it.confirmed and it.stored is None and not _writing(state, it.record)]
    if done:
        state = replace(state, debts=tuple(it for it in state.debts if it not in done))
    if isinstance(state.stopping, Deciding):
        state = _decide(state, state.stopping, now, commands)
    if isinstance(state.stopping, Stopping):
        state = _stop(state, now)
    elif isinstance(state.stopping, Deciding):
        pass  # for a moment, nothing new
    elif state.policy.mode is Mode.ONLINE:
        state = _fail(state, now, commands)
        state = _doubt(state, now)
        state = _want(state, now)
        state = _rotate(state, now)
    state = settle_restart_file(state, now, commands)
    refusal = state.server.refusal
    follow = isinstance(state.stopping, Running) and refusal is not None and refusal.reason is Failure.NO_SEATS
    if follow != state.following:
        commands.append(Follow(follow))
        # What was seen while waiting for the last seat says nothing about the next one.
        state = replace(state, following=follow, prospects=Prospects())
    return state, commands


# --- from seat to debt ----------------------------------------------------------------------------------------------


def _writing(state: State, subject: Seat | SeatRecord) -> bool:
    flights = (state.ledger_lane, *state.overdue)
    return any(
        flight is not None
        and isinstance(flight.launch.command, Write)
        and flight.launch.command.record.identity == subject.identity
        for flight in flights
    )


def as_debt(state: State, seat: Seat, cause: Cause, now: float) -> State:
    """Put a seat on its way out; one that was never asked for only leaves its record to erase."""
    if seat.blocked_by:
        return state  # rule 1: it is somebody else's
    under_way = requesting(state, seat.identity)
    # Route `app`: it may have asked for its seat just before its end, and nobody was told.
    by_app = state.policy.route is Route.APP and seat.identity.deployment_id and not isinstance(seat.tenure, Held)
    late_until = max(seat.risk_until, now + state.policy.late if by_app else now)
    never_taken = isinstance(seat.tenure, Unasked) and late_until <= now
    # The record without ID (route `app`) has done its duty once the ID is known: there is nothing to ask for.
    nothing_taken = (never_taken and not under_way) or not seat.identity.deployment_id
    if seat.stored is None and nothing_taken and not _writing(state, seat):
        return state
    debt = Release(
        record=seat.stored.record if seat.stored is not None else wanted_record(state, seat, now),
        stored=seat.stored,
        cause=cause,
        since=now,
        quiet_at=NEVER if under_way else late_until,
        late_until=late_until,
        alone=never_taken,
        confirmed=nothing_taken,
        not_before=now,
    )
    kept = tuple(it for it in state.debts if it.name != debt.name)
    return replace(state, debts=(*kept, debt))


def _release_all(state: State, ours: Seat | Adopted, cause: Cause, now: float) -> State:
    if isinstance(ours, Adopted):
        debts = tuple(releases.begin(stored, cause, now, state.policy.late) for stored in ours.stored)
        state = replace(state, debts=(*state.debts, *debts), seat=Vacant())
    else:
        state = replace(as_debt(state, ours, cause, now), seat=Vacant())
    if state.successor is not None:
        state = replace(as_debt(state, state.successor, cause, now), successor=None)
    return state


def _decide(state: State, deciding: Deciding, now: float, commands: list[Command]) -> State:
    """Rule 18: does the pod end, or only the sidecar? What stays in doubt is left to the reclaimers."""
    pod, contact, refused = deciding.pod, state.app.contact, deciding.port_refuses
    asked = asks_app(state.policy)
    proven = state.pod.report is not None or (pod is not None and pod.uid == state.policy.owner.uid)
    answered = (pod is not None or deciding.silent) and (not asked or refused is not None)
    if not (answered or (refused and proven)) and now < deciding.until:
        return state
    serves = asked and refused is False
    if refused is None:
        refused = isinstance(contact, AppLost) and contact.trouble is AppTrouble.REFUSED
    # Where there is a port it decides: the status of the app's container lags behind by a second or more.
    gone = not asked and pod is not None and pod.app is not None and pod.app.ended is not None
    ending = pod is not None and ends(pod, state.policy.owner.uid)
    if proven and (ending or gone or (asked and refused) or deciding.always):
        fresh = pod.grace_left if pod is not None and pod is not state.pod.report else None
        ends_at = state.pod.ends_at if fresh is None else now + fresh
        deadline = min(deciding.deadline, grace_end(now, ends_at))
        return stopping_now(state, now, deadline, release=True, serves=serves and not deciding.always)
    if not proven:
        why = "our own pod was never seen"
    else:
        why = "the pod stays" if pod is not None else "whether the pod ends could not be found out"
    commands.append(Notice(occasion=Occasion.SEAT_LEFT, text=f"{why}: the seat record is left to the next sidecar"))
    return stopping_now(state, now, deciding.deadline, release=False)


def _stop(state: State, now: float) -> State:
    stopping, ours = state.stopping, state.seat
    if not isinstance(stopping, Stopping) or not stopping.release or isinstance(ours, Vacant):
        return state
    contact = state.app.contact
    gone = isinstance(contact, AppLost) and contact.trouble is AppTrouble.REFUSED
    if isinstance(contact, AppLost) and contact.lingers:
        gone = now >= stopping.since + state.policy.drain
    if now < stopping.drain_until and not gone:
        return state
    deadline = min(stopping.deadline, now + stopping.after_app)
    if now < stopping.drain_until:
        state = replace(state, stopping=replace(stopping, since=now, deadline=deadline, drain_until=now))
    return _release_all(state, ours, Cause.SHUTDOWN, now)


def _fail(state: State, now: float, commands: list[Command]) -> State:
    ours, contact = state.seat, state.app.contact
    if not app_failed(state, now) or isinstance(ours, Vacant):
        return state
    if isinstance(ours, Seat) and not ours.identity.deployment_id:
        return state  # route `app` before the ID is known: the record without ID must outlive the silence
    if not isinstance(contact, AppLost):
        contact = AppLost(None, AppTrouble.SILENT, "its container does not run", now, now)
    commands.append(Notice(occasion=Occasion.APP_FAILED, reason=app_end(state), text=contact.message))
    # Whatever comes back is another container: the ID of this one is history.
    state = replace(state, app=replace(state.app, contact=replace(contact, last=None), confirmed_at=None))
    return _release_all(state, ours, Cause.APP_FAILURE, now)


def _doubt(state: State, now: float) -> State:
    """Resolve "no" after an unanswered request: once that can no longer take effect, release and begin anew.

    A server that counts the same pair twice would otherwise refuse us for ever because of our own seat.
    """
    seat = state.seat
    if (
        isinstance(seat, Seat)
        and isinstance(seat.tenure, Denied)
        and not seat.tenure.app_licensed
        and seat.stored is not None
        and seat.risk_until <= now
    ):
        held = replace(seat, tenure=Held(seat.tenure.since), risk_until=0.0)
        return replace(as_debt(state, held, Cause.RECLAIM, now), seat=Vacant())
    return state


# --- from wish to seat ----------------------------------------------------------------------------------------------


def _want(state: State, now: float) -> State:
    wanted = wanted_identity(state, now)
    if wanted is None or not state.ledger.listed:
        return state
    match state.seat:
        case Adopted(stored=records, stale=stale):
            if not wanted.deployment_id and any(it.record.identity.deployment_id for it in records):
                return state  # route `app`: one of them may be the ID that the app has not told yet
            return _want(_resolve(state, records, stale, wanted, now), now)
        case Vacant():
            return _occupy(state, wanted, now)
        case Seat() as seat:
            return _replace(state, seat, wanted, now)
        case other:
            assert_never(other)


def _resolve(state: State, records: tuple[Stored, ...], stale: frozenset[str], wanted: Identity, now: float) -> State:
    """Sort the adopted records: the one that carries the app's ID is our seat, all others are debts (section 3)."""
    same = [it for it in records if it.record.identity.deployment_id == wanted.deployment_id]
    same.sort(key=lambda it: (it.record.identity == wanted, it.record.phase is Phase.ACTIVE))
    own = same[-1] if same and same[-1].record.identity.server == wanted.server else None
    seat: Vacant | Seat = Vacant() if own is None else _taken_back(state, own, now, stale=own.name in stale)
    successor, kept = None, [own]
    old = [it for it in same if it is not own and _rotating(state, it)]
    if own is not None and own.record.identity == wanted and old:
        # A rotation was under way. The app may still live on the seat under the old key (rule 9), so it goes on.
        successor = replace(_taken_back(state, own, now, stale=True), tenure=Unsure())
        seat = _taken_back(state, old[-1], now, stale=old[-1].name in stale)
        kept.append(old[-1])
    debts = tuple(_old(state, it, now) for it in records if it not in kept)
    report = last_report(state)
    if own is not None and report is not None and report.licensed is False:
        state = replace(state, app=replace(state.app, next_at=now))  # it was asked before it was known whose it is
    return replace(state, seat=seat, successor=successor, debts=(*state.debts, *debts))


def _rotating(state: State, old: Stored) -> bool:
    """Tell whether this may be the seat under an old key that is kept until the one under the new key is there."""
    policy, identity = state.policy, old.record.identity
    active = old.record.phase is Phase.ACTIVE and policy.route is not Route.APP
    return active and policy.activate_first and may_act(state, identity)


def _old(state: State, stored: Stored, now: float) -> Release:
    debt = releases.begin(stored, Cause.DEPLOYMENT_CHANGED, now, state.policy.late)
    # Route `app`: the record without ID has done its duty once the ID is known.
    return debt if stored.record.identity.deployment_id else replace(debt, confirmed=True)


def _taken_back(state: State, stored: Stored, now: float, *, stale: bool) -> Seat:
    """Go on with a record of our own: what is not known for certain about it is asked again (rules 4 and 15)."""
    record, policy = stored.record, state.policy
    risk_until = now + policy.late if record.open else 0.0
    seat = Seat(identity=record.identity, stored=stored, tenure=Unsure(), risk_until=risk_until, written_at=now)
    ask: Ask | None = Ask(now + CLAIM_TIME) if record.claim is not None else Ask(now)
    if record.phase is Phase.ACTIVE:
        if record.claim is None and not stale:
            # Rule 18: adopted without asking. But a predecessor whose time was up may have sent a deactivation and not
            # been able to write so: one question, once that can no longer be late (rule 4).
            ask = Ask(now + confirm_after(policy))
        lost_at = None if record.claim is None else now
        return replace(seat, tenure=Held(now), ask=ask, again=stale or record.claim is not None, lost_at=lost_at)
    if record.phase is Phase.ACTIVATING:
        return replace(seat, ask=ask)
    return replace(seat, ask=ask, again=True)


def _occupy(state: State, wanted: Identity, now: float) -> State:
    state, seat = _seat_for(state, wanted, now)
    return state if seat is None else replace(state, seat=seat)


def _seat_for(state: State, wanted: Identity, now: float) -> tuple[State, Seat | None]:
    """Begin with a seat: a new one, or one that was on its way out, or None while that must be finished first."""
    debt = next((it for it in state.debts if it.name == wanted.name), None)
    if debt is None:
        return state, Seat(identity=wanted, ask=Ask(now), written_at=now)
    others = tuple(it for it in state.debts if it is not debt)
    if debt.confirmed or state.server_lane is not None or state.ledger_lane is not None:
        return state, None  # first its record goes, or the answer comes
    if debt.stored is None:
        return state, None
    begun = debt.asked or debt.cause is Cause.RECLAIM
    if begun and not (debt.answered or debt.failures):
        return state, None  # rule 4: only after our own deactivation was answered, or was tried
    claimed = debt.stored.record.claim is not None
    if claimed:  # rule 15: whoever claimed it had looked at our pod
        state = replace(state, pod=replace(state.pod, doubted_at=now))
    seat = Seat(
        identity=wanted,
        stored=debt.stored,
        tenure=Unsure(),
        ask=Ask(now + CLAIM_TIME if claimed else now),
        risk_until=debt.late_until,
        again=claimed,
        written_at=now,
    )
    return replace(state, debts=others), seat


def _replace(state: State, seat: Seat, wanted: Identity, now: float) -> State:
    if seat.identity == wanted:
        if state.successor is not None:  # the old key came back
            state = replace(as_debt(state, state.successor, Cause.KEY_CHANGED, now), successor=None)
        return state
    if seat.identity.deployment_id != wanted.deployment_id:
        if state.policy.route is Route.APP and not wanted.deployment_id:
            return state  # only "not yet known": nothing has changed
        return _occupy(_release_all(state, seat, Cause.DEPLOYMENT_CHANGED, now), wanted, now)
    if state.policy.route is Route.APP:
        return state  # a running app goes on with the key that it started with
    if not (state.policy.activate_first and _lives_on(state, seat)):
        return _occupy(_release_all(state, seat, Cause.KEY_CHANGED, now), wanted, now)
    if state.successor is not None and state.successor.identity == wanted:
        return state
    if state.successor is not None:
        state = replace(as_debt(state, state.successor, Cause.KEY_CHANGED, now), successor=None)
    state, successor = _seat_for(state, wanted, now)
    return replace(state, successor=successor)


def _lives_on(state: State, seat: Seat) -> bool:
    """Tell whether the app serves with this seat, or may: an earlier life of ours may have taken and delivered it."""
    report = last_report(state)
    licensed = report is not None and report.licensed is True
    return isinstance(seat.tenure, Held) or (licensed and not isinstance(seat.tenure, Unasked))


def _rotate(state: State, now: float) -> State:
    """Once the seat under the new key is held and delivered, the one under the old key is a debt (rule 9)."""
    successor, seat = state.successor, state.seat
    if successor is None or not isinstance(seat, Seat):
        return state
    if not isinstance(successor.tenure, Held) or isinstance(successor.delivery, Undelivered):
        return state
    state = replace(state, seat=successor, successor=None)
    return as_debt(state, seat, Cause.KEY_CHANGED, now)
