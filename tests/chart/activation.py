"""The activation server of the chart's tests: the mock as a pod of the cluster, and keys that exist only there."""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass
from typing import Any, Final

from tests.chart.kubelet.kubelet import Kubelet
from tests.cluster.control_plane.api import Object
from tests.process.processes import until

LIMIT: Final = 60.0
ACTIVATION_PORT: Final = 8480
CONTROL_PORT: Final = 8481
SECURITY: Final = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


@dataclass(frozen=True, slots=True)
class Key:
    """A key that exists only on the test's activation server."""

    text: str

    @property
    def fingerprint(self) -> str:
        """Return what may be shown of it."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:12]


class Activation:
    """The mock activation server as a pod, in a namespace that no release touches: the truth about seats."""

    def __init__(self, kubelet: Kubelet) -> None:
        self._kubelet = kubelet
        self.keys: list[Key] = []
        admin = kubelet.admin
        self.namespace = admin.create_namespace()
        listen = ["--host=0.0.0.0", f"--port={ACTIVATION_PORT}", f"--control-port={CONTROL_PORT}"]
        container = {
            "name": "mock-activation",
            "image": "license-sidecar:test",
            "command": ["mock-activation", "serve", *listen],
            "securityContext": SECURITY,
            "readinessProbe": {"httpGet": {"path": "/health", "port": CONTROL_PORT}, "periodSeconds": 1},
        }
        labels = {"app": "activation"}
        pod = {"metadata": {"name": "activation", "labels": labels}, "spec": {"containers": [container]}}
        admin.create("pods", pod, self.namespace)
        spec = {"selector": labels, "ports": [{"name": "http", "port": ACTIVATION_PORT}]}
        admin.create("services", {"metadata": {"name": "activation"}, "spec": spec}, self.namespace)
        self.url = f"http://activation.{self.namespace}.svc:{ACTIVATION_PORT}"
        until("the activation server", self._ready, limit=LIMIT, story=lambda: kubelet.story(self.namespace))

    def key(self, seats: int) -> Key:
        """Make a key with so many seats."""
        groups = [secrets.token_hex(2).upper() for _ in range(5)]
        made = Key("-".join(["FAKE", "LIFE", *groups]))
        self.keys.append(made)
        self.control("/keys", "POST", {"key": made.text, "seats": seats})
        return made

    def used(self, key: Key) -> set[str]:
        """Return the deployment IDs that hold a seat of a key."""
        state = self.control("/state")
        (found,) = [it for it in state["keys"] if it["fingerprint"] == key.fingerprint]
        return {it["deployment"] for it in found["taken"]}

    def take(self, key: Key, deployment_id: str) -> None:
        """Take a seat as software that nobody remembers did."""
        query = f"/activation?key={key.text}&deployment={deployment_id}&quantity=1"
        status, text = self._kubelet.ask(self._address(), ACTIVATION_PORT, query)
        assert status == 200, status
        assert "error" not in text.split(":", 1)[0], "refused"

    def journal(self, key: Key, **wanted: str) -> list[Object]:
        """Return what was asked with a key, oldest first."""
        query = "&".join(f"{name}={value}" for name, value in {"key_fingerprint": key.fingerprint, **wanted}.items())
        entries: list[Object] = self.control(f"/journal?{query}")["entries"]
        return entries

    def control(self, target: str, method: str = "GET", body: Any = None) -> Any:
        """Ask the control port."""
        status, text = self._kubelet.ask(self._address(), CONTROL_PORT, target, method, body)
        assert 200 <= status < 300, f"{method} {target}: {status} {text}"
        return json.loads(text)

    def _address(self) -> str:
        pod: Object = self._kubelet.admin.get("pods", "activation", self.namespace)
        return str(pod["status"]["podIP"])

    def _ready(self) -> bool:
        return is_ready(self._kubelet.admin.get("pods", "activation", self.namespace))


def is_ready(pod: Object) -> bool:
    """Tell whether a pod says that it is ready."""
    conditions = {it["type"]: it["status"] for it in pod.get("status", {}).get("conditions", ())}
    return conditions.get("Ready") == "True"
