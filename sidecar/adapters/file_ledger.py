"""The ledger outside Kubernetes: a folder of JSON files that sidecars share (design.md section 6).

This is the asyncio side: total time-outs, and every failure as an exception of ``sidecar.errors``. It must not touch
the disk on the loop's thread, and decides nothing: what a record means is the core's affair.
"""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Final, TypeVar

from sidecar.adapters.disk_thread import DiskThread
from sidecar.adapters.ledger_folder import LedgerFolder, under_new_version
from sidecar.adapters.record_file import Unreadable
from sidecar.core.records import Listing, SeatRecord, Stored
from sidecar.errors import LedgerOutage, Misconfigured

T = TypeVar("T")

TIMEOUT: Final = 5.0
"""Seconds for one operation in all; a healthy disk takes milliseconds."""
POLL: Final = 1.0
_SETTLED_AFTER: Final = 2.0
"""Seconds after a change from which on equal signatures prove equal content (the coarsest clocks of file systems)."""

_MAY_PASS: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EMFILE})
"""Errors at start that pass without anybody changing a setting: waiting is right, and exit 78 would be wrong."""


class FileLedger:
    """The port ``Ledger`` over a folder. One instance a process; any number of processes on one folder."""

    def __init__(
        self, folder: Path, disk: DiskThread | None = None, *, timeout: float = TIMEOUT, poll: float = POLL
    ) -> None:
        """Take the folder; nothing is touched yet.

        ``disk``: the thread to share with others that use this disk (``FileInstances``). ``timeout``: seconds for one
        operation in all. ``poll``: seconds between two looks of ``follow``.
        """
        self._folder = LedgerFolder(folder)
        self._disk = disk or DiskThread("ledger")
        self._timeout = timeout
        self._poll = poll

    async def check(self) -> None:
        """Make the folder if it is absent, and prove that a record can be written, at start.

        Raises ``Misconfigured`` where somebody has to change something, ``LedgerOutage`` where waiting may help.
        """
        try:
            await self._disk.run(self._prove, seconds=self._timeout)
        except TimeoutError as error:
            raise LedgerOutage(self._silence()) from error

    async def list(self) -> Listing:
        """Return all records and strays of one moment, in the order of their names."""
        return await self._run(self._folder.listing, "read")

    async def read(self, name: str) -> Stored | None:
        """Return one record, or None. A file of that name that is no record is an outage: it must not be replaced."""
        return await self._run(lambda _: self._folder.read(name), "read")

    async def create(self, record: SeatRecord) -> Stored:
        """Write a record that must not exist yet. Raises ``Conflict``."""
        stored = under_new_version(record, None)
        await self._run(lambda deadline: self._folder.store(stored, None, deadline), "written")
        return stored

    async def replace(self, expected: Stored, record: SeatRecord) -> Stored:
        """Write over exactly ``expected.version``. Raises ``Conflict``."""
        if record.identity != expected.record.identity:
            raise ValueError("a record keeps its identity: another seat is another record")
        stored = under_new_version(record, expected)
        await self._run(lambda deadline: self._folder.store(stored, expected.version, deadline), "written")
        return stored

    async def erase(self, expected: Stored) -> None:
        """Remove exactly ``expected.version``. Raises ``Conflict`` (``current`` None: it was gone already)."""
        await self._run(lambda deadline: self._folder.erase(expected.name, expected.version, deadline), "written")

    async def follow(self) -> AsyncGenerator[Listing, None]:
        """Yield the content now and after each change, looked for once in ``poll`` seconds.

        Raises ``LedgerOutage`` and is over then: follow again. Changes between two looks are told as one.
        """
        told: Listing | None = None
        seen: tuple[object, bool] = (None, False)
        while True:
            signature, changed_at = await self._run(lambda _: self._folder.signature(), "read")
            if seen != (signature, True):
                # The signature was taken first: a change after it makes the next one differ. It proves something only
                # if the last change was old by then, or a second change within one tick would go unseen.
                listing = await self.list()
                seen = (signature, time.time() - changed_at > _SETTLED_AFTER)
                if listing != told:
                    told = listing
                    yield listing
            await asyncio.sleep(self._poll)

    def close(self) -> None:
        """Let the thread go; pending operations are not waited for."""
        self._disk.close()

    async def _run(self, work: Callable[[float], T], doing: str) -> T:
        try:
            return await self._disk.run(work, seconds=self._timeout)
        except TimeoutError as error:
            raise LedgerOutage(self._silence()) from error
        except Unreadable as fault:
            raise LedgerOutage(
                f"a file of that seat's name lies in {self._folder.path} (ledger.dir) and is left alone: {fault}; "
                "move it away after you have looked at it"
            ) from fault
        except OSError as error:
            raise LedgerOutage(
                f"the ledger's folder {self._folder.path} (ledger.dir) cannot be {doing}: {error.strerror}"
            ) from error

    def _silence(self) -> str:
        return f"the ledger's folder {self._folder.path} (ledger.dir) does not answer within {self._timeout:g} s"

    def _prove(self, deadline: float) -> None:
        prove_folder(self._folder.path, deadline)


def prove_folder(path: Path, deadline: float) -> None:
    """Make the ledger's folder if it is absent and prove that a record can be written; blocks for some milliseconds.

    ``deadline`` on ``time.monotonic`` bounds the wait for the lock. Raises ``Misconfigured`` or ``LedgerOutage``.
    """
    folder = LedgerFolder(path)
    try:
        folder.make()
        folder.try_out(deadline)
    except OSError as error:
        raise explained(path, error) from error


def explained(path: Path, error: OSError) -> Misconfigured | LedgerOutage:
    """Return what a failure of the folder at start means: a sentence that names the setting and says what to do."""
    what = f"ledger.dir: {path} cannot hold the ledger: {error.strerror}"
    if error.errno in _MAY_PASS:
        return LedgerOutage(f"{what}; it is tried again")
    match error.errno:
        case errno.EACCES | errno.EPERM:
            remedy = "let the user that runs this write there (by a group that all share, the files are group-writable)"
        case errno.EROFS:
            remedy = "mount a writable volume there, or name another folder"
        case errno.ENOTDIR | errno.EEXIST:
            remedy = "name a folder, not a file"
        case errno.ENOLCK | errno.EOPNOTSUPP | errno.ENOSYS:
            remedy = "name a folder on a file system with locks (flock)"
        case _:
            remedy = "name a folder that this user can write to"
    return Misconfigured(f"{what}; {remedy}")
