"""A fleet under everything at once: crashes, kills, deletions, outages, lost and late answers; then calm, then the end.

Run as ``python -m tests.simulation`` for many seeds; the seed is printed and replays the run exactly.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from random import Random

from sidecar.core.view import Stage
from tests.simulation import cluster_storm
from tests.simulation.cluster import Cluster, KubePod
from tests.simulation.virtual_loop import VirtualLoop
from tests.simulation.world import Pod, Weather, World

KEY = "SIMU-LATE-DKEY-0000-0000-0000-0001"
CALM = 1500.0
"""Virtual seconds after the storm: the longest refusal pause, a lease, a late request and its second look fit in."""


@dataclass(frozen=True)
class Storm:
    """What to run: all that a replay needs."""

    seed: int
    pods: int = 12
    seconds: float = 1800.0
    every: float = 30.0
    """Mean virtual seconds between two disturbances."""
    spare: int = 0
    """Seats beyond the number of pods."""
    profile: str = ""
    """What the server does, as a profile of the mock; empty: the weather decides."""
    cluster: bool = False
    """In Kubernetes: pods are objects, and have more ways to end."""


@dataclass
class Report:
    """What was seen, by the server's own history and the ledger."""

    storm: Storm
    stages: Counter[Stage] = field(default_factory=Counter)
    leaked: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    thefts: int = 0
    unrecorded: int = 0
    double: int = 0
    overruns: int = 0
    requests: int = 0
    suffered: int = 0
    left_seats: int = 0
    left_records: int = 0
    history: tuple[object, ...] = ()

    def faults(self) -> list[str]:
        """Return the invariants of design.md section 9 that did not hold, in words."""
        found = {
            f"NO_LEAK: {len(self.leaked)} seats without a pod after the calm": bool(self.leaked),
            f"NO_LEAK: {self.left_seats} seats and {self.left_records} records at the end": (
                self.left_seats + self.left_records > 0
            ),
            f"NO_THEFT: {self.thefts} seats taken from a serving app": self.thefts > 0,
            f"RECORD_FIRST: {self.unrecorded} seats without an earlier record": self.unrecorded > 0,
            f"BOUNDED_STOP: {self.overruns} sidecars outlived their pod's grace period": self.overruns > 0,
            f"ONE_SEAT: {self.double} pods with two seats after the calm": self.double > 0,
            f"NO_STARVE: {dict(self.stages)} after the calm": set(self.stages) != {Stage.ACTIVE},
            f"NO_STARVE: {len(self.missing)} pods without a seat after the calm": bool(self.missing),
        }
        return [f"{text} (seed {self.storm.seed})" for text, broken in found.items() if broken]


def run(storm: Storm) -> Report:
    """Run one storm on a loop of its own."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(_run(storm))


async def _run(storm: Storm) -> Report:
    random = Random(storm.seed)
    weather = _weather(storm, random)
    make = Cluster if storm.cluster else World
    world = make({KEY: storm.pods + storm.spare}, storm.seed, weather)
    if storm.profile:
        world.rehearse(storm.profile)
    pods = [world.pod(f"pod-{number}", late=120.0) for number in range(storm.pods)]
    for pod in pods:
        pod.start()
    born = storm.pods
    while world.loop.time() < storm.seconds:
        await asyncio.sleep(2 * storm.every * random.random())
        place = random.randrange(storm.pods)
        pod = pods[place]
        if isinstance(world, Cluster) and isinstance(pod, KubePod):
            pods[place] = await cluster_storm.disturb(world, pod, random)
            continue
        pods[place] = await _disturb(world, pod, random, born)
        born += pods[place].name == f"pod-{born}"
    weather.lose_request = weather.lose_answer = weather.lag = weather.ledger_fault = 0.0
    world.rehearse("calm")
    await asyncio.sleep(CALM)
    report = _look(storm, world, pods)
    await _end(world, pods, random, report)
    return report


def _weather(storm: Storm, random: Random) -> Weather:
    def spans(count: int, longest: float) -> list[tuple[float, float]]:
        starts = [storm.seconds * random.random() for _ in range(count)]
        return [(start, min(storm.seconds, start + longest * random.random())) for start in starts]

    if storm.profile:
        return Weather(ledger_fault=0.01, ledger_down=spans(2, 150.0))
    return Weather(
        lose_request=0.05,
        lose_answer=0.05,
        lag=0.03,
        ledger_fault=0.01,
        server_down=spans(2, 400.0),
        ledger_down=spans(2, 150.0),
    )


async def _disturb(world: World, pod: Pod, random: Random, born: int) -> Pod:
    match random.randrange(5):
        case 0:
            pod.app.crash()
            await asyncio.sleep(12 * random.random())
            pod.app.start()
        case 1:
            await pod.kill_sidecar()
            await asyncio.sleep(5 * random.random())
            pod.start_sidecar()
        case 2:
            await pod.stop()
            pod.start_sidecar()
        case kind:
            await pod.delete(graceful=kind == 3)
            pod = world.pod(f"pod-{born}", late=120.0)
            pod.app.keeps_id = random.random() < 0.2
            pod.start()
    return pod


def _look(storm: Storm, world: World, pods: list[Pod]) -> Report:
    report = Report(storm)
    report.stages.update(pod.agent.view().stage for pod in pods if pod.agent is not None)
    live = [pod.app.deployment_id for pod in pods]
    taken = [seat.deployment for view in world.pool.view() for seat in view.taken]
    report.leaked = set(taken) - set(live)
    report.missing = set(live) - set(taken)
    report.double = len(taken) - len(set(taken))
    report.thefts, report.unrecorded, report.requests = len(world.thefts), len(world.unrecorded), world.requests
    return report


async def _end(world: World, pods: list[Pod], random: Random, report: Report) -> None:
    """End every pod, half of them without a word, and let one last sidecar reclaim what is left."""
    await asyncio.gather(*(pod.delete(graceful=random.random() < 0.5) for pod in pods))
    last = world.pod("last", late=120.0)
    last.start()
    await asyncio.sleep(600.0)
    await last.delete(graceful=True)
    await world.settle()
    report.left_seats, report.left_records = world.used(), len(world.ledger.content.records)
    report.thefts = len(world.thefts)
    report.overruns = world.overruns if isinstance(world, Cluster) else 0
    report.suffered = sum(world.faults.fired.values())
    report.history = tuple(world.history)
