"""The ledger of the simulations: the API server's semantics in memory, for any number of sidecars on one loop.

Deterministic: no thread, no clock, no randomness, no iteration over a set. Latency and faults come from the hooks. The
contract suite runs against it as against the real ledgers, which is what makes its word worth something.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

from sidecar.core.records import Listing, SeatRecord, Stored
from sidecar.errors import Conflict

Hook = Callable[[str, str], Awaitable[None]]
"""Awaited with the operation (``list read create replace erase follow``) and the record's name (empty for the folder).

Whatever it raises reaches the caller: ``LedgerOutage`` for a fault, nothing after a wait for a latency.
"""


async def at_once(_operation: str, _name: str) -> None:
    """Neither wait nor fail."""


class MemoryLedger:
    """The port ``Ledger``. ``before`` runs before an operation takes effect, ``after`` before its answer is given.

    A fault in ``before`` is a request that was lost, one in ``after`` an answer that was lost. Sidecars that need
    hooks of their own take a ``seen_by``.
    """

    def __init__(self, before: Hook = at_once, after: Hook = at_once) -> None:
        """Start empty."""
        self._content = _Content()
        self._before = before
        self._after = after

    def seen_by(self, before: Hook = at_once, after: Hook = at_once) -> MemoryLedger:
        """Return another view of the same content with hooks of its own."""
        view = MemoryLedger(before, after)
        view._content = self._content
        return view

    @property
    def content(self) -> Listing:
        """Return what is in it right now, for assertions: no hook, no await."""
        return self._content.listing()

    async def list(self) -> Listing:
        """Return everything in it."""
        await self._before("list", "")
        listing = self._content.listing()
        await self._after("list", "")
        return listing

    async def read(self, name: str) -> Stored | None:
        """Return one record, or None."""
        await self._before("read", name)
        stored = self._content.records.get(name)
        await self._after("read", name)
        return stored

    async def create(self, record: SeatRecord) -> Stored:
        """Write a record that must not exist yet. Raises ``Conflict``."""
        name = record.identity.name
        await self._before("create", name)
        stored = self._content.write(name, None, record)
        await self._after("create", name)
        return stored

    async def replace(self, expected: Stored, record: SeatRecord) -> Stored:
        """Write over exactly ``expected.version``. Raises ``Conflict``."""
        if record.identity != expected.record.identity:
            raise ValueError("a record keeps its identity: another seat is another record")
        name = expected.name
        await self._before("replace", name)
        stored = self._content.write(name, expected, record)
        await self._after("replace", name)
        return stored

    async def erase(self, expected: Stored) -> None:
        """Remove exactly ``expected.version``. Raises ``Conflict`` (``current`` None: it was gone already)."""
        name = expected.name
        await self._before("erase", name)
        self._content.erase(name, expected)
        await self._after("erase", name)

    async def follow(self) -> AsyncGenerator[Listing, None]:
        """Yield the content now and after each change; changes while the reader is busy are told as one."""
        changed = asyncio.Event()
        self._content.followers.append(changed)
        try:
            while True:
                await self._before("follow", "")
                changed.clear()
                yield self._content.listing()
                await changed.wait()
        finally:
            self._content.followers.remove(changed)


class _Content:
    def __init__(self) -> None:
        self.records: dict[str, Stored] = {}
        self.followers: list[asyncio.Event] = []
        self._writes = 0  # the API server's resourceVersion: one count for everything
        self._listing: Listing | None = None

    def listing(self) -> Listing:
        if self._listing is None:
            self._listing = Listing(tuple(self.records[name] for name in sorted(self.records)))
        return self._listing

    def write(self, name: str, expected: Stored | None, record: SeatRecord) -> Stored:
        self._expect(name, expected)
        self._writes += 1
        stored = Stored(record, str(self._writes))
        self.records[name] = stored
        self._tell()
        return stored

    def erase(self, name: str, expected: Stored) -> None:
        self._expect(name, expected)
        self._writes += 1
        del self.records[name]
        self._tell()

    def _expect(self, name: str, expected: Stored | None) -> None:
        current = self.records.get(name)
        if (current and current.version) != (expected and expected.version):
            raise Conflict(name, current)

    def _tell(self) -> None:
        self._listing = None
        for changed in self.followers:
            changed.set()
