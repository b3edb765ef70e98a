"""The life of the process: scopes, signals, the order and the budget of the shutdown (design.md section 3).

The web server is outermost, so that probes are answered to the end; then ``ops``, whose tasks are the flights;
innermost the senses. A stop cancels only the senses: the same machine is told ``Stop`` and finishes what it has to. The
last act is ``leave``, inside of the loop: closing the loop would wait for threads that may hang.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NoReturn, Protocol

from sidecar.agent import Agent
from sidecar.exit_codes import BUG
from sidecar.ports import Observer
from sidecar.reclaim import Reclaimer
from sidecar.stop_signals import StopSignals
from sidecar.watchdog import WATCHDOG

HURRY: Final = 2.0
"""A second signal leaves this many seconds: enough to hand over, no more."""
MARGIN: Final = 0.25
"""Part of the budget, in seconds, for what comes after the machine's last command."""
LOOP: Final = "event loop"
_LAST_EVENTS: Final = 0.2
"""Seconds, within the margin, for telling others what happened at the very end: that the seat is free."""
_PULSE: Final = 5.0
_POD_LIMIT: Final = 400.0
"""Seconds: a watch of the pod is renewed after at most 240 s, jittered, and its outages are told more often."""


class Web(Protocol):
    """The web server as the lifecycle sees it."""

    async def start(self) -> int:
        """Listen, to the end of the process; return the port. Raises ``Misconfigured``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """Everything that lives in one process."""

    agent: Agent
    reclaimer: Reclaimer | None
    web: Web
    observer: Observer
    budget: float
    drain: float = 0.0
    """Seconds for which the stop may wait for the app to end first; the budget counts from then."""
    release: bool | None
    """Whether a stop gives the seat back; None: if the pod ends (rule 18)."""
    key_interval: float = 5.0
    port_interval: float | None = 1.0
    """None where the app is not asked at all."""
    watches_keys: bool = True
    watches_pod: bool = False
    telling: Callable[[], Awaitable[None]] | None = None
    """An endless loop that tells others what happened; it goes on to the end of the process."""
    told: Callable[[], Awaitable[None]] | None = None
    """Waits until they are told."""
    listening: Callable[[int], None]
    """Called with the port once probes are answered."""
    bug: Callable[[BaseException], None]
    """Told of an exception that no one foresaw, before the process ends with 70."""
    leave: Callable[[int], NoReturn]
    """Ends the process: ``leave`` of this module, or what a test puts in its place."""


def leave(code: int) -> NoReturn:
    """End the process now: flush what was written, run nothing else."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


async def run(life: Life, signals: StopSignals) -> NoReturn:
    """Live until told to stop or until the machine ends by itself, then ``life.leave`` with the exit code."""
    whole = life.drain + life.budget
    arrivals = signals.attach(
        asyncio.get_running_loop(), alarm=lambda early: WATCHDOG.arm(_without(whole, early, HURRY))
    )
    life.listening(await life.web.start())
    try:
        async with asyncio.TaskGroup() as ops:
            life.agent.start(ops, life.reclaimer)
            senses = ops.create_task(_sense(life), name="senses")
            ops.create_task(_stop(life, arrivals, senses), name="stop")
            if life.telling is not None:
                ops.create_task(_endless("events", life.telling()), name="events")
            code = await life.agent.finished
            if life.told is not None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(_LAST_EVENTS, life.budget / 4)):
                        await life.told()
            life.leave(code)
    except* Exception as group:  # noqa: BLE001 - a bug: nothing is released, the record is kept, the restart adopts it
        life.bug(group)
    life.leave(BUG)


async def _sense(life: Life) -> None:
    """Run the senses; each is endless, so one that ends is an error."""
    async with asyncio.TaskGroup() as senses:
        for name, loop in _loops(life):
            senses.create_task(_endless(name, loop), name=name)


def _loops(life: Life) -> list[tuple[str, Awaitable[None]]]:
    loops: list[tuple[str, Awaitable[None]]] = [("pulse", _pulse(life.observer))]
    if life.watches_keys:
        loops.append(("keys", life.agent.watch_keys(life.key_interval)))
    if life.port_interval is not None:
        loops.append(("port", life.agent.watch_port(life.port_interval)))
    if life.watches_pod:
        loops.append(("pod", life.agent.watch_pod(_POD_LIMIT)))
    if life.reclaimer is not None:
        loops.append(("reclaimer", life.reclaimer.run(life.agent.feed)))
        loops.append(("prospects", life.reclaimer.watch_prospects(life.agent.feed)))
    return loops


async def _endless(name: str, loop: Awaitable[None]) -> None:
    await loop
    raise AssertionError(f"the loop {name} has ended")


async def _pulse(observer: Observer) -> None:
    while True:
        observer.turned(LOOP, 6 * _PULSE)
        await asyncio.sleep(_PULSE)


def _without(whole: float, early: float, least: float) -> float:
    """Return what is left of a budget if the signal came ``early`` seconds before the loop stood."""
    return min(whole, max(whole - early, least))


async def _stop(life: Life, arrivals: asyncio.Queue[float], senses: asyncio.Task[None]) -> None:
    early = await arrivals.get()
    loop = asyncio.get_running_loop()
    whole = life.drain + max(life.budget - MARGIN, life.budget / 2)
    deadline = loop.time() + _without(whole, early, HURRY - MARGIN)
    senses.cancel()
    for name in ("keys", "port", "pod", "reclaimer", "pulse", LOOP):
        life.observer.ended(name)
    if life.watches_keys and life.agent.state.key.snapshot is None:
        # Told to stop before the first look at the keys: without them the seat of an earlier life could not go back.
        with suppress(TimeoutError):
            async with asyncio.timeout(life.budget / 4):
                await life.agent.read_keys()
    life.agent.stop(deadline, release=life.release)
    while True:
        await arrivals.get()
        life.agent.stop(loop.time() + HURRY, release=life.release)
