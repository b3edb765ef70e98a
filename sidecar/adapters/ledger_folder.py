"""The file ledger's folder as blocking calls: its lock, its atomic writes, its listing (design.md section 6).

All of it runs in a thread and raises ``OSError``; ``file_ledger`` and ``file_instances`` translate. It must never write
over, move or remove a file that it cannot read as a seat record.

What lies in the folder::

    .lock               flock: exclusive for a write, shared for a listing; never renamed or removed
    seat-….json         one seat record
    <instance>.uid      the uid of the instance of that name        (file_instances)
    <uid>.alive         locked for as long as that instance lives   (file_instances)
    .tmp-…              a write that has not been renamed yet, or whose writer died

Modes: files 0660, and a folder that we make 2770, so that sidecars that run as different users work together as soon as
they share a group (``fsGroup``, ``group_add``). The umask is overridden: with the usual 022 they would lock each other
out. Nothing in here is a secret, but it is nobody else's affair either. ``flock`` works between containers of one
host, since it belongs to the host's inode and not to any namespace.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sidecar.adapters.record_file import LARGEST, Unreadable, decode, encode
from sidecar.core.records import Listing, SeatRecord, Stored, Stray
from sidecar.errors import Conflict, LedgerOutage

LOCK: Final = ".lock"
TEMPORARY: Final = ".tmp-"
_FILE_MODE: Final = 0o660
_FOLDER_MODE: Final = 0o2770
_ABANDONED_AFTER: Final = 600.0
"""Seconds after which a temporary file is a dead writer's: a write is given up after a few seconds."""
_RECORD: Final = re.compile(r"(seat-[0-9a-f]{40})\.json")
_INSTANCE: Final = re.compile(r".+\.(?:uid|alive)")
_ONE_FILE_ONLY: Final = frozenset({errno.EACCES, errno.EPERM, errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.ENODEV})
"""Errors that tell of one file; every other (EIO, ESTALE, EMFILE, …) tells of the disk or of us: an outage."""

Signature = tuple[tuple[str, int, int, int], ...]
"""For each entry its name, inode, time of change and size: two equal ones mean that nothing was written in between."""


