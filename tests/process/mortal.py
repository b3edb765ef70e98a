"""Forks sidecars on order, and lets them die at an exact point: everything else about them is real.

A child wires the sidecar as ``license-sidecar run`` does; then one method of one port is wrapped, so that the process
gets SIGKILL (or its loop is blocked) before or after a certain call. Nothing is cleaned up then, as in real life.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import aiohttp.web  # noqa: F401 - loaded once here instead of in every child
import httpx  # noqa: F401 - the same

from sidecar import lifecycle, wiring
from sidecar.cli.options import add_settings, load
from sidecar.cli.parser import Parser
from sidecar.core.records import SeatRecord, Stored
from sidecar.lifecycle import Life
from sidecar.observe import logs, metrics, narrator, web  # noqa: F401 - loaded once here instead of in every child
from sidecar.secrets import Secret
from sidecar.stop_signals import StopSignals
from tests.process.forks import Order, serve

KEY_INTERVAL = 0.25
"""Seconds instead of 5 between two looks at the key folder; there is no setting for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Where it happens: ``port`` is ledger, server or app; ``when`` before or after; at the ``nth`` call that fits.

    ``phase``: only calls about a record in this phase count (empty: all). ``deed``: ``kill``; ``block`` (the event loop
    stops turning); ``thread`` (the call hangs in an executor's thread for ever, as the look-up of a name does); ``bug``
    (an exception that nobody foresaw, and that holds the key).
    """

    port: str
    method: str
    when: str = "before"
    phase: str = ""
    nth: int = 1
    deed: str = "kill"


class Mortal:
    """A port that hands everything on, but for one moment."""

    def __init__(self, port: Any, point: Point) -> None:
        """Wrap a port."""
        self._port = port
        self._point = point
        self._count = 0

    def __getattr__(self, name: str) -> Any:
        """Return the port's own method, or the one that ends us."""
        method = getattr(self._port, name)
        if name != self._point.method:
            return method

        async def call(*given: Any) -> Any:
            now = self._fits(given)
            if now and self._point.when == "before":
                await self._end(given)
            try:
                return await method(*given)
            finally:
                if now and self._point.when == "after":
                    await self._end(given)

        return call

    def _fits(self, given: tuple[Any, ...]) -> bool:
        if self._point.phase and not any(_phase(it) == self._point.phase for it in given[-1:]):
            return False
        self._count += 1
        return self._count == self._point.nth

    async def _end(self, given: tuple[Any, ...]) -> None:
        match self._point.deed:
            case "bug":
                raise RuntimeError(f"not foreseen: {[it.reveal() if isinstance(it, Secret) else it for it in given]}")
            case "block":
                time.sleep(3600)  # noqa: ASYNC251 - that is the point of it
            case "thread":
                await asyncio.get_running_loop().run_in_executor(None, time.sleep, 3600)
            case _:
                os.kill(os.getpid(), signal.SIGKILL)


def _phase(value: object) -> str:
    match value:
        case SeatRecord():
            return value.phase.value
        case Stored():
            return value.record.phase.value
        case _:
            return ""


def _wrapped(life: Life, point: Point) -> Life:
    """Put the point into a life that was wired as always; wiring has no door for tests, so this goes inside."""
    agent, reclaimer = life.agent, life.reclaimer
    mortal = Mortal(getattr(agent._ports, point.port), point)
    agent._ports = replace(agent._ports, **{point.port: mortal})
    if reclaimer is not None and point.port in ("ledger", "server"):
        setattr(reclaimer.releaser, f"_{point.port}", mortal)
    return life


def _live(order: Order) -> int:
    """Be a sidecar: ``config`` is its file, ``point`` where it dies (see ``Point``), or None; returns never."""
    signals = StopSignals().install()
    parser = Parser(prog="license-sidecar run")
    add_settings(parser)
    config = load(parser.parse_args(["--config", order["config"]]), {})
    logs.set_up(log_format=config.log.format, level=config.log.level)
    log = logs.logger("sidecar")

    async def live() -> NoReturn:
        life = wiring.life(
            config,
            bug=lambda error: log.critical("a bug", exc_info=error),
            listening=lambda port: log.info("started", port=port),
            leave=lifecycle.leave,
        )
        life = replace(life, key_interval=KEY_INTERVAL)
        if order.get("point") is not None:
            life = _wrapped(life, Point(**order["point"]))
        await lifecycle.run(life, signals)

    asyncio.run(live())
    raise AssertionError("run() returned")


if __name__ == "__main__":
    serve(_live)
