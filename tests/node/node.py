"""A node of a cluster: containerd and a kubelet, as a machine has them, and their death without a word.

Several fit into one room: each has an address, ports and folders of its own. They share its kernel, its routes and one
kube-proxy, as if they were on one switch.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from tests.cluster.control_plane.api import wait_for
from tests.cluster.control_plane.children import Child
from tests.cluster.control_plane.credentials import write_private
from tests.cluster.control_plane.plane import ControlPlane
from tests.node.dns import DOMAIN
from tests.node.runtime import Runtime
from tests.process.processes import ask

READY_LIMIT: Final = 120.0
_KUBELET: Final = "kubelet.config.k8s.io/v1beta1"
_PROXY_PORT: Final = 10256
_OK: Final = 200
_PROXY: Final = "kubeproxy.config.k8s.io/v1alpha1"


class Node:
    """One node, from ``start`` to ``stop`` or ``die``."""

    def __init__(self, plane: ControlPlane, number: int, folder: Path, *, kubelet: Path, dns: str) -> None:
        """Write the settings of its programs.

        Args:
            plane: the cluster that it joins
            number: from 1; address, ports and range of pods follow from it
            folder: the room's
            kubelet: the program
            dns: the address that pods ask for names

        """
        self.name = f"node-{number}"
        self.address = node_address(number)
        self.lives = True
        self._plane = plane
        self._folder = folder / self.name
        self._folder.mkdir()
        self.runtime = Runtime(self.name, self._folder / "c", f"10.244.{number}.0/24")
        (self._folder / "resolv.conf").touch()
        self._logs = Path(f"/var/log/pods-{number}")
        port = 10250 + 10 * number
        settings = {
            "apiVersion": _KUBELET,
            "kind": "KubeletConfiguration",
            "address": self.address,
            "port": port,
            "healthzPort": 0,
            # Nobody but this room can reach it: whoever can may ask for logs.
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "containerRuntimeEndpoint": self.runtime.endpoint,
            "cgroupDriver": "cgroupfs",
            # Control groups for quality of service want a hierarchy that a machine's init has prepared.
            "cgroupsPerQOS": False,
            "enforceNodeAllocatable": [],
            "failCgroupV1": False,
            "failSwapOn": False,
            "localStorageCapacityIsolation": False,
            # How full the disk of this machine is is none of the tests' affair.
            "evictionHard": {"nodefs.available": "0%", "imagefs.available": "0%", "memory.available": "0%"},
            "imageGCHighThresholdPercent": 100,
            "oomScoreAdj": 0,
            "clusterDNS": [dns],
            "clusterDomain": DOMAIN,
            "resolvConf": str(self._folder / "resolv.conf"),
            "podLogsDir": str(self._logs),
            "volumePluginDir": str(self._folder / "volume-plugins"),
            "nodeStatusUpdateFrequency": "5s",
            # A Secret that changes reaches a pod within this and what the kubelet's watch needs.
            "syncFrequency": "10s",
        }
        self._command = [
            str(kubelet),
            f"--config={write_private(self._folder / 'kubelet.json', settings)}",
            f"--kubeconfig={identity(plane, self._folder, 'kubelet', f'system:node:{self.name}', 'system:nodes')}",
            f"--node-ip={self.address}",
            f"--hostname-override={self.name}",
            f"--root-dir={self._folder / 'kubelet'}",
        ]
        self._kubelet: Child | None = None

    def start(self, *images: Path) -> None:
        """Start it, bring images to it, and wait until the cluster calls it ready."""
        self.runtime.start()
        for image in images:
            self.runtime.load(image)
        self._kubelet = Child("kubelet", self._command, self._folder)

        def ready() -> bool:
            assert self._kubelet is not None
            if self._kubelet.code is not None:
                raise RuntimeError(self._kubelet.last_words())
            found = self._plane.admin.find("nodes", self.name)
            return found is not None and is_ready(found) and not found["spec"].get("taints")

        try:
            wait_for(f"{self.name} to be ready", ready, limit=READY_LIMIT)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self._kubelet.last_words()}") from error

    def die(self) -> None:
        """End everything on it at once and without a word, as a machine that loses its power."""
        self.lives = False
        containers = self.runtime.processes().values()
        if self._kubelet is not None:
            self._kubelet.end(polite=0)
        self.runtime.kill()
        for pid in {*containers, *_shims(self.runtime.socket)}:
            _kill(pid)

    def logs(self, namespace: str, pod: str = "*") -> str:
        """Return what the containers of a pod, or of all pods of a namespace, wrote."""
        files = sorted(self._logs.glob(f"{namespace}_{pod}_*/*/*.log"))
        return "".join(f"--- {file.relative_to(self._logs)}\n{file.read_text()}" for file in files)


class Proxy:
    """kube-proxy: addresses of Services become addresses of pods, for all nodes of the room."""

    def __init__(self, plane: ControlPlane, folder: Path, program: Path) -> None:
        """Start it; it does nothing before its own node has joined the cluster."""
        config = identity(plane, folder, "kube-proxy", "system:kube-proxy", "")
        settings = {
            "apiVersion": _PROXY,
            "kind": "KubeProxyConfiguration",
            "mode": "iptables",
            "clientConnection": {"kubeconfig": str(config)},
            "clusterCIDR": "10.244.0.0/16",
            "hostnameOverride": "node-1",
            "healthzBindAddress": f"127.0.0.1:{_PROXY_PORT}",
            "metricsBindAddress": "127.0.0.1:10249",
            # The kernel's tables belong to the whole machine: left as they are.
            "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        }
        self._child = Child(
            "kube-proxy", [str(program), f"--config={write_private(folder / 'kube-proxy.json', settings)}"], folder
        )

    def await_rules(self) -> None:
        """Wait until it has written its rules."""

        def ready() -> bool:
            if self._child.code is not None:
                raise RuntimeError(self._child.last_words())
            return ask(f"http://127.0.0.1:{_PROXY_PORT}/healthz")[0] == _OK

        wait_for("kube-proxy", ready, limit=READY_LIMIT)

    def stop(self) -> None:
        """End it."""
        self._child.end()


def node_address(number: int) -> str:
    """Return the address of a node: a private one, for kubelets refuse loopback addresses."""
    return f"10.250.0.{number}"


def identity(plane: ControlPlane, folder: Path, program: str, user: str, group: str) -> Path:
    """Write a kubeconfig with a certificate, as a program of a node has one."""
    certificate, key = plane.client_certificate(user, group)
    held = {"client-certificate": certificate, "client-key": key}
    for name, content in held.items():
        file = folder / f"{program}.{name}"
        file.touch(mode=0o600)
        file.write_bytes(content)
    server = {"server": plane.url, "certificate-authority": str(plane.ca_file)}
    known = {name: str(folder / f"{program}.{name}") for name in held}
    return write_private(
        folder / f"{program}.kubeconfig",
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": server}],
            "users": [{"name": "test", "user": known}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "current-context": "test",
        },
    )


def is_ready(found: dict[str, Any]) -> bool:
    """Tell whether a node or a pod has the condition Ready."""
    conditions = {one["type"]: one["status"] for one in found.get("status", {}).get("conditions", ())}
    return conditions.get("Ready") == "True"


def _shims(socket: Path) -> list[int]:
    """Return the processes that hold the containers of one containerd."""
    return _processes(lambda words: "containerd-shim" in words[0] and str(socket) in words)


def _processes(wanted: Callable[[list[str]], bool]) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
        except OSError:  # it ended meanwhile
            continue
        if wanted(words):
            found.append(int(entry.name))
    return found


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):  # it ended meanwhile
        os.kill(pid, signal.SIGKILL)
