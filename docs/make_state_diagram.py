"""Draws ``docs/state-diagram.md`` by exploring ``sidecar.core.machine.step`` breadth-first.

The nodes are the stages that people see (``core.view.Stage``), the edges the events that were seen to move between
them. What the machine cannot do is not in the picture, and what it can do cannot be forgotten; a test fails when the
page is stale. The idea is h11's.

Run ``python docs/make_state_diagram.py``.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from sidecar.core import commands, events, machine
from sidecar.core.events import Event
from sidecar.core.facts import AppContainer, AppReport, KeySnapshot, Licence, PodReport
from sidecar.core.policy import Policy
from sidecar.core.reasons import AppEnd, AppTrouble, Failure
from sidecar.core.records import Identity, Owner, Phase, SeatRecord, Stored
from sidecar.core.state import AppLost, AppMet, Flight, Seat, State, Stopping
from sidecar.core.view import Stage, describe

PAGE: Final = Path(__file__).parent / "state-diagram.md"
POLICY: Final = Policy(server="https://server", owner=Owner(pod="pod", uid="uid"), revalidate=100.0, grace=50.0)
IN_POD: Final = replace(POLICY, watches_pod=True)
ONE, TWO = "MSIC1", "MSIC2"
STAYS: Final = PodReport("uid", app=AppContainer("one"))
ENDED: Final = replace(STAYS, app=AppContainer("one", ended=AppEnd.EXIT))
OF_POD: Final = "pod: "
"""How the words begin for what the watch of our own pod tells, in Kubernetes only."""
MOST: Final = 4_000
"""Kinds of states explored, nearest first; 30,000 add two rare moves and take ten times as long."""

_INTRODUCTION = """\
# The machine, as it is seen from outside
Drawn by `python docs/make_state_diagram.py`, which explores `step` (mode `online`, route `auto`); a test fails when
this page is stale. The stages are those of `/status` and of the metric `mdlicense_state`; what each means for an
operator is in [operations.md](operations.md). An event may leave the stage as it is; only what moves is drawn. The
first 4,000 kinds of states were explored, nearest first.

