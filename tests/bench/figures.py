"""What was measured, what it is compared with, and how it is shown: as a table for people, as JSON for programs.

It measures nothing, and it judges nothing but "within the target or not": timings are never a test's business.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

_SCALES: Final = {"ms": 1e3, "us": 1e6, "s": 1.0}


@dataclass(slots=True)
class Figure:
    """One line of the table.

    ``samples`` are in ``unit``; what counts is their median, or the percentile ``at``. ``target``: not above it
    (``floor``: not below it), None where design.md section 10 has none. ``note`` says what a reader must know.
    """

    area: str
    name: str
    unit: str
    samples: list[float] = field(default_factory=list)
    at: float = 0.5
    target: float | None = None
    floor: bool = False
    note: str = ""

    @property
    def value(self) -> float | None:
        """Return what counts, or None if nothing was measured."""
        return percentile(self.samples, self.at) if self.samples else None

    @property
    def met(self) -> bool | None:
        """Tell whether the target is met, None if there is nothing to tell."""
        if self.value is None or self.target is None:
            return None
        return self.value >= self.target if self.floor else self.value <= self.target

    def as_json(self) -> dict[str, Any]:
        """Return everything for a program."""
        spread = {} if len(self.samples) < 2 else {"lowest": min(self.samples), "highest": max(self.samples)}
        return {
            "area": self.area,
            "name": self.name,
            "unit": self.unit,
            "value": self.value,
            "percentile": self.at,
            "samples": len(self.samples),
            **spread,
            "target": self.target,
            "target_is": None if self.target is None else ("at least" if self.floor else "at most"),
            "met": self.met,
            "note": self.note,
        }


def percentile(samples: Sequence[float], at: float) -> float:
    """Return the sample below which the part ``at`` of all lies: the median as usual, others by nearest rank."""
    if at == 0.5:
        return statistics.median(samples)
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(at * len(ordered)) - 1)]


def scaled(seconds: Sequence[float], unit: str) -> list[float]:
    """Return seconds in another unit."""
    return [value * _SCALES[unit] for value in seconds]


def shown(value: float | None) -> str:
    """Return a number with three digits that matter."""
    if value is None:
        return "-"
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as aligned columns, grouped by area."""
    rows = [("", "value", "unit", "target", "", "n", "")]
    area = None
    areas = list(dict.fromkeys(each.area for each in figures))
    for each in sorted(figures, key=lambda it: areas.index(it.area)):
        if each.area != area:
            area = each.area
            rows += [("",) * 7, (area.upper(), *("",) * 6)]
        sign = "" if each.target is None else (">= " if each.floor else "<= ") + shown(each.target)
        verdict = {True: "ok", False: "MISSED", None: ""}[each.met]
        rows.append((f"  {each.name}", shown(each.value), each.unit, sign, verdict, str(len(each.samples)), each.note))
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    lines = []
    for row in rows:
        cells = (
            row[0].ljust(widths[0]),
            row[1].rjust(widths[1]),
            row[2].ljust(widths[2]),
            row[3].rjust(widths[3]),
            row[4].ljust(widths[4]),
            row[5].rjust(widths[5]),
            row[6],
        )
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
