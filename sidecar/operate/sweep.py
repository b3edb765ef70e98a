"""``reclaim --once``: list, watch for one lease, list again, release, and take the second looks that are due.

Who may lose a seat is judged by ``core.orphans`` alone, on what this process has watched itself. A record that changes
before our eyes belongs to somebody who lives, whatever his lock says.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from sidecar.core.orphans import Verdict
from sidecar.core.policy import CLAIM_TIME
from sidecar.core.records import SeatRecord, Standing, Stray
from sidecar.operate.results import TRIES, Fate, Result, Teller, result_of, wait_until
from sidecar.ports import ReclaimResult
from sidecar.reclaim import Judged, Reclaimer, Scan
from sidecar.releaser import Attempt

_SLACK: Final = 1.0
_BARRED: Final = (Verdict.REPORT, Verdict.UNKNOWN_KEY)


class Sweep:
    """One run over the ledger. ``strays`` are those of the last look."""

    def __init__(self, reclaimer: Reclaimer, teller: Teller, *, lease: float) -> None:
        """Take the reclaimer that judges and acts; ``lease`` is seconds of watching."""
        self.strays: tuple[Stray, ...] = ()
        self._reclaimer = reclaimer
        self._teller = teller
        self._lease = lease
        self._patience = lease + CLAIM_TIME + _SLACK
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._moved_at = self._began
        self._remaining: int | None = None
        self._first: dict[str, str] = {}
        self._tries: Counter[str] = Counter()
        self._freed: set[str] = set()
        self._last: dict[str, tuple[SeatRecord, Attempt]] = {}

    async def run(self) -> tuple[Result, ...]:
        """Reclaim until nothing is left that waiting would change. Raises ``LedgerOutage``."""
        scan = await self._reclaimer.scan()
        self._first = {it.stored.name: it.stored.version for it in scan.judged}
        self._teller.step(census(scan))
        while True:
            self._take_note(scan)
            todo = [it for it in scan.reclaimable() if self._tries[it.stored.name] < TRIES]
            for it in todo:
                await self._release(it)
            at = None if todo else self._next_look(scan)
            if not todo and at is None:
                self.strays = scan.strays
                return self._results(scan)
            if at is not None:
                claimed = [it for it in scan.judged if it.stored.record.claim is not None]
                await wait_until(at, self._reason(scan), self._teller, changes(self._reclaimer, claimed))
            scan = await self._reclaimer.scan()

    async def _release(self, it: Judged) -> None:
        record, name = it.stored.record, it.stored.name
        ((_, attempt),) = await self._reclaimer.reclaim((it,))
        self._last[name] = (record, attempt)
        # Many who work on the same seats get into each other's way; that is no failure while something gets done.
        race = attempt.result is ReclaimResult.CONFLICT and self._loop.time() < self._moved_at + self._patience
        if attempt.result is not ReclaimResult.RELEASED and not race:
            self._tries[name] += 1
        if attempt.answered and not attempt.unknown:
            self._freed.add(name)
        self._teller.step(f"{record.identity.deployment_id}: {spoken(attempt)}")

    def _take_note(self, scan: Scan) -> None:
        """Take note whether something of the first list is done, by whomever."""
        remaining = sum(1 for it in scan.judged if it.stored.name in self._first)
        if self._remaining is None or remaining < self._remaining:
            self._remaining, self._moved_at = remaining, self._loop.time()

    def _next_look(self, scan: Scan) -> float | None:
        """Return when waiting may have changed something for a record of the first list, or None."""
        now, moments = self._loop.time(), []
        for it in scan.judged:
            name = it.stored.name
            if name not in self._first or self._tries[name] >= TRIES:
                continue
            due_at = self._reclaimer.releaser.due_at(name)
            at = it.judgement.again_at
            if it.judgement.verdict in _BARRED and it.owner.standing is Standing.UNPROVEN:
                # Not to be released, but one lease of watching tells whether its owner renews it somewhere.
                at = min(it.seen.since, self._began) + self._lease
                at = at if at > now else None
            # As long as something gets done, by us or by others, there is time to see every claim through to its end.
            since = self._began if it.stored.record.claim is None else self._moved_at
            # A moment that passed while the owners were being looked at calls for another look at once.
            if at is not None and (due_at is not None or at <= since + self._patience):
                moments.append(at)
        return min(moments, default=None)

    def _reason(self, scan: Scan) -> str:
        due = sum(1 for it in scan.judged if self._reclaimer.releaser.due_at(it.stored.name) is not None)
        if due:
            return f"until the second look at {_seats(due)}"
        watched = sum(
            1 for it in scan.judged if it.judgement.verdict is Verdict.WATCH or it.owner.standing is Standing.UNPROVEN
        )
        return f"watching whether somebody renews {_seats(watched)}"

    def _results(self, scan: Scan) -> tuple[Result, ...]:
        now = self._loop.time()
        present = {it.stored.name for it in scan.judged}
        results = [
            _ended(record, attempt, freed=name in self._freed)
            for name, (record, attempt) in self._last.items()
            if name not in present
        ]
        return (*results, *(self._left(it, now) for it in scan.judged))

    def _left(self, it: Judged, now: float) -> Result:
        """Tell about a record that is still there."""
        record, standing, why = it.stored.record, it.owner.standing, it.judgement.why
        before = self._first.get(it.stored.name)
        renewed = standing is Standing.UNPROVEN and before is not None and before != it.stored.version
        match it.judgement.verdict:
            case Verdict.KEEP | Verdict.FOREIGN:
                return result_of(record, Fate.KEPT, why)
            case Verdict.UNKNOWN_KEY | Verdict.REPORT if standing is Standing.LIVE:
                return result_of(record, Fate.KEPT, f"{it.owner.why}; {why}")
            case Verdict.UNKNOWN_KEY | Verdict.REPORT if renewed:
                return result_of(record, Fate.KEPT, "it was renewed before our eyes: its owner lives somewhere")
            case Verdict.UNKNOWN_KEY:
                return result_of(record, Fate.NO_KEY, f"{it.owner.why}; {why}")
            case Verdict.REPORT if not record.identity.deployment_id:
                return result_of(record, Fate.REPORTED, f"{it.owner.why}; {why}")
            case Verdict.REPORT:
                return result_of(record, Fate.LEFT, f"{why}; unchanged for {now - it.seen.since:.0f} s (see --all)")
            case Verdict.RECLAIM | Verdict.WATCH:
                _, attempt = self._last.get(it.stored.name, (record, None))
                if attempt is not None and attempt.result is not ReclaimResult.RELEASED:
                    return result_of(record, Fate.FAILED, attempt.why)
                return result_of(record, Fate.WAITING, why)


def changes(reclaimer: Reclaimer, judged: Sequence[Judged]) -> Callable[[], Awaitable[bool]] | None:
    """Return a question whether any of these records is another by now; None where there is none to ask about.

    Whoever has claimed a record is usually done in a moment: no reason to wait until the claim would lapse.
    """
    if not judged:
        return None
    before = {it.stored.name: it.stored.version for it in judged}

    async def changed() -> bool:
        scan = await reclaimer.look_again(before)
        return {it.stored.name: it.stored.version for it in scan.judged} != before

    return changed


def forecast(scan: Scan, *, lease: float) -> tuple[Result, ...]:
    """Return what a run would do, without any watching."""
    return tuple(_would(it, lease) for it in scan.judged)


def _would(it: Judged, lease: float) -> Result:
    record, why = it.stored.record, it.judgement.why
    match it.judgement.verdict:
        case Verdict.RECLAIM:
            return result_of(record, Fate.PLANNED, f"{why}; would be released at once")
        case Verdict.WATCH:
            why = why if record.claim is not None else it.owner.why
            return result_of(record, Fate.PLANNED, f"{why}; would be released if nobody renews it for {lease:g} s")
        case Verdict.UNKNOWN_KEY if it.owner.standing is not Standing.LIVE:
            return result_of(record, Fate.NO_KEY, f"{it.owner.why}; {why}")
        case Verdict.REPORT if it.owner.standing is Standing.UNPROVEN and record.identity.deployment_id:
            return result_of(record, Fate.LEFT, f"{why} (see --all)")
        case Verdict.REPORT if it.owner.standing is not Standing.LIVE:
            return result_of(record, Fate.REPORTED, f"{it.owner.why}; {why}")
        case _:
            return result_of(record, Fate.KEPT, why)


def _ended(record: SeatRecord, attempt: Attempt, *, freed: bool) -> Result:
    """Tell about a record that is gone."""
    if attempt.result is not ReclaimResult.RELEASED:
        return result_of(record, Fate.ELSEWHERE, f"{attempt.why}; its record is gone now")
    if attempt.again_at is not None:
        return result_of(record, Fate.ELSEWHERE, "released; somebody else took the second look")
    return result_of(record, *confirmed(attempt, freed=freed))


def confirmed(attempt: Attempt, *, freed: bool = False) -> tuple[Fate, str]:
    """Return fate and sentence of a release that is over and whose record is erased.

    ``freed``: an earlier attempt of this run was told that the seat is free.
    """
    if attempt.unknown and not freed:
        return Fate.UNKNOWN, "the server did not know it, twice; its record is erased"
    return Fate.RELEASED, "the seat is free, its record is erased"


def spoken(attempt: Attempt) -> str:
    """Return an attempt in words."""
    match attempt.result:
        case ReclaimResult.RELEASED if attempt.again_at is None:
            return confirmed(attempt)[1]
        case ReclaimResult.RELEASED if attempt.unknown:
            return "unknown to the server (404); a second look is due before its record may go"
        case ReclaimResult.RELEASED:
            return "released; a request for it may be late, so a second look is due before its record may go"
        case _:
            return f"not released: {attempt.why}"


def census(scan: Scan) -> str:
    """Return how many records there are and how their owners are, in words."""
    standings = Counter(it.owner.standing for it in scan.judged)
    total = len(scan.judged)
    parts = (
        (standings[Standing.LIVE], "of owners that live"),
        (standings[Standing.GONE], "of owners that are gone"),
        (standings[Standing.UNPROVEN], "of owners about whom nothing is certain"),
    )
    told = ", ".join(f"{count} {text}" for count, text in parts if count)
    return f"{total} seat record{'' if total == 1 else 's'}{': ' if told else ''}{told}"


def _seats(count: int) -> str:
    return f"{count} seat{'' if count == 1 else 's'}"