class LedgerFolder:
    """The folder; holds nothing open between calls."""

    def __init__(self, path: Path) -> None:
        """Take the folder's path; nothing is touched yet."""
        self.path = path

    def make(self) -> None:
        """Make the folder if it is absent."""
        if self.path.is_dir():
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.mkdir(exist_ok=True)
        self.path.chmod(_FOLDER_MODE)

    def try_out(self, deadline: float) -> None:
        """Lock, write, and remove a file, so that a folder that cannot hold a record is found out at once."""
        with self.locked(deadline):
            path = self._write_temporary(b"{}\n" * 512)
            path.unlink()
            self._sync()

    @contextmanager
    def locked(self, deadline: float, *, shared: bool = False) -> Iterator[None]:
        """Hold the folder's lock; ``deadline`` on ``time.monotonic`` bounds the wait for it.

        Raises ``LedgerOutage`` if another process keeps it that long.
        """
        how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        path = self.path / LOCK
        while True:
            lock = self.open(LOCK, os.O_RDONLY if shared and path.exists() else os.O_RDWR | os.O_CREAT)
            try:
                if not take(lock, how, deadline):
                    raise LedgerOutage(f"another process keeps the lock of the ledger, {path}")
                if same_file(lock, path):
                    yield
                    return
            finally:
                os.close(lock)  # releases the lock as well
            # Somebody replaced the file while we waited: what we hold is the lock of a dead inode, which excludes
            # nobody. Take that of the new one.
            if time.monotonic() >= deadline:
                raise LedgerOutage(f"the lock of the ledger, {path}, is replaced all the time")

    def open(self, name: str, flags: int) -> int:
        """Open a file of the folder; one that is made by this gets the ledger's mode. Links are not followed."""
        path = self.path / name
        if flags & os.O_CREAT:
            try:
                made = os.open(path, flags | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, _FILE_MODE)
            except FileExistsError:
                flags &= ~os.O_CREAT
            else:
                os.fchmod(made, _FILE_MODE)
                return made
        return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)

    def put(self, name: str, text: bytes, allowed: Callable[[], None], deadline: float) -> None:
        """Write a file whole: temporary file, fsync, and under the lock ``allowed()``, rename, fsync of the folder.

        The text reaches the disk before the lock is taken, so that many sidecars that end together do not wait for
        one another's fsync. ``allowed`` raises if the file must not be written now.
        """
        temporary = self._write_temporary(text)
        try:
            with self.locked(deadline):
                allowed()
                temporary.rename(self.path / name)
                self._sync()
        finally:
            temporary.unlink(missing_ok=True)

    def store(self, stored: Stored, expected: str | None, deadline: float) -> None:
        """Write a record over exactly the version ``expected`` (None: there must be no record). Raises ``Conflict``."""
        name = stored.name
        self.put(f"{name}.json", encode(stored), lambda: self._expect(name, expected), deadline)

    def erase(self, name: str, expected: str, deadline: float) -> None:
        """Remove exactly the version ``expected`` of a record. Raises ``Conflict``."""
        with self.locked(deadline):
            self._expect(name, expected)
            (self.path / f"{name}.json").unlink()
            self._sync()

    def read(self, name: str) -> Stored | None:
        """Return one record, or None. Raises ``Unreadable`` for a file of that name that is no record."""
        try:
            file = self.open(f"{name}.json", os.O_RDONLY)
        except FileNotFoundError:
            self.path.stat()  # no record, or no folder? the latter is an outage
            return None
        except OSError as error:
            if error.errno in _ONE_FILE_ONLY:
                raise Unreadable(f"it cannot be read: {error.strerror}") from error
            raise
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise Unreadable("it is no regular file")
            return decode(name, os.read(file, LARGEST + 1))
        finally:
            os.close(file)

    def listing(self, deadline: float) -> Listing:
        """Return all records and strays of one moment; temporary files of dead writers are removed on the way."""
        records: list[Stored] = []
        strays: list[Stray] = []
        with self.locked(deadline, shared=True):
            for entry in sorted(self._names()):
                if (match := _RECORD.fullmatch(entry)) is None:
                    strays.append(Stray(entry, "it is no file of this ledger"))
                    continue
                try:
                    stored = self.read(match[1])
                except Unreadable as fault:
                    strays.append(Stray(entry, str(fault)))
                else:
                    if stored is not None:
                        records.append(stored)
        return Listing(tuple(records), tuple(strays))

    def signature(self) -> tuple[Signature, float]:
        """Return the signature of the folder's content and the latest time of change in it (seconds since the epoch).

        Several changes within one tick of the file system's clock can look the same: trust it only once it is old.
        """
        entries: list[tuple[str, int, int, int]] = []
        latest = self.path.stat().st_mtime_ns
        for name in sorted(self._names()):
            try:
                it = (self.path / name).lstat()
            except FileNotFoundError:
                continue
            entries.append((name, it.st_ino, it.st_ctime_ns, it.st_size))
            latest = max(latest, it.st_ctime_ns)
        return tuple(entries), latest / 1e9

    def _names(self) -> Iterator[str]:
        """Yield what may be records or strays. Other names with a dot (``.nfs…``, ``.snapshot``) are the system's."""
        with os.scandir(self.path) as entries:
            for entry in entries:
                if entry.name.startswith(TEMPORARY):
                    self._sweep(entry)
                elif not (entry.name.startswith(".") or entry.name == "lost+found" or _INSTANCE.fullmatch(entry.name)):
                    yield entry.name

    def _sweep(self, entry: os.DirEntry[str]) -> None:
        try:
            if time.time() - entry.stat(follow_symlinks=False).st_mtime > _ABANDONED_AFTER:
                os.unlink(entry.path)  # noqa: PTH108 - a DirEntry is at hand, not a Path
        except OSError:
            pass  # its writer was faster, or we have no right to: it does no harm

    def _expect(self, name: str, expected: str | None) -> None:
        current = self.read(name)
        if (None if current is None else current.version) != expected:
            raise Conflict(name, current)

    def _write_temporary(self, text: bytes) -> Path:
        path = self.path / f"{TEMPORARY}{os.getpid()}-{os.urandom(6).hex()}"
        file = self.open(path.name, os.O_WRONLY | os.O_CREAT)
        try:
            try:
                rest = memoryview(text)
                while rest:
                    rest = rest[os.write(file, rest) :]
                os.fsync(file)
            finally:
                os.close(file)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return path

    def _sync(self) -> None:
        folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        except OSError as error:
            if error.errno != errno.EINVAL:  # CIFS and some FUSE file systems have no fsync of folders
                raise
        finally:
            os.close(folder)


def under_new_version(record: SeatRecord, expected: Stored | None) -> Stored:
    """Return the record under a version that was never used: a count for people, randomness as names come back."""
    count = "0" if expected is None else expected.version.partition("-")[0]
    return Stored(record, f"{int(count) + 1 if count.isdecimal() else 1}-{os.urandom(6).hex()}")


def take(file: int, how: int, deadline: float) -> bool:
    """Take a flock; return False if it is not to be had until ``deadline`` (on ``time.monotonic``).

    Polled, because a blocking ``flock`` can only be bounded by signals, which threads do not get.
    """
    pause = 0.0005
    while True:
        try:
            fcntl.flock(file, how | fcntl.LOCK_NB)
        except BlockingIOError:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(pause, left))
            pause = min(pause * 2, 0.01)
        else:
            return True


def same_file(file: int, path: Path) -> bool:
    """Tell whether an open file is still the one that stands under the path."""
    try:
        there = path.lstat()
    except FileNotFoundError:
        return False
    held = os.fstat(file)
    return (held.st_ino, held.st_dev) == (there.st_ino, there.st_dev)
