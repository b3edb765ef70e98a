"""How many series a pod brings to Prometheus, and how long a scrape takes, as the scraper sees it."""

from __future__ import annotations

import asyncio
import json
import time
from http.client import HTTPConnection

from tests.bench.figures import Figure, scaled
from tests.bench.installed import Installed
from tests.bench.scene import Ours, Pod, Scene


async def measure(installed: Installed, *, quick: bool) -> list[Figure]:
    """Return the figures of the metrics of a sidecar that holds a seat."""
    print("metrics: scrapes", flush=True)  # noqa: T201 - the program's output
    async with Scene() as scene:
        pod = await scene.pod(Ours(installed.sidecar))
        await pod.licensed()
        port = _port(pod)
        times = 20 if quick else 200
        before = pod.process.cpu()
        series, seconds = await asyncio.to_thread(_scrape, port, times)
        used = (pod.process.cpu() - before) / (times + 1)
    return [
        Figure("metrics", "series", "", [float(series)], target=300.0),
        Figure("metrics", "one scrape, the connection kept", "ms", scaled(seconds, "ms"), target=3.0),
        Figure("metrics", "... of which processor time of the sidecar", "ms", scaled([used], "ms")),
    ]


def _port(pod: Pod) -> int:
    for line in pod.process.log.read_text().splitlines():
        event = json.loads(line)
        if event.get("event") == "started":
            return int(event["port"])
    raise AssertionError("the sidecar did not say where it listens")


def _scrape(port: int, times: int) -> tuple[int, list[float]]:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    seconds: list[float] = []
    body = b""
    for _ in range(times + 1):
        began = time.perf_counter()
        connection.request("GET", "/metrics")
        body = connection.getresponse().read()
        seconds.append(time.perf_counter() - began)
        time.sleep(0.01)
    connection.close()
    series = sum(1 for line in body.decode().splitlines() if line and not line.startswith("#"))
    return series, seconds[1:]  # the first one pays for the connection
