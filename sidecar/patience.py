"""Bounded retries inside one operation: three attempts, for a ledger that was only busy for a moment.

Lasting retries are the machine's affair (``core.policy``); this decorator around the port spares it a round of grace
for a lock that was taken or a request that was cut. The simulation wraps its ledger in the same way.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from random import Random
from typing import Final

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt

from sidecar.core.records import Listing, SeatRecord, Stored
from sidecar.errors import LedgerOutage
from sidecar.ports import Ledger

ATTEMPTS: Final = 3
_BASE: Final = 0.05
"""Seconds: three attempts must fit into a shutdown of two seconds."""


class PatientLedger:
    """A ``Ledger`` that tries up to three times before it calls something an outage."""

    def __init__(self, ledger: Ledger, random: Random, sleep: Callable[[float], Awaitable[None]]) -> None:
        """Wrap a ledger; ``random`` and ``sleep`` are passed so that simulations stay in virtual time."""
        self._ledger = ledger

        def wait(state: RetryCallState) -> float:
            return _BASE * 2.0 ** (state.attempt_number - 1) * (0.5 + random.random())

        # A positive list of types: tenacity's negated ones would also retry a CancelledError.
        self._retrying = AsyncRetrying(
            stop=stop_after_attempt(ATTEMPTS),
            retry=retry_if_exception_type(LedgerOutage),
            wait=wait,
            sleep=sleep,
            reraise=True,
        )

    async def list(self) -> Listing:
        """Return everything in it."""
        return await self._retrying(self._ledger.list)

    async def read(self, name: str) -> Stored | None:
        """Return one record, or None."""
        return await self._retrying(self._ledger.read, name)

    async def create(self, record: SeatRecord) -> Stored:
        """Write a record that must not exist yet. Raises ``Conflict``, also if an unanswered attempt made it."""
        return await self._retrying(self._ledger.create, record)

    async def replace(self, expected: Stored, record: SeatRecord) -> Stored:
        """Write over exactly ``expected.version``. Raises ``Conflict``."""
        return await self._retrying(self._ledger.replace, expected, record)

    async def erase(self, expected: Stored) -> None:
        """Remove exactly ``expected.version``. Raises ``Conflict``."""
        await self._retrying(self._ledger.erase, expected)

    def follow(self) -> AsyncGenerator[Listing, None]:
        """Yield the ledger's content now and after each change."""
        return self._ledger.follow()
