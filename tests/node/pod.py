"""A pod and its processes on a real node, as they were when they were looked at."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.cluster.control_plane.api import Object
from tests.node.node import is_ready

LIMIT: Final = 120.0
_POLL: Final = 0.005


class Pod:
    """One incarnation of a pod and of its containers, as they were when they were looked at."""

    def __init__(self, found: Object) -> None:
        """Take what the API server says."""
        self.found = found
        self.name: str = found["metadata"]["name"]
        self.uid: str = found["metadata"]["uid"]
        self.ip: str = found.get("status", {}).get("podIP", "")
        self.node: str = found["spec"].get("nodeName", "")

    @property
    def ends(self) -> bool:
        """Tell whether it is being deleted."""
        return "deletionTimestamp" in self.found["metadata"]

    @property
    def ready(self) -> bool:
        """Tell whether all of it is ready."""
        return is_ready(self.found)

    def container(self, name: str) -> Object:
        """Return a container's status."""
        status = self.found["status"]
        every = (*status.get("containerStatuses", ()), *status.get("initContainerStatuses", ()))
        return next((one for one in every if one["name"] == name), {})

    def container_id(self, name: str) -> str:
        """Return the runtime's name of a container."""
        return str(self.container(name).get("containerID", "")).removeprefix("containerd://")

    def restarts(self, name: str) -> int:
        """Return how often the kubelet started a container again."""
        return int(self.container(name).get("restartCount", 0))


def ends(pids: Mapping[str, int], *, limit: float = LIMIT) -> dict[str, float]:
    """Watch processes until all of them have ended, and return the moment of each end, to a few milliseconds."""
    moments: dict[str, float] = {}
    over = time.monotonic() + limit
    while len(moments) < len(pids):
        now = time.monotonic()
        assert now < over, f"still there after {limit:g} s: {set(pids) - set(moments)}"
        for name, pid in pids.items():
            if name not in moments and not runs(pid):
                moments[name] = now
        time.sleep(_POLL)
    return moments


def runs(pid: int) -> bool:
    """Tell whether a process is there and no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"
