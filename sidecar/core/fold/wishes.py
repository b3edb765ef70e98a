"""Folds what needs no answer: keys, prospects of a free seat, the wish to end."""

from typing import assert_never

from sidecar.core import policy as points
from sidecar.core.commands import (
    Notice,
    Occasion,
)
from sidecar.core.conclusions import pod_ends
from sidecar.core.events import (
    KeysSeen,
    ProspectsSeen,
    Stop,
)
from sidecar.core.fold.change import Folded, Instant
from sidecar.core.reasons import Failure
from sidecar.core.release import NEVER
from sidecar.core.replacement import replace
from sidecar.core.state import (
    AppLost,
    Deciding,
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
    elif before is not None and before.fault and not snapshot.fault:
        notices.append(Notice(occasion=Occasion.KEY_USABLE))  # the same one is back
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


def stopping_now(state: State, now: float, deadline: float, *, release: bool, serves: bool = False) -> State:
    """Begin the end, giving the seat back or not; ``serves``: the app does, so wait for its end as long as we can."""
    stopping = Stopping(now, deadline, release, drain_until=now)
    if release:
        latest = deadline - stopping.reserve
        drained = max(now, latest if serves else min(now + state.policy.drain, latest))
        # `shutdown.budget` counts from the app's end: what is left of `shutdown.drain`, which came on top, is nobody's.
        after = deadline - drained if state.policy.drain > 0 and not serves else NEVER
        stopping = replace(stopping, drain_until=drained, after_app=after)
        if state.policy.watches_pod and state.policy.drain > 0 and isinstance(state.app.contact, AppLost):
            # A port that refused before may be open by now: whether the app has ended is asked anew (rule 19).
            contact = replace(state.app.contact, lingers=True)
            state = replace(state, app=replace(state.app, contact=contact, next_at=now))
    # Pauses that were right for hours to come are not for the last seconds.
    debts = tuple(debt if debt.answered else replace(debt, not_before=now) for debt in state.debts)
    return replace(state, stopping=stopping, debts=debts, ledger=replace(state.ledger, not_before=now))


def grace_end(now: float, ends_at: float | None) -> float:
    """Return by when we must have ended in a pod whose grace period is over at ``ends_at`` (None: not told)."""
    return NEVER if ends_at is None else max(ends_at, now + points.LAST_GRACE) - points.DECIDED_MARGIN


def stop(state: State, now: float, event: Stop) -> Folded:
    """Fold the wish to end; a second one cuts short what the first still waits for."""
    match state.stopping:
        case Running():
            told: list[Instant] = [Notice(occasion=Occasion.STOPPING)]
            # A release needs to know for certain whose seats ours are.
            proven = not state.policy.watches_pod or state.pod.report is not None
            if event.release is False or (event.release and proven):
                return stopping_now(state, now, event.deadline, release=event.release), told
            # That it ends is never taken back, so what the watch said last is enough.
            pod = state.pod.report if pod_ends(state) else None
            until = min(now + points.POD_LOOK, event.deadline)
            deciding = Deciding(now, event.deadline, until, pod=pod, always=event.release is True)
            return replace(state, stopping=deciding), told
        case Deciding() as before:
            return replace(state, stopping=replace(before, deadline=min(before.deadline, event.deadline))), []
        case Stopping() as before:
            deadline = min(before.deadline, event.deadline)
            return replace(state, stopping=replace(before, deadline=deadline, drain_until=now)), []
        case other:
            assert_never(other)
