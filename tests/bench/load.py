"""How many activations the mock serves on one core, and whether a thousand clients at once get their answers.

The clients are raw asyncio streams with kept connections, on the other core where there is one: an HTTP client library
would be the slower part.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path
from urllib.parse import urlsplit

from tests.bench.figures import Figure, scaled
from tests.bench.installed import HOME, Installed
from tests.bench.process import Process
from tests.bench.scene import KEY, Scene

CONNECTIONS = 32
CROWD = 1000


async def measure(_installed: Installed, *, quick: bool) -> list[Figure]:
    """Return the figures of the mock."""
    print("mock: activations", flush=True)  # noqa: T201 - the program's output
    cores = sorted(os.sched_getaffinity(0))
    waits: list[float] = []
    failed: list[float] = []
    async with Scene() as scene:
        process = await _serve(scene, cores[-1])
        os.sched_setaffinity(0, set(cores[:1]))
        try:
            host = urlsplit(json.loads((scene.folder / "ready").read_text())["url"])
            address = (str(host.hostname), int(host.port or 0))
            rates = [await _rate(address, 1.0 if quick else 2.0) for _ in range(3 if quick else 7)]
            for _ in range(1 if quick else 3):
                slowest, missing = await _crowd(address)
                waits.append(slowest)
                failed.append(missing)
        finally:
            os.sched_setaffinity(0, set(cores))
            await process.kill()
    note = "" if len(cores) > 1 else "the clients had to share the one core"
    return [
        Figure("mock", "activations on one core", "/s", rates, target=2000.0, floor=True, note=note),
        Figure("mock", f"{CROWD:,} clients at once: without an answer", "", failed, target=0.0),
        Figure("mock", f"{CROWD:,} clients at once: until the last answer", "ms", scaled(waits, "ms")),
    ]


async def _serve(scene: Scene, core: int) -> Process:
    keys = scene.folder / "keys.yaml"
    keys.write_text(f"keys:\n  - key: {KEY}\n    seats: 1000000\n")
    ready = scene.folder / "ready"
    arguments: list[str | Path] = [HOME / "bin" / "mock-activation", "serve", "--keys", keys, "--ready-file", ready]
    process = Process([*arguments, "--port", "0", "--control-port", "0"], {}, scene.folder / "mock.log")
    os.sched_setaffinity(process.pid, {core})
    while not ready.exists():
        process.insist()
        await asyncio.sleep(0.01)
    return process


def _request(number: int) -> bytes:
    query = f"key={KEY}&deployment=MSCL{number:032X}&quantity=1"
    return f"GET /activation?{query} HTTP/1.1\r\nHost: mock\r\n\r\n".encode()


async def _answer(reader: asyncio.StreamReader) -> bool:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    body = await reader.readexactly(length)
    return head.startswith(b"HTTP/1.1 200 Ok") and not body.startswith(b"error")


async def _rate(address: tuple[str, int], seconds: float) -> float:
    """Return activations a second over some kept connections, each of another deployment ID."""
    end = time.monotonic() + seconds
    counts = [0] * CONNECTIONS

    async def client(which: int) -> None:
        reader, writer = await asyncio.open_connection(*address)
        while time.monotonic() < end:
            writer.write(_request(time.monotonic_ns()))
            if await _answer(reader):
                counts[which] += 1
        writer.close()
        await writer.wait_closed()

    began = time.monotonic()
    async with asyncio.TaskGroup() as clients:
        for which in range(CONNECTIONS):
            clients.create_task(client(which))
    return sum(counts) / (time.monotonic() - began)


async def _crowd(address: tuple[str, int]) -> tuple[float, float]:
    """Return the seconds until the last of a thousand connections had its answer, and how many got none."""
    missing = 0

    async def client(which: int) -> None:
        nonlocal missing
        try:
            reader, writer = await asyncio.open_connection(*address)
            writer.write(_request(which))
            missing += not await _answer(reader)
            writer.close()
            await writer.wait_closed()
        except (OSError, asyncio.IncompleteReadError):
            missing += 1

    began = time.monotonic()
    async with asyncio.TaskGroup() as clients:
        for which in range(CROWD):
            clients.create_task(client(which))
    return time.monotonic() - began, float(missing)
