"""The reclaimer: gives back the seats of owners who are provably gone (rules 10 to 13 of design.md section 4).

It scans the ledger, claims an orphan by compare-and-swap, releases it by ``core.release`` and erases its record; a
crash at any point leaves something that the next reclaimer finishes. It is separate from the agent: a bug in judging
others must not reach our own seat. It never touches a record of its own uid.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from random import Random

from sidecar.core import release as releases
from sidecar.core.events import ProspectsSeen
from sidecar.core.orphans import Judgement, Scope, Sighting, Verdict, judge, may_go, outside, sight
from sidecar.core.policy import CLAIM_TIME, scan_pause
from sidecar.core.reasons import Cause
from sidecar.core.records import Claim, Listing, Phase, Sight, Standing, Stored, Stray
from sidecar.core.release import Release
from sidecar.errors import ActivationOutage, Conflict, LedgerOutage
from sidecar.ports import (
    ActivationServer,
    Deactivation,
    Keys,
    Ledger,
    Observer,
    Outcome,
    Owners,
    ReclaimResult,
    Target,
)

LOOP = "reclaimer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the reclaimer goes by: durations in seconds, ``rate`` in reclaims a minute."""

    server: str
    uid: str
    lease: float
    late: float
    call_timeout: float
    rate: float


@dataclass(frozen=True, slots=True)
class Judged:
    """One record with what a look at its owner and at the clock says about it."""

    stored: Stored
    owner: Sight
    judgement: Judgement


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


class TokenBucket:
    """Lets ``rate`` things a minute through, up to a minute's worth at once (rule 12: before the claim)."""

    def __init__(self, rate: float, clock: Callable[[], float]) -> None:
        """Start full."""
        self._rate = rate / 60.0
        self._most = max(1.0, rate)
        self._clock = clock
        self._tokens = self._most
        self._at = clock()

    async def take(self) -> None:
        """Wait for a token and take it."""
        while True:
            now = self._clock()
            self._tokens = min(self._most, self._tokens + (now - self._at) * self._rate)
            self._at = now
            if self._tokens >= 1.0:
                self._tokens -= 1.0
                return
            await asyncio.sleep((1.0 - self._tokens) / self._rate)


