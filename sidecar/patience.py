"""Bounded retries inside one operation: three attempts, for a ledger that was only busy for a moment.

Lasting retries are the machine's affair (``core.policy``); this decorator around the port spares it a round of grace
for a lock that was taken or a request that was cut. The simulation wraps its ledger in the same way.

The first attempt is made without tenacity, which costs more than the ledger of a simulation does, and 10 ms of start-up
when it is loaded; nearly every process ends without having needed it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from random import Random
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sidecar.core.records import Listing, SeatRecord, Stored
from sidecar.errors import LedgerOutage
from sidecar.ports import Ledger

if TYPE_CHECKING:
    from tenacity import RetryCallState

T = TypeVar("T")

ATTEMPTS: Final = 3
_PATIENCE: Final = 1.0
"""Seconds: a ledger that wishes for a longer pause is an outage, for the machine to wait out."""
_BASE: Final = 0.05
"""Seconds: three attempts must fit into a shutdown of two seconds."""


class PatientLedger:
    """A ``Ledger`` that tries up to three times before it calls something an outage."""

    def __init__(self, ledger: Ledger, random: Random, sleep: Callable[[float], Awaitable[None]]) -> None:
        """Wrap a ledger; ``random`` and ``sleep`` are passed so that simulations stay in virtual time."""
        self._ledger = ledger
        self._random = random
        self._sleep = sleep

    async def list(self) -> Listing:
        """Return everything in it."""
        return await self._patiently(self._ledger.list)

    async def read(self, name: str) -> Stored | None:
        """Return one record, or None."""
        return await self._patiently(self._ledger.read, name)

    async def create(self, record: SeatRecord) -> Stored:
        """Write a record that must not exist yet. Raises ``Conflict``, also if an unanswered attempt made it."""
        return await self._patiently(self._ledger.create, record)

    async def replace(self, expected: Stored, record: SeatRecord) -> Stored:
        """Write over exactly ``expected.version``. Raises ``Conflict``."""
        return await self._patiently(self._ledger.replace, expected, record)

    async def erase(self, expected: Stored) -> None:
        """Remove exactly ``expected.version``. Raises ``Conflict``."""
        await self._patiently(self._ledger.erase, expected)

    def follow(self) -> AsyncGenerator[Listing, None]:
        """Yield the ledger's content now and after each change."""
        return self._ledger.follow()

    async def _patiently(self, call: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        try:
            return await call(*arguments)
        except LedgerOutage as outage:
            wish = outage.retry_after or 0.0
            if outage.lasting or wish > _PATIENCE:
                raise
            # What follows is no part of handling this failure.
        await self._sleep(max(self._pause(1), wish))
        return await self._again(call, *arguments)

    async def _again(self, call: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt  # noqa: PLC0415 - rarely needed

        def wait(state: RetryCallState) -> float:
            return self._pause(state.attempt_number + 1)

        # A positive list of types: tenacity's negated ones would also retry a CancelledError.
        retrying = AsyncRetrying(
            stop=stop_after_attempt(ATTEMPTS - 1),
            retry=retry_if_exception_type(LedgerOutage),
            wait=wait,
            sleep=self._sleep,
            reraise=True,
        )
        return await retrying(call, *arguments)

    def _pause(self, attempt: int) -> float:
        return _BASE * 2.0 ** (attempt - 1) * (0.5 + self._random.random())
