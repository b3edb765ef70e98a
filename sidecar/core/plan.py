"""What to do next: one priority list for each lane, and when to be woken if there is nothing to do now.

A list yields ``(due, command)`` pairs in order of priority; the first that is due is launched, the others tell when it
is worth looking again. Commands that take time to make are left out (None) while they are not due: a step asks for all
of them, and nearly always uses none.
"""

import math
from collections.abc import Iterable, Iterator
from typing import assert_never

from sidecar.core import release as releases
from sidecar.core.commands import (
    Activate,
    ActivateByApp,
    AppCommand,
    AskApp,
    Command,
    Deactivate,
    Erase,
    Exit,
    Knock,
    LaneCommand,
    Launch,
    LedgerCommand,
    ListOwn,
    LookAtPod,
    Notice,
    Occasion,
    ServerCommand,
    Upload,
    Write,
)
from sidecar.core.conclusions import (
    alike,
    app_fails_at,
    asks_app,
    may_act,
    pod_ends,
    pod_proven,
    through_product,
    wanted_identity,
    wanted_record,
)
from sidecar.core.policy import (
    APP_TIMEOUT,
    DELIVERY_TIMEOUT,
    LEDGER_TIMEOUT,
    POD_LOOK,
    POD_TIMEOUT,
    RELEASE_FIRST,
    Route,
)
from sidecar.core.reasons import Cause
from sidecar.core.records import Phase
from sidecar.core.release import Release
from sidecar.core.replacement import replace
from sidecar.core.state import AppMet, Deciding, Flight, Running, Seat, State, Stopping, Undelivered, Vacant, seats

NEVER = math.inf
Wish = tuple[float, LaneCommand | None]
Work = Iterator[Wish]

LAST_WORDS = 0.15
"""Seconds before the deadline at which the machine stops waiting for anything."""
DRAIN_POLL = 0.5
EXIT_OK = 0
EXIT_UNREACHED = 69


def plan(state: State, now: float) -> tuple[State, list[Command], float]:
    """Fill the free lanes; return the commands and when to look again (infinite: when something happens)."""
    commands: list[Command] = []
    if isinstance(state.stopping, Stopping) and state.stopping.exited:
        return state, commands, NEVER
    if isinstance(state.stopping, Deciding):
        return _find_out(state, state.stopping, now, commands)
    wake = _thresholds(state, now)
    if state.ledger_lane is None:
        state, due = _launch(state, _ledger_work(state, now), now, commands)
        wake = min(wake, due)
    if state.server_lane is None:
        state, due = _launch(state, _server_work(state, now), now, commands)
        wake = min(wake, due)
    if state.app_lane is None:
        state, due = _launch(state, _app_work(state, now), now, commands)
        wake = min(wake, due)
    for flight in (state.ledger_lane, state.server_lane, state.app_lane):
        if flight is not None:
            wake = min(wake, flight.launch.deadline)
    if isinstance(state.stopping, Stopping):
        state, due = _leave(state, state.stopping, now, commands)
        wake = NEVER if due == NEVER else min(wake, due)
    return state, commands, wake


def _find_out(
    state: State, deciding: Deciding, now: float, commands: list[Command]
) -> tuple[State, list[Command], float]:
    """Look at the pod and knock at the app's port, at once and together (rule 18); nothing else is begun."""
    if state.ledger_lane is None and deciding.pod is None and not deciding.silent:
        state, _ = _launch(state, iter([(now, LookAtPod())]), now, commands)
    if state.app_lane is None and deciding.port_refuses is None and asks_app(state.policy):
        state, _ = _launch(state, iter([(now, Knock())]), now, commands)
    return state, commands, deciding.until


