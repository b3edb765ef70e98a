"""A fleet of unchanged agents and reclaimers, at the default intervals, against a real API server: what it asks for.

All agents live in this process, each with a client, connections and a watch of its own, as in its own pod; only the
activation server and the apps are stand-ins without a network. What is counted is what the API server has logged.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Any, Final, Self

from sidecar.adapters.lease_ledger import LeaseLedger
from sidecar.adapters.pods import ApiOwners, OwnApiPod
from sidecar.agent import Agent, Ports
from sidecar.core.policy import Policy
from sidecar.core.records import Owner
from sidecar.observe.bystander import Bystander
from sidecar.patience import PatientLedger
from sidecar.reclaim import Reclaimer
from sidecar.releaser import Rules
from tests.bench.scale import wire
from tests.bench.scale.planted import LEASE, SERVER, Garden
from tests.cluster.control_plane.pods import APP
from tests.simulation.world import NoRestartFile, Revoked, SimApp, SimKeys, SimServer, World

KEY: Final = "ABCD-EFGH-JKLM-NPQR-STUV-WXYZ-2345"
RENEW: Final = 15.0
_WAVE: Final = 10
"""Agents that start in a second: this process must do the work of all of them."""
_LIMIT: Final = 300.0


@dataclass(frozen=True, slots=True)
class Load:
    """What a fleet of this size asked for in a span of time."""

    size: int
    waiting: int
    """So many of them have no seat and wait for one."""
    seconds: float
    requests: Counter[str]
    span: wire.Reading
    start_seconds: float
    """From the first start to the last seat."""
    start_requests: Counter[str]

    def rate(self, kind: str) -> float:
        """Return requests of a kind a second."""
        return self.requests[kind] / self.seconds


class Fleet:
    """Agents that grow in number; ``async with`` ends them all."""

    def __init__(self, garden: Garden, most: int) -> None:
        self._garden = garden
        self._most = most
        self.world = World({KEY: most})
        self.agents: list[Agent] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def grow(self, size: int) -> float:
        """Start agents, some each second, until there are so many; return the seconds until they have their seats."""
        loop = asyncio.get_running_loop()
        owners = await asyncio.to_thread(self._garden.grow, size, records=False)
        began = loop.time()
        for first in range(0, len(owners), _WAVE):
            wave = owners[first : first + _WAVE]
            self._tasks += [loop.create_task(self._live(owner), name=owner.pod) for owner in wave]
            await asyncio.sleep(1.0)
        while self.world.used() < min(size, self._most):
            for task in self._tasks:
                if task.done():
                    task.result()
            if loop.time() - began > _LIMIT:
                raise TimeoutError(f"{self.world.used()} of {size} have a seat after {_LIMIT:g} s")
            await asyncio.sleep(0.05)
        return loop.time() - began

    async def _live(self, owner: Owner) -> None:
        world, observer, random, revoked = self.world, Bystander(), Random(owner.uid), Revoked()
        api = self._garden.api()
        leases = LeaseLedger(api, owner.namespace, lease=LEASE, random=random, observer=observer)
        ledger, server = PatientLedger(leases, random, asyncio.sleep), SimServer(world, owner.pod, revoked)
        app, keys = SimApp(world, owner.uid), SimKeys(list(world.secrets))
        app.start()
        ports = Ports(
            ledger=ledger,
            server=server,
            app=app.port(revoked),
            keys=keys,
            restart_file=NoRestartFile(),
            observer=observer,
            pod=OwnApiPod(api, owner, APP, random=random, observer=observer),
        )
        policy = Policy(server=SERVER, owner=owner, renew=RENEW, lease=LEASE, watches_pod=True)
        agent = Agent(policy, ports, random=random, wall=time.time)
        self.agents.append(agent)
        rules = Rules(server=SERVER, uid=owner.uid, lease=LEASE, late=120.0, call_timeout=10.0, rate=30.0)
        reclaimer = Reclaimer(
            rules,
            ledger=ledger,
            owners=ApiOwners(api, owner, observer),
            server=server,
            keys=keys,
            observer=observer,
            random=random,
            wall=time.time,
        )
        try:
            async with asyncio.TaskGroup() as group:
                agent.start(group, reclaimer)
                group.create_task(agent.watch_keys(3600.0))
                group.create_task(agent.watch_pod(600.0))
                group.create_task(reclaimer.run(agent.feed))
                group.create_task(reclaimer.watch_prospects(agent.feed))
                try:
                    await agent.finished
                finally:
                    if agent._timer is not None:  # it would ring while the group is ending
                        agent._timer.cancel()
        finally:
            with suppress(Exception):
                await api.aclose()


async def loads(garden: Garden, sizes: list[int], *, waiting: int, seconds: float, settle: float) -> list[Load]:
    """Return what fleets of these sizes ask for, and the largest with some that wait for a seat besides.

    ``seconds`` each, after ``settle`` seconds: who started together scans once more half a lease later.
    """
    found: list[Load] = []
    most = max(sizes)
    async with Fleet(garden, most) as fleet:
        for size in [*sorted(sizes), *([most + waiting] if waiting else ())]:
            print(f"fleet: {size} agents, {most} seats", flush=True)  # noqa: T201 - the program's output
            start = asked(garden)
            try:
                took = await fleet.grow(size)
            except TimeoutError as error:
                print(f"fleet: no further. {error}", flush=True)  # noqa: T201 - the program's output
                break
            started = asked(garden) - start
            await asyncio.sleep(settle)
            requests, before = asked(garden), wire.read(garden.plane)
            await asyncio.sleep(seconds)
            span = wire.read(garden.plane) - before
            found.append(Load(size, max(0, size - most), span.at, asked(garden) - requests, span, took, started))
    return found


def asked(garden: Garden) -> Counter[str]:
    """Return how many requests of each kind the API server has logged so far; a watch counts when it is opened."""
    return Counter(
        _kind(event)
        for event in garden.plane.audit(garden.user)
        if event["verb"] != "watch" or event["stage"] == "ResponseStarted"
    )


def _kind(event: dict[str, Any]) -> str:
    code = event.get("responseStatus", {}).get("code", 0)
    kind = f"{event['verb']} {event['objectRef']['resource']}"
    return kind if code < 400 else f"{kind} ({code})"
