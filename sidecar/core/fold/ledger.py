"""Folds what the ledger said: versions move on, lost writes are told apart by who wrote instead."""

from sidecar.core import policy as points
from sidecar.core import release as releases
from sidecar.core.commands import (
    Erase,
    Notice,
    Occasion,
    ScanNow,
    Write,
)
from sidecar.core.events import (
    LedgerFailed,
    Listed,
    WriteLost,
    Written,
)
from sidecar.core.fold.change import Folded, Instant, seat_of, with_debt, with_seat
from sidecar.core.reasons import Cause, Failure
from sidecar.core.records import Phase, Stored
from sidecar.core.release import Release
from sidecar.core.replacement import replace
from sidecar.core.state import (
    Adopted,
    Ask,
    Flight,
    Seat,
    State,
    Stopping,
    Undelivered,
    seats,
    with_echoes,
)


def _ledger_up(state: State) -> State:
    if state.ledger.failures == 0 and state.ledger.down_since is None:
        return state
    return replace(state, ledger=replace(state.ledger, failures=0, not_before=0.0, down_since=None, message=""))


_OURS = (Phase.ACTIVATING, Phase.ACTIVE)
"""Phases of a record in whose time no deactivation can have been sent."""


def listed(state: State, now: float, event: Listed) -> Folded:
    """Fold our own records: the first time they are adopted, later they complete what an unanswered write left open."""
    state = _ledger_up(state)
    if state.ledger.listed:
        return state, []  # a late answer: what it saw is history
    first = not state.ledger.adopted
    state = replace(state, ledger=replace(state.ledger, listed=True, adopted=True))
    if first:
        notices: list[Instant] = [Notice(occasion=Occasion.ADOPTED, identity=it.record.identity) for it in event.own]
        if not event.own:
            return state, []
        oldest = event.wall - points.stale_after(state.policy)
        stale = frozenset(it.name for it in event.own if not oldest <= it.record.renewed_at <= event.wall)
        gone = [it.name for it in event.own if it.record.claim or it.record.phase not in _OURS]
        return with_echoes(replace(state, seat=Adopted(event.own, stale)), gone, now), notices
    for stored in event.own:
        if with_seat(state, stored.record.identity, lambda seat: seat) is not None:
            continue
        if not any(debt.name == stored.name for debt in state.debts):
            debt = releases.begin(stored, Cause.DEPLOYMENT_CHANGED, now, state.policy.late)
            state = replace(state, debts=(*state.debts, debt))
        else:
            state = with_debt(state, stored.name, lambda debt, stored=stored: replace(debt, stored=stored))  # type: ignore[misc]
    return state, []


def written(state: State, now: float, flight: Flight, event: Written) -> Folded:
    """Fold a successful write: the version moves on, and an attempt whose record is open may ask the server."""
    state = _ledger_up(state)
    stored = event.stored
    command = flight.launch.command
    # Rule 2: the write of an earlier attempt clears nothing.
    clears = isinstance(command, Write) and command.clears and not flight.overdue

    def debt_written(debt: Release) -> Release:
        return debt if _superseded(flight, debt.stored) else replace(debt, stored=stored)

    def seat_written(seat: Seat) -> Seat:
        if _superseded(flight, seat.stored):
            return seat
        ask = seat.ask
        if ask is not None and clears:
            ask = replace(ask, cleared=True)
        delivery = seat.delivery
        if isinstance(delivery, Undelivered) and stored.record.open and not flight.overdue:
            delivery = replace(delivery, cleared=True)
        seat = replace(seat, stored=stored, ask=ask, delivery=delivery, written_at=now)
        # Route `app`: nobody but the app asks the server, so there the record is all that can be had again.
        lost_at = None if state.policy.route is points.Route.APP else seat.lost_at
        return replace(seat, blocked_until=0.0, blocked_by="", lost_at=lost_at)

    notices: list[Instant] = [Notice(occasion=Occasion.RECORD_RENEWED)]
    # A debt comes first: while it lasts, the seat of the same name does not write.
    if any(debt.name == stored.name for debt in state.debts):
        return with_debt(state, stored.name, debt_written), notices
    return with_seat(state, stored.record.identity, seat_written) or state, notices


