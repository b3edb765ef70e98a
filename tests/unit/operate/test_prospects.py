"""What a reclaimer tells an agent that waits for a seat, while others renew their records."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest

from sidecar.core.events import ProspectsSeen
from sidecar.core.orphans import Verdict
from sidecar.core.records import Listing, Phase, Standing, Stray
from tests.simulation.memory_ledger import MemoryLedger
from tests.unit.operate.bench import FOREIGN, Bench, on_virtual_time


def test_renewals_of_others_are_not_looked_at() -> None:
    """A fleet renews all the time; looked at is what changes who may go: a phase, a record that comes or is erased."""

    async def story() -> tuple[list[int], int]:
        bench, told = Bench(), list[ProspectsSeen]()
        stored = await bench.seat("MSCL1", "web-0", standing=Standing.LIVE)
        bench.reclaimer.follow(on=True)
        task = bench.loop.create_task(bench.reclaimer.watch_prospects(told.append))
        counts = []
        await asyncio.sleep(1.0)
        counts.append(len(told))
        for _ in range(5):
            stored = await bench.renew(stored)
            await asyncio.sleep(1.0)
        counts.append(len(told))
        stored = await bench.ledger.replace(stored, replace(stored.record, phase=Phase.RELEASING))
        await asyncio.sleep(1.0)
        counts.append(len(told))
        await bench.ledger.erase(stored)
        await asyncio.sleep(1.0)
        counts.append(len(told))
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        return counts, len(told[2].names)

    assert on_virtual_time(story) == ([1, 1, 2, 3], 0)


def test_a_scan_tells_what_nobody_can_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stray, an owner that cannot be looked for, an ID that was never seen; not what others do in their own way."""

    async def listed(ledger: MemoryLedger) -> Listing:
        return replace(ledger.content, strays=(Stray("odd", "it is torn"),))

    monkeypatch.setattr(MemoryLedger, "list", listed)

    async def story() -> tuple[list[dict[str, str]], dict[str, str]]:
        bench = Bench()
        names = {
            "abroad": await bench.seat("MSCL1", "web-1", standing=Standing.UNPROVEN),
            "abroad, unknown key": await bench.seat("MSCL2", "web-2", standing=Standing.UNPROVEN, key=FOREIGN),
            "never seen": await bench.seat("", "web-3", standing=Standing.GONE),
        }
        await bench.seat("MSCL4", "web-4", standing=Standing.GONE)
        await bench.seat("MSCL5", "web-5", standing=Standing.LIVE, key=FOREIGN)
        await bench.seat("MSCL6", "web-6", standing=Standing.GONE, key=FOREIGN)
        await bench.seat("MSCL7", "web-7", standing=Standing.UNPROVEN, server="https://other.example")
        await bench.reclaimer.scan()
        bench.owners.blind = True
        await bench.reclaimer.scan()
        return bench.observer.left, {it.name: told for told, it in names.items()}

    (left,), names = on_virtual_time(story)
    assert left.pop("odd") == "it is torn"
    assert {names[name]: why.partition(":")[0] for name, why in left.items()} == {
        "abroad": "the seat of web-1 (MSCL1)",
        "abroad, unknown key": "the seat of web-2 (MSCL2)",
        "never seen": "the seat of web-3 (no deployment ID)",
    }


def test_a_reclaimer_that_cannot_see_itself_has_not_scanned() -> None:
    """Whoever is in a wrong place releases nothing, not even what was handed over, and an alert can tell of it."""

    async def story() -> tuple[list[Verdict], list[str]]:
        bench = Bench()
        await bench.seat("MSCL1", "web-0", standing=Standing.GONE, phase=Phase.HANDOVER)
        bench.owners.blind = True
        blind = await bench.reclaimer.scan()
        bench.owners.blind = False
        seeing = await bench.reclaimer.scan()
        return [it.judgement.verdict for it in (*blind.judged, *seeing.judged)], bench.observer.ended

    verdicts, ended = on_virtual_time(story)
    assert verdicts == [Verdict.REPORT, Verdict.RECLAIM]
    assert ended == ["our own instance cannot be seen, so nothing of others can be proven", "finished"]


def test_who_waits_anew_is_told_anew() -> None:
    """Nothing has changed in the ledger, but what was seen while waiting for the last seat is forgotten by then."""

    async def story() -> list[int]:
        bench, told = Bench(), list[ProspectsSeen]()
        stored = await bench.seat("MSCL1", "web-0", standing=Standing.LIVE)
        bench.reclaimer.follow(on=True)
        task = bench.loop.create_task(bench.reclaimer.watch_prospects(told.append))
        await asyncio.sleep(1.0)
        counts = [len(told)]
        bench.reclaimer.follow(on=False)
        bench.reclaimer.follow(on=True)
        await bench.renew(stored)
        await asyncio.sleep(1.0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        return [*counts, len(told)]

    assert on_virtual_time(story) == [1, 2]
