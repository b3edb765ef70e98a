"""A room for a node: network, mounts and processes of its own, so that nothing of it reaches the machine or stays.

    python -m tests.node.enclosure COMMAND...

runs a command there. kubelet, containerd and kube-proxy change what belongs to a whole machine: firewall rules,
routes, addresses, mounts, settings of the kernel. In namespaces of their own all of that ends with the last process,
however the run ended, and the last process ends with the first. What lost: cleaning up after them on the machine
itself, which never happens when the cleaner is killed, and which two runs at once do to each other.

Only control groups stay: those of containers that died with the room are removed by whoever waits for it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Final

FOLDER: Final = "LICENSE_SIDECAR_NODE_FOLDER"
"""The variable that says where the node's state goes, and by being there, that this is the room."""
ROOT: Final = Path(__file__).resolve().parents[2]
CGROUPS: Final = Path("/sys/fs/cgroup")
# Where a containerd of the room keeps a folder for each container that runs, under the name of its control group.
_CONTAINERS: Final = "*/c/state/io.containerd.runtime.v2.task/*/*"
# They are the whole machine's, and a kubelet writes them unless they are as it wants them: here it sees files.
_KERNEL: Final = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
# Folders that the programs write to whatever they are told.
_OWN: Final = ("/run", "/var/lib", "/var/log")


def run(command: Sequence[str]) -> int:
    """Run a command in a room of its own and return its exit code; nothing of it is left."""
    # Short: the path of a socket has at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="node-"))
    room = [
        *("setpriv", "--pdeathsig", "KILL"),
        *("unshare", "--net", "--mount", "--pid", "--ipc", "--fork", "--kill-child=KILL", "--mount-proc"),
        *(sys.executable, "-m", "tests.node.enclosure", "--inside", *command),
    ]
    child = subprocess.Popen(room, cwd=ROOT, env={**os.environ, FOLDER: str(folder)}, start_new_session=True)

    def end(number: int, _: FrameType | None) -> None:
        # unshare itself ignores both; the first process inside is its only child.
        for inside in Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split():
            os.kill(int(inside), number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    try:
        return child.wait()
    finally:
        child.kill()
        child.wait()
        _remove_cgroups(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _furnish(folder: Path) -> None:
    """Make the room what a fresh machine without a network is."""
    for place in _OWN:
        _do("mount", "-t", "tmpfs", "-o", "mode=0755", "node", place)
    masks = folder / "kernel"
    masks.mkdir()
    for name, value in _KERNEL.items():
        mask = masks / name.replace("/", ".")
        mask.write_text(f"{value}\n")
        _do("mount", "--bind", str(mask), f"/proc/sys/{name}")
    _do("ip", "link", "set", "lo", "up")


def _be_first(command: Sequence[str]) -> int:
    """Be the init of the room: start one command, forward signals, reap whoever ends, and end with the command."""
    pid = os.posix_spawnp(command[0], tuple(command), os.environ)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: os.kill(pid, number))
    while True:
        ended, status = os.wait()
        if ended == pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code  # as a shell says that it was a signal


def _remove_cgroups(folder: Path) -> None:
    """Remove the control groups of containers that died with the room: nobody was left to do it in order."""
    limit = time.monotonic() + 10
    for container in folder.glob(_CONTAINERS):
        for at in CGROUPS.glob(f"*/{container.parent.name}/{container.name}"):
            while at.is_dir() and time.monotonic() < limit:
                try:
                    at.rmdir()
                except OSError:  # its last process is not quite gone
                    time.sleep(0.05)
            with suppress(OSError):  # others are in there
                at.parent.rmdir()


def _do(*command: str) -> None:
    subprocess.run(command, check=True)


def main(words: Sequence[str]) -> int:
    """Be one side or the other."""
    if words[0] != "--inside":
        return run(words)
    _furnish(Path(os.environ[FOLDER]))
    return _be_first(words[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
