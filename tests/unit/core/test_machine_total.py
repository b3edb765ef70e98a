"""``step`` is total: every event in every reachable kind of state is folded, and no flight is ever forgotten.

Explored breadth-first from the start with a small alphabet: time, keys, knocks, prospects, stops, and every answer to
every flight, also those that only a mistaken shell would give.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator

import pytest

from sidecar.core import events, machine
from sidecar.core.commands import Exit, Launch
from sidecar.core.events import Event
from sidecar.core.facts import AppContainer, AppReport, KeySnapshot, Licence, PodReport
from sidecar.core.machine import UnknownOperationError
from sidecar.core.policy import IdSource, Mode, Policy, Route
from sidecar.core.reasons import AppEnd, AppTrouble, Failure
from sidecar.core.records import Claim, Phase, Stored
from sidecar.core.replacement import replace
from sidecar.core.state import Deciding, Flight, Release, Seat, State, Stopping
from sidecar.core.view import describe
from tests.unit.core.driver import ID, KEY, NEW_KEY, OTHER_ID, SERVER, THEM, US, record

KINDS = 250
"""Kinds of states that are looked at for each policy; the next thousands add nothing new in kind, only in number."""
LANES = ("ledger_lane", "server_lane", "app_lane")
PASSING = (0.0, 12.0, 130.0)

POLICIES = {
    "auto": Policy(server=SERVER, owner=US, revalidate=100.0, grace=50.0),
    "product, release first": Policy(
        server=SERVER, owner=US, route=Route.PRODUCT, activate_first=False, revalidate=0.0, drain=5.0
    ),
    "app": Policy(server=SERVER, owner=US, route=Route.APP),
    "pod": Policy(server=SERVER, owner=US, id_source=IdSource.POD, given_id=ID),
    "observe": Policy(server=SERVER, owner=US, mode=Mode.OBSERVE),
    "own pod": Policy(server=SERVER, owner=US, watches_pod=True),
    "own pod, pod": Policy(server=SERVER, owner=US, watches_pod=True, id_source=IdSource.POD, given_id=ID),
    "own pod, app": Policy(server=SERVER, owner=US, watches_pod=True, route=Route.APP),
}


PODS = (
    PodReport(US.uid, app=AppContainer(id="one")),
    PodReport(US.uid, app=AppContainer(id="two", restarts=1)),
    PodReport(US.uid, app=AppContainer(id="one", ended=AppEnd.OOM)),
    PodReport(US.uid, deleting=True, grace_left=30.0),
    PodReport(""),
)


def answers(op: int, state: State) -> Iterator[Event]:
    """Yield every answer that there is, whoever was asked."""
    active, theirs = Stored(record(), f"{op}"), Stored(record(owner=THEM), f"{op}")
    other, going = Stored(record(OTHER_ID, open=True), f"{op}"), Stored(record(phase=Phase.RELEASING), f"{op}")
    claimed = Stored(record(claim=Claim("uid-them", 0.0)), f"{op}")
    flight = next(it for it in flights(state) if it.launch.op == op)
    written = getattr(flight.launch.command, "record", record())
    yield events.Listed(op=op, own=(), wall=1000.0)
    yield events.Listed(op=op, own=(active, other), wall=1000.0)
    yield events.Listed(op=op, own=(going,), wall=1000.0)
    yield events.Written(op=op, stored=Stored(written, f"{op}"))
    yield from (events.WriteLost(op=op, current=it) for it in (None, active, theirs, claimed))
    yield events.Erased(op=op)
    yield events.LedgerFailed(op=op, message="down")
    yield events.Activated(op=op, licence=Licence(b"licence"))
    yield events.ActivationDeclined(op=op, reason=Failure.NO_SEATS, sentence="no")
    yield events.ActivationDeclined(op=op, reason=Failure.INVALID_KEY, sentence="no")
    yield events.Deactivated(op=op)
    yield events.Deactivated(op=op, unknown=True)
    yield events.ServerFailed(op=op, reason=Failure.TIMEOUT, message="slow")
    yield events.ServerFailed(op=op, reason=Failure.NETWORK, message="refused", sent=False)
    for deployment_id in (ID, OTHER_ID, None):
        yield events.AppSeen(op=op, report=AppReport(deployment_id, licensed=False))
    yield events.AppSeen(op=op, report=AppReport(ID, licensed=True))
    yield events.AppFailed(op=op, trouble=AppTrouble.REFUSED, message="refused")
    yield events.AppFailed(op=op, trouble=AppTrouble.BROKEN, message="500", sent=True)
    yield events.Delivered(op=op)
    yield events.UploadDeclined(op=op, message="404")
    yield events.PodUnanswered(op=op, message="down")
    yield from (events.PodLooked(op=op, report=it) for it in PODS)
    yield from (events.PortTried(op=op, refused=it) for it in (True, False))


def senses(state: State, now: float) -> Iterator[Event]:
    """Yield what nobody asked for."""
    yield events.Tick()
    yield events.KeysSeen(snapshot=KeySnapshot(KEY))
    yield events.KeysSeen(snapshot=KeySnapshot(NEW_KEY, (KEY,)))
    yield events.KeysSeen(snapshot=KeySnapshot(None, (), "no key"))
    yield from (events.Knocked(trouble=it) for it in (None, AppTrouble.REFUSED, AppTrouble.SILENT))
    yield events.ProspectsSeen(names=frozenset({"a"}))
    yield events.ProspectsSeen(names=frozenset())
    yield events.Stop(deadline=now + 20.0)
    yield events.Stop(deadline=now + 1.0, release=False)
    if state.policy.watches_pod:
        yield events.Stop(deadline=now + 20.0, release=None)
        yield events.PodUnseen(message="down")
        yield from (events.PodSeen(report=it) for it in PODS)


def flights(state: State) -> tuple[Flight, ...]:
    """Return everything that is still to be answered."""
    lanes = (getattr(state, lane) for lane in LANES)
    return (*(it for it in lanes if it is not None), *state.overdue)


def kind(state: State) -> Hashable:
    """Return what makes two states different in kind, leaving out numbers and times."""

    def of_seat(seat: Seat) -> Hashable:
        ask = seat.ask and seat.ask.cleared
        has = (seat.stored is not None, ask, seat.risk_until > 0, bool(seat.blocked_by))
        return seat.identity, type(seat.tenure), type(seat.delivery), has

    def of_debt(debt: Release) -> Hashable:
        return debt.name, debt.stored is not None, debt.answered, debt.confirmed, debt.asked, debt.quiet_at > 1e9

    seat = of_seat(state.seat) if isinstance(state.seat, Seat) else type(state.seat)
    lanes = tuple(type(it.launch.command) if (it := getattr(state, lane)) is not None else None for lane in LANES)
    snapshot, stopping = state.key.snapshot, state.stopping
    decided = isinstance(stopping, Deciding) and (stopping.pod is not None, stopping.silent, stopping.port_refuses)
    return (
        seat,
        state.successor is not None and of_seat(state.successor),
        tuple(of_debt(it) for it in state.debts),
        type(state.app.contact),
        lanes,
        tuple(type(it.launch.command) for it in state.overdue)[:1],
        snapshot and snapshot.current,
        state.server.refusal and state.server.refusal.reason,
        state.ledger.listed,
        isinstance(stopping, Stopping) and (stopping.release, stopping.exited),
        decided,
        state.pod.report,
        state.pod.down_since is not None,
        state.pod.looked_at >= state.pod.doubted_at,
    )


def check(before: State, now: float, event: Event) -> State:
    """Take one step and check that nothing was lost."""
    after, todo, wake_at = machine.step(before, now, event)
    launched = {it.op for it in todo if isinstance(it, Launch)}
    expected = ({it.launch.op for it in flights(before)} | launched) - {getattr(event, "op", None)}
    assert {it.launch.op for it in flights(after)} == expected, f"a flight was lost or made up: {event}"
    assert wake_at > now, f"wakes up for what is due already: {event}"
    was_over = isinstance(before.stopping, Stopping) and before.stopping.exited
    assert not (was_over and [it for it in todo if isinstance(it, (Launch, Exit))]), "goes on after the end"
    describe(after, now)
    return after


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_every_event_in_every_kind_of_state_is_folded(policy: Policy) -> None:
    """Neither raises nor loses a lane, and the view can always be told."""
    first = machine.start(policy, 1000.0)
    found = {kind(first)}
    waiting = deque([(first, 1000.0)])
    while waiting:
        state, now = waiting.popleft()
        for seconds in PASSING:
            later = now + seconds
            alphabet = [*senses(state, later)] if seconds else [*senses(state, later), *_all_answers(state)]
            for event in alphabet:
                after = check(state, later, event)
                if len(found) < KINDS and kind(after) not in found:
                    found.add(kind(after))
                    waiting.append((after, later))
    assert len(found) > 10


def _all_answers(state: State) -> Iterator[Event]:
    for flight in flights(state)[:4]:
        yield from answers(flight.launch.op, state)


def test_an_answer_to_what_was_never_asked_is_a_bug_of_the_shell() -> None:
    """It raises, and the state is what it was."""
    state, _, _ = machine.step(machine.start(POLICIES["auto"], 0.0), 0.0, events.Tick())
    before = replace(state)
    for op in (0, state.next_op, 99):
        with pytest.raises(UnknownOperationError):
            machine.step(state, 1.0, events.Erased(op=op))
    assert state == before


def test_an_answer_is_taken_once() -> None:
    """The second one is about nothing that is under way."""
    state, _, _ = machine.step(machine.start(POLICIES["auto"], 0.0), 0.0, events.Tick())
    answer = events.Listed(op=1, own=(), wall=0.0)
    state, _, _ = machine.step(state, 0.1, answer)
    with pytest.raises(UnknownOperationError):
        machine.step(state, 0.2, answer)


def test_an_overdue_answer_is_still_expected_once() -> None:
    """After the deadline it is folded when it comes, and then no more."""
    state, _, _ = machine.step(machine.start(POLICIES["auto"], 0.0), 0.0, events.Tick())
    state, _, _ = machine.step(state, 11.0, events.Tick())
    answer = events.Listed(op=1, own=(Stored(record(), "1"),), wall=11.0)
    state, _, _ = machine.step(state, 12.0, answer)
    assert state.ledger.listed
    with pytest.raises(UnknownOperationError):
        machine.step(state, 13.0, answer)


def test_the_roots_of_events_are_no_events() -> None:
    """An answer that says nothing is a programming error, and a bare event a tick."""
    state, _, _ = machine.step(machine.start(POLICIES["auto"], 0.0), 0.0, events.Tick())
    with pytest.raises(AssertionError, match="Answer"):
        machine.step(state, 0.1, events.Answer(op=1))
    assert machine.step(state, 0.1, events.Event()) == machine.step(state, 0.1, events.Tick())
