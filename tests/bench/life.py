"""A sidecar's life against the clock, ours and the naive one by turns: start, stop, crash, death, memory, idling."""

from __future__ import annotations

import asyncio
import math
import signal
import time
from collections.abc import Callable
from pathlib import Path

from mock_activation.pool import Move
from tests.bench.figures import Figure, scaled
from tests.bench.installed import Installed
from tests.bench.process import Process
from tests.bench.scene import Contestant, Naive, Ours, Pod, Scene

BASELINE = "from aiohttp import web"
_SETTLE = 0.3
"""Seconds between being licensed and the next blow: the agent's first reports are over by then."""
_DEATH_LEASE = 4.0
_NEVER_AFTER = 3.0
"""Seconds after which the naive sidecar's seat counts as leaked: nobody is left who could release it."""
_IMPORTS = {
    "the interpreter": "pass",
    "with asyncio": "import asyncio",
    "with asyncio and aiohttp.web": "import asyncio; from aiohttp import web",
    "with asyncio and httpx": "import asyncio, httpx",
}


async def measure(installed: Installed, *, quick: bool) -> list[Figure]:
    """Return all figures of single sidecars."""
    print("life: start and stop, by turns", flush=True)  # noqa: T201 - the program's output
    figures = await _starts_and_stops(installed, rounds=6 if quick else 40)
    print("life: crash, death", flush=True)  # noqa: T201 - the program's output
    figures += await _crashes(installed, rounds=1 if quick else 5)
    figures += await _deaths(installed, rounds=1 if quick else 3)
    seconds = 20.0 if quick else 75.0
    print(f"life: idling for {seconds:.0f} s", flush=True)  # noqa: T201 - the program's output
    return figures + await _idling(installed, seconds) + await _imports(installed, rounds=1 if quick else 3)


async def baseline(installed: Installed, folder: Path, code: str = BASELINE) -> tuple[float, float]:
    """Return wall and processor seconds of one Python process that only runs this."""
    process = Process([installed.python, "-c", code], {}, folder / "baseline.log")
    ended = await process.end()
    return ended - process.started_at, process.cpu_seconds


async def _starts_and_stops(installed: Installed, rounds: int) -> list[Figure]:
    ours, naive = Ours(installed.sidecar), Naive()
    plain: list[float] = []
    plain_cpu: list[float] = []
    started: dict[str, list[float]] = {ours.name: [], naive.name: []}
    freed: dict[str, list[float]] = {ours.name: [], naive.name: []}
    ended: dict[str, list[float]] = {ours.name: [], naive.name: []}
    cpu: list[float] = []
    for number in range(rounds):
        async with Scene() as scene:
            wall, used = await baseline(installed, scene.folder)
            plain.append(wall)
            plain_cpu.append(used)
            contestants: tuple[Contestant, ...] = (ours, naive) if number % 2 else (naive, ours)
            for contestant in contestants:
                pod = await scene.pod(contestant)
                started[contestant.name].append(await pod.licensed())
                if contestant is ours:
                    cpu.append(pod.process.cpu())
                await asyncio.sleep(_SETTLE)
                free, end = await pod.terminated()
                freed[contestant.name].append(free)
                ended[contestant.name].append(end)
    pairs = [mine / other for mine, other in zip(started[ours.name], plain, strict=True)]
    cpu_pairs = [mine / other for mine, other in zip(cpu, plain_cpu, strict=True)]
    start = "start to seat active and app licensed"
    stop = "SIGTERM to seat free"
    return [
        Figure("start", f"{start}, as a multiple of the baseline", "x", pairs, target=2.0, note="same round by round"),
        Figure("start", "the same in processor time", "x", cpu_pairs, note="steadier while others use the machine"),
        Figure("start", start, "ms", scaled(started[ours.name], "ms")),
        Figure("start", "... processor time until then", "ms", scaled(cpu, "ms")),
        Figure("start", f"baseline: python -c '{BASELINE}'", "ms", scaled(plain, "ms")),
        Figure("start", f"{start}: {naive.name}", "ms", scaled(started[naive.name], "ms")),
        Figure("stop", f"{stop}, p50", "ms", scaled(freed[ours.name], "ms"), target=15.0),
        Figure("stop", f"{stop}, p99", "ms", scaled(freed[ours.name], "ms"), at=0.99, target=50.0, note=_rank(rounds)),
        Figure("stop", "SIGTERM to end of the process, p50", "ms", scaled(ended[ours.name], "ms")),
        Figure("stop", "SIGTERM to end of the process, p99", "ms", scaled(ended[ours.name], "ms"), at=0.99),
        Figure("stop", f"{stop}, p50: {naive.name}", "ms", scaled(freed[naive.name], "ms")),
        Figure("stop", f"{stop}, p99: {naive.name}", "ms", scaled(freed[naive.name], "ms"), at=0.99),
        Figure("stop", f"SIGTERM to end of the process, p50: {naive.name}", "ms", scaled(ended[naive.name], "ms")),
    ]


def _rank(rounds: int) -> str:
    return "" if rounds >= 100 else f"the slowest of {rounds}"


