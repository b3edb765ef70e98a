"""containerd on one node: its settings, the pods' network, its images, and the processes of its containers.

It knows nothing of Kubernetes. All that it writes goes below one folder, and below folders that the room replaced.
"""

from __future__ import annotations

import json
import secrets
import subprocess
from pathlib import Path
from typing import Final

from tests.cluster.control_plane.api import wait_for
from tests.cluster.control_plane.children import Child
from tests.node.images import PAUSE
from tests.node.programs import CNI

_NAMESPACE: Final = "k8s.io"
_CONFIG: Final = """
version = 2
root = "{folder}/root"
state = "{folder}/state"
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  disable_apparmor = true
  # Whoever runs this may be forbidden to lower the score of a process.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni}"
    conf_dir = "{folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{snapshotter}"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
"""


class Runtime:
    """One containerd with a socket, images and a range of addresses for pods of its own."""

    def __init__(self, name: str, folder: Path, pods: str) -> None:
        """Write its settings; ``pods`` is the range of addresses, such as ``10.244.1.0/24``."""
        self.folder = folder
        self.socket = folder / "c.sock"
        self._name = name
        (folder / "cni").mkdir(parents=True)
        (folder / "config.toml").write_text(
            _CONFIG.format(folder=folder, socket=self.socket, pause=PAUSE, cni=CNI, snapshotter=_snapshotter())
        )
        addresses = {"type": "host-local", "dataDir": f"{folder}/addresses", "ranges": [[{"subnet": pods}]]}
        network = {
            "cniVersion": "0.4.0",
            "name": f"pods-{name}",
            "plugins": [
                {"type": "ptp", "ipMasq": False, "ipam": addresses | {"routes": [{"dst": "0.0.0.0/0"}]}},
                {"type": "portmap", "capabilities": {"portMappings": True}},
            ],
        }
        (folder / "cni" / "10-pods.conflist").write_text(json.dumps(network))
        self._child: Child | None = None

    @property
    def endpoint(self) -> str:
        """Return what a kubelet is told."""
        return f"unix://{self.socket}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._child = Child(
            "containerd", ["/usr/bin/containerd", "--config", f"{self.folder}/config.toml"], self.folder
        )

        def answers() -> bool:
            assert self._child is not None
            if self._child.code is not None:
                raise RuntimeError(self._child.last_words())
            return self._run("version").returncode == 0

        wait_for("containerd", answers)

    def kill(self) -> None:
        """End it without a word; its containers go on."""
        if self._child is not None:
            self._child.end(polite=0)

    def load(self, image: Path) -> None:
        """Bring an image from a file."""
        done = self._run("images", "import", "--snapshotter", _snapshotter(), str(image))
        if done.returncode:
            raise RuntimeError(done.stderr[-1000:])

    def processes(self) -> dict[str, int]:
        """Return the first process of each container that runs, by the container's id."""
        lines = self._run("tasks", "list").stdout.splitlines()[1:]
        rows = [line.split() for line in lines]
        return {row[0]: int(row[1]) for row in rows if row[2] == "RUNNING"}

    def execute(self, container: str, *command: str) -> str:
        """Run a command in a container and return what it printed.

        Raises:
            RuntimeError: it ended with another code than 0.

        """
        done = self._run("tasks", "exec", "--exec-id", secrets.token_hex(6), container, *command)
        if done.returncode:
            raise RuntimeError(f"exit code {done.returncode}: {done.stderr[-1000:]}{done.stdout[-1000:]}")
        return done.stdout

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = ["ctr", "--address", str(self.socket), "--namespace", _NAMESPACE, *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def _snapshotter() -> str:
    # native copies every layer for every container, and works on every file system.
    return "overlayfs" if "\toverlay\n" in Path("/proc/filesystems").read_text() else "native"