def _launch(state: State, work: Work, now: float, commands: list[Command]) -> tuple[State, float]:
    wake = NEVER
    for due, command in work:
        if due > now or command is None:
            wake = min(wake, due)
            continue
        timeout = _timeout(state, command)
        launch = Launch(state.next_op, command, _deadline(state, now, timeout))
        flight = Flight(launch, now)
        commands.append(launch)
        op = state.next_op + 1
        match command:
            case ListOwn() | Write() | Erase() | LookAtPod():
                return replace(state, next_op=op, ledger_lane=flight), NEVER
            case Activate():
                commands.append(Notice(occasion=Occasion.ACTIVATION_ASKED, identity=command.identity))
                return replace(state, next_op=op, server_lane=flight), NEVER
            case Deactivate():
                notice = Notice(occasion=Occasion.RELEASE_ASKED, reason=command.cause, identity=command.identity)
                commands.append(notice)
                name = command.identity.name
                debts = tuple(replace(it, asked=True) if it.name == name else it for it in state.debts)
                return replace(state, next_op=op, server_lane=flight, debts=debts), NEVER
            case AskApp() | Upload() | ActivateByApp() | Knock():
                return replace(state, next_op=op, app_lane=flight), NEVER
            case other:
                assert_never(other)
    return state, wake


def _timeout(state: State, command: LaneCommand) -> float:
    match command:
        case ListOwn() | Write() | Erase():
            return LEDGER_TIMEOUT
        case LookAtPod():
            return POD_TIMEOUT
        case Knock():
            return POD_LOOK
        case Activate() | Deactivate():
            return state.policy.call_timeout + 1.0
        case AskApp():
            return APP_TIMEOUT + 1.0
        case Upload() | ActivateByApp():
            return DELIVERY_TIMEOUT + 1.0
        case other:
            assert_never(other)


def _deadline(state: State, now: float, timeout: float) -> float:
    if isinstance(state.stopping, Stopping):
        return min(now + timeout, max(now, state.stopping.deadline - LAST_WORDS))
    if isinstance(state.stopping, Deciding):
        return min(now + timeout, state.stopping.until)
    return now + timeout


# --- the ledger's lane ----------------------------------------------------------------------------------------------


def _after(due: float, work: Iterable[Wish]) -> Work:
    for at, command in work:
        yield max(at, due), command


def _ledger_work(state: State, now: float) -> Work:
    wishes, earliest = _ledger_wishes(state, now), state.ledger.not_before
    return wishes if earliest <= now else _after(earliest, wishes)


def _ledger_wishes(state: State, now: float) -> Iterator[tuple[float, LedgerCommand | None]]:
    if state.policy.mode != "online":
        return
    if isinstance(state.stopping, Stopping) and not state.stopping.release:
        return
    running = isinstance(state.stopping, Running)
    if running and state.policy.watches_pod and state.pod.report is None:
        return  # rule 18: who we are is proven first, by our own pod
    if not state.ledger.listed:
        yield now, ListOwn()
        return
    if running and not pod_proven(state):
        yield max(now, state.pod.not_before), LookAtPod()
    yield from _seat_writes(state, now)
    for debt in state.debts:
        yield from _debt_writes(state, debt, now)
    for seat in seats(state):
        if seat.stored is not None and not _taken_away(state, seat):
            due = seat.written_at + state.policy.renew
            yield due, None if due > now else Write(wanted_record(state, seat, now), seat.stored)


def _seat_writes(state: State, now: float) -> Iterator[tuple[float, LedgerCommand | None]]:
    debts = {debt.name for debt in state.debts}
    asked_by_app = state.policy.route is Route.APP
    takes = isinstance(state.stopping, Running) and _takes(state)
    for seat in seats(state):
        if (debts and seat.identity.name in debts) or _taken_away(state, seat):
            continue
        wanted = wanted_record(state, seat, now)
        if asked_by_app and seat.stored is None:
            yield max(now, seat.blocked_until), Write(wanted, None)
        elif seat.ask is not None and not seat.ask.cleared and not asked_by_app and takes:
            due = _ask_due(state, seat, now)
            yield due, None if due > now else Write(replace(wanted, open=True), seat.stored, clears=True)
        if seat.stored is not None and not alike(seat.stored.record, wanted):
            yield now, Write(wanted, seat.stored)
        delivery = seat.delivery
        if isinstance(delivery, Undelivered) and not delivery.cleared and takes and through_product(state, seat):
            yield delivery.at, Write(wanted, seat.stored)  # rule 2, for the product's own request
        if seat.risk_until > now:
            yield seat.risk_until, Write(wanted, seat.stored)


