"""Who lives, outside Kubernetes: each instance holds a lock on its own file for its whole life (design.md section 6).

An instance's uid is kept under its name (``<name>.uid``), so that a restarted sidecar adopts its records; the lock is
on ``<uid>.alive``. That file is never renamed or removed by us, because a rename replaces the inode on which the lock
is held, and the new one would look free while its owner lives. In case somebody else does it (a restored backup,
``rm``), the file names its own inode: one that is not the owner's proves nothing. It must not touch seat records.

The lock is a ``flock``: the kernel drops it when the process ends, however it ends; it excludes a second descriptor of
the same process too; and it holds between containers of one host, which share inodes and the boot id.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote

from sidecar.adapters.disk_thread import DiskThread
from sidecar.adapters.file_ledger import TIMEOUT, explained
from sidecar.adapters.ledger_folder import LOCK, LedgerFolder, same_file, take
from sidecar.core.records import Owner, Sight, Standing
from sidecar.errors import LedgerOutage, Misconfigured

_ENTER_WITHIN: Final = 2.0
"""Seconds to wait for the own lock: somebody may just be looking at it, or a predecessor may be about to end."""
_READ_ONLY: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_UID: Final = re.compile(r"[0-9a-f]{32}")
_LONGEST_NAME: Final = 200
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_SHARED: Final = re.compile(
    r"9p|afs|beegfs|ceph|cifs|coda|fakeowner|fuse.*|gfs2|glusterfs|gpfs|lustre|ncpfs|nfs4?|ocfs2|orangefs|smb.*|virtiofs"
)
"""Types of file systems on which a free lock may only mean that we do not see the locks of another host."""


class FileInstances:
    """The port ``Owners`` over the ledger's folder. Without ``enter`` it only looks on (commands of the operator)."""

    def __init__(self, folder: Path, disk: DiskThread | None = None, *, timeout: float = TIMEOUT) -> None:
        """Take the folder; nothing is touched yet. ``disk``: the ledger's thread. ``timeout``: seconds for one look."""
        self._folder = LedgerFolder(folder)
        self._disk = disk or DiskThread("instances")
        self._timeout = timeout
        self._boot = _boot()
        self._lock: int | None = None
        self.owner = Owner(pod="", uid="", node=socket.gethostname(), boot=self._boot)

    @classmethod
    def enter(cls, folder: Path, name: str, disk: DiskThread | None = None, *, timeout: float = TIMEOUT) -> Self:
        """Become the instance of this name, for as long as this process lives; ``owner`` is what records name then.

        Blocks for some milliseconds, at most for ``timeout`` or two seconds. Raises ``Misconfigured`` (the name is not
        usable, or another process has it) or ``LedgerOutage``.
        """
        self = cls(folder, disk, timeout=timeout)
        try:
            self._enter(name)
        except OSError as error:
            raise explained(folder, error) from error
        return self

    async def look(self, owner: Owner) -> Sight:
        """Look at one owner. Raises ``LedgerOutage`` where looking itself fails.

        A held lock proves life. A free one proves death only if the owner would hold it where we can see it: in the
        same boot of the same machine, on a file system that is not shared with others (design.md section 6).
        """
        try:
            return await self._disk.run(lambda _: self._look(owner), seconds=self._timeout)
        except OSError as error:
            raise self._outage(error) from error

    async def glance(self, owners: Sequence[Owner]) -> Mapping[str, Sight]:  # noqa: ARG002 - the port's
        """Return nobody: a single look costs microseconds here, and proves more."""
        return {}

    async def sees_itself(self) -> bool:
        """Prove that locks mean something here: ours is held, on the file that others look at.

        Raises ``LedgerOutage`` where looking itself fails.
        """
        try:
            return await self._disk.run(self._sees_itself, seconds=self._timeout)
        except OSError as error:
            raise self._outage(error) from error

    def close(self) -> None:
        """Give the instance up (for tests and orderly ends; the kernel does the same at any end)."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        self._disk.close()

    def _enter(self, name: str) -> None:
        file_name = _file_name(name)
        self._folder.make()
        uid = self._uid(file_name)
        lock = self._folder.open(_alive(uid), os.O_RDWR | os.O_CREAT)
        if not take(lock, fcntl.LOCK_EX, time.monotonic() + min(_ENTER_WITHIN, self._timeout)):
            os.close(lock)
            raise Misconfigured(
                f"pod.name: another process runs as the instance {name!r} on the ledger {self._folder.path} "
                "(ledger.dir); give each its own name, or end the other one first"
            )
        try:
            note = {"inode": os.fstat(lock).st_ino, "instance": name, "boot": self._boot, "pid": os.getpid()}
            os.ftruncate(lock, 0)
            os.pwrite(lock, json.dumps(note).encode() + b"\n", 0)
            os.fsync(lock)
        except BaseException:
            os.close(lock)
            raise
        self._lock = lock
        self.owner = Owner(pod=name, uid=uid, node=self.owner.node, boot=self._boot)

    def _uid(self, file_name: str) -> str:
        """Return the uid kept under the name; a new one is written first. Two that start at once agree on one."""
        path = self._folder.path / f"{file_name}.uid"

        def absent() -> None:
            if path.exists():
                raise FileExistsError

        if not path.exists():
            try:
                text = f"{os.urandom(16).hex()}\n".encode()
                self._folder.put(path.name, text, absent, time.monotonic() + self._timeout)
            except FileExistsError:
                pass
        file = self._folder.open(path.name, os.O_RDONLY)
        try:
            uid = os.read(file, 100).decode("ascii", "replace").strip()
        finally:
            os.close(file)
        if _UID.fullmatch(uid) is None:
            raise Misconfigured(
                f"ledger.dir: {path} does not hold the uid of an instance; look at it, then remove it (seats of the "
                "former uid are reclaimed like those of any instance that is gone)"
            )
        return uid

    def _look(self, owner: Owner) -> Sight:
        if _UID.fullmatch(owner.uid) is None:
            return Sight(Standing.UNPROVEN, "its owner is no instance of a file ledger")
        try:
            file = self._folder.open(_alive(owner.uid), os.O_RDONLY)
        except FileNotFoundError:
            self._folder.path.stat()  # no file, or no folder? the latter is an outage
            return Sight(Standing.UNPROVEN, "the lock file of its owner is missing")
        try:
            try:
                # Shared, so that two who look do not see each other; the owner's is exclusive. One who enters at this
                # very moment is held up for microseconds, and tries again.
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return Sight(Standing.LIVE, "its owner holds its lock")
            genuine = _named_inode(file) == os.fstat(file).st_ino
            return proven_by_a_free_lock(genuine, bool(owner.boot) and owner.boot == self._boot, _file_system(file))
        finally:
            os.close(file)

    def _sees_itself(self, deadline: float) -> bool:
        if self._lock is None:
            return self._locks_work(deadline)
        path = self._folder.path / _alive(self.owner.uid)
        if not same_file(self._lock, path):
            self._folder.path.stat()
            return False
        file = self._folder.open(path.name, os.O_RDONLY)
        try:
            return _named_inode(file) == os.fstat(file).st_ino and not take(file, fcntl.LOCK_SH, 0)
        finally:
            os.close(file)

    def _locks_work(self, deadline: float) -> bool:
        """Try on the ledger's own lock file whether one descriptor's lock refuses another's."""
        with self._folder.locked(deadline, shared=True):
            try:
                file = self._folder.open(LOCK, os.O_RDWR)
            except OSError as error:
                if error.errno not in _READ_ONLY:
                    raise
                file = self._folder.open(LOCK, os.O_RDONLY)  # enough but for NFS; for a person who may only look
            try:
                return not take(file, fcntl.LOCK_EX, 0)
            finally:
                os.close(file)

    def _outage(self, error: OSError) -> LedgerOutage:
        why = f"no answer within {self._timeout:g} s" if isinstance(error, TimeoutError) else error.strerror
        return LedgerOutage(f"the instances in {self._folder.path} (ledger.dir) cannot be looked at: {why}")


