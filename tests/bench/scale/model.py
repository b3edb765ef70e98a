"""What a fleet asks of the API server, as arithmetic: to set beside what was measured, and to go on from there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.bench.scale.planted import Cost

PAGE = 500
FEW = 8
_JITTER = 1.02
"""The mean of the jitter of renewals (0 to 4 %)."""
_WATCH = 210.0
"""Seconds that a watch lasts, on the average."""


@dataclass(frozen=True, slots=True)
class Expected:
    """Requests a second of a settled fleet, by what they are for."""

    renew: float
    list_records: float
    look_at_pods: float
    list_owners: float
    watch: float

    @property
    def total(self) -> float:
        """Return all of them."""
        return self.renew + self.list_records + self.look_at_pods + self.list_owners + self.watch


def expected(size: int, *, lease: float, renew: float) -> Expected:
    """Return what a fleet of this size asks for; ``lease`` and ``renew`` in seconds."""
    scans = (4 if size > 1 else 2) / lease
    pages = math.ceil(size / PAGE)
    few = size <= FEW
    return Expected(
        renew=size / (renew * _JITTER),
        list_records=scans * pages,
        look_at_pods=scans * (1 + (size if few else 0)),
        list_owners=0.0 if few else scans * (pages + 1),
        watch=size / _WATCH,
    )


def bytes_a_second(size: int, costs: Sequence[Cost], *, lease: float, renew: float) -> float:
    """Return the bytes in both directions, by what single operations cost at the sizes that were measured."""
    scans = (4 if size > 1 else 2) / lease
    by_name: dict[str, dict[int, int]] = {}
    for cost in costs:
        by_name.setdefault(cost.operation, {})[cost.size] = cost.received + cost.sent
    listed = _at(by_name["list the records"], size) + _at(by_name["list the owners"], size)
    return (
        size / (renew * _JITTER) * _at(by_name["renew the record"], size)
        + scans * (listed + _at(by_name["look at the own pod"], size))
        + size / _WATCH * _at(by_name["look at the own pod"], size)
    )


def _at(known: Mapping[int, int], size: int) -> float:
    """Return the bytes at a size: as measured, or in proportion to the nearest size that was."""
    if size in known:
        return known[size]
    nearest = min(known, key=lambda it: abs(math.log(it / size)))
    largest = max(known)
    # What does not grow with the ledger costs the same everywhere.
    grows = known[largest] > 2 * known[min(known)]
    return known[nearest] * (size / nearest if grows and size > largest else 1.0)
