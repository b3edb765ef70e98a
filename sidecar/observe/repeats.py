"""Which of many equal messages are worth a line, so that an outage of hours stays readable.

Pure but for its memory; the time is passed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

QUIET: Final = 300.0
"""Seconds: a message that goes on is told again after so long, and one that was over for so long is new again."""
FORGOTTEN: Final = 86400.0
"""Seconds after which a row that nobody ended is forgotten: some carry the name of a record."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of equal messages: how many so far, and since when (monotonic seconds)."""

    count: int
    since: float


@dataclass(slots=True)
class _Run:
    count: int
    since: float
    last: float
    told_at: float
    pending: bool = True
    """Told, and its end not yet."""


class Repeats:
    """Tells the first, the second, the fourth, ... of a row, and one in five minutes whatever its number."""

    def __init__(self) -> None:
        """Remember nothing."""
        self._runs: dict[tuple[str, str], _Run] = {}

    def tell(self, trouble: str, detail: str, now: float) -> Row | None:
        """Count a message; return its row if it is worth a line, else None. Another ``detail`` is another row."""
        run = self._runs.get((trouble, detail))
        if run is None or (not run.pending and now - run.last >= QUIET):
            self._forget(now)
            self._runs[trouble, detail] = _Run(1, now, now, now)
            return Row(1, now)
        run.count += 1
        run.last = now
        if run.count.bit_count() != 1 and now - run.told_at < QUIET:
            return None
        run.told_at, run.pending = now, True
        return Row(run.count, run.since)

    def over(self, trouble: str) -> Row | None:
        """End all rows of a trouble; return them as one if that is worth a line: they were told since the last end.

        Their counts go on if the trouble comes back soon: something that flaps must not be new each time.
        """
        runs = [run for (name, _detail), run in self._runs.items() if name == trouble and run.pending]
        if not runs:
            return None
        for run in runs:
            run.pending = False
        return Row(sum(run.count for run in runs), min(run.since for run in runs))

    def _forget(self, now: float) -> None:
        for key in [key for key, run in self._runs.items() if now - run.last >= FORGOTTEN]:
            del self._runs[key]
