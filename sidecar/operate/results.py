"""What the operator's procedures tell: one result for each seat that they looked at, and how it goes meanwhile."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from sidecar.core.records import SeatRecord

TRIES: Final = 3
"""Attempts that may fail, or meet a conflict while nothing else gets done, before a seat is left for the next run."""

_ASK: Final = 1.0


class Fate(StrEnum):
    """What became of a seat."""

    RELEASED = "released"
    UNKNOWN = "unknown"
    """The server does not know it: free, never taken, or taken under another key. Never told as released."""
    ELSEWHERE = "elsewhere"
    """Somebody else finished it meanwhile."""
    PLANNED = "planned"
    """A dry run: it would be released."""
    KEPT = "kept"
    """Its owner lives, or it is no affair of ours."""
    REPORTED = "reported"
    """Nothing can be done about it from here."""
    SKIPPED = "skipped"
    """It is no deployment ID."""
    WAITING = "waiting"
    """Not yet: a second look is due, or it was not watched for long enough."""
    FAILED = "failed"
    LEFT = "left"
    """Only with a word of the operator's."""
    NO_KEY = "no_key"
    REFUSED = "refused"


REMAINS: Final = frozenset({Fate.WAITING, Fate.FAILED, Fate.LEFT, Fate.NO_KEY})
"""What is still to be done by somebody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one seat, and why in a sentence. ``owner`` is empty where no record names one."""

    deployment_id: str
    key_fingerprint: str
    owner: str
    fate: Fate
    why: str


def result_of(record: SeatRecord, fate: Fate, why: str) -> Result:
    """Return the result for a seat that has a record."""
    return Result(
        deployment_id=record.identity.deployment_id,
        key_fingerprint=record.identity.key_fingerprint,
        owner=record.owner.pod,
        fate=fate,
        why=why,
    )


class Teller(Protocol):
    """Whoever watches a procedure."""

    pause: float
    """Seconds between two calls of ``waits``; infinite for one call a wait."""

    def step(self, text: str) -> None:
        """Take note of a step."""

    def waits(self, text: str, passed: float, whole: float) -> None:
        """Take note that ``passed`` of ``whole`` seconds of a wait are over."""


async def wait_until(
    at: float, text: str, teller: Teller, changed: Callable[[], Awaitable[bool]] | None = None
) -> None:
    """Wait until ``at`` (loop time), telling how far it is; ``changed`` is asked every second and ends it sooner."""
    loop = asyncio.get_running_loop()
    began = asked = loop.time()
    whole = max(at - began, 0.0)
    told = False
    while (left := at - loop.time()) > 0:
        if not (told and math.isinf(teller.pause)):
            teller.waits(text, whole - left, whole)
            told = True
        await asyncio.sleep(min(left, teller.pause, _ASK if changed is not None else math.inf))
        if changed is not None and loop.time() - asked >= _ASK:
            asked = loop.time()
            if await changed():
                return
