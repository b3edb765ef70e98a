"""Folds what needs no answer: keys, prospects of a free seat, the wish to end."""

from typing import assert_never

from sidecar.core import policy as points
from sidecar.core.commands import (
    Notice,
    Occasion,
)
from sidecar.core.events import (
    KeysSeen,
    ProspectsSeen,
    Stop,
)
from sidecar.core.fold.change import Folded, Instant
from sidecar.core.reasons import Failure
from sidecar.core.replacement import replace
from sidecar.core.state import (
    Prospects,
    Running,
    State,
    Stopping,
)


def keys_seen(state: State, now: float, event: KeysSeen) -> Folded:
    """Fold the key folder; another key forgets the refusals of the one before."""
    before, snapshot = state.key.snapshot, event.snapshot
    notices: list[Instant] = []
    if snapshot.fault and (before is None or before.fault != snapshot.fault):
        notices.append(Notice(occasion=Occasion.KEY_UNUSABLE, text=snapshot.fault))
    server = state.server
    if snapshot.current != (before.current if before is not None else None) and snapshot.current is not None:
        notices.append(Notice(occasion=Occasion.KEY_CHANGED, text=snapshot.current))
        server = replace(server, refusal=None, not_before=now if server.refusal is not None else server.not_before)
    return replace(state, key=replace(state.key, snapshot=snapshot), server=server), notices


def prospects_seen(state: State, now: float, event: ProspectsSeen) -> Folded:
    """Fold a look at the ledger while waiting: as soon as one of the seats waited for goes, ask again."""
    before = state.prospects
    went = ((before.names or frozenset()) | before.held) - event.names - event.held
    freed, server = before.freed, state.server
    if went and server.refusal is not None and server.refusal.reason is Failure.NO_SEATS:
        freed = server.refusal.count
        soon = now + points.freed_pause(event.waiting, event.luck)
        server = replace(server, not_before=min(server.not_before, soon))
    return replace(state, prospects=Prospects(event.names, event.waiting, freed, event.held), server=server), []


def stop(state: State, now: float, event: Stop) -> Folded:
    """Fold the wish to end; a second one cuts short what the first still waits for."""
    match state.stopping:
        case Running():
            stopping = Stopping(now, event.deadline, event.release, drain_until=now)
            if event.release:
                drained = min(now + state.policy.drain, event.deadline - stopping.reserve)
                stopping = replace(stopping, drain_until=max(now, drained))
            # Pauses that were right for hours to come are not for the last seconds.
            debts = tuple(debt if debt.answered else replace(debt, not_before=now) for debt in state.debts)
            state = replace(state, stopping=stopping, debts=debts, ledger=replace(state.ledger, not_before=now))
            return state, [Notice(occasion=Occasion.STOPPING)]
        case Stopping() as before:
            deadline = min(before.deadline, event.deadline)
            return replace(state, stopping=replace(before, deadline=deadline, drain_until=now)), []
        case other:
            assert_never(other)
