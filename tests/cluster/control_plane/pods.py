"""Pods as objects: no kubelet runs here, so a test is the kubelet and writes what one would report.

A pod is bound to a node that nobody made, so nobody schedules it, and the controller that would collect such pods is
not started. A graceful deletion therefore only sets deletionTimestamp, and the object stays until it is deleted by
force: what a pod on a lost node looks like for ever, and every other one for a moment.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from tests.cluster.control_plane.api import Api, Object

NODE: Final = "made-up-node"
APP: Final = "md-icapsrv"
SIDECAR: Final = "license-sidecar"
_IMAGE: Final = "registry.invalid/test:1"
# What the restricted level of Pod Security wants, so that these pods are admitted everywhere.
_CONTAINER_SECURITY: Final = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}


class Pods(Api):
    """What a kubelet and an impatient administrator do to pods."""

    def create_pod(
        self,
        namespace: str,
        name: str,
        *,
        containers: Sequence[str] = (APP,),
        sidecars: Sequence[str] = (SIDECAR,),
        service_account: str = "default",
        node: str | None = NODE,
        grace: int = 30,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        spec: Mapping[str, Any] | None = None,
    ) -> Object:
        """Create a pod with these app containers and native sidecars; it is Pending until a status is written.

        ``node=None`` leaves it to the scheduler; ``spec`` is merged over what is made here.
        """
        natives = [{**_container(one), "restartPolicy": "Always"} for one in sidecars]
        made = {
            "containers": [_container(one) for one in containers],
            "initContainers": natives,
            "serviceAccountName": service_account,
            "terminationGracePeriodSeconds": grace,
            **({"nodeName": node} if node else {}),
            **(spec or {}),
        }
        metadata = {"name": name, "labels": dict(labels or {}), "annotations": dict(annotations or {})}
        return self.create("pods", {"metadata": metadata, "spec": made}, namespace)

    def set_pod_status(
        self,
        namespace: str,
        name: str,
        *,
        phase: str = "Running",
        containers: Mapping[str, Mapping[str, Any]] | None = None,
        conditions: Mapping[str, str] | None = None,
        reason: str | None = None,
        message: str | None = None,
        **fields: Any,
    ) -> Object:
        """Report about a pod as its kubelet would; what is not given stays as it was, at first all run and are ready.

        Args:
            namespace: the pod's
            name: the pod's
            phase: Pending, Running, Succeeded, Failed
            containers: for each container that changed the fields of its containerStatus, such as ``restartCount``,
                ``state`` (see ``running``, ``waiting``, ``terminated``), ``lastState``, ``ready``; ``containerID``
                follows ``restartCount`` unless it is given
            conditions: type to status, such as ``{"DisruptionTarget": "True"}``, merged with those that it has
            reason: of the phase, such as ``Evicted``
            message: of the phase
            fields: other fields of the status, such as ``podIP``

        """
        pod = self.get("pods", name, namespace)
        changed = dict(containers or {})
        before = pod.get("status", {})
        status: Object = {"phase": phase, "reason": reason, "message": message, **fields}
        status.setdefault("startTime", before.get("startTime") or now())
        for listed, reported in (("containers", "containerStatuses"), ("initContainers", "initContainerStatuses")):
            earlier = {one["name"]: one for one in before.get(reported, ())}
            status[reported] = [
                _reported(pod, one["name"], earlier.get(one["name"]), changed.pop(one["name"], {}))
                for one in pod["spec"].get(listed, ())
            ]
        if changed:
            raise ValueError(f"the pod {name} has no container {', '.join(changed)}")
        if conditions is None and not before.get("conditions"):
            conditions = dict.fromkeys(("PodScheduled", "Initialized", "ContainersReady", "Ready"), "True")
        known = {one["type"]: one for one in before.get("conditions", ())}
        known |= {
            kind: {"type": kind, "status": value, "lastTransitionTime": now()}
            for kind, value in (conditions or {}).items()
        }
        status["conditions"] = list(known.values())
        return self.patch_status("pods", name, status, namespace)

    def restart_container(self, namespace: str, name: str, container: str = APP, *, exit_code: int = 1) -> Object:
        """Report that a container ended and runs again: a higher restartCount, another containerID."""
        pod = self.get("pods", name, namespace)
        both = (*pod["status"].get("containerStatuses", ()), *pod["status"].get("initContainerStatuses", ()))
        before = next(one for one in both if one["name"] == container)
        ended = terminated(exit_code, container_id=before.get("containerID", ""))
        again = {"restartCount": before["restartCount"] + 1, "state": running(), "lastState": ended, "ready": True}
        return self.set_pod_status(namespace, name, containers={container: again})

    def delete_pod(self, namespace: str, name: str, grace: int | None = None) -> Object:
        """Delete a pod; one with a node and no final phase stays, with a deletionTimestamp."""
        return self.delete("pods", name, namespace, grace=grace)

    def force_delete_pod(self, namespace: str, name: str) -> Object:
        """Delete a pod's object at once, whatever still runs."""
        return self.delete("pods", name, namespace, grace=0)

    def create_node(self, name: str = NODE) -> Object:
        """Register a node that is Ready and large, so that the scheduler binds pods to it; nothing runs there."""
        self.create("nodes", {"metadata": {"name": name, "labels": {"kubernetes.io/os": "linux"}}})
        self.patch("nodes", name, {"spec": {"taints": None}})  # admission taints every new one as not ready
        room = {"cpu": "1000", "memory": "1000Gi", "pods": "10000", "ephemeral-storage": "1000Gi"}
        ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": now(), "lastTransitionTime": now()}
        return self.patch_status("nodes", name, {"capacity": room, "allocatable": room, "conditions": [ready]})


def now() -> str:
    """Return this moment as the API writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def running() -> Object:
    """Return the state of a container that runs."""
    return {"running": {"startedAt": now()}}


def waiting(reason: str, message: str = "") -> Object:
    """Return the state of a container that waits, such as in ``CrashLoopBackOff``."""
    return {"waiting": {"reason": reason, "message": message}}


def terminated(exit_code: int, reason: str | None = None, *, container_id: str = "", signal: int = 0) -> Object:
    """Return the state of a container that ended, such as with 137 and ``OOMKilled``."""
    ended: Object = {
        "exitCode": exit_code,
        "signal": signal,
        "reason": reason or ("Error" if exit_code else "Completed"),
        "startedAt": now(),
        "finishedAt": now(),
    }
    if container_id:
        ended["containerID"] = container_id
    return {"terminated": ended}


def container_id(pod_uid: str, container: str, restart_count: int) -> str:
    """Return the ID that this container has after so many restarts."""
    return "containerd://" + hashlib.sha256(f"{pod_uid} {container} {restart_count}".encode()).hexdigest()


def _container(name: str) -> Object:
    return {"name": name, "image": _IMAGE, "securityContext": _CONTAINER_SECURITY}


def _reported(pod: Object, name: str, before: Object | None, changed: Mapping[str, Any]) -> Object:
    status = {
        **(before or {"restartCount": 0, "state": running(), "lastState": {}, "ready": True, "started": True}),
        **changed,
    }
    if "containerID" not in changed and (before is None or status["restartCount"] != before["restartCount"]):
        status["containerID"] = container_id(pod["metadata"]["uid"], name, status["restartCount"])
    return {**status, "name": name, "image": _IMAGE, "imageID": _IMAGE}
