"""Network namespaces of a node and its pods, as the processes that hold them: they are gone when those end.

The machine's own network is not changed: veth pairs, addresses and forwarding are the made-up node's, which has no way
out. Whoever wants to speak to a pod takes a socket from ``Node.socket``.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_NEW_NETWORK: Final = 0x40000000  # CLONE_NEWNET; os.setns exists from Python 3.12 on
_LIMIT: Final = 10.0
GATEWAY: Final = "10.244.0.1"
SERVICES: Final = "10.96.0.0/16"
TIED: Final = ("setpriv", "--pdeathsig", "KILL")
"""A pytest that is killed runs no finalizer: the kernel ends what it started."""


class Namespace:
    """A network namespace that lives as long as a process which only sleeps."""

    def __init__(self) -> None:
        """Make it; only ``lo`` is there, and down."""
        self._holder = subprocess.Popen(
            [*TIED, "unshare", "--net", "sleep", "infinity"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.pid = self._holder.pid
        self.file = f"/proc/{self.pid}/ns/net"
        own = str(Path("/proc/self/ns/net").readlink())
        end = time.monotonic() + _LIMIT
        while self._link() in (own, ""):
            if self._holder.poll() is not None or time.monotonic() > end:
                self.close()
                raise OSError("no network namespace can be made here")
            time.sleep(0.002)

    def configure(self, lines: Sequence[str]) -> None:
        """Run commands of ``ip`` in it."""
        subprocess.run(
            ["nsenter", f"--net={self.file}", "ip", "-batch", "-"],
            input="\n".join(lines),
            check=True,
            text=True,
            capture_output=True,
            timeout=_LIMIT,
        )

    def close(self) -> None:
        """Let it go."""
        self._holder.kill()
        self._holder.wait()

    def _link(self) -> str:
        try:
            return str(Path(self.file).readlink())
        except OSError:
            return ""


class Node:
    """The node's namespace; routes to its pods, and takes every address of a Service for its own."""

    def __init__(self) -> None:
        """Make it."""
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._home = os.open("/proc/self/ns/net", os.O_RDONLY)
        self._namespace = Namespace()
        self._there = os.open(self._namespace.file, os.O_RDONLY)
        self._next = 1
        self._namespace.configure(["link set lo up", f"route add local {SERVICES} dev lo"])
        enter = ["nsenter", f"--net={self._namespace.file}"]
        subprocess.run([*enter, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"], check=True, timeout=_LIMIT)

    def attach(self) -> tuple[Namespace, str]:
        """Make the namespace of a pod and return it with its address."""
        self._next += 1
        address = f"10.244.{self._next // 250}.{self._next % 250 + 2}"
        veth = f"veth{self._next}"
        pod = Namespace()
        try:
            self._namespace.configure(
                [
                    f"link add {veth} type veth peer name eth0 netns {pod.pid}",
                    f"addr add {GATEWAY}/32 dev {veth}",
                    f"link set {veth} up",
                    f"route add {address}/32 dev {veth}",
                ]
            )
            pod.configure(
                [
                    "link set lo up",
                    f"addr add {address}/32 dev eth0",
                    "link set eth0 up",
                    f"route add {GATEWAY}/32 dev eth0",
                    f"route add default via {GATEWAY}",
                ]
            )
        except BaseException:
            pod.close()
            raise
        return pod, address

    def socket(self) -> socket.socket:
        """Return a TCP socket that lives on the node; a thread may be elsewhere for the moment that this takes."""
        self._enter(self._there)
        try:
            return socket.socket()
        finally:
            self._enter(self._home)

    def close(self) -> None:
        """Let it go."""
        self._namespace.close()
        os.close(self._home)
        os.close(self._there)

    def _enter(self, descriptor: int) -> None:
        if self._libc.setns(descriptor, _NEW_NETWORK):
            raise OSError(ctypes.get_errno(), "setns")
