"""Seeded choices that depend on who asks for what for the how-manieth time, never on the order of arrival.

A run can thus be replayed with its seed, although a network never brings the same requests in the same order twice.
It decides nothing, and keeps no text that a client sent.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Final

MOST_COUNTED: Final = 100_000
"""Pairs of operation and deployment ID that are counted at a time; the one that was silent longest begins again."""


class Chance:
    """Counts requests and gives fractions in [0, 1) for them."""

    __slots__ = ("_counted", "seed")

    def __init__(self, seed: int) -> None:
        """Begin a run; every count is zero."""
        self.seed = seed
        self._counted: OrderedDict[int, int] = OrderedDict()

    def count(self, operation: str, deployment: str) -> int:
        """Return the how-manieth request of its kind this one is, the first being 1."""
        pair = hash((operation, deployment))  # a deployment ID may be as long as a URL, and may be a key
        times = self._counted.pop(pair, 0) + 1
        self._counted[pair] = times
        if len(self._counted) > MOST_COUNTED:
            self._counted.popitem(last=False)
        return times

    def fraction(self, *about: object) -> float:
        """Return the fraction in [0, 1) that belongs to this question and the seed."""
        return int.from_bytes(self.noise(7, *about)) / 2.0**56

    def noise(self, length: int, *about: object) -> bytes:
        """Return bytes that belong to this question and the seed."""
        text = "\x00".join(map(str, (self.seed, *about)))
        return hashlib.shake_128(text.encode(errors="surrogatepass")).digest(length)
