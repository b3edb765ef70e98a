"""How often a fleet lists its ledger, by the very function that paces the scans, over days of virtual time.

Nothing is asked of anybody: each sidecar is a point in time. It sees the owners that there are when it scans, as a
reclaimer does. The fleet starts at once, the hardest case: whoever scans first sees few others.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Final

from sidecar.core.policy import scan_pause

_START: Final = 30.0
"""Seconds in which all of a fleet are up."""
_ROUNDS: Final = 3
"""So many whole rounds of the fleet are looked at when it has settled."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Scans a minute of a fleet: in the first one, in the hour after that, and when all know of all."""

    size: int
    first_minute: float
    first_hour: float
    steady: float
    longest_pause: float
    """Seconds without any scan, at the most, when it has settled."""


def pace(size: int, lease: float, seed: int = 1) -> Pace:
    """Play one fleet."""
    random = Random(seed)
    names = [f"{random.getrandbits(64):016x}" for _ in range(size)]
    known: list[str] = []
    due = [(_START * random.random(), name) for name in names]
    heapq.heapify(due)
    turn = max(lease / 2, lease / 4 * size)
    steady_from = 3600.0 + 2 * turn
    until = steady_from + _ROUNDS * turn + 3600.0
    scans: list[float] = []
    while due[0][0] < until:
        now, name = heapq.heappop(due)
        scans.append(now)
        if len(known) < size and name not in known[bisect_left(known, name) : bisect_left(known, name) + 1]:
            insort(known, name)
        rank = bisect_left(known, name)
        pause = scan_pause(lease, rank, len(known), now, waiting=False, luck=random.random())
        heapq.heappush(due, (now + pause, name))
    steady = [at for at in scans if at >= steady_from]
    gaps = [two - one for one, two in pairwise(steady)]
    return Pace(
        size,
        sum(at < 60.0 for at in scans),
        sum(60.0 <= at < 3660.0 for at in scans) / 60.0,
        len(steady) / (until - steady_from) * 60.0,
        max(gaps),
    )
