"""Trying again for a command that must end in time: outages to the end, lasting refusals for half a minute.

The rights of a hook are made a moment before its Job, and the API server may learn of them later than the Job asks:
a 403 is tried again for a while, and only then believed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Final, TypeVar

from sidecar.errors import LedgerOutage
from sidecar.operate.results import Teller

T = TypeVar("T")

RIGHTS: Final = 30.0
"""Seconds for which a refusal that somebody would have to mend is tried again."""
_FIRST, _LONGEST = 0.2, 5.0


class Persistence:
    """One command's patience. ``deadline`` is loop time; ``rights`` are seconds, as ``RIGHTS``."""

    def __init__(self, teller: Teller, random: Random, *, deadline: float, rights: float = RIGHTS) -> None:
        """Take the limits; nothing is tried yet."""
        self._teller = teller
        self._random = random
        self._deadline = deadline
        self._rights = rights
        self._refused_since: float | None = None

    async def call(self, what: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """Return what the attempt returns, trying again; raises the last ``LedgerOutage`` when the time is up.

        ``what`` is in words what could not be done, such as ``reading the Secret x``.
        """
        loop, failures, told = asyncio.get_running_loop(), 0, ""
        while True:
            try:
                found = await self._in_time(attempt)
            except LedgerOutage as outage:
                now = loop.time()
                if not outage.lasting:
                    self._refused_since = None
                elif self._refused_since is None:
                    self._refused_since = now
                until = self._deadline
                if self._refused_since is not None:
                    until = min(until, self._refused_since + self._rights)
                failures += 1
                longest = min(_LONGEST, _FIRST * 2.0 ** min(failures - 1, 10))
                pause = max(longest * (0.5 + 0.5 * self._random.random()), outage.retry_after or 0.0)
                if now + pause >= until:
                    raise
                if str(outage) != told:
                    told = str(outage)
                    self._teller.step(f"{what}: {told}; asking again for up to {until - now:.0f} s")
                # The pause is no part of handling this failure.
            else:
                self._refused_since = None
                return found
            await asyncio.sleep(pause)

    async def _in_time(self, attempt: Callable[[], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout_at(self._deadline):
                return await attempt()
        except TimeoutError as error:
            raise LedgerOutage("no answer of the API server before the time was up") from error
