"""Many sidecars in one process: each wired as ``run`` wires one, against the real API server and the activation server.

Only the web server is left out: nobody probes them. The first line of standard input is the order, one JSON object:
``config`` (file of settings), ``environ``, ``pods`` (a list of ``name``, ``uid`` and ``ahead``, the seconds by which
that pod's clock is wrong). Every further line is a question, answered by one line. Their death is that of the process.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NoReturn

from sidecar import lifecycle, wiring
from sidecar.config import Config, Surroundings, load
from sidecar.lifecycle import Life
from sidecar.observe import logs
from tests.process.forks import Order

PATIENCE = 9.0
"""Seconds for one call instead of 4: a hundred sidecars share one core here, so each gets its answer later."""
BETWEEN = 0.05
"""Seconds between two starts: even pods that are made at once do not start in the same moment."""


class Nobody:
    """A web server without a port, and signals that never come."""

    async def start(self) -> int:
        return 0

    def attach(self, _loop: object, *, alarm: Callable[[float], None]) -> asyncio.Queue[float]:
        return asyncio.Queue()


def wired(config: Config, pod: Order) -> Life:
    """Return the life of one pod's sidecar; nobody but itself knows that its clock is wrong."""

    def bug(error: BaseException) -> None:
        logs.logger("fleet").critical("a bug", pod=pod["name"], exc_info=error)

    def leave(code: int) -> NoReturn:
        print(f"the sidecar of {pod['name']} left with {code}", file=sys.stderr)  # noqa: T201 - told to the test
        os._exit(code or 1)  # nobody told it to

    own = replace(config, pod=replace(config.pod, name=pod["name"], uid=pod["uid"]))
    life = wiring.life(own, bug=bug, listening=lambda _port: None, leave=leave)
    assert life.agent._ports.pod is not None
    life.agent._ports.pod._api._timeout = PATIENCE  # type: ignore[attr-defined]
    ahead = pod["ahead"]
    if ahead:
        for one in (life.agent, life.reclaimer, life.reclaimer and life.reclaimer.releaser):
            if one is not None:
                one._wall = lambda: time.time() + ahead
    return replace(life, web=Nobody())


def states(lives: dict[str, Life]) -> dict[str, Any]:
    """Answer ``states``: in which each is."""
    return {name: life.agent.view().stage.value for name, life in lives.items()}


def counts(lives: dict[str, Life]) -> dict[str, Any]:
    """Answer ``counts``: the sum over all of each series of the metrics."""
    total: dict[str, float] = {}
    for life in lives.values():
        for family in life.observer._metrics.registry.collect():  # type: ignore[attr-defined]
            for sample in family.samples:
                name = sample.name + "".join(f",{key}={value}" for key, value in sorted(sample.labels.items()))
                total[name] = total.get(name, 0.0) + sample.value
    return total


ANSWERS = {"states": states, "counts": counts}


async def live(order: Order) -> None:
    """Start all together and answer questions until standard input ends."""
    config = load(file=order["config"], surroundings=Surroundings(environ={}))
    logs.set_up(log_format=config.log.format, level=config.log.level)
    lives = {pod["name"]: wired(config, pod) for pod in order["pods"]}
    print(json.dumps({"lives": len(lives)}), flush=True)  # noqa: T201 - the first answer
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as group:
        for life in lives.values():
            group.create_task(lifecycle.run(life, Nobody()))  # type: ignore[arg-type]
            await asyncio.sleep(BETWEEN)
        while question := await loop.run_in_executor(None, sys.stdin.readline):
            print(json.dumps(ANSWERS[question.strip()](lives)), flush=True)  # noqa: T201 - the answer
        os._exit(0)


def main() -> None:
    """Take the order and live."""
    order: Order = json.loads(sys.stdin.readline())
    os.environ.update(order["environ"])
    asyncio.run(live(order))


if __name__ == "__main__":
    main()
