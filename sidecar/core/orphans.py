"""Which records may be reclaimed, and why not (rules 6, 10, 11, 12 of design.md section 4).

Everything is judged by the reclaimer's own observation: a ``Sighting`` says since when a record has not changed
before our eyes. Timestamps in records never decide. Pure.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from sidecar.core.policy import CLAIM_TIME
from sidecar.core.records import Phase, SeatRecord, Sight, Standing, Stored


class Verdict(StrEnum):
    """What a reclaimer may do with a record."""

    RECLAIM = "reclaim"
    WATCH = "watch"
    """Not yet: it must stay unchanged for longer before our own eyes."""
    KEEP = "keep"
    """Its owner lives."""
    UNKNOWN_KEY = "unknown_key"
    FOREIGN = "foreign"
    """Another activation server, or another release's record."""
    REPORT = "report"
    """Nothing is certain: shown to people, not touched."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """Since when (own monotonic clock) a record has had this version before our eyes."""

    version: str
    since: float


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, the sentence for people, and when it is worth looking again (own clock; None: not by waiting)."""

    verdict: Verdict
    why: str
    again_at: float | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """What a reclaimer may act on: its own configuration's server and keys (rule 6), judged with its own lease.

    ``unproven``: an operator said that owners whose end cannot be proven are gone (design.md section 6); their records
    must still stay unchanged for a lease, so that one who renews somewhere else is never robbed.
    """

    server: str
    fingerprints: frozenset[str]
    lease: float
    own_uid: str = ""
    unproven: bool = False


def sight(previous: Sighting | None, stored: Stored, now: float) -> Sighting:
    """Return the sighting after another look at the record."""
    if previous is not None and previous.version == stored.version:
        return previous
    return Sighting(stored.version, now)


def outside(record: SeatRecord, scope: Scope) -> Judgement | None:
    """Return why this record is not ours to act on at all, or None."""
    identity = record.identity
    if identity.server != scope.server:
        return Judgement(Verdict.FOREIGN, "taken on another activation server than the configured one")
    if identity.key_fingerprint not in scope.fingerprints:
        return Judgement(
            Verdict.UNKNOWN_KEY, f"key {identity.key_fingerprint} is not known here: add it to `previous` in key.dir"
        )
    if not identity.deployment_id:
        return Judgement(Verdict.REPORT, "the app was to activate itself and its deployment ID was never seen")
    return None


def claimed_until(stored: Stored, sighting: Sighting, now: float, scope: Scope) -> float | None:
    """Return until when somebody else's claim holds by our own observation (rule 12), or None."""
    claim = stored.record.claim
    until = sighting.since + CLAIM_TIME
    return None if claim is None or claim.by == scope.own_uid or now >= until else until


def judge(stored: Stored, sighting: Sighting, owner: Sight, now: float, scope: Scope) -> Judgement:
    """Decide about one record; ``owner`` is a look taken now, after we proved that we can see ourselves."""
    record = stored.record
    barred = outside(record, scope)
    if barred is not None:
        return barred
    if record.owner.uid == scope.own_uid:
        return Judgement(Verdict.KEEP, "our own")
    still = now - sighting.since
    claimed = claimed_until(stored, sighting, now, scope)
    if claimed is not None and record.claim is not None:
        return Judgement(Verdict.WATCH, f"claimed by {record.claim.by}", claimed)
    if record.phase is Phase.HANDOVER:
        return Judgement(Verdict.RECLAIM, "handed over by its owner")
    match owner.standing:
        case Standing.LIVE:
            return Judgement(Verdict.KEEP, owner.why)
        case Standing.UNPROVEN if not scope.unproven:
            return Judgement(Verdict.REPORT, owner.why)
        case Standing.GONE | Standing.UNPROVEN:
            if still >= scope.lease:
                return Judgement(Verdict.RECLAIM, f"{owner.why}; unchanged for {still:.0f} s")
            return Judgement(
                Verdict.WATCH,
                f"{owner.why}; seen unchanged for {still:.0f} of {scope.lease:.0f} s",
                sighting.since + scope.lease,
            )
        case other:
            assert_never(other)


def may_go(stored: Stored, owner: Sight, scope: Scope) -> bool:
    """Tell whether this seat will become free without anybody's doing but the protocol's: then "no seats" is waiting.

    Rule 14: some record of this key is ``releasing``, ``handover``, an orphan, or its pod is terminating.
    """
    record = stored.record
    if outside(record, scope) is not None or record.owner.uid == scope.own_uid:
        return False
    if record.phase in (Phase.RELEASING, Phase.HANDOVER):
        return True
    return owner.standing is Standing.GONE or owner.leaving
