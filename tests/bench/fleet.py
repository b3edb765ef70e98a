"""Fleets on virtual time: what one operation of the unchanged agent costs, and how long a virtual hour takes.

An operation is a call over a port: a request to the ledger, the activation server or the app. As in Kubernetes nobody
knocks at the app's port. The hard death is measured here too, at the default lease: its seconds are virtual.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Coroutine
from functools import partial
from random import Random
from typing import Any, TypeVar

from mock_activation.pool import Move
from tests.bench.figures import Figure
from tests.bench.installed import Installed
from tests.simulation.virtual_loop import VirtualLoop
from tests.simulation.world import EPOCH, World

KEY = "ABCD-EFGH-JKLM-NPQR-STUV-WXYZ-2345"
HOUR = 3600.0
T = TypeVar("T")


async def measure(_installed: Installed, *, quick: bool) -> list[Figure]:
    """Return the figures of the simulations; they have loops of their own, so they run beside this one's thread."""
    print("simulation: fleets for a virtual hour", flush=True)  # noqa: T201 - the program's output
    return await asyncio.to_thread(_measure, quick=quick)


def _measure(*, quick: bool) -> list[Figure]:
    runs = [simulate(100) for _ in range(1 if quick else 3)]
    costs = [seconds / operations * 1e6 for seconds, operations in runs]
    size, seconds = (100, runs[0][0]) if quick else (1000, simulate(1000)[0])
    hours = [seconds * 1000 / size]
    deaths = hard_deaths(3 if quick else 10)
    scaled_up = f"processor time of one core{'; measured with 100, scaled' if size == 100 else ''}"
    return [
        Figure("simulation", "one operation", "us", costs, target=40.0),
        Figure("simulation", "1,000 sidecars for a virtual hour", "s", hours, target=20.0, note=scaled_up),
        Figure(
            "death", "hard death to seat free, median", "s", deaths, target=90.0, note="virtual; 20 pods, lease 60 s"
        ),
        Figure("death", "hard death to seat free, p95", "s", deaths, at=0.95, target=120.0, note="virtual"),
    ]


def simulate(size: int, hours: float = 1.0) -> tuple[float, int]:
    """Return the real seconds and the number of operations of a quiet fleet."""

    async def fleet() -> tuple[float, int]:
        world = World({KEY: size})
        world.knocks = False
        for number in range(size):
            world.pod(f"pod-{number}").start()
        gc.collect()
        began = time.thread_time()
        await asyncio.sleep(hours * HOUR)
        took = time.thread_time() - began
        assert world.used() == size
        return took, world.operations

    return on_virtual_time(fleet)


def hard_deaths(rounds: int, size: int = 20) -> list[float]:
    """Return the virtual seconds between the deaths of single pods and their seats being free."""
    return [seconds for seed in range(rounds) for seconds in on_virtual_time(partial(_deaths, seed, size))]


async def _deaths(seed: int, size: int) -> list[float]:
    world = World({KEY: size}, seed=seed)
    random = Random(seed)
    pods = [world.pod(f"pod-{number}") for number in range(size)]
    for pod in pods:
        pod.start()
    await asyncio.sleep(120.0)
    died: dict[str, float] = {}
    for pod in pods[:5]:
        await asyncio.sleep(60.0 * random.random())
        died[pod.app.deployment_id] = EPOCH + world.loop.time()
        await pod.delete(graceful=False)
    await asyncio.sleep(600.0)
    freed = {change.deployment: change.at for change in world.history if change.move is Move.RELEASED}
    return [freed[deployment] - at for deployment, at in died.items()]


def on_virtual_time(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run it on a loop of its own, in the calling thread; what it has left running is cancelled."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work())