def _takes(state: State) -> bool:
    """Tell whether a seat may be asked for: our pod is known to be there and to stay (rule 15)."""
    return pod_proven(state) and not pod_ends(state)


def _taken_away(state: State, seat: Seat) -> bool:
    """Tell whether the record was claimed or is missing, and our pod is not known to be there and to stay (rule 15).

    Whoever took it had looked at our pod. Until we have done so too, it is neither renewed nor written again.
    """
    if not state.policy.watches_pod or _takes(state):
        return False
    lost = seat.stored is None and state.pod.doubted_at > -NEVER
    return lost or (seat.stored is not None and seat.stored.record.claim is not None)


def _debt_writes(state: State, debt: Release, now: float) -> Iterator[tuple[float, LedgerCommand]]:
    leaving = _leaving(state, debt, now)
    record = releases.wanted(debt, now, leaving=leaving)
    if debt.stored is None:
        if not debt.confirmed:
            yield now, Write(record, None)  # it is gone from the ledger, and the seat may be taken
    elif debt.confirmed:
        yield now, Erase(debt.stored)
    elif not alike(debt.stored.record, record):
        yield now, Write(record, debt.stored)


def _leaving(state: State, debt: Release, now: float) -> bool:
    """Tell whether somebody else must finish this: its second look comes after our end, or time runs out."""
    stopping = state.stopping
    if not isinstance(stopping, Stopping):
        return False
    # A failed attempt is reason enough: whatever becomes of the next ones, a kill from now on finds it handed over.
    if debt.answered or debt.failures or not may_act(state, debt.record.identity):
        return True
    return now >= stopping.deadline - stopping.reserve


# --- the activation server's lane -----------------------------------------------------------------------------------


def _hold_until(state: State, seat: Seat) -> float:
    """Rule 8: the old seat under the same key goes first, for ``RELEASE_FIRST`` seconds at most.

    So does the one under the old key, where ``key.rotation`` says so (rule 9).
    """
    release_first = not state.policy.activate_first
    holding = [
        debt.since + RELEASE_FIRST
        for debt in state.debts
        if not debt.answered
        and not debt.confirmed
        and (
            debt.record.identity.key_fingerprint == seat.identity.key_fingerprint
            or (release_first and debt.cause is Cause.KEY_CHANGED)
        )
        and may_act(state, debt.record.identity)
    ]
    return max(holding, default=0.0)


def _ask_due(state: State, seat: Seat, now: float) -> float:
    at = seat.ask.at if seat.ask is not None else NEVER
    due = max(at, state.server.not_before, seat.blocked_until, _hold_until(state, seat))
    if state.successor is not None and seat is not state.successor and state.server.refusal is None:
        return NEVER  # while a new key is being tried, the old seat is only kept
    return max(now, due)


def _server_work(state: State, now: float) -> Iterator[tuple[float, ServerCommand]]:
    if state.policy.mode != "online":
        return
    stopping = isinstance(state.stopping, Stopping)
    for debt in state.debts:
        if not debt.answered:
            yield from _deactivation(state, debt, now)
    if not stopping:
        for seat in seats(state):
            if seat.ask is not None and seat.ask.cleared and _takes(state):
                yield now, Activate(seat.identity)
    for debt in state.debts:
        if debt.answered:
            yield from _deactivation(state, debt, now)


def _deactivation(state: State, debt: Release, now: float) -> Iterator[tuple[float, ServerCommand]]:
    identity = debt.record.identity
    if debt.confirmed or not may_act(state, identity):
        return
    stopping = state.stopping
    if isinstance(stopping, Stopping):
        if not stopping.release:
            return
    elif (debt.stored is not None and not debt.marked) or debt.quiet_at == NEVER:
        return  # first the mark; and what is under way is awaited
    elif not debt.asked and debt.cause is not Cause.RECLAIM and wanted_identity(state, now) == identity:
        return  # it is wanted again, and nobody has taken it yet
    yield max(debt.not_before, now), Deactivate(identity, debt.cause)


# --- the app's lane -------------------------------------------------------------------------------------------------


