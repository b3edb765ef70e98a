"""A release of the chart as somebody lives with it: the real Helm, the real API server, pods that run.

Everything is looked at from outside: what Helm says, what the API server holds, what the activation server counts.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.chart.activation import LIMIT, Activation, Key, is_ready
from tests.chart.helm import CHART, Failed, Helm
from tests.chart.kubelet.kubelet import Kubelet
from tests.cluster.control_plane.api import Object
from tests.cluster.control_plane.plane import ControlPlane
from tests.process.processes import until

_PACE: Final = 0.1


class Release:
    """One release in a namespace."""

    def __init__(
        self,
        helm: Helm,
        plane: ControlPlane,
        kubelet: Kubelet,
        namespace: str,
        *,
        name: str = "rel",
        workload: str = "md-icapsrv",
        chart: Path = CHART,
    ) -> None:
        self.helm = helm
        self.name = name
        self.namespace = namespace
        self.workload = workload
        self.keeps_its_rights = True
        """False where a test takes the rights away while pods still live: then refusals are to be expected."""
        self.chart = chart
        self.kubelet = kubelet
        self.admin = kubelet.admin
        self._folder = Path(tempfile.mkdtemp(dir=kubelet.logs.parent))
        self._kubeconfig = plane.kubeconfig(self._folder / "kubeconfig")

    def install(self, values: Mapping[str, Any], *more: str) -> str:
        """Install it and wait until its pods are ready; return what Helm said, the notes included."""
        return self._bring("install", values, *more)

    def upgrade(self, values: Mapping[str, Any], *more: str) -> str:
        """Upgrade it to exactly these values, and wait until the rollout is over."""
        return self._bring("upgrade", values, *more)

    def until_rolled_out(self) -> None:
        """Wait as `kubectl rollout status` does; Helm is content with one pod less than wanted (maxUnavailable)."""

        def over() -> bool:
            workload = self.admin.get("deployments", self.workload, self.namespace)
            status, wanted = workload.get("status", {}), workload["spec"]["replicas"]
            seen = status.get("observedGeneration", 0) >= workload["metadata"]["generation"]
            counts = [status.get(it, 0) for it in ("replicas", "updatedReplicas", "availableReplicas")]
            return seen and counts == [wanted] * 3

        self.until(f"the rollout of {self.workload}", over, 2 * LIMIT)

    def uninstall(self, *more: str) -> str:
        """Uninstall it, and wait until the pods are gone, which Helm does not."""
        said = self.run("uninstall", self.name, "--timeout=300s", *more)
        # The pod of `helm test` has ended and stays for its log, as Helm has it, until the next test.
        mine = {"labelSelector": f"app.kubernetes.io/instance={self.name},app.kubernetes.io/component!=test"}
        self.until("the end of the pods", lambda: not self.admin.list("pods", self.namespace, **mine))
        return said

    def run(self, *words: str, limit: float = 320) -> str:
        """Run Helm in the namespace; what fails tells the story of it."""
        environment = {"KUBECONFIG": str(self._kubeconfig)}
        try:
            words = (*words, "--namespace", self.namespace)
            return self.helm.run(*words, environment=environment, limit=limit, everything=True)
        except Failed as failure:
            failure.add_note(self.kubelet.story(self.namespace))
            raise

    def pods(self) -> list[Object]:
        """Return the workload's pods that are not being deleted."""
        found = self.admin.list("pods", self.namespace, labelSelector=f"app={self.workload}")
        return [it for it in found if "deletionTimestamp" not in it["metadata"]]

    def names(self) -> set[str]:
        """Return the names of the workload's pods."""
        return {it["metadata"]["name"] for it in self.pods()}

    def until_ready(self, count: int) -> None:
        """Wait until there are exactly so many pods of the workload and all of them are ready."""
        self.until(f"{count} ready pods", lambda: len(self.pods()) == count and all(map(is_ready, self.pods())))

    def until(self, what: str, look: Any, limit: float = LIMIT) -> Any:
        """Wait until something is true; else fail and tell what happened in the namespace."""

        def paced() -> Any:
            seen = look()
            if not seen:
                time.sleep(_PACE)  # a look is a request or two, and the pods need the processor too
            return seen

        return until(what, paced, limit=limit, story=lambda: self.kubelet.story(self.namespace))

    def secret(self, name: str) -> dict[str, str]:
        """Return the entries of a Secret."""
        return self.kubelet.entries(self.namespace, name)

    def leases(self) -> list[Object]:
        """Return the seat records."""
        return self.admin.list("leases", self.namespace)

    def sidecar(self, *command: str, pod: str | None = None) -> tuple[int, str]:
        """Run a command in a pod's sidecar, as the notes tell to."""
        name = pod or min(self.names())
        return self.kubelet.execute(self.namespace, name, "license-sidecar", "license-sidecar", *command)

    def run_unready(self, verb: str, values: Mapping[str, Any], *more: str) -> str:
        """Install or upgrade it without waiting for anything but the hooks."""
        file = self._folder / "values.json"
        file.write_text(json.dumps(values))
        file.chmod(0o600)
        try:
            return self.run(verb, self.name, str(self.chart), f"--values={file}", "--timeout=180s", *more)
        finally:
            file.unlink()

    def _bring(self, verb: str, values: Mapping[str, Any], *more: str) -> str:
        said = self.run_unready(verb, values, "--wait", *more)
        self.until_rolled_out()
        return said


