"""Carries ``core.release`` out for a seat that is not this process's own: claim, deactivate, erase (rules 6 and 12).

The reclaimer and the operator's commands release in here and nowhere else, and what this process has seen with its own
eyes is kept in here. Whether a seat may be released at all is not decided here: whoever calls has judged it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from random import Random

from sidecar.core import release as releases
from sidecar.core.orphans import Sighting, sight
from sidecar.core.policy import CLAIM_TIME
from sidecar.core.reasons import Cause
from sidecar.core.records import Claim, Identity, Phase, Stored
from sidecar.core.release import Release
from sidecar.errors import ActivationOutage, Conflict
from sidecar.ports import ActivationServer, Deactivation, Keys, Ledger, Observer, Outcome, ReclaimResult, Target
from sidecar.secrets import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What others' seats are released by: durations in seconds, ``rate`` in requests a minute.

    ``unproven``: an operator said that owners whose end nobody can prove from here are gone as well.
    """

    server: str
    uid: str
    lease: float
    late: float
    call_timeout: float
    rate: float
    unproven: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """How one attempt ended.

    ``why`` is a sentence for people, empty where the result says it all. ``answered``: the server gave a definite
    answer, whatever became of the record then. ``unknown``: that answer was a 404.
    ``again_at``: when the next attempt is due (loop time); None: the record is gone, or it is not ours to try again.
    """

    result: ReclaimResult
    why: str = ""
    answered: bool = False
    unknown: bool = False
    again_at: float | None = None


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