@dataclass(slots=True)
class _Memory:
    """What this process has seen itself: nothing else counts."""

    sightings: dict[str, Sighting] = field(default_factory=dict)
    releases: dict[str, Release] = field(default_factory=dict)


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
        self._rules = rules
        self._ledger = ledger
        self._owners = owners
        self._server = server
        self._keys = keys
        self._observer = observer
        self._random = random
        self._wall = wall
        self._loop = asyncio.get_running_loop()
        self._bucket = TokenBucket(rules.rate, self._loop.time)
        self._memory = _Memory()
        self._wanted = asyncio.Event()
        self._following = asyncio.Event()
        self._unknown_keys: set[str] = set()
        self._known: frozenset[str] = frozenset()

    # --- the agent's side ---------------------------------------------------------------------------------------------

    def scan_now(self) -> None:
        """Scan the ledger soon: a seat is wanted."""
        self._wanted.set()

    def follow(self, on: bool) -> None:
        """Watch the ledger for seats that become free, or stop."""
        if on:
            self._following.set()
        else:
            self._following.clear()

    async def run(self, feed: Callable[[ProspectsSeen], None]) -> None:
        """Scan for ever: at once, then at the fleet's interval, and sooner where waiting or an orphan calls for it.

        ``feed`` takes what a scan says about seats that will become free, while somebody waits for one.
        """
        while True:
            self._wanted.clear()
            now = self._loop.time()
            renewing, again_at = 1, None
            try:
                scan = await self.scan()
                if self._following.is_set():
                    feed(self._prospects(scan.judged))
                renewing = sum(1 for it in scan.judged if it.owner.standing is Standing.LIVE)
                await self.reclaim(scan.reclaimable())
                again_at = self._next_look(scan)
            except LedgerOutage as outage:
                self._observer.scan_failed(str(outage))
            pause = scan_pause(
                self._rules.lease, renewing, waiting=self._following.is_set(), luck=self._random.random()
            )
            if again_at is not None:
                pause = min(pause, max(again_at - self._loop.time(), 1.0))
            self._observer.turned(LOOP, pause + 120.0)
            # Never more often than once a second, however often somebody wants it.
            await asyncio.sleep(min(pause, max(0.0, 1.0 - (self._loop.time() - now))))
            await self._pause(pause)

    async def watch_prospects(self, feed: Callable[[ProspectsSeen], None]) -> None:
        """While the agent waits for a seat, tell it which seats are about to become free (rule 14)."""
        while True:
            await self._following.wait()
            try:
                async with aclosing(self._ledger.follow()) as listings:
                    async for listing in listings:
                        if not self._following.is_set():
                            break
                        feed(self._prospects(await self._looked_at(listing)))
            except LedgerOutage as outage:
                self._observer.scan_failed(str(outage))
                await asyncio.sleep(self._rules.lease / 4)

    async def _looked_at(self, listing: Listing) -> list[Judged]:
        now, scope = self._loop.time(), self.scope()
        return [
            await self._judge(stored, scope, now, seen_here=True)
            for stored in listing.records
            if outside(stored.record, scope) is None
        ]

    def _prospects(self, judged: Iterable[Judged]) -> ProspectsSeen:
        scope = self.scope()
        names = frozenset(it.stored.name for it in judged if may_go(it.stored, it.owner, scope))
        others = (it for it in judged if it.stored.name not in names and it.stored.record.owner.uid != scope.own_uid)
        waiting = 1 + sum(1 for it in others if it.stored.record.phase is Phase.ACTIVATING)
        return ProspectsSeen(names=names, waiting=waiting, luck=self._random.random())

    async def _pause(self, seconds: float) -> None:
        handle = self._loop.call_later(seconds, self._wanted.set)
        try:
            await self._wanted.wait()
        finally:
            handle.cancel()

    def _next_look(self, scan: Scan) -> float | None:
        """Return when it is worth looking again before the next regular scan."""
        moments = [release.not_before for release in self._memory.releases.values() if not release.confirmed]
        at = scan.again_at()
        return min(moments if at is None else [*moments, at], default=None)

    # --- scanning -----------------------------------------------------------------------------------------------------

    def scope(self) -> Scope:
        """Return what we may act on with the keys that we have now."""
        return Scope(self._rules.server, self._known, self._rules.lease, self._rules.uid)

    async def scan(self) -> Scan:
        """Look at every record and its owner. Raises ``LedgerOutage``."""
        self._known = (await self._keys.poll()).known()
        listing = await self._ledger.list()
        seen_here = await self._owners.sees_itself()
        scope, now = self.scope(), self._loop.time()
        judged = [await self._judge(stored, scope, now, seen_here=seen_here) for stored in listing.records]
        self._forget({it.name for it in listing.records})
        self._report(judged)
        return Scan(tuple(judged), listing.strays)

    async def _judge(self, stored: Stored, scope: Scope, now: float, *, seen_here: bool) -> Judged:
        seen = sight(self._memory.sightings.get(stored.name), stored, now)
        self._memory.sightings[stored.name] = seen
        if not seen_here:
            owner = Sight(Standing.UNPROVEN, "our own instance cannot be seen, so nobody's absence means anything")
        else:
            owner = await self._owners.look(stored.record.owner)
        judgement = judge(stored, seen, owner, now, scope)
        release = self._memory.releases.get(stored.name)
        if judgement.verdict is Verdict.RECLAIM and release is not None and release.not_before > now:
            why = "a second look is due: a request may be late, or the answer was 404"
            judgement = Judgement(Verdict.WATCH, why, release.not_before)
        return Judged(stored, owner, judgement)

    def _forget(self, present: set[str]) -> None:
        memory = self._memory
        memory.sightings = {name: it for name, it in memory.sightings.items() if name in present}
        memory.releases = {name: it for name, it in memory.releases.items() if name in present}

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

    # --- reclaiming ---------------------------------------------------------------------------------------------------

    async def reclaim(self, judged: Iterable[Judged]) -> None:
        """Reclaim each of these, one after the other. Raises ``LedgerOutage``."""
        for it in judged:
            await self._bucket.take()
            result, why = await self.release_one(it.stored)
            self._observer.reclaimed(it.stored.record, result, why or it.judgement.why)

    async def release_one(self, stored: Stored, cause: Cause = Cause.RECLAIM) -> tuple[ReclaimResult, str]:
        """Claim, deactivate, and erase or leave for the second look. Raises ``LedgerOutage``."""
        name, rules = stored.name, self._rules
        release = self._memory.releases.get(name) or self._begin(stored, cause)
        key = self._keys.reveal(stored.record.identity.key_fingerprint)
        if key is None:
            return ReclaimResult.UNKNOWN_KEY, "its key is not known here"
        claimed_at = self._loop.time()
        claim = Claim(by=rules.uid, at=self._wall())
        try:
            claimed = await self._ledger.replace(stored, replace(stored.record, claim=claim))
        except Conflict:
            return ReclaimResult.CONFLICT, "somebody else was faster, or its owner lives"
        self._unchanged(claimed)
        sent_at = self._loop.time()
        if sent_at - claimed_at >= CLAIM_TIME - rules.call_timeout:
            return ReclaimResult.CONFLICT, "the claim took too long to write to be sure that it still holds"
        outcome = Outcome.RETRYABLE
        try:
            answer = await self._server.deactivate(key, stored.record.identity.deployment_id)
            outcome = Outcome.OK
        except ActivationOutage as outage:
            pause = 5.0 * 2.0 ** min(release.failures, 4) * (0.5 + 0.5 * self._random.random())
            release = releases.failed(release, self._loop.time(), pause)
            self._remember(name, release)
            return ReclaimResult.FAILED, str(outage)
        finally:
            ended = self._loop.time()
            self._observer.requested(Target.ACTIVATION_SERVER, "deactivate", outcome, ended - sent_at)
        if answer is Deactivation.UNKNOWN:
            release = releases.unknown(release, sent_at, self._loop.time(), rules.late)
        else:
            release = releases.released(release, sent_at)
        return await self._conclude(claimed, release)

    def _begin(self, stored: Stored, cause: Cause) -> Release:
        seen = self._memory.sightings.get(stored.name)
        first = seen.since if seen is not None and seen.version == stored.version else self._loop.time()
        return releases.begin(stored, cause, first, self._rules.late)

    def _remember(self, name: str, release: Release) -> None:
        self._memory.releases[name] = release

    async def _conclude(self, claimed: Stored, release: Release) -> tuple[ReclaimResult, str]:
        try:
            if release.confirmed:
                await self._ledger.erase(claimed)
                self._memory.releases.pop(claimed.name, None)
                return ReclaimResult.RELEASED, ""
            now = self._loop.time()
            leaving = claimed.record.phase is Phase.HANDOVER
            left = await self._ledger.replace(claimed, releases.wanted(release, now, leaving=leaving))
        except Conflict:
            self._memory.releases.pop(claimed.name, None)
            return ReclaimResult.CONFLICT, "its record changed meanwhile"
        self._remember(claimed.name, release)
        self._unchanged(left)
        return ReclaimResult.RELEASED, "released; the record stays for a second look"

    def _unchanged(self, stored: Stored) -> None:
        """Our own write is no sign of life: the record goes on being unchanged since we first saw it so."""
        before = self._memory.sightings.get(stored.name)
        since = before.since if before is not None else self._loop.time()
        self._memory.sightings[stored.name] = Sighting(stored.version, since)
