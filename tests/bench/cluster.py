"""A sidecar that keeps its record on a real Kubernetes API server, by turns with one that has a folder.

The control plane is that of ``make test-cluster``; where its programs are absent nothing is measured, and a sentence
says what brings them. There is no kubelet: the pod is an object, and what a kubelet would do to it is done here.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from mock_activation.icap_app.app import IcapApp
from tests.bench.figures import Figure, scaled
from tests.bench.installed import Installed
from tests.bench.life import baseline
from tests.bench.process import Process
from tests.bench.scene import Ours, Pod, Scene
from tests.cluster.binaries import Missing
from tests.cluster.control_plane.plane import ControlPlane
from tests.cluster.roles import documented

ACCOUNT: Final = "license-sidecar"
_SETTLE: Final = 0.3


class Clustered(Ours):
    """``license-sidecar run`` from the installed wheel, for a pod of the API server."""

    name = "license-sidecar in Kubernetes"

    def __init__(self, command: Path, plane: ControlPlane) -> None:
        super().__init__(command)
        self._plane = plane
        self.namespace = plane.admin.create_namespace()
        roles = documented()
        rules = roles["license-sidecar"] + roles["license-sidecar-ledger"]
        self.user = plane.admin.create_service_account(self.namespace, ACCOUNT, rules)

    def launch(self, scene: Scene, app: IcapApp, folder: Path, settings: Mapping[str, str]) -> Process:
        admin = self._plane.admin
        uid = admin.create_pod(self.namespace, folder.name, service_account=ACCOUNT)["metadata"]["uid"]
        admin.set_pod_status(self.namespace, folder.name)
        account = admin.mount(folder / "account", self.namespace, ACCOUNT).folder
        here = {
            "ledger.kind": "kubernetes",
            "ledger.account_dir": str(account),
            "pod.uid": uid,
            "pod.namespace": self.namespace,
        }
        return super().launch(scene, app, folder, {**here, **settings})

    def surroundings(self) -> dict[str, str]:
        """Return where a pod finds the API server."""
        return self._plane.environment()

    async def terminated(self, pod: Pod) -> tuple[float, float]:
        """Delete the pod, let its app end, and send SIGTERM; return the seconds to the free seat and to the end."""
        name = pod.process.log.parent.name
        self._plane.admin.delete_pod(self.namespace, name)
        pod.app.crash()
        await asyncio.sleep(_SETTLE)  # as a kubelet, which tells the sidecar when the last app has ended
        times = await pod.terminated()
        self._plane.admin.force_delete_pod(self.namespace, name)
        return times

    def requests(self) -> int:
        """Return how many requests the API server has answered so far; a watch counts when it is opened."""
        events = self._plane.audit(self.user)
        return sum(event["verb"] != "watch" or event["stage"] == "ResponseStarted" for event in events)


async def measure(installed: Installed, *, quick: bool) -> list[Figure]:
    """Return the figures of sidecars in Kubernetes, or none where the control plane's programs are absent."""
    print("cluster: a real API server", flush=True)  # noqa: T201 - the program's output
    with tempfile.TemporaryDirectory(prefix="bench-plane-") as folder:
        try:
            plane = ControlPlane(Path(folder) / "plane")
        except Missing as missing:
            print(f"cluster: left out. {missing}", flush=True)  # noqa: T201 - the program's output
            return []
        with plane:
            figures = await _starts_and_stops(installed, plane, rounds=6 if quick else 40)
            seconds = 30.0 if quick else 120.0
            print(f"cluster: idling for {seconds:.0f} s", flush=True)  # noqa: T201 - the program's output
            return figures + await _idling(installed, plane, seconds)


async def _starts_and_stops(installed: Installed, plane: ControlPlane, rounds: int) -> list[Figure]:
    folder, cluster = Ours(installed.sidecar), Clustered(installed.sidecar, plane)
    plain: list[float] = []
    started: dict[str, list[float]] = {folder.name: [], cluster.name: []}
    freed: dict[str, list[float]] = {folder.name: [], cluster.name: []}
    ended: dict[str, list[float]] = {folder.name: [], cluster.name: []}
    for number in range(rounds):
        async with Scene() as scene:
            wall, _ = await baseline(installed, scene.folder)
            plain.append(wall)
            for contestant in (folder, cluster) if number % 2 else (cluster, folder):
                pod = await scene.pod(contestant)
                started[contestant.name].append(await pod.licensed())
                await asyncio.sleep(_SETTLE)
                free, end = await (cluster.terminated(pod) if contestant is cluster else pod.terminated())
                freed[contestant.name].append(free)
                ended[contestant.name].append(end)
    mine, other = started[cluster.name], started[folder.name]
    by_baseline = [one / two for one, two in zip(mine, plain, strict=True)]
    by_folder = [one / two for one, two in zip(mine, other, strict=True)]
    start, stop = "start to seat active and app licensed", "SIGTERM to seat free, its pod being deleted"
    to_free, slowest = scaled(freed[cluster.name], "ms"), "" if rounds >= 100 else f"the slowest of {rounds}"
    ratio = [one / two for one, two in zip(freed[cluster.name], freed[folder.name], strict=True)]
    return [
        Figure("cluster", f"{start}, as a multiple of the baseline", "x", by_baseline, target=2.0),
        Figure("cluster", "... as a multiple of a ledger in a folder", "x", by_folder, note="same round by round"),
        Figure("cluster", start, "ms", scaled(mine, "ms")),
        Figure("cluster", f"{stop}, p50", "ms", to_free, target=15.0),
        Figure("cluster", f"{stop}, p99", "ms", to_free, at=0.99, target=50.0, note=slowest),
        Figure("cluster", "... as a multiple of a ledger in a folder", "x", ratio, note="it looks at its pod first"),
        Figure("cluster", "SIGTERM to end of the process, p50", "ms", scaled(ended[cluster.name], "ms")),
    ]


async def _idling(installed: Installed, plane: ControlPlane, seconds: float) -> list[Figure]:
    """Two of each at once, so that both have the same machine."""
    folder, cluster = Ours(installed.sidecar), Clustered(installed.sidecar, plane)
    async with Scene() as scene:
        groups = {each: [await scene.pod(each) for _ in range(2)] for each in (folder, cluster)}
        pods = [pod for group in groups.values() for pod in group]
        for pod in pods:
            await pod.licensed()
        await asyncio.sleep(3.0)  # the first scan, and whatever is made at first use
        requests, before = cluster.requests(), {pod: pod.process.cpu() for pod in pods}
        began = time.monotonic()
        await asyncio.sleep(seconds)
        took = time.monotonic() - began
        used = {pod: (pod.process.cpu() - before[pod]) / took * 1000 for pod in pods}
        memory = {each: [pod.process.rss_mib() for pod in group] for each, group in groups.items()}
        rate = (cluster.requests() - requests) / took / len(groups[cluster])
    extra = [one - two for one, two in zip(memory[cluster], memory[folder], strict=True)]
    return [
        Figure("cluster", "RSS steady, with the Kubernetes client", "MiB", memory[cluster], target=50.0),
        Figure("cluster", "... more than with a ledger in a folder", "MiB", extra, note="TLS, client and watch"),
        Figure(
            "cluster", "processor at default intervals", "millicores", [used[it] for it in groups[cluster]], target=2.0
        ),
        Figure("cluster", "... with a ledger in a folder", "millicores", [used[it] for it in groups[folder]]),
        Figure(
            "cluster",
            "requests to the API server of one idle pod",
            "1/s",
            [rate],
            note="one of two; docs/scale.md has more",
        ),
    ]
