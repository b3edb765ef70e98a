"""The state machine: ``step(state, now, event) -> (state, commands, wake_at)``.

One event is folded as a fact, then the consequences are settled, then the free lanes are filled. ``step`` is total over
state and event; only an answer to an operation that never was raises, and then nothing has changed. It knows no clock
and no I/O: ``now`` is monotonic seconds, ``wake_at`` the next moment at which time alone matters (infinite: none).
"""

from sidecar.core import events, fold
from sidecar.core.commands import Activate, Command
from sidecar.core.plan import LAST_WORDS, plan
from sidecar.core.policy import Policy
from sidecar.core.replacement import replace
from sidecar.core.settle import settle
from sidecar.core.state import Flight, State, Stopping

Step = tuple[State, list[Command], float]


class UnknownOperationError(Exception):
    """An answer names an operation that was never launched: a bug of the shell."""


def start(policy: Policy, started_at: float) -> State:
    """Return the state in which the process begins; ``started_at`` is when it was made."""
    return State(policy=policy, started_at=started_at)


def step(state: State, now: float, event: events.Event) -> Step:
    """Fold one event and return what is to be done. Raises ``UnknownOperationError``, changing nothing."""
    state, instants = _folded(state, now, event)
    commands: list[Command] = list(instants)
    state, overdue = _expire(state, now)
    commands.extend(overdue)
    state, settled = settle(state, now)
    commands.extend(settled)
    state, planned, wake_at = plan(state, now)
    commands.extend(planned)
    return state, commands, wake_at


def _folded(state: State, now: float, event: events.Event) -> fold.Folded:
    match event:
        case events.Answer():
            state, flight = _landed(state, event.op)
            return _answered(state, now, flight, event)
        case events.KeysSeen():
            return fold.keys_seen(state, now, event)
        case events.Knocked():
            return fold.knocked(state, now, event)
        case events.ProspectsSeen():
            return fold.prospects_seen(state, now, event)
        case events.PodSeen():
            return fold.pod_seen(state, now, event)
        case events.PodUnseen():
            return fold.pod_unseen(state, now, event)
        case events.Stop():
            return fold.stop(state, now, event)
        case _:
            return state, []


def _answered(state: State, now: float, flight: Flight, event: events.Answer) -> fold.Folded:
    match event:
        case events.Listed():
            return fold.listed(state, now, event)
        case events.Written():
            return fold.written(state, now, flight, event)
        case events.WriteLost():
            return fold.write_lost(state, now, flight, event)
        case events.Erased():
            return fold.erased(state, flight)
        case events.LedgerFailed():
            return fold.ledger_failed(state, now, flight, event)
        case events.Activated():
            return fold.activated(state, now, flight, event)
        case events.ActivationDeclined():
            return fold.activation_declined(state, now, flight, event)
        case events.Deactivated():
            return fold.deactivated(state, now, flight, event)
        case events.ServerFailed():
            return fold.server_failed(state, now, flight, event)
        case events.AppSeen():
            return fold.app_seen(state, now, flight, event)
        case events.AppFailed():
            return fold.app_failed(state, now, flight, event)
        case events.Delivered():
            return fold.delivered(state, now, flight)
        case events.UploadDeclined():
            return fold.upload_declined(state, now, flight, event)
        case events.PodLooked():
            return fold.pod_looked(state, now, flight, event)
        case events.PodUnanswered():
            return fold.pod_unanswered(state, now, event)
        case events.PortTried():
            return fold.port_tried(state, event)
        case _:
            raise AssertionError(type(event).__name__)


def _landed(state: State, op: int) -> tuple[State, Flight]:
    """Take the flight of this operation out of its lane, or out of those that are overdue."""
    for lane in ("ledger_lane", "server_lane", "app_lane"):
        flight: Flight | None = getattr(state, lane)
        if flight is not None and flight.launch.op == op:
            return replace(state, **{lane: None}), flight  # type: ignore[arg-type]
    for flight in state.overdue:
        if flight.launch.op == op:
            return replace(state, overdue=tuple(it for it in state.overdue if it is not flight)), flight
    raise UnknownOperationError(op)


def _expire(state: State, now: float) -> tuple[State, list[Command]]:
    """Give up waiting for flights whose deadline has passed; their answers are still folded when they come."""
    commands: list[Command] = []
    if isinstance(state.stopping, Stopping):
        state = _hurry(state, state.stopping)
    for lane in ("ledger_lane", "server_lane", "app_lane"):
        flight: Flight | None = getattr(state, lane)
        if flight is None or flight.launch.deadline > now:
            continue
        overdue = (*state.overdue, replace(flight, overdue=True))
        state = replace(state, overdue=overdue, **{lane: None})  # type: ignore[arg-type]
        state, instants = _answered(state, now, flight, fold.overdue_answer(flight))
        commands.extend(instants)
    return state, commands


def _hurry(state: State, stopping: Stopping) -> State:
    """While stopping, wait for an activation under way only as long as time is left to give its seat back (rule 19)."""
    for lane in ("ledger_lane", "server_lane", "app_lane"):
        flight: Flight | None = getattr(state, lane)
        if flight is None:
            continue
        kept = stopping.reserve if isinstance(flight.launch.command, Activate) else LAST_WORDS
        deadline = min(flight.launch.deadline, stopping.deadline - kept)
        if deadline < flight.launch.deadline:
            hurried = replace(flight, launch=replace(flight.launch, deadline=deadline))
            state = replace(state, **{lane: hurried})  # type: ignore[arg-type]
    return state