class Releaser:
    """What one process has seen of others' seats, and the procedure that gives them back."""

    def __init__(
        self,
        rules: Rules,
        *,
        ledger: Ledger,
        server: ActivationServer,
        keys: Keys,
        observer: Observer,
        random: Random,
        wall: Callable[[], float],
    ) -> None:
        """Make it; ``wall`` tells seconds since the epoch, for claims as people read them."""
        self._rules = rules
        self._ledger = ledger
        self._server = server
        self._keys = keys
        self._observer = observer
        self._random = random
        self._wall = wall
        self._loop = asyncio.get_running_loop()
        self._bucket = TokenBucket(rules.rate, self._loop.time)
        self._sightings: dict[str, Sighting] = {}
        self._releases: dict[str, Release] = {}

    # --- what was seen ------------------------------------------------------------------------------------------------

    def see(self, stored: Stored, now: float) -> Sighting:
        """Take note of a record and return since when it has been like this before our eyes."""
        seen = sight(self._sightings.get(stored.name), stored, now)
        self._sightings[stored.name] = seen
        return seen

    def forget(self, present: Iterable[str]) -> None:
        """Forget all but these records."""
        names = frozenset(present)
        self._sightings = {name: it for name, it in self._sightings.items() if name in names}
        self._releases = {name: it for name, it in self._releases.items() if name in names}

    def due_at(self, name: str) -> float | None:
        """Return when the next attempt at a release that was begun is due, or None."""
        release = self._releases.get(name)
        return None if release is None else release.not_before

    def next_due(self) -> float | None:
        """Return the earliest of all ``due_at``, or None."""
        return min((it.not_before for it in self._releases.values()), default=None)

    # --- what is done -------------------------------------------------------------------------------------------------

    async def release(
        self,
        stored: Stored,
        cause: Cause = Cause.RECLAIM,
        *,
        still: Callable[[], Awaitable[Stored | None]] | None = None,
    ) -> Attempt:
        """Claim, deactivate, and erase or leave for the second look. Raises ``LedgerOutage``.

        ``still`` is asked once it is our turn, which may be minutes after the judgement: the record as it may be
        released now, or None. An owner outside Kubernetes can have come back without having written anything yet.
        """
        name, rules = stored.name, self._rules
        key = self._keys.reveal(stored.record.identity.key_fingerprint)
        if key is None:
            return Attempt(result=ReclaimResult.UNKNOWN_KEY, why="its key is not known here")
        await self._bucket.take()
        if still is not None:
            current = await still()
            if current is None:
                return Attempt(result=ReclaimResult.CONFLICT, why="it changed while its turn was awaited")
            stored = current
        release = self._releases.get(name) or self._begin(stored, cause)
        claimed_at = self._loop.time()
        claim = Claim(by=rules.uid, at=self._wall())
        try:
            claimed = await self._ledger.replace(stored, replace(stored.record, claim=claim))
        except Conflict:
            return Attempt(result=ReclaimResult.CONFLICT, why="somebody else was faster, or its owner lives")
        self._unchanged(claimed)
        sent_at = self._loop.time()
        if sent_at - claimed_at >= CLAIM_TIME - rules.call_timeout:
            return Attempt(
                result=ReclaimResult.CONFLICT,
                why="the claim took too long to write to be sure that it still holds",
                again_at=sent_at + CLAIM_TIME,
            )
        try:
            answer = await self._deactivate(key, stored.record.identity.deployment_id)
        except ActivationOutage as outage:
            longest = min(5.0, rules.lease / 4)
            pause = longest * 2.0 ** min(release.failures, 4) * (0.5 + 0.5 * self._random.random())
            release = self._releases[name] = releases.failed(release, self._loop.time(), pause)
            return Attempt(result=ReclaimResult.FAILED, why=str(outage), again_at=release.not_before)
        if answer is Deactivation.UNKNOWN:
            release = releases.unknown(release, sent_at, self._loop.time(), rules.late)
        else:
            release = releases.released(release, sent_at)
        return await self._conclude(claimed, release, unknown=answer is Deactivation.UNKNOWN)

    async def ask(self, key_fingerprint: str, deployment_id: str) -> Deactivation:
        """Deactivate an ID of which there is no record, under a key that is known here.

        Raises ``Conflict`` if there is a record by now, ``ActivationOutage`` or ``LedgerOutage``.
        """
        key = self._keys.reveal(key_fingerprint)
        if key is None:
            raise AssertionError("asked to release with a key that was never seen")
        await self._bucket.take()
        name = Identity(self._rules.server, key_fingerprint, deployment_id).name
        current = await self._ledger.read(name)
        if current is not None:
            raise Conflict(name, current)
        return await self._deactivate(key, deployment_id)

    async def _deactivate(self, key: Secret, deployment_id: str) -> Deactivation:
        sent_at, outcome = self._loop.time(), Outcome.RETRYABLE
        try:
            answer = await self._server.deactivate(key, deployment_id)
            outcome = Outcome.OK
        finally:
            seconds = self._loop.time() - sent_at
            self._observer.requested(Target.ACTIVATION_SERVER, "deactivate", outcome, seconds)
        return answer

    def _begin(self, stored: Stored, cause: Cause) -> Release:
        seen = self._sightings.get(stored.name)
        first = seen.since if seen is not None and seen.version == stored.version else self._loop.time()
        return releases.begin(stored, cause, first, self._rules.late)

    async def _conclude(self, claimed: Stored, release: Release, *, unknown: bool) -> Attempt:
        try:
            if release.confirmed:
                await self._ledger.erase(claimed)
                self._releases.pop(claimed.name, None)
                return Attempt(result=ReclaimResult.RELEASED, answered=True, unknown=unknown)
            leaving = claimed.record.phase is Phase.HANDOVER
            left = await self._ledger.replace(claimed, releases.wanted(release, self._loop.time(), leaving=leaving))
        except Conflict:
            self._releases.pop(claimed.name, None)
            why = "its record changed meanwhile"
            return Attempt(result=ReclaimResult.CONFLICT, why=why, answered=True, unknown=unknown)
        self._releases[claimed.name] = release
        self._unchanged(left)
        return Attempt(
            result=ReclaimResult.RELEASED,
            why="released; the record stays for a second look",
            answered=True,
            unknown=unknown,
            again_at=release.not_before,
        )

    def _unchanged(self, stored: Stored) -> None:
        """Our own write is no sign of life: the record goes on being unchanged since we first saw it so."""
        before = self._sightings.get(stored.name)
        since = before.since if before is not None else self._loop.time()
        self._sightings[stored.name] = Sighting(stored.version, since)