async def _crashes(installed: Installed, rounds: int) -> list[Figure]:
    freed: list[float] = []
    back: list[float] = []
    leaked: list[float] = []
    for _ in range(rounds):
        async with Scene() as scene:
            pods = [await scene.pod(Ours(installed.sidecar)) for _ in range(2)]
            other = await scene.pod(Naive())
            for pod in (*pods, other):
                await pod.licensed()
            await asyncio.sleep(_SETTLE)
            at = time.time()
            for pod in (*pods, other):
                pod.app.crash()
            freed.extend(await asyncio.gather(*(pod.freed(at) for pod in pods)))
            back.extend([await _relicensed(pods[0])])
            leaked.append(await _still_taken(scene, other))
    return [
        Figure("crash", "app crash to seat free (failure grace 5 s)", "s", freed, target=7.0),
        Figure("crash", "app back with another ID to licensed again", "ms", scaled(back, "ms")),
        Figure("crash", "seats leaked per app crash: naive shell", "", leaked, note="it never looks at the app again"),
    ]


async def _relicensed(pod: Pod) -> float:
    await pod.app.start()
    began = time.time()
    while not pod.app.licensed:
        await asyncio.sleep(0.001)
    return time.time() - began


async def _still_taken(scene: Scene, pod: Pod) -> float:
    return float(scene.moved(pod.deployment, Move.RELEASED) is None)


async def _deaths(installed: Installed, rounds: int) -> list[Figure]:
    """SIGKILL of app and sidecar; a peer with the same ledger gives the seat back."""
    multiples: list[float] = []
    leaked: list[float] = []

    async def one() -> None:
        async with Scene() as scene:
            short = {"lease_duration": str(_DEATH_LEASE), "lease_renew": str(_DEATH_LEASE / 4)}
            peer = await scene.pod(Ours(installed.sidecar), **short)
            victim = await scene.pod(Ours(installed.sidecar), **short)
            other = await scene.pod(Naive())
            for pod in (peer, victim, other):
                await pod.licensed()
            await asyncio.sleep(_DEATH_LEASE)
            at = victim.process.signal(signal.SIGKILL)
            victim.app.crash()
            await other.process.kill()
            other.app.crash()
            multiples.append(await victim.freed(at) / _DEATH_LEASE)
            await asyncio.sleep(_NEVER_AFTER)
            leaked.append(await _still_taken(scene, other))

    for _ in range(rounds):
        await asyncio.gather(one(), one())
    scale = f"lease of {_DEATH_LEASE:g} s; the default one is in the simulation"
    return [
        Figure("death", "SIGKILL of app and sidecar to seat free by a peer", "leases", multiples, note=scale),
        Figure("death", "seats leaked per SIGKILL: naive shell", "", leaked, note="for ever: nothing is written down"),
    ]


async def _idling(installed: Installed, seconds: float) -> list[Figure]:
    contestants: dict[str, Callable[[], Contestant]] = {"ours": lambda: Ours(installed.sidecar), "naive": Naive}
    memory: dict[str, list[float]] = {name: [] for name in contestants}
    cores: dict[str, list[float]] = {name: [] for name in contestants}
    async with Scene() as scene:
        pods = {name: [await scene.pod(make()) for _ in range(2)] for name, make in contestants.items()}
        for each in (pod for group in pods.values() for pod in group):
            await each.licensed()
        await asyncio.sleep(3.0)  # the first scan, the first scrape of whatever is made at first use
        before = {name: [pod.process.cpu() for pod in group] for name, group in pods.items()}
        began = time.monotonic()
        await asyncio.sleep(seconds)
        took = time.monotonic() - began
        for name, group in pods.items():
            memory[name] = [pod.process.rss_mib() for pod in group]
            used = [pod.process.cpu() - start for pod, start in zip(group, before[name], strict=True)]
            cores[name] = [value / took * 1000 for value in used]
    return [
        Figure("memory", "RSS steady, without the Kubernetes client", "MiB", memory["ours"], target=45.0),
        Figure("memory", "RSS steady: naive shell", "MiB", memory["naive"], note="bash and sleep"),
        Figure("idle", "processor at default intervals", "millicores", cores["ours"], target=2.0),
        Figure("idle", "processor: naive shell", "millicores", cores["naive"], note="it does nothing"),
    ]


async def _imports(installed: Installed, rounds: int) -> list[Figure]:
    """Where memory and start-up go, for whoever wants to improve them."""
    show = "; print(next(line for line in open('/proc/self/status') if line.startswith('VmRSS')).split()[1])"
    figures = []
    async with Scene() as scene:
        for name, code in _IMPORTS.items():
            log = scene.folder / "baseline.log"
            kib: list[float] = []
            for _ in range(rounds):
                log.unlink(missing_ok=True)
                await baseline(installed, scene.folder, code + show)
                kib.append(float(log.read_text()) / 1024)
            figures.append(Figure("memory", f"of which {name}", "MiB", kib))
    return figures


def ratios(figures: list[Figure]) -> list[Figure]:
    """Return ours against the naive one, where both have a median."""
    by_name = {each.name: each for each in figures}
    wanted = {
        "start": ("start to seat active and app licensed", "start to seat active and app licensed: naive shell"),
        "SIGTERM to seat free": ("SIGTERM to seat free, p50", "SIGTERM to seat free, p50: naive shell"),
        "memory": ("RSS steady, without the Kubernetes client", "RSS steady: naive shell"),
    }
    found = []
    for name, (mine, other) in wanted.items():
        if mine in by_name and other in by_name:
            one, two = by_name[mine].value, by_name[other].value
            if one is not None and two and math.isfinite(two):
                found.append(Figure("against the naive shell", name, "x", [one / two]))
    return found
