"""``python -m tests.bench.scale``: what fleets ask of the API server; prints the tables of docs/scale.md.

Nothing here fails because something is slow. It needs the programs of ``make test-cluster``.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.bench import machine
from tests.bench.figures import shown
from tests.bench.scale import fleet, planted, scans
from tests.bench.scale.fleet import Load
from tests.bench.scale.model import bytes_a_second, expected
from tests.bench.scale.planted import LEASE, Cost, Garden
from tests.cluster.binaries import Missing
from tests.cluster.control_plane.plane import ControlPlane

_SETTINGS = ((10, 60, 15), (100, 60, 15), (1000, 60, 15), (1000, 120, 30), (10_000, 60, 15), (10_000, 300, 60))


def main() -> int:
    """Measure, print, and tell what follows for other sizes and settings."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scale", description=__doc__)
    parser.add_argument("--planted", type=_sizes, default="10,100,1000", help="ledger sizes for single operations")
    parser.add_argument("--agents", type=_sizes, default="10,100,300", help="sizes of fleets of real agents")
    parser.add_argument("--waiting", type=int, default=10, help="agents without a seat beside the largest fleet")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each fleet is looked at")
    parser.add_argument("--settle", type=float, default=75.0, help="how long it is left alone before")
    options = parser.parse_args()
    _say(machine.sentence(machine.describe()))
    with tempfile.TemporaryDirectory(prefix="scale-") as folder:
        try:
            plane = ControlPlane(Path(folder) / "plane")
        except Missing as missing:
            _say(str(missing))
            return 69
        with plane:
            costs = _costs(Garden(plane, Path(folder)), options.planted)
            _say(f"\nWhat one operation costs\n\n{_cost_table(costs)}\n")
            found = asyncio.run(
                fleet.loads(
                    Garden(plane, Path(folder)),
                    options.agents,
                    waiting=options.waiting,
                    seconds=options.seconds,
                    settle=options.settle,
                )
            )
    _say(f"\nWhat a fleet asks for, lease 60 s, renewed every 15 s (in brackets: the formula)\n\n{_load_table(found)}")
    _say(f"\nScans of a fleet a minute, lease 60 s, virtual time\n\n{_scan_table()}")
    _say(f"\nBy the formula\n\n{_outlook(costs)}")
    return 0


def _sizes(text: str) -> list[int]:
    return sorted(int(part) for part in text.split(","))


def _costs(garden: Garden, sizes: Sequence[int]) -> list[Cost]:
    found: list[Cost] = []
    for size in sizes:
        _say(f"planted: {size} records")
        garden.grow(size)
        found += asyncio.run(planted.costs(garden, rounds=9 if size <= 1000 else 3))
    return found


def _cost_table(costs: Iterable[Cost]) -> str:
    rows = [("operation", "records", "requests", "KiB", "ms", "API server, ms of a core", "sidecar, ms of a core")]
    order = list(dict.fromkeys(it.operation for it in costs))
    rows += [
        (
            it.operation,
            f"{it.size:,}",
            str(it.requests or "-"),
            shown((it.received + it.sent) / 1024),
            shown(it.milliseconds or None),
            shown(it.server_ms),
            shown(it.client_ms),
        )
        for it in sorted(costs, key=lambda it: order.index(it.operation))
    ]
    return _markdown(rows)


def _load_table(loads: Iterable[Load]) -> str:
    rows = [
        (
            "agents",
            "renewals/s",
            "lists of records/s",
            "looks at pods/s",
            "requests/s",
            "KiB/s",
            "API server, millicores",
            "start",
        )
    ]
    for load in loads:
        wanted = expected(load.size - load.waiting, lease=LEASE, renew=fleet.RENEW)
        pods = load.rate("get pods") + load.rate("list pods")
        refused = {kind: count for kind, count in load.requests.items() if "(" in kind}
        failed = f", refused: {refused}" if refused else ""
        total = sum(load.requests.values()) / load.seconds
        wire = (load.span.sent + load.span.received) / load.seconds / 1024
        rows.append(
            (
                f"{load.size - load.waiting:,}" + (f" and {load.waiting} that wait" if load.waiting else ""),
                f"{shown(load.rate('update leases'))} ({shown(wanted.renew)})",
                f"{shown(load.rate('list leases'))} ({shown(wanted.list_records)})",
                f"{shown(pods)} ({shown(wanted.look_at_pods + wanted.list_owners)})",
                f"{shown(total)} ({shown(wanted.total)}){failed}",
                shown(wire),
                shown(load.span.server / load.seconds * 1000),
                "-"
                if load.waiting
                else f"{shown(load.start_seconds)} s, {sum(load.start_requests.values()):,} requests",
            )
        )
    return _markdown(rows)


def _scan_table() -> str:
    rows = [("sidecars", "first minute", "first hour", "settled", "longest pause, s")]
    for size in (1, 2, 10, 100, 1000, 10_000):
        it = scans.pace(size, LEASE)
        rows.append(
            (f"{size:,}", shown(it.first_minute), shown(it.first_hour), shown(it.steady), shown(it.longest_pause))
        )
    return _markdown(rows)


def _outlook(costs: Sequence[Cost]) -> str:
    rows = [
        ("sidecars", "lease, renew", "renewals/s", "lists/s", "requests/s", "KiB/s", "a dead pod's seat is free after")
    ]
    for size, lease, renew in _SETTINGS:
        it = expected(size, lease=lease, renew=renew)
        wire = bytes_a_second(size, costs, lease=lease, renew=renew) / 1024
        listed = it.list_records + it.list_owners
        free = f"{lease} to {lease * 1.5:.0f} s"
        rows.append(
            (f"{size:,}", f"{lease} s, {renew} s", shown(it.renew), shown(listed), shown(it.total), shown(wire), free)
        )
    return _markdown(rows)


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the program's output


if __name__ == "__main__":
    sys.exit(main())
