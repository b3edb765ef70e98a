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
from sidecar.core.facts import AppReport, KeySnapshot, Licence
from sidecar.core.policy import Policy
from sidecar.core.reasons import AppTrouble, Failure
from sidecar.core.records import Identity, Owner, Phase, SeatRecord, Stored
from sidecar.core.state import AppLost, AppMet, Flight, Seat, State
from sidecar.core.view import Stage, describe

PAGE: Final = Path(__file__).parent / "state-diagram.md"
POLICY: Final = Policy(server="https://server", owner=Owner(pod="pod", uid="uid"), revalidate=100.0, grace=50.0)
ONE, TWO = "MSIC1", "MSIC2"
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
    if state.following:
        yield "a seat will be free", events.ProspectsSeen(names=frozenset({"other"}))
        yield "no seat will be free", events.ProspectsSeen(names=frozenset())


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
    )


def explore() -> dict[tuple[Stage, Stage], set[str]]:
    """Return all moves between stages with the words for the events that made them."""
    moves: dict[tuple[Stage, Stage], set[str]] = defaultdict(set)
    first, _, wake = machine.step(machine.start(POLICY, 0.0), 0.0, events.Tick())
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
    moves = explore()
    order = list(Stage)
    drawn = sorted(moves, key=lambda move: (order.index(move[0]), order.index(move[1])))
    lines = [_INTRODUCTION, "```mermaid", "stateDiagram-v2", f"  [*] --> {Stage.STARTING}"]
    lines += [f"  {before} --> {after}" for before, after in drawn]
    lines += ["```", "", "| from | to | what was seen to move it |", "|---|---|---|"]
    lines += [f"| {before} | {after} | {', '.join(sorted(moves[before, after]))} |" for before, after in drawn]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
