"""A release of the chart on real nodes, seen from outside: what Helm says, what the cluster holds, who has a seat.

What only a real node has is here too: the processes behind a container, and the moment at which they end.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from tests.chart.helm import CHART, Failed, Helm
from tests.cluster.control_plane.admin import Admin
from tests.cluster.control_plane.api import ApiError, Object, path
from tests.cluster.control_plane.plane import ControlPlane
from tests.cluster.control_plane.pods import APP, SIDECAR
from tests.node.images import OURS
from tests.node.node import Node
from tests.node.pod import LIMIT, Pod
from tests.process.processes import ask, until

T = TypeVar("T")

SEATS: Final = 3
TOO_MANY: Final = 429
PRE_STOP: Final = 2
FAILURE_GRACE: Final = 3
RENEW: Final = 5
LEASE: Final = 16
_CONTROL_PORT: Final = 8481


def fake_key() -> str:
    """Return a key that exists nowhere."""
    return "-".join(["FAKE", "NODE", *(secrets.token_hex(2).upper() for _ in range(5))])


def trial(key: str, seats: int, **more: Any) -> dict[str, Any]:
    """Return the values of a trial with the mock and the stand-in app, at a pace that suits a test."""
    repository, _, tag = OURS.partition(":")
    return {
        "license": {"key": key, "seats": seats},
        "replicas": seats,
        "mockActivation": {"enabled": True},
        "app": {
            "preStopSeconds": PRE_STOP,
            "stopSeconds": 10,
            "liveness": {"periodSeconds": 2, "failureThreshold": 2},
            "readiness": {"periodSeconds": 2},
        },
        "sidecar": {
            "image": {"repository": repository, "tag": tag, "pullPolicy": "Never"},
            "shutdownBudgetSeconds": 10,
            "settings": {
                "app": {"failure_grace": f"{FAILURE_GRACE}s"},
                "lease": {"renew": f"{RENEW}s", "duration": f"{LEASE}s"},
                "heartbeat": {"app": "2s"},
                "activation": {"late": "10s", "timeout": "3s", "refused_retry": "5s"},
                "refused": {"restart_app_after": "5s"},
            },
        },
        **more,
    }


def tell(what: str, seconds: float) -> None:
    """Print a figure, for whoever reads the run (``-rP`` shows it)."""
    sys.stdout.write(f"{what}: {seconds:.2f} s\n")


class Release:
    """One release in a namespace that enforces the restricted level."""

    def __init__(self, helm: Helm, plane: ControlPlane, nodes: Callable[[], list[Node]], folder: Path) -> None:
        """Make the namespace; ``nodes`` returns those that there are."""
        self.helm, self.plane, self._nodes = helm, plane, nodes
        self.admin: Admin = plane.admin
        self.namespace = self.admin.create_namespace(pod_security="restricted")
        self._folder = folder / self.namespace
        self._folder.mkdir()
        self._kubeconfig = plane.kubeconfig(self._folder / "kubeconfig")

    def install(self, values: Mapping[str, Any]) -> str:
        """Install it, wait until its pods are ready, and return what Helm said."""
        return self._bring("install", values)

    def upgrade(self, values: Mapping[str, Any]) -> str:
        """Upgrade it to exactly these values."""
        return self._bring("upgrade", values)

    def test(self) -> str:
        """Run what the chart offers to ask whether it works, and return what it said."""
        return self._run("test", "rel", "--logs", "--timeout=120s")

    def uninstall(self) -> str:
        """Uninstall it, and return what Helm and its hooks said."""
        return self._run("uninstall", "rel", "--timeout=280s")

    def pods(self, *, all_of_them: bool = False) -> list[Pod]:
        """Return the app's pods that are not being deleted, or also those that are."""
        found = [Pod(one) for one in self.admin.list("pods", self.namespace, labelSelector="app=md-icapsrv")]
        return found if all_of_them else [one for one in found if not one.ends]

    def sound(self) -> Pod:
        """Return the pod that was restarted least: after each failure the kubelet makes a container wait longer."""
        return min(self.pods(), key=lambda pod: pod.restarts(APP) + pod.restarts(SIDECAR))

    def pod(self, name: str) -> Pod | None:
        """Return what became of a pod."""
        found = self.admin.find("pods", name, self.namespace)
        return Pod(found) if found else None

    def until_renewed(self, pod: Pod) -> None:
        """Wait until a pod's seat record was renewed just now."""

        def versions() -> list[str]:
            records = self.admin.list("leases", self.namespace)
            return [one["metadata"]["resourceVersion"] for one in records if one["spec"]["holderIdentity"] == pod.uid]

        before = versions()
        self.until(f"a renewal by {pod.name}", lambda: versions() != before)

    def deployments(self) -> dict[str, str]:
        """Return the deployment ID of each seat record by the uid of its owner."""
        return {
            one["spec"]["holderIdentity"]: one["metadata"]["annotations"]["license-sidecar/deployment-id"]
            for one in self.admin.list("leases", self.namespace)
        }

    def seats(self) -> set[str]:
        """Return the deployment IDs that the activation server counts."""
        return {seat["deployment"] for key in self.control("/state")["keys"] for seat in key["taken"]}

    def journal(self) -> list[Object]:
        """Return what the activation server was asked, oldest first."""
        entries: list[Object] = self.control("/journal")["entries"]
        return entries

    def control(self, target: str, body: Any = None, *, method: str | None = None) -> Any:
        """Ask the activation server's control port.

        Raises:
            ConnectionError: it is not there.

        """
        mocks = self.admin.list("pods", self.namespace, labelSelector="app.kubernetes.io/component=mock-activation")
        address = next((ip for one in mocks if (ip := one.get("status", {}).get("podIP"))), None)
        code, text = ask(f"http://{address}:{_CONTROL_PORT}{target}", body, method=method) if address else (0, "no pod")
        if not code:
            raise ConnectionError(text)
        assert code < 300, f"{target}: {code} {text}"
        return json.loads(text)

    def settled(self, count: int) -> list[Pod]:
        """Wait until so many pods are ready, each with a seat and a record, and nothing is left of others."""

        def look() -> list[Pod]:
            pods, records = self.pods(all_of_them=True), self.deployments()
            good = (
                len(pods) == count
                and all(pod.ready and not pod.ends for pod in pods)
                and set(records) == {pod.uid for pod in pods}
                and set(records.values()) == self.seats()
            )
            return pods if good else []

        return self.until(f"{count} pods with a seat each", look) if count else []

    def until(self, what: str, look: Callable[[], T], *, limit: float = LIMIT) -> T:
        """Wait until something true comes back; else fail and tell the story of the namespace."""
        return until(what, look, limit=limit, story=self.story)

    def restarted(self, pod: Pod, container: str, restarts: int) -> Pod:
        """Wait until a container was started again so often and its pod is ready, and return the pod."""

        def look() -> Pod | None:
            now = self.pod(pod.name)
            good = now is not None and now.uid == pod.uid and now.ready and now.restarts(container) >= restarts
            return now if good else None

        again = self.until(f"start {restarts + 1} of {container}", look)
        assert again is not None
        return again

    def until_free(self, deployment: str, *, limit: float = LIMIT) -> float:
        """Wait until a seat is free on the activation server, and return the moment."""
        self.until(f"the seat of {deployment} to be free", lambda: deployment not in self.seats(), limit=limit)
        return time.monotonic()

    def restart(self) -> None:
        """Replace every pod, as ``kubectl rollout restart`` does."""
        note = {"kubectl.kubernetes.io/restartedAt": datetime.now(UTC).isoformat()}
        change = {"spec": {"template": {"metadata": {"annotations": note}}}}
        self.admin.patch("deployments", "md-icapsrv", change, self.namespace)

    def cordon(self, node: str, *, off: bool = False) -> None:
        """Let no new pod onto a node, as ``kubectl cordon`` does, or ``off``: let them again."""
        self.admin.patch("nodes", node, {"spec": {"unschedulable": not off}})
        self.until(f"{node} to be tainted or not", lambda: off != ("taints" in self.admin.get("nodes", node)["spec"]))

    def evict(self, pod: Pod) -> bool:
        """Ask for the end of a pod as ``kubectl drain`` does, and tell whether the disruption budget allowed it."""
        asked = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod.name}}
        try:
            self.admin.request("POST", path("pods", self.namespace, pod.name, "eviction"), asked)
        except ApiError as error:
            if error.code != TOO_MANY:
                raise
            time.sleep(0.5)
            return False
        return True

    def remove(self) -> None:
        """Delete the namespace."""
        self.admin.delete_namespace(self.namespace)

    def node_of(self, pod: Pod) -> Node:
        """Return the node of a pod."""
        return next(node for node in self._nodes() if node.name == pod.node)

    def pid(self, pod: Pod, container: str) -> int:
        """Return the first process of a container."""
        return self.node_of(pod).runtime.processes()[pod.container_id(container)]

    def kill(self, pod: Pod, container: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to the first process of a container, as the kernel would."""
        os.kill(self.pid(pod, container), number)

    def sidecar(self, pod: Pod, *command: str) -> str:
        """Run a command in the sidecar's container and return what it printed."""
        return self.node_of(pod).runtime.execute(pod.container_id(SIDECAR), *command)

    def story(self) -> str:
        """Tell what happened in the namespace, for a test that fails."""
        told = []
        with suppress(ConnectionError):
            told.append(f"seats: {sorted(self.seats())}")
        told.append(f"records: {self.deployments()}")
        for one in self.admin.list("pods", self.namespace):
            status = json.dumps(one.get("status", {}).get("conditions", []))[:800]
            told.append(f"=== pod {one['metadata']['name']} {status}")
        told += [
            f"{event['involvedObject'].get('name')}: {event['reason']}: {event['message'][:300]}"
            for event in self.admin.list("events", self.namespace)[-40:]
        ]
        told += [node.logs(self.namespace)[-6000:] for node in self._nodes()]
        return "\n".join(told)

    def _bring(self, verb: str, values: Mapping[str, Any]) -> str:
        file = self._folder / "values.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps(values))
        try:
            return self._run(verb, "rel", str(CHART), f"--values={file}", "--wait", "--timeout=180s")
        finally:
            file.unlink()

    def _run(self, *words: str) -> str:
        try:
            return self.helm.run(
                *words,
                f"--namespace={self.namespace}",
                environment={"KUBECONFIG": str(self._kubeconfig)},
                limit=320,
                everything=True,
            )
        except Failed as failure:
            failure.add_note(self.story())
            raise
