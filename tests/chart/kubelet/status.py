"""What the kubelet tells of a pod: the status of its containers, its phase, its conditions."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.chart.kubelet.container import Container
from tests.chart.kubelet.probes import Prober

Object = dict[str, Any]


def now() -> str:
    """Return this moment as the API writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Life:
    """One container of a pod through all its restarts."""

    spec: Object
    kind: str
    """``init``, ``sidecar`` (an init container that stays), ``app``."""
    process: Container | None = None
    prober: Prober | None = None
    restarts: int = 0
    started: bool = False
    ready: bool = False
    identity: str = ""
    state: Object = field(default_factory=lambda: {"waiting": {"reason": "PodInitializing"}})
    last_state: Object = field(default_factory=dict)
    code: int | None = None
    """Of the last end; None before one and after a restart."""

    @property
    def name(self) -> str:
        """Return its name."""
        return str(self.spec["name"])

    def wait(self, reason: str, message: str = "") -> None:
        """Say why it does not run."""
        self.state = {"waiting": {"reason": reason, "message": message}}

    def run(self, uid: str, process: Container, prober: Prober) -> None:
        """Say that it runs."""
        self.identity = "process://" + hashlib.sha256(f"{uid} {self.name} {self.restarts}".encode()).hexdigest()
        self.process, self.prober, self.code = process, prober, None
        self.state = {"running": {"startedAt": now()}}
        self.started = "startupProbe" not in self.spec
        self.ready = self.started and "readinessProbe" not in self.spec

    def end(self, code: int, reason: str = "") -> None:
        """Say that it has ended."""
        began = self.state.get("running", {}).get("startedAt", now())
        reason = reason or ("Completed" if code == 0 else "Error")
        told = {"exitCode": code, "reason": reason, "startedAt": began, "finishedAt": now()}
        self.state = {"terminated": {**told, "containerID": self.identity}}
        self.process, self.code = None, code
        self.started = self.ready = False

    def again(self) -> None:
        """Say that it is about to be started again."""
        self.last_state, self.restarts = self.state, self.restarts + 1

    def status(self) -> Object:
        """Return the containerStatus."""
        done = self.kind == "init" and self.code == 0
        return {
            "name": self.name,
            "image": self.spec["image"],
            "imageID": self.spec["image"],
            "containerID": self.identity,
            "restartCount": self.restarts,
            "started": self.started,
            "ready": self.ready or done,
            "state": self.state,
            "lastState": self.last_state,
        }


def pod_status(lives: list[Life], phase: str, address: str, before: Object) -> Object:
    """Return a pod's whole status; conditions keep the time of their last change."""
    waited_for = [it for it in lives if it.kind != "init"]
    initialized = all(it.started if it.kind == "sidecar" else it.code == 0 for it in lives if it.kind != "app")
    ready = phase == "Running" and all(it.ready for it in waited_for)
    wanted = {
        "PodScheduled": True,
        "Initialized": initialized or phase == "Succeeded",
        "ContainersReady": ready,
        "Ready": ready,
    }
    known = {it["type"]: it for it in before.get("conditions", ())}
    for kind, truth in wanted.items():
        value = str(truth)
        if known.get(kind, {}).get("status") != value:
            known[kind] = {"type": kind, "status": value, "lastTransitionTime": now()}
    return {
        "phase": phase,
        "startTime": before.get("startTime") or now(),
        "hostIP": "127.0.0.1",
        **({"podIP": address, "podIPs": [{"ip": address}]} if address else {}),
        "conditions": list(known.values()),
        "containerStatuses": [it.status() for it in lives if it.kind == "app"],
        "initContainerStatuses": [it.status() for it in lives if it.kind != "app"],
    }
