"""Fleets as the tests hold them: pods as objects, their sidecars by the hundred in processes that can be killed.

What is true is asked of the activation server, whose history nobody can embellish, and of the API server.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, Final

from tests.cluster.stories.scene import ACCOUNT, PodScene
from tests.process.processes import Process, environment, until
from tests.process.scene import Settings

SETTINGS: Final[Settings] = {
    "deployment_id.source": "pod",
    "activation.timeout": 9,
    "activation.late": 10,
    "reclaim.rate": 120,
    "log.level": "warning",
}
"""An ID from the pod's uid: two hundred stand-ins of the app would be two hundred processes more."""


@dataclass
class Crew:
    """The sidecars of one process. ``pods``: uid by name."""

    pods: Mapping[str, str]
    process: Process
    orders: IO[str]
    answers: IO[str]

    def ask(self, question: str) -> dict[str, Any]:
        """Ask ``states`` or ``counts`` (``fleet_process``)."""
        self.orders.write(f"{question}\n")
        self.orders.flush()
        told: dict[str, Any] = json.loads(self.answers.readline())
        return told

    def states(self) -> set[str]:
        """Return the states that occur."""
        return set(self.ask("states").values())

    def count(self, metric: str) -> float:
        """Return the sum of a series over all of them, such as ``mdlicense_watch_restarts_total,reason=gone``."""
        return float(self.ask("counts").get(metric, 0.0))

    def kill(self) -> None:
        """End the process without a word."""
        self.process.end()
        for stream in (self.orders, self.answers):
            stream.close()


@dataclass
class Fleet:
    """All crews of one scene."""

    scene: PodScene
    crews: list[Crew] = field(default_factory=list)

    def start(self, names: Sequence[str], more: Settings, *, ahead: Sequence[float] = ()) -> Crew:
        """Make these pods, start their sidecars in one process; ``ahead``: by how much each one's clock is wrong."""
        scene, admin = self.scene, self.scene.admin
        pods: dict[str, str] = {}
        for name in names:
            pods[name] = admin.create_pod(scene.namespace, name, service_account=ACCOUNT)["metadata"]["uid"]
            admin.set_pod_status(scene.namespace, name)
        account = scene.accounts / "fleet"
        if not account.exists():
            scene.mounted["fleet"] = admin.mount(account, scene.namespace, ACCOUNT)
            scene.secrets.append(scene.mounted["fleet"].token)
        own = {"ledger.account_dir": str(account), "pod.uid": pods[names[0]]}
        label = f"crew-{len(self.crews)}"
        config = scene.config(scene.settings(None, {**SETTINGS, **own, **more}, name=names[0]), label)
        clocks = dict(zip(names, ahead, strict=False))
        order = {
            "config": str(config),
            "environ": scene.environ,
            "pods": [{"name": name, "uid": uid, "ahead": clocks.get(name, 0.0)} for name, uid in pods.items()],
        }
        crew = self._spawn(label, pods)
        crew.orders.write(f"{json.dumps(order)}\n")
        crew.orders.flush()
        self.crews.append(crew)
        return crew

    def until_active(self, *crews: Crew, limit: float = 60.0) -> None:
        """Wait until each sidecar of these is active, and has told its pod's seat to the ledger."""
        story = self.scene.story
        for crew in crews:
            until("their first line", lambda crew=crew: crew.answers.readline(), story=story)
        for crew in crews:
            at_ease("all to be active", lambda crew=crew: crew.states() == {"active"}, limit=limit, story=story)
        expected = {uid for crew in crews for uid in crew.pods.values()}

        def written() -> bool:
            records = self.scene.records().values()
            return {it["holder"] for it in records if it["phase"] == "active"} >= expected

        at_ease("all records to be active", written, story=story)

    def vanish(self, crew: Crew) -> float:
        """Kill all of a crew and force-delete its pods; return when (the mock's clock, which is ours)."""
        crew.kill()
        at = time.time()
        for name in crew.pods:
            self.scene.admin.force_delete_pod(self.scene.namespace, name)
        return at

    def close(self) -> None:
        """End what still runs."""
        for crew in self.crews:
            if crew.process.code is None:
                crew.kill()

    def _spawn(self, label: str, pods: Mapping[str, str]) -> Crew:
        with (self.scene.folder / f"{label}.err").open("wb") as errors:
            (self.scene.folder / f"{label}.out").touch()
            popen = subprocess.Popen(
                [sys.executable, "-m", "tests.cluster.stories.fleet_process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment(),
                text=True,
            )
        process = Process(label, popen, self.scene.folder)
        self.scene.processes.append(process)
        assert popen.stdin is not None
        assert popen.stdout is not None
        return Crew(pods, process, popen.stdin, popen.stdout)


def at_ease(
    what: str, condition: Callable[[], bool], *, limit: float = 60.0, story: Callable[[], str] | None = None
) -> None:
    """Wait as ``until`` does, but look seldom: a look at hundreds must not be the load that is measured."""

    def look() -> bool:
        time.sleep(0.3)
        return condition()

    until(what, look, limit=limit, story=story)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which this share lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
