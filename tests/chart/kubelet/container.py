"""A container as a process: a root of its own, the pod's network, the numeric user, no capabilities.

Its root is made of this machine's /usr and this checkout's code and environment, read-only, and of the pod's volumes:
no image can be had here. It knows nothing of Kubernetes but what a container is told.
"""

from __future__ import annotations

import asyncio
import compileall
import contextlib
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.chart.kubelet.network import TIED, Namespace

CHECKOUT: Final = Path(__file__).resolve().parents[3]
PATH: Final = f"{sys.prefix}/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
_CODE: Final = tuple(
    dict.fromkeys(
        str(it)
        for it in (sys.base_prefix, sys.prefix, CHECKOUT / "sidecar", CHECKOUT / "mock_activation")
        if not str(it).startswith("/usr/")
    )
)
_FROM_ETC: Final = ("ld.so.cache", "nsswitch.conf", "host.conf")


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder or a file of this machine, and where the container sees it."""

    source: Path
    target: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class Launch:
    """Everything that is decided about a container before it starts."""

    command: Sequence[str]
    environment: Mapping[str, str]
    mounts: Sequence[Mount]
    user: int
    group: int
    read_only_root: bool
    network: Namespace
    hosts: Path
    root: Path
    log: Path


class Container:
    """One process in its namespaces; its id is that of the process, through all that it becomes."""

    def __init__(self, launch: Launch) -> None:
        """Start it."""
        self._launch = launch
        launch.root.mkdir(parents=True, exist_ok=True)
        loop = asyncio.get_running_loop()
        self._begun = asyncio.Event()
        self._line, other_end = os.pipe()
        with launch.log.open("ab") as log:
            self._popen = subprocess.Popen(
                [*TIED, "nsenter", f"--net={launch.network.file}", "unshare", "--mount", "sh", "-c", _script(launch)],
                stdin=other_end,  # closed by the container's last exec, which is how we learn of it
                stdout=log,
                stderr=subprocess.STDOUT,
                env={"PATH": PATH, **launch.environment},
                cwd="/",
                start_new_session=True,
            )
        os.close(other_end)
        loop.add_reader(self._line, self._hear)
        self.pid = self._popen.pid
        self._over = asyncio.Event()
        self._descriptor = os.pidfd_open(self.pid)
        loop.add_reader(self._descriptor, self._reap)

    async def begin(self) -> None:
        """Wait until its own command runs, or it has failed to come so far."""
        await self._begun.wait()

    async def wait(self) -> int:
        """Return its exit code as a container runtime tells it: 128 and the signal's number."""
        await self._over.wait()
        code = self._popen.wait()
        return 128 - code if code < 0 else code

    async def ends_within(self, seconds: float) -> bool:
        """Tell whether it has ended by then."""
        with contextlib.suppress(TimeoutError):
            # Not wait_for: until Python 3.12 it forgets that it was cancelled when the end comes at the same moment.
            async with asyncio.timeout(max(0, seconds)):
                await self._over.wait()
        return self._over.is_set()

    def signal(self, number: int) -> None:
        """Send it a signal; nothing if it has ended."""
        self._popen.send_signal(number)

    async def execute(self, command: Sequence[str], limit: float) -> tuple[int, str]:
        """Run a command in it, as its user; return code and output, 124 if that takes too long."""
        process = await asyncio.create_subprocess_exec(
            *enter(self.pid, self._launch),
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={"PATH": PATH, **self._launch.environment},
        )
        try:
            async with asyncio.timeout(limit):
                said, _ = await process.communicate()
        except TimeoutError:
            return 124, "it took too long"
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode is not None
        return process.returncode, said.decode(errors="replace")

    def _hear(self) -> None:
        asyncio.get_running_loop().remove_reader(self._line)
        os.close(self._line)
        self._begun.set()

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)
        self._popen.wait()
        self._over.set()


def enter(pid: int, launch: Launch) -> list[str]:
    """Return the command that goes into a running container."""
    return ["nsenter", f"--target={pid}", "--net", "--mount", "--root", "--wd", *_become(launch)]


def _become(launch: Launch) -> list[str]:
    # The parent's death again: a change of the user forgets it.
    return [
        *("setpriv", f"--reuid={launch.user}", f"--regid={launch.group}", "--clear-groups", "--no-new-privs"),
        *("--bounding-set=-all", "--inh-caps=-all", "--pdeathsig=KILL", "--"),
    ]


def _script(launch: Launch) -> str:
    """Return the shell script that builds the root and becomes the container."""
    root = launch.root
    lines = ["set -e", f"mount -t tmpfs -o mode=755,size=64m tmpfs {root}", f"cd {root}"]
    lines.append("mkdir -p etc proc dev run var tmp usr && chmod 1777 tmp && ln -s ../run var/run")
    for name in ("bin", "sbin", "lib", "lib64"):
        target = Path("/", name)
        if target.is_symlink():
            lines.append(f"ln -s {target.readlink()} {name}")
        elif target.is_dir():
            lines += _bind(target, root, f"/{name}", read_only=True)
    for folder in ("/usr", *_CODE):
        lines += _bind(Path(folder), root, folder, read_only=True)
    lines += [f"cp /etc/{name} etc/" for name in _FROM_ETC if Path("/etc", name).exists()]
    lines += [": > etc/resolv.conf", "mount --rbind /proc proc", "mount --rbind /dev dev"]
    lines += _bind(launch.hosts, root, "/etc/hosts", read_only=True)
    # The shallow ones first: one volume may lie in another.
    for mount in sorted(launch.mounts, key=lambda it: it.target.count("/")):
        lines += _bind(mount.source, root, mount.target, read_only=mount.read_only)
    if launch.read_only_root:
        lines.append(f"mount -o remount,ro {root}")
    last = ["sh", "-c", 'exec "$0" "$@" </dev/null', *launch.command]
    lines.append("cd / && exec " + shlex.join(["chroot", str(root), *_become(launch), *last]))
    return "\n".join(lines)


def _bind(source: Path, root: Path, target: str, *, read_only: bool) -> list[str]:
    place = shlex.quote(f"{root}{target}")
    folder = shlex.quote(str(Path(f"{root}{target}").parent))
    make = f"mkdir -p {place}" if source.is_dir() else f"mkdir -p {folder} && : > {place}"
    lines = [make, f"mount --bind {shlex.quote(str(source))} {place}"]
    return [*lines, f"mount -o remount,bind,ro {place}"] if read_only else lines


def compile_code() -> None:
    """Write the bytecode that containers cannot write on their read-only roots; the image has it too."""
    for folder in _CODE:
        if Path(folder).is_relative_to(CHECKOUT) and folder != sys.prefix:
            compileall.compile_dir(folder, quiet=2)


def possible() -> str:
    """Return what is missing for any of this on this machine; empty if nothing is."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "the chart's pods run in namespaces of the kernel, which takes root on Linux: run these tests as root"
    probe = subprocess.run(["unshare", "--mount", "--net", "true"], capture_output=True, check=False)
    return "" if probe.returncode == 0 else "the kernel lets nobody make namespaces here"
