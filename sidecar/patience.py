"""Bounded retries inside one operation: three attempts, for a ledger that was only busy for a moment.

Lasting retries are the machine's affair (``core.policy``); these decorators around the ports spare it a round of grace
for a lock that was taken or a request that was cut, and an operator a whole run for one 429. The simulation wraps its
ledger in the same way. A wish of the server is respected at each answer; one that is longer than there is patience for
is an outage at once, and so is what somebody must mend first.

The first attempt is made without tenacity, which costs more than the ledger of a simulation does, and 10 ms of start-up
when it is loaded; nearly every process ends without having needed it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sidecar.core.records import Listing, Owner, SeatRecord, Sight, Stored
from sidecar.errors import LedgerOutage
from sidecar.hook_ports import NamedPods
from sidecar.ports import Ledger, Owners

if TYPE_CHECKING:
    from tenacity import RetryCallState

T = TypeVar("T")

ATTEMPTS: Final = 3
SHORT: Final = 1.0
"""Seconds for each pause: a ledger that wishes for a longer one is an outage, for the machine to wait out."""
LONG: Final = 10.0
"""The same for a person's command: nobody comes back to it later. An API server that is busy wishes for 1 to 8 s."""
_BASE: Final = 0.05
"""Seconds: three attempts must fit into a shutdown of two seconds."""


class Patience:
    """Calls something up to three times before it calls it an outage; ``longest``: seconds for each pause."""

    def __init__(self, random: Random, sleep: Callable[[float], Awaitable[None]], *, longest: float = SHORT) -> None:
        """Take ``random`` and ``sleep``, so that simulations stay in virtual time."""
        self._random = random
        self._sleep = sleep
        self._longest = longest

    async def __call__(self, call: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        """Return what the call returns. Raises its last ``LedgerOutage``."""
        try:
            return await call(*arguments)
        except LedgerOutage as outage:
            if not self._passes(outage):
                raise
            pause = self._pause(1, outage)
            # What follows is no part of handling this failure.
        await self._sleep(pause)
        return await self._again(call, *arguments)

    async def _again(self, call: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt  # noqa: PLC0415 - rarely needed

        def wait(state: RetryCallState) -> float:
            return self._pause(state.attempt_number + 1, state.outcome.exception() if state.outcome else None)

        retrying = AsyncRetrying(
            stop=stop_after_attempt(ATTEMPTS - 1),
            retry=retry_if_exception(self._passes),
            wait=wait,
            sleep=self._sleep,
            reraise=True,
        )
        return await retrying(call, *arguments)

    def _passes(self, error: BaseException) -> bool:
        """Tell whether another attempt may help. A positive list: anything else would retry a CancelledError too."""
        return isinstance(error, LedgerOutage) and not error.lasting and (error.retry_after or 0.0) <= self._longest

    def _pause(self, attempt: int, error: BaseException | None) -> float:
        wish = error.retry_after if isinstance(error, LedgerOutage) else None
        return max(_BASE * 2.0 ** (attempt - 1) * (0.5 + self._random.random()), wish or 0.0)


class PatientLedger:
    """A ``Ledger`` that tries up to three times before it calls something an outage."""

    def __init__(
        self, ledger: Ledger, random: Random, sleep: Callable[[float], Awaitable[None]], *, longest: float = SHORT
    ) -> None:
        """Wrap a ledger; see ``Patience``."""
        self._ledger = ledger
        self._patiently = Patience(random, sleep, longest=longest)

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


class PatientOwners:
    """``Owners`` that are looked at up to three times: else one 429 among a thousand looks ended a whole scan."""

    def __init__(
        self, owners: Owners, random: Random, sleep: Callable[[float], Awaitable[None]], *, longest: float = SHORT
    ) -> None:
        """Wrap owners; see ``Patience``."""
        self._owners = owners
        self._patiently = Patience(random, sleep, longest=longest)

    async def look(self, owner: Owner) -> Sight:
        """Look at one owner."""
        return await self._patiently(self._owners.look, owner)

    async def glance(self, owners: Sequence[Owner]) -> Mapping[str, Sight]:
        """Look at many at once; a list whose pages became history begins anew."""
        return await self._patiently(self._owners.glance, owners)

    async def sees_itself(self) -> bool:
        """Prove that we can see."""
        return await self._patiently(self._owners.sees_itself)


class PatientNamedPods:
    """``NamedPods`` that are looked at up to three times."""

    def __init__(self, pods: NamedPods, random: Random, sleep: Callable[[float], Awaitable[None]]) -> None:
        """Wrap pods; only a person's command knows them by name."""
        self._pods = pods
        self._patiently = Patience(random, sleep, longest=LONG)

    async def look(self, name: str) -> Sight | None:
        """Tell whether a pod of this name lives; None if no pod can have it."""
        return await self._patiently(self._pods.look, name)