def forbidden(plane: ControlPlane, namespace: str) -> list[str]:
    """Return every request of a service account of this namespace that the API server forbade."""
    wanted = f'"system:serviceaccount:{namespace}:'
    events = [json.loads(line) for line in plane.audit_log.read_text().splitlines() if wanted in line]
    return [
        f"{it['user']['username']}: {it['verb']} {it['requestURI']}"
        for it in events
        if it.get("responseStatus", {}).get("code") in (401, 403)
    ]


def told_keys(kubelet: Kubelet, namespace: str, activation: Activation) -> list[str]:
    """Return where a key of the test stands although it must not: a container's output, or an object but a Secret."""
    told = {it.name: it.read_text(errors="replace") for it in kubelet.logs.glob(f"{namespace}_*")}
    for resource in ("pods", "configmaps", "leases", "events", "deployments", "replicasets", "jobs"):
        told[resource] = json.dumps(kubelet.admin.list(resource, namespace))
    assert told
    return [where for where, text in told.items() if any(key.text in text for key in activation.keys)]


def bind_claims(release: Release) -> None:
    """Bind every claim of the namespace by hand: nobody provisions volumes in this cluster."""
    for claim in release.admin.list("persistentvolumeclaims", release.namespace):
        name = claim["metadata"]["name"]
        volume = f"{release.namespace}-{name}"
        if claim["spec"].get("volumeName"):
            continue
        spec: dict[str, Any] = {
            "capacity": claim["spec"]["resources"]["requests"],
            "accessModes": claim["spec"]["accessModes"],
            "hostPath": {"path": "/nowhere"},
            "claimRef": {"namespace": release.namespace, "name": name, "uid": claim["metadata"]["uid"]},
        }
        release.admin.create("v1/persistentvolumes", {"metadata": {"name": volume}, "spec": spec})
        bound = {
            "metadata": {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
            "spec": {"volumeName": volume},
        }
        release.admin.patch("persistentvolumeclaims", name, bound, release.namespace)
        release.admin.patch_status("persistentvolumeclaims", name, {"phase": "Bound"}, release.namespace)


def merged(base: Mapping[str, Any], *more: Mapping[str, Any]) -> dict[str, Any]:
    """Return values laid over each other as Helm does it: maps are merged, everything else is replaced."""
    made = dict(base)
    for one in more:
        for name, value in one.items():
            before = made.get(name)
            both = isinstance(before, Mapping) and isinstance(value, Mapping)
            made[name] = merged(before, value) if both else value  # type: ignore[arg-type]  # both are maps
    return made


def values(activation: Activation, key: Key | None = None, *more: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a release with a stand-in for the vendor's image, at a pace that suits a test."""
    base = {
        "acceptEula": True,
        "activation": {"url": activation.url},
        "database": {"host": "postgres.invalid", "user": "made-up", "password": "made-up"},
        "extraEnv": [{"name": "STAND_IN_ACTIVATION_URL", "value": activation.url}],
        "app": {
            "securityProfile": "restricted",
            "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}},
            "preStopSeconds": 1,
            "stopSeconds": 5,
            "liveness": {"periodSeconds": 1, "failureThreshold": 2},
            "readiness": {"periodSeconds": 1},
        },
        "sidecar": {
            "shutdownBudgetSeconds": 6,
            "settings": {
                "lease": {"renew": "1s", "duration": "4s"},
                "heartbeat": {"app": "1s"},
                "activation": {"late": "3s", "timeout": "2s", "refused_retry": "5s"},
            },
        },
        "hooks": {"drain": {"timeoutSeconds": 90}},
    }
    given = {"license": {"key": key.text}} if key is not None else {}
    return merged(base, given, *more)
