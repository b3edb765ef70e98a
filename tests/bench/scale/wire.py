"""What this process has exchanged with the API server, and what it cost the API server: read off the kernel.

Bytes are those of TCP's payload, TLS and HTTP included, as ``TCP_INFO`` counts them for each socket that is still open.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.cluster.control_plane.plane import ControlPlane

_ACKED_AND_RECEIVED: Final = struct.Struct("=120xQQ")
"""``tcpi_bytes_acked`` and ``tcpi_bytes_received`` of Linux's ``struct tcp_info``."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Totals up to a moment; the difference of two is what happened between them."""

    at: float
    sent: int
    received: int
    server: float
    """Processor seconds of the API server and etcd."""
    client: float
    """Processor seconds of this process."""

    def __sub__(self, before: Reading) -> Reading:
        return Reading(
            self.at - before.at,
            self.sent - before.sent,
            self.received - before.received,
            self.server - before.server,
            self.client - before.client,
        )


def read(plane: ControlPlane) -> Reading:
    """Read everything now."""
    port = int(plane.environment()["KUBERNETES_SERVICE_PORT"])
    sent = received = 0
    for entry in Path("/proc/self/fd").iterdir():
        counted = _counted(entry, port)
        sent, received = sent + counted[0], received + counted[1]
    server = sum(_processor_seconds(plane.pids[name]) for name in ("kube-apiserver", "etcd"))
    return Reading(time.monotonic(), sent, received, server, time.process_time())


def _counted(entry: Path, port: int) -> tuple[int, int]:
    try:
        if not str(entry.readlink()).startswith("socket:"):
            return 0, 0
        with socket.socket(fileno=os.dup(int(entry.name))) as found:
            if found.type != socket.SOCK_STREAM or found.getpeername()[1:2] != (port,):
                return 0, 0
            acked, received = _ACKED_AND_RECEIVED.unpack(
                found.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ACKED_AND_RECEIVED.size)
            )
            return acked, received
    except OSError:  # closed meanwhile, or not connected
        return 0, 0


def _processor_seconds(pid: int) -> float:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
