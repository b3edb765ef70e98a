"""The reclaimer: gives back the seats of owners who are provably gone (rules 10 to 13 of design.md section 4).

It scans the ledger and judges; the ``Releaser`` claims an orphan by compare-and-swap, releases it and erases its
record; a crash at any point leaves something that the next reclaimer finishes. It is separate from the agent: a bug in
judging others must not reach our own seat. It never touches a record of its own uid.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from random import Random

from sidecar.core.events import ProspectsSeen
from sidecar.core.orphans import Judgement, Scope, Sighting, Verdict, judge, may_go, outside
from sidecar.core.policy import failed_scan_pause, scan_pause
from sidecar.core.records import Listing, Phase, Sight, Standing, Stored, Stray
from sidecar.errors import LedgerOutage
from sidecar.ports import ActivationServer, Keys, Ledger, Observer, Owners, ReclaimResult
from sidecar.releaser import Attempt, Releaser, Rules

LOOP = "reclaimer"
_UNHURRIED = 0.2
"""Seconds for which changes of the ledger that free no seat are left to gather."""
_FRESH = 1.0
"""Seconds for which a judgement holds: what is released one after the other, or waits for its turn, is judged again."""
_WORTH_WATCHING = (Verdict.WATCH, Verdict.RECLAIM)


@dataclass(frozen=True, slots=True)
class Judged:
    """One record with what a look at its owner and at the clock says about it."""

    stored: Stored
    seen: Sighting
    owner: Sight
    judgement: Judgement
    looked_at: float
    """When its owner had been looked at (loop time)."""


@dataclass(frozen=True, slots=True)
class Scan:
    """One look at the whole ledger."""

    judged: tuple[Judged, ...] = ()
    strays: tuple[Stray, ...] = ()

    def reclaimable(self) -> tuple[Judged, ...]:
        """Return the records whose seats may be taken back now."""
        return tuple(it for it in self.judged if it.judgement.verdict is Verdict.RECLAIM)

    def again_at(self) -> float | None:
        """Return when waiting alone will have changed a judgement, or None."""
        return min((it.judgement.again_at for it in self.judged if it.judgement.again_at is not None), default=None)


class Reclaimer:
    """One reclaimer. ``wall`` tells seconds since the epoch, for claims as people read them."""

    def __init__(
        self,
        rules: Rules,
        *,
        ledger: Ledger,
        owners: Owners,
        server: ActivationServer,
        keys: Keys,
        observer: Observer,
        random: Random,
        wall: Callable[[], float],
    ) -> None:
        """Make it; nothing happens before ``run``, ``scan`` or ``reclaim``."""
        self.releaser = Releaser(
            rules, ledger=ledger, server=server, keys=keys, observer=observer, random=random, wall=wall
        )
        self._rules = rules
        self._ledger = ledger
        self._owners = owners
        self._keys = keys
        self._observer = observer
        self._random = random
        self._wall = wall
        self._loop = asyncio.get_running_loop()
        self._wanted = asyncio.Event()
        self._scan_wanted = False
        self._following = asyncio.Event()
        self._looked: list[tuple[str, Phase, str]] | None = None
        """What the last look was at while somebody waits: record, phase, owner of each."""
        self._place = (0, 1)
        self._unknown_keys: set[str] = set()
        self._known: frozenset[str] = frozenset()
        self._current: frozenset[str] = frozenset()

    # --- the agent's side ---------------------------------------------------------------------------------------------

    def scan_now(self) -> None:
        """Scan the ledger soon: a seat is wanted."""
        self._scan_wanted = True
        self._wanted.set()

    def follow(self, on: bool) -> None:
        """Watch the ledger for seats that become free, or stop."""
        if on:
            self._looked = None
            self._following.set()
        else:
            self._following.clear()

    async def run(self, feed: Callable[[ProspectsSeen], None]) -> None:
        """Scan for ever: at once, then at the fleet's interval, and sooner where waiting or an orphan calls for it.

        ``feed`` takes what a scan says about seats that will become free, while somebody waits for one.
        """
        regular_at = self._loop.time()
        watched: tuple[str, ...] = ()
        failures = 0
        while True:
            began = self._loop.time()
            regular = began >= regular_at
            whole = regular or self._scan_wanted
            self._wanted.clear()
            self._scan_wanted = False
            try:
                scan = await self.scan() if whole else await self.look_again(watched)
                if whole:
                    self._place = self._turn(scan)
                    if self._following.is_set():
                        feed(self._prospects(scan.judged))
                await self.reclaim(scan.reclaimable())
                watched = tuple(it.stored.name for it in scan.judged if it.judgement.verdict in _WORTH_WATCHING)
                again_at, failures = self.next_look(scan), 0
            except LedgerOutage as outage:
                self._observer.scan_failed(str(outage))
                failures += 1
                # Whoever could not see how many we are would take its turn as if it were alone: all at one moment.
                again_at = self._loop.time() + failed_scan_pause(self._rules.lease, failures, self._random.random())
                self._scan_wanted = whole and not regular
            if regular:
                regular_at = self._loop.time() + self._interval()
                if failures and again_at is not None:
                    regular_at = max(regular_at, again_at)
            pause = min(regular_at, again_at if again_at is not None else regular_at) - self._loop.time()
            self._observer.turned(LOOP, max(pause, 0.0) + 120.0)
            # Never more often than once a second, however often somebody wants it.
            await asyncio.sleep(max(0.0, began + 1.0 - self._loop.time()))
            await self._pause(max(pause, 0.0))

    def _turn(self, scan: Scan) -> tuple[int, int]:
        """Return our place among those who renew, and their number."""
        living = {it.stored.record.owner.uid for it in scan.judged if it.owner.standing is Standing.LIVE}
        owners = sorted(living | {self._rules.uid})
        return owners.index(self._rules.uid), len(owners)

    def _interval(self) -> float:
        rank, renewing = self._place
        return scan_pause(
            self._rules.lease,
            rank,
            renewing,
            self._wall(),
            waiting=self._following.is_set(),
            luck=self._random.random(),
        )

    async def watch_prospects(self, feed: Callable[[ProspectsSeen], None]) -> None:
        """While the agent waits for a seat, tell it which seats are about to become free (rule 14).

        A renewal changes nothing about that, and a large fleet renews all the time: whoever waits would look at all
        owners for each. That an owner is about to go is seen by the scans, which are frequent then.
        """
        while True:
            await self._following.wait()
            self._looked = None
            try:
                async with aclosing(self._ledger.follow()) as listings:
                    async for listing in listings:
                        if not self._following.is_set():
                            break
                        seen = [(it.name, it.record.phase, it.record.owner.uid) for it in listing.records]
                        if seen == self._looked:
                            await asyncio.sleep(_UNHURRIED)  # what comes meanwhile is one batch
                            continue
                        self._looked = seen
                        feed(self._prospects(await self._looked_at(listing)))
            except LedgerOutage as outage:
                self._observer.scan_failed(str(outage))
                await asyncio.sleep(self._rules.lease / 4)

    async def _looked_at(self, listing: Listing) -> list[Judged]:
        scope = self.scope()
        return await self._judge_all([it for it in listing.records if outside(it.record, scope) is None])

    def _prospects(self, judged: Iterable[Judged]) -> ProspectsSeen:
        # Rule 14 speaks of this key's seats: those of a former key have a quota of their own.
        scope = replace(self.scope(), fingerprints=self._current)
        names = frozenset(it.stored.name for it in judged if may_go(it.stored, it.owner, scope))
        others = [
            it.stored
            for it in judged
            if it.stored.name not in names
            and it.stored.record.owner.uid != scope.own_uid
            and outside(it.stored.record, scope) is None
        ]
        # Not those of others who wait: each of their refusals erases a record and frees nothing.
        held = frozenset(it.name for it in others if it.record.phase is Phase.ACTIVE)
        waiting = 1 + sum(1 for it in others if it.record.phase is Phase.ACTIVATING)
        return ProspectsSeen(names=names, waiting=waiting, held=held, luck=self._random.random())

    async def _pause(self, seconds: float) -> None:
        handle = self._loop.call_later(seconds, self._wanted.set)
        try:
            await self._wanted.wait()
        finally:
            handle.cancel()

    def next_look(self, scan: Scan) -> float | None:
        """Return when it is worth looking again before the next regular scan."""
        return min((at for at in (scan.again_at(), self.releaser.next_due()) if at is not None), default=None)

    # --- scanning -----------------------------------------------------------------------------------------------------

    def scope(self) -> Scope:
        """Return what we may act on with the keys that we have now."""
        rules = self._rules
        return Scope(rules.server, self._known, rules.lease, rules.uid, unproven=rules.unproven)

    async def scan(self) -> Scan:
        """Look at every record and its owner. Raises ``LedgerOutage``."""
        keys = await self._keys.poll()
        self._known, self._current = keys.known(), frozenset((keys.current,) if keys.current else ())
        listing = await self._ledger.list()
        seen_here = await self._owners.sees_itself()
        judged = await self._judge_all(listing.records, seen_here=seen_here)
        self.releaser.forget(it.name for it in listing.records)
        if seen_here:
            self._report(judged)
            self._observer.left_alone(self._left_alone(judged, listing.strays))
        else:  # what such a look finds is worth nothing, and somebody should be told
            self._observer.scan_failed("our own instance cannot be seen, so nothing of others can be proven")
        return Scan(tuple(judged), listing.strays)

    async def look_again(self, names: Iterable[str]) -> Scan:
        """Look at single records that may have become reclaimable, between two scans. Raises ``LedgerOutage``.

        The regular scan keeps its own time: sidecars that look again at the same orphan would otherwise scan together
        from then on, and nobody for most of the time.
        """
        seen_here = await self._owners.sees_itself()
        scope, judged = self.scope(), []
        for name in names:
            stored = await self._ledger.read(name)
            if stored is not None:
                judged.append(await self._judge(stored, scope, self._loop.time(), seen_here=seen_here, alive={}))
        return Scan(tuple(judged))

    async def _judge_all(self, records: Sequence[Stored], *, seen_here: bool = True) -> list[Judged]:
        # Seen before anything is asked: however long that takes, these versions were there now.
        now, scope = self._loop.time(), self.scope()
        for stored in records:
            self.releaser.see(stored, now)
        alive = await self._owners.glance([it.record.owner for it in records]) if seen_here else {}
        return [await self._judge(stored, scope, now, seen_here=seen_here, alive=alive) for stored in records]

    async def _judge(
        self, stored: Stored, scope: Scope, now: float, *, seen_here: bool, alive: Mapping[str, Sight]
    ) -> Judged:
        seen = self.releaser.see(stored, now)
        if not seen_here:
            owner = Sight(Standing.UNPROVEN, "our own instance cannot be seen, so nobody's absence means anything")
        else:
            owner = alive.get(stored.record.owner.uid) or await self._owners.look(stored.record.owner)
        looked_at = self._loop.time()
        judgement = judge(stored, seen, owner, now, scope)
        if not seen_here and judgement.verdict is Verdict.RECLAIM:
            judgement = Judgement(
                Verdict.REPORT, owner.why
            )  # not even what was handed over: we may be in a wrong place
        due_at = self.releaser.due_at(stored.name)
        if judgement.verdict is Verdict.RECLAIM and due_at is not None and due_at > now:
            why = "a second look is due: a request may be late, or the answer was 404"
            judgement = Judgement(Verdict.WATCH, why, due_at)
        return Judged(stored, seen, owner, judgement, looked_at)

    def _report(self, judged: Iterable[Judged]) -> None:
        phases = dict.fromkeys(Phase, 0)
        orphans = dict.fromkeys(Phase, 0)
        for it in judged:
            phases[it.stored.record.phase] += 1
            gone = it.owner.standing is Standing.GONE or it.stored.record.phase is Phase.HANDOVER
            if gone and it.judgement.verdict is not Verdict.KEEP:
                orphans[it.stored.record.phase] += 1
            if gone and it.judgement.verdict is Verdict.UNKNOWN_KEY and it.stored.name not in self._unknown_keys:
                self._unknown_keys.add(it.stored.name)
                self._observer.reclaimed(it.stored.record, ReclaimResult.UNKNOWN_KEY, it.judgement.why)
        self._observer.scanned(phases, orphans)

    def _left_alone(self, judged: Iterable[Judged], strays: Iterable[Stray]) -> dict[str, str]:
        """Return what nobody here can judge, so that a running sidecar tells of it too (design.md section 6).

        Not the unknown keys and the IDs never seen of those who live: that is how others work, and no trouble. Nor the
        orphans under an unknown key, which are told as such.
        """
        left = {it.name: it.fault for it in strays}
        for it in judged:
            record, verdict, standing = it.stored.record, it.judgement.verdict, it.owner.standing
            if record.owner.uid == self._rules.uid or standing is Standing.LIVE:
                continue
            if verdict is Verdict.REPORT or (verdict is Verdict.UNKNOWN_KEY and standing is Standing.UNPROVEN):
                seat = record.identity.deployment_id or "no deployment ID"
                left[it.stored.name] = f"the seat of {record.owner.pod} ({seat}): {it.judgement.why}"
        return left

    # --- reclaiming ---------------------------------------------------------------------------------------------------

    async def reclaim(self, judged: Iterable[Judged]) -> tuple[tuple[Judged, Attempt], ...]:
        """Reclaim each of these, one after the other; return how it went. Raises ``LedgerOutage``."""
        attempts: list[tuple[Judged, Attempt]] = []
        for it in judged:
            attempt = await self.releaser.release(it.stored, still=partial(self._still, it))
            again = attempt.result is ReclaimResult.RELEASED and attempt.again_at is not None
            result = ReclaimResult.PENDING if again else attempt.result
            self._observer.reclaimed(it.stored.record, result, attempt.why or it.judgement.why)
            attempts.append((it, attempt))
        return tuple(attempts)

    async def _still(self, it: Judged) -> Stored | None:
        """Return the record if it may be reclaimed at this moment, by a new look unless the last one is fresh."""
        if self._loop.time() - it.looked_at <= _FRESH:
            return it.stored
        return next((now.stored for now in (await self.look_again([it.stored.name])).reclaimable()), None)