def _app_work(state: State, now: float) -> Iterator[tuple[float, AppCommand]]:
    if not asks_app(state.policy):
        return
    contact = state.app.contact
    if isinstance(state.stopping, Stopping):
        if state.stopping.drain_until > now:
            polled_at = contact.at + DRAIN_POLL if isinstance(contact, AppMet) else state.app.next_at
            yield min(state.app.next_at, polled_at), AskApp()
        return
    for seat in reversed(seats(state)):
        delivery = seat.delivery
        if not isinstance(delivery, Undelivered) or not isinstance(contact, AppMet):
            continue
        if contact.report.deployment_id != seat.identity.deployment_id:
            continue
        if not through_product(state, seat):
            yield delivery.at, Upload(seat.identity, delivery.licence)
        elif _says_open(state, seat, delivery):
            yield delivery.at, ActivateByApp(seat.identity)
    yield state.app.next_at, AskApp()


def _says_open(state: State, seat: Seat, delivery: Undelivered) -> bool:
    """Tell whether the ledger says, by a write of this attempt, that a request may be under way (rule 2)."""
    under_way = state.ledger_lane.launch.command if state.ledger_lane is not None else None
    writing = isinstance(under_way, Write) and under_way.name == seat.identity.name
    return delivery.cleared and not writing and seat.stored is not None and seat.stored.record.open


# --- time -----------------------------------------------------------------------------------------------------------


def _thresholds(state: State, now: float) -> float:
    """Return the next moment at which the passing of time alone changes something."""
    moments = [app_fails_at(state) or NEVER]
    restart = state.restart
    if restart.at is not None:
        moments.append(restart.at if restart.touched_at is None else restart.touched_at + 30.0)
    moments.extend(debt.since + RELEASE_FIRST for debt in state.debts if not debt.answered)
    return min((moment for moment in moments if moment > now), default=NEVER)


def _settled(state: State, debt: Release) -> bool:
    """Tell whether nothing is left to do for this debt before our end."""
    handed_over = debt.stored is not None and debt.stored.record.phase is Phase.HANDOVER
    written = handed_over and debt.stored is not None and debt.stored.record.unknown == (debt.unknown_at is not None)
    return written and (debt.answered or not may_act(state, debt.record.identity))


def _awaits_a_second_look(state: State, debt: Release) -> bool:
    """Tell whether the release was answered and only a look of somebody else, later on, is left to do.

    Rule 19 for a 404, and rule 4 for a request that was lost before the release and may still be late. One that is
    under way to this moment is another thing: the answer came before its end.
    """
    if debt.unknown_at is not None or not debt.answered or debt.confirmed:
        return debt.answered and debt.unknown_at is not None
    under_way = (state.server_lane, state.app_lane, *state.overdue)
    commands = [flight.launch.command for flight in under_way if flight is not None]
    return not any(isinstance(it, (Activate, ActivateByApp)) and it.identity == debt.record.identity for it in commands)


def _leave(state: State, stopping: Stopping, now: float, commands: list[Command]) -> tuple[State, float]:
    """End when everything is given back or handed over, or when the time is up."""
    end = stopping.deadline - LAST_WORDS
    unlisted = not state.ledger.listed and state.policy.mode == "online" and state.ledger.failures == 0
    busy = stopping.release and (not isinstance(state.seat, Vacant) or state.ledger_lane is not None or unlisted)
    unsettled = stopping.release and not all(_settled(state, debt) for debt in state.debts)
    if (busy or unsettled) and now < end:
        marks = (end, stopping.deadline - stopping.reserve, stopping.drain_until)
        return state, min(moment for moment in marks if moment > now)
    unreached = [debt for debt in state.debts if not _awaits_a_second_look(state, debt)]
    unseen = state.policy.mode == "online" and not state.ledger.listed  # whether an earlier life left something
    code = EXIT_UNREACHED if stopping.release and (unreached or busy or unseen) else EXIT_OK
    for debt in state.debts if stopping.release else ():
        why = "" if debt in unreached else "its release was answered; a second look is due"
        commands.append(Notice(occasion=Occasion.HANDED_OVER, text=why, identity=debt.record.identity))
    commands.append(Exit(code))
    return replace(state, stopping=replace(stopping, exited=True)), NEVER