Every stage also leads to `stopping`, by SIGTERM; that is left out of the picture.
"""
_IN_KUBERNETES = """
## In Kubernetes, besides
Our own pod is watched there: before it was seen nothing is written, and its status decides whether the app has failed
(rule 17 of the design). These are the moves that are made by what it tells, and those that are made only there.
"""
_THE_STOP = """
## SIGTERM in Kubernetes
What a sidecar with an active seat does (rule 18, `shutdown.release: auto`), asked of `step` for every answer that can
come within 300 ms. *Left*: the record stays `active`, exit 0, and the next sidecar of this pod goes on with it.
"""


def report(deployment_id: str | None, *, licensed: bool) -> AppReport:
    """Return what the app says."""
    return AppReport(deployment_id, licensed)


def answers(flight: Flight, state: State) -> Iterator[tuple[str, Event]]:
    """Yield what can come back for a flight, each with the words for it."""
    op = flight.launch.op
    match flight.launch.command:
        case commands.ListOwn():
            yield "ledger: nothing of ours", events.Listed(op=op, own=(), wall=0.0)
            yield from _adopted(op, state)
        case commands.Write(record=record):
            yield "record written", events.Written(op=op, stored=Stored(record, str(op)))
            yield "record lost", events.WriteLost(op=op, current=None)
            yield "ledger silent", events.LedgerFailed(op=op, message="silent")
            other = replace(record, owner=Owner(pod="other", uid="other"))
            yield "record of another instance", events.WriteLost(op=op, current=Stored(other, str(op)))
        case commands.Erase():
            yield "record erased", events.Erased(op=op)
        case commands.Activate():
            yield "activated", events.Activated(op=op, licence=Licence(b""))
            yield "refused: no seats", events.ActivationDeclined(op=op, reason=Failure.NO_SEATS, sentence="full")
            yield "refused: expired", events.ActivationDeclined(op=op, reason=Failure.EXPIRED, sentence="over")
            yield "server silent", events.ServerFailed(op=op, reason=Failure.TIMEOUT, message="silent")
        case commands.Deactivate():
            yield "released", events.Deactivated(op=op)
            yield "released (404)", events.Deactivated(op=op, unknown=True)
            yield "server silent", events.ServerFailed(op=op, reason=Failure.TIMEOUT, message="silent")
        case commands.AskApp():
            yield "app: licensed", events.AppSeen(op=op, report=report(ONE, licensed=True))
            yield "app: not licensed", events.AppSeen(op=op, report=report(ONE, licensed=False))
            yield "app: another ID", events.AppSeen(op=op, report=report(TWO, licensed=False))
            yield "app: no ID", events.AppSeen(op=op, report=report(None, licensed=False))
            yield "app silent", events.AppFailed(op=op, trouble=AppTrouble.SILENT, message="silent")
        case commands.Upload():
            yield "delivered", events.Delivered(op=op)
            yield "upload refused", events.UploadDeclined(op=op, message="404")
        case commands.LookAtPod():
            yield f"{OF_POD}a look finds it", events.PodLooked(op=op, report=_here(state))
            yield f"{OF_POD}a look finds none", events.PodLooked(op=op, report=PodReport(""))
            yield f"{OF_POD}not seen", events.PodUnanswered(op=op, message="silent")
        case commands.ActivateByApp():
            yield "delivered", events.Delivered(op=op)
            yield "delivery failed", events.AppFailed(op=op, trouble=AppTrouble.BROKEN, message="500", sent=True)


def _adopted(op: int, state: State) -> Iterator[tuple[str, Event]]:
    identity = Identity(state.policy.server, "key", ONE)
    record = SeatRecord(identity, state.policy.owner, Phase.ACTIVE, open=False)
    yield "ledger: our own record", events.Listed(op=op, own=(Stored(record, "own"),), wall=0.0)


def happenings(state: State) -> Iterator[tuple[str, Event]]:
    """Yield what can happen without being asked for."""
    yield "key read", events.KeysSeen(snapshot=KeySnapshot("key"))
    yield "port refuses", events.Knocked(trouble=AppTrouble.REFUSED)
    if isinstance(state.app.contact, AppLost):
        yield "port accepts", events.Knocked(trouble=None)
    if state.policy.watches_pod:
        yield from _of_pod(state)
    if state.following:
        yield "a seat will be free", events.ProspectsSeen(names=frozenset({"other"}))
        yield "no seat will be free", events.ProspectsSeen(names=frozenset())


def _here(state: State) -> PodReport:
    known = state.pod.report.app if state.pod.report is not None else None
    return STAYS if known is None else replace(STAYS, app=AppContainer(known.id))


def _of_pod(state: State) -> Iterator[tuple[str, Event]]:
    here = _here(state)
    name = here.app.id if here.app is not None else ""
    ended, other = AppContainer(name, ended=AppEnd.EXIT), AppContainer("two" if name == "one" else "one")
    yield f"{OF_POD}the app's container runs", events.PodSeen(report=here)
    yield f"{OF_POD}the app's container ended", events.PodSeen(report=replace(here, app=ended))
    yield f"{OF_POD}the app's container is another", events.PodSeen(report=replace(here, app=other))
    yield f"{OF_POD}being deleted", events.PodSeen(report=replace(here, deleting=True))
    yield f"{OF_POD}gone", events.PodSeen(report=PodReport(""))
    yield f"{OF_POD}not seen", events.PodUnseen(message="silent")


def kind(state: State, now: float) -> tuple[object, ...]:
    """Return what makes two states the same for the picture: everything but times, numbers and texts."""
    seat, contact, server = state.seat, state.app.contact, state.server
    flights = (state.ledger_lane, state.server_lane, state.app_lane)
    shape: tuple[object, ...] = (type(seat),)
    if isinstance(seat, Seat):
        ask = "none" if seat.ask is None else "cleared" if seat.ask.cleared else seat.ask.at > now
        shape = (seat.identity, type(seat.tenure), ask, type(seat.delivery), seat.risk_until > now, seat.blocked_by)
    return (
        describe(state, now).stage,
        shape,
        tuple(flight and type(flight.launch.command) for flight in flights),
        type(contact),
        contact.report if isinstance(contact, AppMet) else getattr(contact, "trouble", None),
        server.refusal and server.refusal.reason,
        server.outage is not None,
        server.not_before > now,
        state.ledger.listed,
        state.ledger.down_since is not None,
        state.key.snapshot is not None,
        tuple(sorted((debt.name, debt.marked, debt.answered, debt.confirmed) for debt in state.debts)),
        state.prospects.names and len(state.prospects.names),
        state.app.confirmed_at is not None,
        state.pod.report,
        state.pod.down_since is not None,
        state.pod.app_ended_at is not None,
    )


def explore(policy: Policy) -> dict[tuple[Stage, Stage], set[str]]:
    """Return all moves between stages with the words for the events that made them."""
    moves: dict[tuple[Stage, Stage], set[str]] = defaultdict(set)
    first, _, wake = machine.step(machine.start(policy, 0.0), 0.0, events.Tick())
    waiting = deque([(first, 0.0, wake)])
    seen = {kind(first, 0.0)}
    while waiting:
        state, now, wake = waiting.popleft()
        before = describe(state, now).stage
        for words, at, event in _next(state, now, wake):
            after, _, then = machine.step(state, at, event)
            stage = describe(after, at).stage
            if stage is not before:
                moves[before, stage].add(words)
            shape = kind(after, at)
            if shape not in seen and len(seen) < MOST:
                seen.add(shape)
                waiting.append((after, at, then))
    return moves


def _next(state: State, now: float, wake: float) -> Iterator[tuple[str, float, Event]]:
    for flight in (state.ledger_lane, state.server_lane, state.app_lane):
        if flight is not None:
            yield from ((words, now + 0.01, event) for words, event in answers(flight, state))
    yield from ((words, now + 0.01, event) for words, event in happenings(state))
    if wake < float("inf"):
        yield "time passes", wake, events.Tick()


def page() -> str:
    """Return the whole page."""
    moves = explore(POLICY)
    order = list(Stage)
    drawn = sorted(moves, key=lambda move: (order.index(move[0]), order.index(move[1])))
    lines = [_INTRODUCTION, "```mermaid", "stateDiagram-v2", f"  [*] --> {Stage.STARTING}"]
    lines += [f"  {before} --> {after}" for before, after in drawn]
    lines += ["```", "", "| from | to | what was seen to move it |", "|---|---|---|"]
    lines += [f"| {before} | {after} | {', '.join(sorted(moves[before, after]))} |" for before, after in drawn]
    lines += [_IN_KUBERNETES, "| from | to | what was seen to move it |", "|---|---|---|"]
    in_pod = explore(IN_POD)
    of_pod = {
        move: sorted(it for it in words if it.startswith(OF_POD) or move not in moves) for move, words in in_pod.items()
    }
    ordered = sorted(of_pod, key=lambda move: (order.index(move[0]), order.index(move[1])))
    lines += [f"| {move[0]} | {move[1]} | {', '.join(of_pod[move])} |" for move in ordered if of_pod[move]]
    lines += [_THE_STOP, "| the API server says | the app's port | what becomes of the seat |", "|---|---|---|"]
    lines += [f"| {' | '.join(row)} |" for row in stops()]
    return "\n".join([*lines, ""])


# --- the stop ---------------------------------------------------------------------------------------------------------

_PODS: Final = {
    "the pod stays, the app's container runs": STAYS,
    "the pod stays, the app's container has ended": ENDED,
    "it is being deleted": replace(STAYS, deleting=True, grace_left=25.0),
    "it has ended, or an eviction is announced": replace(STAYS, ended=True),
    "it is gone": PodReport(""),
    "nothing": None,
}
_PORTS: Final = {"open": False, "refuses": True, "does not answer": None}


def active() -> tuple[State, float]:
    """Return a sidecar in its pod with an active seat and nothing under way."""
    state, now = machine.start(IN_POD, 0.0), 0.0
    for event in (events.PodSeen(report=STAYS), events.KeysSeen(snapshot=KeySnapshot("key"))):
        state, _, _ = machine.step(state, now, event)
    while (flight := next((it for it in lanes(state) if it is not None), None)) is not None:
        now += 0.01
        _, answer = next(answers(flight, state))
        state, _, _ = machine.step(state, now, answer)
    if describe(state, now).stage is not Stage.ACTIVE:
        raise AssertionError("the first answers to everything do not lead to an active seat")
    return state, now


def lanes(state: State) -> tuple[Flight | None, ...]:
    """Return what is under way."""
    return state.ledger_lane, state.server_lane, state.app_lane


def stops() -> Iterator[tuple[str, str, str]]:
    """Yield what a stop does, for each pair of answers."""
    for pod, said in _PODS.items():
        for port, refused in _PORTS.items():
            state, now = active()
            state, todo, _ = machine.step(state, now, events.Stop(deadline=now + 20.0, release=None))
            for launch in [it for it in todo if isinstance(it, commands.Launch)]:
                match launch.command:
                    case commands.LookAtPod() if said is not None:
                        state, _, _ = machine.step(state, now, events.PodLooked(op=launch.op, report=said))
                    case commands.Knock() if refused is not None:
                        state, _, _ = machine.step(state, now, events.PortTried(op=launch.op, refused=refused))
            for moment in (now, now + 0.3):
                state, _, _ = machine.step(state, moment, events.Tick())
            match state.stopping:
                case Stopping(release=False):
                    yield pod, port, "left"
                case Stopping(drain_until=until) if until > now + 1.0:
                    yield pod, port, "given back when the app ends, at the latest before its time is up"
                case Stopping():
                    yield pod, port, "given back"
                case undecided:
                    raise AssertionError(undecided)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
