"""Tells the observer of each request to the ledger, for whoever has no counting of its own: the reclaimer.

The agent counts its flights itself. A request counts once, however patiently it is repeated underneath, and a write
that somebody else was faster with is ``refused``, as in the agent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from typing import TypeVar

from sidecar.core.records import Listing, SeatRecord, Stored
from sidecar.errors import Conflict, LedgerOutage
from sidecar.ports import Ledger, Observer, Outcome, Target

T = TypeVar("T")


class CountedLedger:
    """A ``Ledger`` whose requests are counted and timed."""

    def __init__(self, ledger: Ledger, observer: Observer) -> None:
        """Wrap a ledger."""
        self._ledger = ledger
        self._observer = observer

    async def list(self) -> Listing:
        """Return everything in it."""
        return await self._counted("list", self._ledger.list())

    async def read(self, name: str) -> Stored | None:
        """Return one record, or None."""
        return await self._counted("read", self._ledger.read(name))

    async def create(self, record: SeatRecord) -> Stored:
        """Write a record that must not exist yet. Raises ``Conflict``."""
        return await self._counted("write", self._ledger.create(record))

    async def replace(self, expected: Stored, record: SeatRecord) -> Stored:
        """Write over exactly ``expected.version``. Raises ``Conflict``."""
        return await self._counted("write", self._ledger.replace(expected, record))

    async def erase(self, expected: Stored) -> None:
        """Remove exactly ``expected.version``. Raises ``Conflict``."""
        await self._counted("erase", self._ledger.erase(expected))

    def follow(self) -> AsyncGenerator[Listing, None]:
        """Yield the ledger's content now and after each change; a watch is counted where it is asked for."""
        return self._ledger.follow()

    async def _counted(self, operation: str, request: Awaitable[T]) -> T:
        clock = asyncio.get_running_loop().time
        began, outcome = clock(), Outcome.ERROR
        try:
            answer = await request
            outcome = Outcome.OK
        except Conflict:
            outcome = Outcome.REFUSED
            raise
        except LedgerOutage:
            outcome = Outcome.RETRYABLE
            raise
        finally:
            self._observer.requested(Target.LEDGER, operation, outcome, clock() - began)
        return answer
