"""Latencies and faults that depend on who asks what for the how-manieth time, never on the order of arrival."""

from __future__ import annotations

import hashlib
from collections import Counter


class Chance:
    """A seeded source of fractions in [0, 1): the same question gets the same answer in every run."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._asked: Counter[tuple[str, ...]] = Counter()

    def fraction(self, *about: str) -> float:
        """Return the next fraction for this question."""
        self._asked[about] += 1
        text = "\x00".join((str(self.seed), *about, str(self._asked[about])))
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest()) / 2.0**56