def _superseded(flight: Flight, known: Stored | None) -> bool:
    """Tell whether a late answer speaks of a version that is not the one we know any more."""
    command = flight.launch.command
    over = command.over if isinstance(command, Write) else command.stored if isinstance(command, Erase) else None
    return flight.overdue and (known and known.version) != (over and over.version)


def write_lost(state: State, now: float, flight: Flight, event: WriteLost) -> Folded:
    """Fold a lost compare-and-swap: somebody else wrote, or an answer to an earlier write of ours was lost."""
    state = _ledger_up(state)
    command = flight.launch.command
    name = command.name if isinstance(command, (Write, Erase)) else ""
    current = event.current
    ours = current is not None and current.record.owner.uid == state.policy.owner.uid
    notices: list[Instant] = []
    doubts: list[Seat] = []

    def debt_lost(debt: Release) -> Release | None:
        if _superseded(flight, debt.stored):
            return debt
        if current is None:
            return None if debt.confirmed else replace(debt, stored=None)
        # Another instance's record under this name: its seat is not ours to release any more.
        return replace(debt, stored=current) if ours else None

    def seat_lost(seat: Seat) -> Seat:
        if _superseded(flight, seat.stored):
            return seat
        if current is None:
            notices.append(Notice(occasion=Occasion.RECORD_LOST, identity=seat.identity))
            doubts.append(seat)
            return replace(seat, stored=None, ask=Ask(now), lost_at=_first_loss(seat, now))
        if not ours:
            owner = current.record.owner
            text = f"its record belongs to {owner.pod} (uid {owner.uid})"
            notices.extend((Notice(occasion=Occasion.RECORD_FOREIGN, text=text, identity=seat.identity), ScanNow()))
            # Rule 1: whatever we held under this name is theirs now: never shared, never released.
            until = now + state.policy.lease / 4
            return Seat(identity=seat.identity, ask=Ask(now), blocked_until=until, blocked_by=text, written_at=now)
        ask = seat.ask
        if current.record.claim is not None:
            notices.append(Notice(occasion=Occasion.RECORD_LOST, identity=seat.identity, text="it was claimed"))
            doubts.append(seat)
            ask = Ask(now + points.CLAIM_TIME)
            # Whether the claimer's deactivation was answered is not known: once more after `late` (rule 4).
            seat = replace(seat, again=True, lost_at=_first_loss(seat, now))
        return replace(seat, stored=current, ask=replace(ask, cleared=False) if ask is not None else None)

    if any(debt.name == name for debt in state.debts):
        return with_debt(state, name, debt_lost), notices
    for seat in seats(state):
        if seat.identity.name == name:
            state = with_seat(state, seat.identity, seat_lost) or state
            # Rule 15: whoever took it had looked at our pod; before it is written again we look as well.
            return replace(state, pod=replace(state.pod, doubted_at=now)) if doubts else state, notices
    return state, notices


def _first_loss(seat: Seat, now: float) -> float:
    return now if seat.lost_at is None else seat.lost_at


def erased(state: State, flight: Flight) -> Folded:
    """Fold the end of a record: its seat is settled, unless it was taken again meanwhile."""
    command = flight.launch.command
    name = command.name if isinstance(command, Erase) else ""

    def debt_erased(debt: Release) -> Release | None:
        if _superseded(flight, debt.stored):
            return debt
        return None if debt.confirmed else replace(debt, stored=None)

    return with_debt(_ledger_up(state), name, debt_erased), []


def ledger_failed(state: State, now: float, flight: Flight, event: LedgerFailed) -> Folded:
    """Fold an outage of the ledger; what a write of an unknown outcome left there is looked for again."""
    ledger = state.ledger
    failures = ledger.failures + 1
    pause = points.ledger_pause(failures, event.luck, event.retry_after)
    if isinstance(state.stopping, Stopping):
        pause = min(pause, points.HURRIED)
    command = flight.launch.command
    unsure = isinstance(command, Write) and command.over is None and seat_of(state, command.record.identity) is None
    ledger = replace(
        ledger,
        listed=ledger.listed and not unsure,
        failures=failures,
        not_before=now + pause,
        down_since=now if ledger.down_since is None else ledger.down_since,
        message=event.message,
    )
    return replace(state, ledger=ledger), [
        Notice(occasion=Occasion.RECORD_FAILED, reason=Failure.LEDGER, text=event.message)
    ]
