"""What the mock bears: activations on one core, a thousand clients at once without a wrong count, flat memory.

The load is ``mock-activation load``, on the other core where there is one: it is the cheaper side, so the figures are
the server's.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from pathlib import Path
from typing import Any

from tests.bench.figures import Figure
from tests.bench.installed import HOME, Installed
from tests.bench.process import Process
from tests.bench.scene import KEY, Scene

CONNECTIONS = 32
CROWD = 1000
LONG = 200_000
"""Requests after which the bounded journal and history are full, whatever was asked."""


async def measure(_installed: Installed, *, quick: bool) -> list[Figure]:
    """Return the figures of the mock."""
    print("mock: activations", flush=True)  # noqa: T201 - the program's output
    seconds = 1.0 if quick else 3.0
    async with Scene() as scene:
        mock = await _serve(scene)
        try:
            few: list[dict[str, Any]] = []
            costs: list[float] = []
            for _ in range(3 if quick else 7):
                before = mock.cpu()
                few.append(
                    await _load(scene, "--clients", str(CONNECTIONS), "--churn", "0", "--duration", str(seconds))
                )
                costs.append((mock.cpu() - before) / max(few[-1]["requests"], 1) * 1e6)
            crowds = [
                await _load(scene, "--clients", str(CROWD), "--duration", str(seconds))
                for _ in range(1 if quick else 3)
            ]
            crowded = mock.rss_mib()
            sizes: list[float] = []
            for _ in range(0 if quick else 2):
                await _load(scene, "--clients", str(CONNECTIONS), "--duration", "600", "--requests", str(LONG))
                sizes.append(mock.rss_mib())
        finally:
            await mock.kill()
    note = "" if len(os.sched_getaffinity(0)) > 1 else "the clients had to share the one core"
    rates = [each["operations"]["activation"]["rate"] for each in few]
    crowd = f"{CROWD:,} clients at once"
    return [
        Figure("mock", "activations on one core", "/s", rates, target=2000.0, floor=True, note=note),
        Figure("mock", "processor time of one activation", "us", costs, note="of the server, whatever else runs"),
        Figure("mock", f"{crowd}: seats counted wrong", "", [_wrong(each) for each in crowds], target=0.0),
        Figure("mock", f"{crowd}: requests without an answer", "", [_failed(each) for each in crowds], target=0.0),
        Figure("mock", f"{crowd}: requests", "/s", [each["rate"] for each in crowds]),
        Figure("mock", f"{crowd}: memory", "MiB", [crowded]),
        Figure(
            "mock",
            f"memory, {LONG:,} requests after {LONG:,}: growth",
            "MiB",
            [after - before for before, after in itertools.pairwise(sizes)],
        ),
    ]


def _wrong(report: dict[str, Any]) -> float:
    kinds = ("lost", "twice", "miscounted")
    noticed = sum(each["lost"] for each in report["operations"].values())
    return float(noticed + sum(report[when][kind] for when in ("held", "given_back") for kind in kinds))


def _failed(report: dict[str, Any]) -> float:
    return float(sum(each["failed"] for each in report["operations"].values()))


async def _serve(scene: Scene) -> Process:
    (scene.folder / "keys.yaml").write_text(f"keys:\n  - key: {KEY}\n    seats: 1000000\n")
    mock = _start(scene, "serve", "--port", "0", "--control-port", "0", core=-1)
    while not (scene.folder / "ready").exists():
        mock.insist()
        await asyncio.sleep(0.01)
    return mock


async def _load(scene: Scene, *options: str) -> dict[str, Any]:
    """Run the load generator to its end and return its report."""
    log = scene.folder / "load.log"
    log.unlink(missing_ok=True)
    process = _start(scene, "load", "--output", "json", *options, core=0)
    await process.end()
    report: dict[str, Any] = json.loads(log.read_text())
    return report


def _start(scene: Scene, command: str, *options: str, core: int) -> Process:
    """Start one of the mock's commands, on one core."""
    files: list[str | Path] = ["--keys", scene.folder / "keys.yaml", "--ready-file", scene.folder / "ready"]
    arguments = [HOME / "bin" / "mock-activation", command, *files, *options]
    process = Process(arguments, {}, scene.folder / f"{command}.log")
    os.sched_setaffinity(process.pid, {sorted(os.sched_getaffinity(0))[core]})
    return process
