"""``release ID``: gives back the seat of one deployment ID because a person says so.

An ID with a record goes by the record: claim, deactivate, erase, second look. An ID without one is asked about under
every known key. It must not touch the seat of an owner who lives, or may live, without ``force``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sidecar.core.orphans import Verdict, claimed_until
from sidecar.core.policy import CLAIM_TIME
from sidecar.core.reasons import Cause
from sidecar.core.records import Phase, Standing
from sidecar.errors import ActivationOutage, Conflict
from sidecar.operate.results import TRIES, Fate, Result, Teller, result_of, wait_until
from sidecar.operate.sweep import changes, confirmed, spoken
from sidecar.ports import Deactivation, ReclaimResult
from sidecar.reclaim import Judged, Reclaimer
from sidecar.releaser import Attempt

_TAKEN: Final = (Phase.ACTIVATING, Phase.ACTIVE)
_AGAIN: Final = "; its owner lives and will take it again at its next renewal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be released. ``key_fingerprint`` None: under whatever key it was taken.

    ``force``: although its owner lives or may live. ``wait``: until it is over, second look included.
    """

    deployment_id: str
    key_fingerprint: str | None = None
    force: bool = False
    wait: bool = False

    def means(self, it: Judged) -> bool:
        """Tell whether this record is meant."""
        identity = it.stored.record.identity
        return identity.deployment_id == self.deployment_id and self.key_fingerprint in (
            None,
            identity.key_fingerprint,
        )


async def release(reclaimer: Reclaimer, wish: Wish, keys: Sequence[str], teller: Teller) -> tuple[Result, ...]:
    """Release the seats of one ID; ``keys`` are the fingerprints to ask under if there is no record.

    Raises ``LedgerOutage``.
    """
    scan = await reclaimer.scan()
    meant = [it for it in scan.judged if wish.means(it)]
    if meant:
        return tuple([await release_recorded(reclaimer, it, wish, teller) for it in meant])
    teller.step(f"the ledger has no record of {wish.deployment_id}: asking the activation server")
    return await release_unrecorded(reclaimer, wish.deployment_id, keys)


async def release_recorded(reclaimer: Reclaimer, it: Judged, wish: Wish, teller: Teller) -> Result:
    """Release a seat by its record. Raises ``LedgerOutage``."""
    loop, tries, name, record = asyncio.get_running_loop(), 0, it.stored.name, it.stored.record
    attempt: Attempt | None = None
    freed = False
    while True:
        objection = objects(it, wish)
        if objection is not None:
            return objection
        claimed = claimed_until(it.stored, it.seen, loop.time(), reclaimer.scope())
        if claimed is not None:
            why = "another process has claimed it and may be releasing it just now"
            if not wish.wait:
                return result_of(record, Fate.WAITING, f"{why}: wait {CLAIM_TIME:.0f} s, or use --wait")
            await wait_until(claimed, why, teller, changes(reclaimer, (it,)))
        else:
            attempt = await reclaimer.releaser.release(it.stored, Cause.OPERATOR)
            teller.step(f"{record.identity.deployment_id}: {spoken(attempt)}")
            freed = freed or (attempt.answered and not attempt.unknown)
            match attempt.result:
                case ReclaimResult.RELEASED if attempt.again_at is None:
                    fate, why = confirmed(attempt, freed=freed)
                    return result_of(record, fate, f"{why}{_AGAIN if _holds(it) else ''}")
                case ReclaimResult.RELEASED if not wish.wait:
                    return result_of(record, Fate.WAITING, _later(attempt))
                case ReclaimResult.RELEASED:
                    pass
                case _:
                    tries += 1
                    if tries >= TRIES:
                        return result_of(record, Fate.FAILED, attempt.why)
            if attempt.again_at is not None:
                await wait_until(attempt.again_at, "until it may be looked at again", teller)
        again = [each for each in (await reclaimer.scan()).judged if each.stored.name == name]
        if not again:
            return result_of(record, Fate.ELSEWHERE, "its record is gone: its owner or another reclaimer finished it")
        it = again[0]
        if freed and it.owner.standing is Standing.LIVE and it.stored.record.phase in _TAKEN:
            return result_of(record, Fate.ELSEWHERE, "it was released, and its owner has taken it again")


def objects(it: Judged, wish: Wish) -> Result | None:
    """Return why this seat is not released, or None."""
    record, owner = it.stored.record, it.owner
    match it.judgement.verdict:
        case Verdict.FOREIGN:
            why = f"it was taken on {record.identity.server}, which is not activation.url"
            return result_of(record, Fate.REFUSED, why)
        case Verdict.UNKNOWN_KEY:
            return result_of(record, Fate.NO_KEY, it.judgement.why)
    if record.phase is Phase.HANDOVER or wish.force:
        return None
    match owner.standing:
        case Standing.LIVE:
            why = f"its owner ({record.owner.pod}) lives: {owner.why}; --force releases it all the same"
        case Standing.UNPROVEN:
            doubt = f"nobody can prove from here that its owner ({record.owner.pod}) is gone: {owner.why}"
            why = f"{doubt}; --force, if you know that it is"
        case Standing.GONE:
            return None
    return result_of(record, Fate.REFUSED, why)


async def release_unrecorded(reclaimer: Reclaimer, deployment_id: str, keys: Sequence[str]) -> tuple[Result, ...]:
    """Deactivate an ID of which there is no record under each of these keys: it may have been taken under any.

    Raises ``LedgerOutage``.
    """
    return tuple([await _ask(reclaimer, deployment_id, key) for key in keys])


async def _ask(reclaimer: Reclaimer, deployment_id: str, key_fingerprint: str) -> Result:
    try:
        answer = await reclaimer.releaser.ask(key_fingerprint, deployment_id)
    except ActivationOutage as outage:
        fate, why = Fate.FAILED, str(outage)
    except Conflict:
        fate, why = Fate.KEPT, "somebody has just written a record of it: it is in use"
    else:
        if answer is Deactivation.UNKNOWN:
            fate, why = Fate.UNKNOWN, "unknown under this key (404): never taken, mistyped, or free already"
        else:
            fate, why = Fate.RELEASED, "released under this key"
    return Result(deployment_id=deployment_id, key_fingerprint=key_fingerprint, owner="", fate=fate, why=why)


def _holds(it: Judged) -> bool:
    return it.owner.standing is Standing.LIVE and it.stored.record.phase in _TAKEN


def _later(attempt: Attempt) -> str:
    said = "the server did not know it (404)" if attempt.unknown else "released, but a request for it may be late"
    return f"{said}; its record stays for a second look: use --wait, or leave it to `reclaim` or a running sidecar"
