"""The node and its room: what the other tests believe of them is true."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.cluster.control_plane.api import wait_for
from tests.cluster.control_plane.plane import ControlPlane
from tests.node.enclosure import FOLDER, ROOT
from tests.node.node import Node, is_ready
from tests.node.pod import runs


def test_a_node_joins_the_cluster(plane: ControlPlane, node: Node) -> None:
    """The kubelet registers it, and the controllers call it ready."""
    found = plane.admin.get("nodes", node.name)
    assert is_ready(found)
    assert found["status"]["nodeInfo"]["kubeletVersion"] == plane.version
    assert found["status"]["nodeInfo"]["containerRuntimeVersion"].startswith("containerd://")


def test_a_room_ends_with_whoever_made_it(room: Path) -> None:
    """Killed without a word, it leaves no process; ended politely, no folder either. Its network is its own."""
    environment = {name: value for name, value in os.environ.items() if name != FOLDER}
    command = 'ip -oneline link; echo "$LICENSE_SIDECAR_NODE_FOLDER"; sleep 600 & wait'
    for number in (signal.SIGKILL, signal.SIGTERM):
        maker = subprocess.Popen(
            [sys.executable, "-m", "tests.node.enclosure", "sh", "-c", command],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert maker.stdout is not None
        links, folder = maker.stdout.readline(), Path(maker.stdout.readline().strip())
        assert "lo:" in links
        assert folder.is_dir()
        found = [int(entry.name) for entry in Path("/proc").glob("[0-9]*")]
        inside = [pid for pid in found if folder.name in variables(pid)]
        assert len(inside) >= 3  # init, shell, sleep
        maker.send_signal(number)
        maker.wait(20)
        maker.stdout.close()
        wait_for("the end of all processes", lambda inside=inside: not any(runs(pid) for pid in inside))  # type: ignore[misc]
        assert folder.exists() == (number is signal.SIGKILL)
        if folder.exists():
            subprocess.run(["rm", "-r", str(folder)], check=True)


def variables(pid: int) -> str:
    """Return the environment of a process, empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/environ").read_text(errors="replace")
    except OSError:
        return ""
