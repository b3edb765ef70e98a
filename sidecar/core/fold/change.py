"""What every fold has in common: how one seat or debt of the state is changed."""

from collections.abc import Callable

from sidecar.core.commands import (
    Exit,
    Notice,
    PollKeys,
    ScanNow,
)
from sidecar.core.records import Identity
from sidecar.core.release import NEVER, Release
from sidecar.core.replacement import replace
from sidecar.core.state import (
    Seat,
    State,
    requesting,
    seats,
)

Instant = Notice | PollKeys | ScanNow | Exit
Folded = tuple[State, list[Instant]]


def with_seat(state: State, identity: Identity, change: Callable[[Seat], Seat]) -> State | None:
    """Change the seat or successor with this identity; None if there is none."""
    if isinstance(state.seat, Seat) and state.seat.identity == identity:
        return replace(state, seat=change(state.seat))
    if state.successor is not None and state.successor.identity == identity:
        return replace(state, successor=change(state.successor))
    return None


def with_debt(state: State, name: str, change: Callable[[Release], Release | None]) -> State:
    """Change, or drop, the debt with this record name."""
    debts = tuple(
        changed for debt in state.debts if (changed := change(debt) if debt.name == name else debt) is not None
    )
    return replace(state, debts=debts)


def seat_of(state: State, identity: Identity) -> Seat | None:
    """Return the seat or successor with this identity."""
    return next((seat for seat in seats(state) if seat.identity == identity), None)


def with_request_ended(state: State, identity: Identity, change: Callable[[Release], Release]) -> State:
    """Change the debt about which a request has ended; a second one that is under way is still awaited."""
    pending = requesting(state, identity)

    def ended(debt: Release) -> Release:
        debt = change(debt)
        return replace(debt, quiet_at=NEVER, confirmed=False) if pending else debt

    return with_debt(state, identity.name, ended)