def proven_by_a_free_lock(genuine: bool, same_boot: bool, file_system: str) -> Sight:
    """Return what it means that an owner's lock is free: gone, only if he would hold it where we can see it.

    ``genuine``: the file is the one that the owner locked. ``file_system``: its type, empty if unknown.
    """
    if not genuine:
        return Sight(Standing.UNPROVEN, "the lock file of its owner was replaced: the owner may hold the former one")
    if not same_boot:
        return Sight(Standing.UNPROVEN, "its owner ran on another machine, or before this one was booted")
    if not file_system or _SHARED.fullmatch(file_system):
        return Sight(Standing.UNPROVEN, f"a free lock proves nothing on this file system ({file_system or 'unknown'})")
    return Sight(Standing.GONE, "the lock of its owner is free")


def _alive(uid: str) -> str:
    return f"{uid}.alive"


def _file_name(name: str) -> str:
    """Return the instance's name as a file name: everything unusual is encoded, so nothing leads out of the folder."""
    text = quote(name, safe="")
    if text.startswith("."):
        text = f"%2E{text[1:]}"
    if not name.strip():
        raise Misconfigured("pod.name is empty: name this instance")
    if len(text) > _LONGEST_NAME:
        raise Misconfigured(f"pod.name is too long to be a file name: use {_LONGEST_NAME} letters or less")
    return text


def _named_inode(file: int) -> int | None:
    """Return the inode that the lock file names as its own; None if it names none."""
    try:
        note = json.loads(os.pread(file, 4096, 0))
    except ValueError:
        return None
    inode = note.get("inode") if isinstance(note, dict) else None
    return inode if isinstance(inode, int) else None


def _boot() -> str:
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except (OSError, ValueError):
        return ""


def _file_system(file: int) -> str:
    """Return the type of the file system on which an open file lies, empty if it is not to be found out.

    By mount id: Python has no ``statfs`` with the type, and comparing paths goes wrong under links and bind mounts.
    """
    try:
        info = Path(f"/proc/self/fdinfo/{file}").read_text("ascii")
        mounts = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape")
    except OSError:
        return ""
    mount_id = re.search(r"^mnt_id:\s*(\d+)$", info, re.MULTILINE)
    return file_system_of(mounts, mount_id[1]) if mount_id else ""


def file_system_of(mounts: str, mount_id: str) -> str:
    """Return the type of a mount from the text of ``/proc/self/mountinfo`` (proc(5)), empty if it is not in there."""
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        if before.split(" ", 1)[0] == mount_id:
            return after.split(" ", 1)[0]
    return ""
