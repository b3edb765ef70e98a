"""Quantiles of millions of latencies in a few kilobytes: buckets that are 1 % wide, whatever the value."""

from __future__ import annotations

from collections import Counter
from typing import Final

_UNIT: Final = 1e-7
_BITS: Final = 7


class Histogram:
    """Counts durations in seconds; a quantile is at most 1 % too large."""

    def __init__(self) -> None:
        """Begin empty."""
        self._counts: Counter[int] = Counter()
        self.count = 0
        self.longest = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration."""
        value = int(seconds / _UNIT)
        shift = max(0, value.bit_length() - _BITS - 1)
        self._counts[(shift << _BITS) + (value >> shift)] += 1
        self.count += 1
        self.longest = max(self.longest, seconds)

    def quantile(self, fraction: float) -> float:
        """Return the seconds within which this fraction of all durations lay; 0 if there are none."""
        wanted = fraction * self.count
        seen = 0
        for index in sorted(self._counts):
            seen += self._counts[index]
            if seen >= wanted:
                return min(_upper_end(index), self.longest)
        return 0.0


def _upper_end(index: int) -> float:
    shift = max(0, (index >> _BITS) - 1)
    return ((index - (shift << _BITS) + 1) << shift) * _UNIT
