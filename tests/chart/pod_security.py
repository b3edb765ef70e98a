"""The restricted Pod Security Standard, computed as the API server's admission does; the lifecycle tests ask itself.

Each function returns what is wrong, in words; nothing means that it is content.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

_VOLUMES: Final = frozenset(
    {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
)


def pod(spec: dict[str, Any]) -> Iterator[str]:
    """Judge what is the pod's own: host namespaces, volumes, sysctls."""
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(field):
            yield f"{field} is on"
    for volume in spec.get("volumes") or []:
        kinds = set(volume) - {"name"}
        if not kinds <= _VOLUMES or not kinds:
            yield f"volume {volume['name']}: {sorted(kinds)} is not allowed"
    security = spec.get("securityContext") or {}
    if security.get("sysctls"):
        yield "sysctls are set"
    if security.get("runAsUser") == 0:
        yield "the pod runs as root"


def container(it: dict[str, Any], spec: dict[str, Any]) -> Iterator[str]:
    """Judge one container of a pod, with what it inherits."""
    own, inherited = it.get("securityContext") or {}, spec.get("securityContext") or {}

    def effective(field: str) -> Any:
        return own[field] if field in own else inherited.get(field)

    where = it["name"]
    if own.get("privileged"):
        yield f"{where}: privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield f"{where}: allowPrivilegeEscalation is not false"
    capabilities = own.get("capabilities") or {}
    if "ALL" not in (capabilities.get("drop") or []):
        yield f"{where}: not all capabilities are dropped"
    if set(capabilities.get("add") or []) - {"NET_BIND_SERVICE"}:
        yield f"{where}: capabilities are added"
    if effective("runAsNonRoot") is not True:
        yield f"{where}: runAsNonRoot is not true"
    if effective("runAsUser") == 0:
        yield f"{where}: runs as root"
    if (effective("seccompProfile") or {}).get("type") not in {"RuntimeDefault", "Localhost"}:
        yield f"{where}: no seccomp profile"
    if own.get("procMount", "Default") != "Default":
        yield f"{where}: procMount"
    if any(port.get("hostPort") for port in it.get("ports") or []):
        yield f"{where}: a host port"


def stricter(it: dict[str, Any], spec: dict[str, Any], *, numbered: bool = True) -> Iterator[str]:
    """Judge what the chart promises besides for its own containers: read-only root, numeric user, requests, limits."""
    own, inherited = it.get("securityContext") or {}, spec.get("securityContext") or {}
    if own.get("readOnlyRootFilesystem") is not True:
        yield f"{it['name']}: its root file system can be written"
    if numbered and not (own.get("runAsUser") or inherited.get("runAsUser")):
        yield f"{it['name']}: no numeric user, so that the kubelet cannot check runAsNonRoot"
    resources = it.get("resources") or {}
    for kind in ("requests", "limits"):
        for what in ("cpu", "memory"):
            if what not in (resources.get(kind) or {}):
                yield f"{it['name']}: no {kind} of {what}"
