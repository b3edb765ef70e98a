"""``drain``: before a release is uninstalled, let its pods give their seats back, and reclaim what they left.

The pods come first: each gives its own seat back within milliseconds, and no other can do that as well. Only what stays
is reclaimed, by the rules of every reclaimer, and only records of this release. It never forces anything, and it ends
in time: whoever waits for it wants to uninstall.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from sidecar.core.orphans import Verdict
from sidecar.core.records import SeatRecord, Standing
from sidecar.errors import LedgerOutage
from sidecar.hook_ports import Remaining, Workload
from sidecar.operate.persistence import RIGHTS
from sidecar.operate.results import Fate, Result, Teller, result_of
from sidecar.operate.sweep import confirmed, spoken
from sidecar.ports import ReclaimResult
from sidecar.reclaim import Judged, Reclaimer, Scan
from sidecar.releaser import Attempt

T = TypeVar("T")

_NO_PODS: Final = Remaining(0)
_PAUSE: Final = 1.0
_CLOSING: Final = 2.0
"""Seconds that are left over for telling how it went."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What is to be drained, and until when.

    ``namespace`` is the release's: another one may have a release of the same name and the same ledger. ``workload`` is
    its name for people. ``until`` is loop time; ``call_timeout`` seconds for one request to the activation server.
    """

    release: str
    namespace: str
    workload: str
    until: float
    call_timeout: float
    rights: float = RIGHTS


@dataclass(slots=True)
class _Trouble:
    """What the API server does not do for us; ``since`` when, if somebody would have to mend it."""

    why: str = ""
    since: float | None = None

    def lasts(self, now: float, rights: float) -> bool:
        """Tell whether it is to be believed: the rights of a hook may come later than its Job."""
        return self.since is not None and now - self.since >= rights


@dataclass(slots=True)
class Account:
    """How it went so far; it can be told at any moment.

    ``left``: records of this release that are still there. ``troubles``: sentences about what could not be done.
    ``pods``: those that have not ended, as far as that is known.
    """

    results: list[Result] = field(default_factory=list)
    left: tuple[Judged, ...] = ()
    pods: Remaining = _NO_PODS
    seen: bool = False
    troubles: list[str] = field(default_factory=list)


class Drain:
    """One drain of one release."""

    def __init__(self, reclaimer: Reclaimer, workload: Workload, orders: Orders, teller: Teller) -> None:
        """Take what judges and acts, what is to be emptied, and who hears of it."""
        self._reclaimer = reclaimer
        self._workload = workload
        self._orders = orders
        self._teller = teller
        self._loop = asyncio.get_running_loop()
        self._scaling, self._looking, self._acting = _Trouble(), _Trouble(), _Trouble()
        self._selector = ""
        self._pods = _NO_PODS
        self._scan: Scan | None = None
        self._first: dict[str, SeatRecord] = {}
        self._last: dict[str, tuple[SeatRecord, Attempt]] = {}
        self._freed: set[str] = set()
        self._told = ""
        self._absent = False
        # A request that would be cut off only leaves a claim behind.
        self._last_start = orders.until - _CLOSING - min(orders.call_timeout, (orders.until - self._loop.time()) / 4)

    async def run(self) -> None:
        """Empty the workload and release what is left, until nothing is or waiting does not help."""
        orders, quiet = self._orders, 0
        while True:
            await self._asked(self._scaling, f"scaling {orders.workload} to 0", self._empty)
            await self._asked(self._looking, "looking at the seat records", self._look)
            self._tell()
            quiet = quiet + 1 if self._is_empty() else 0
            # Twice: a pod that has just been told to end may have a request under way of which no record is seen yet.
            if quiet > 1 or self._is_hopeless() or self._loop.time() >= orders.until - _CLOSING:
                return
            if not self._looking.why:
                await self._asked(self._acting, "reclaiming", self._reclaim)
            await asyncio.sleep(max(0.0, min(_PAUSE, orders.until - _CLOSING - self._loop.time())))

    def account(self) -> Account:
        """Return how it went."""
        # Whoever is cut off between a release and the next look knows more than the last look.
        left = tuple(it for it in self._own() if not self._is_finished(it.stored.name))
        present = {it.stored.name for it in left}
        results = [
            self._ended(name, record) for name, record in self._first.items() if self._scan and name not in present
        ]
        results += [self._left(it) for it in left]
        troubles = [trouble.why for trouble in (self._scaling, self._looking, self._acting) if trouble.why]
        return Account(results, left, self._pods, self._scan is not None, troubles)

    def _is_finished(self, name: str) -> bool:
        _, attempt = self._last.get(name, (None, None))
        return attempt is not None and attempt.result is ReclaimResult.RELEASED and attempt.again_at is None

    # --- the workload -------------------------------------------------------------------------------------------------

    async def _empty(self) -> None:
        """Let the workload have no pods; somebody may scale it up again, so this is said at each look."""
        name = self._orders.workload
        extent = await self._workload.extent()
        if extent is not None and extent.wanted > 0:
            self._teller.step(f"{name} is scaled from {extent.wanted} to 0")
            extent = await self._workload.scale_to_zero() or extent
        if extent is None and not self._absent:
            self._teller.step(f"there is no {name} any more")
        self._absent = extent is None
        if extent is not None and extent.selector:
            self._selector = extent.selector
        self._pods = await self._workload.remaining(self._selector) if self._selector else _NO_PODS

    # --- the seats ----------------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        self._scan = await self._reclaimer.scan()
        for it in self._own():
            self._first.setdefault(it.stored.name, it.stored.record)

    def _own(self) -> tuple[Judged, ...]:
        """Return the records of this release: those of others with the same key are their affair."""
        judged = self._scan.judged if self._scan is not None else ()
        wanted = (self._orders.release, self._orders.namespace)
        owners = ((it, it.stored.record.owner) for it in judged)
        return tuple(it for it, owner in owners if (owner.release, owner.namespace) == wanted)

    async def _reclaim(self) -> None:
        for it in self._own():
            if it.judgement.verdict is not Verdict.RECLAIM:
                continue
            if self._loop.time() >= self._last_start:
                return
            record, name = it.stored.record, it.stored.name
            ((_, attempt),) = await self._reclaimer.reclaim((it,))
            self._last[name] = (record, attempt)
            if attempt.answered and not attempt.unknown:
                self._freed.add(name)
            self._teller.step(f"{record.identity.deployment_id}: {spoken(attempt)}")

    # --- when it is over ----------------------------------------------------------------------------------------------

    def _is_empty(self) -> bool:
        sees = not self._looking.why and not self._scaling.why
        return sees and not self._own() and self._pods.pods == self._pods.leaving

    def _is_hopeless(self) -> bool:
        """Tell whether waiting changes nothing any more."""
        now, rights = self._loop.time(), self._orders.rights
        if self._looking.lasts(now, rights):
            return True
        scaled = not self._scaling.lasts(now, rights)
        if self._looking.why or (self._scaling.why and scaled):
            return False
        if self._pods.pods > self._pods.leaving and scaled:
            return False
        own, acts = self._own(), not self._acting.lasts(now, rights)
        return not any(_may_change(it, scaled=scaled, acts=acts) for it in own) and (bool(own) or not scaled)

    async def _asked(self, trouble: _Trouble, what: str, attempt: Callable[[], Awaitable[None]]) -> None:
        """Do what asks the API server; what it does not do is kept in ``trouble``, and tried again at the next look."""
        try:
            await attempt()
        except LedgerOutage as outage:
            why = f"{what}: {outage}"
            if not outage.lasting:
                trouble.since = None
            elif trouble.since is None:
                trouble.since = self._loop.time()
            if why != trouble.why:
                self._teller.step(f"{why}; trying again")
            trouble.why = why
        else:
            trouble.why, trouble.since = "", None

    # --- telling ------------------------------------------------------------------------------------------------------

    def _tell(self) -> None:
        own, pods = self._own(), self._pods
        parts = [f"{_count(pods.pods, 'pod')}{f' ({pods.leaving} being deleted)' if pods.leaving else ''}"]
        parts.append(_count(len(own), "seat record"))
        text = f"the release {self._orders.release} has {' and '.join(parts)}"
        if not self._looking.why and text != self._told:
            self._teller.step(text)
            self._told = text

    def _ended(self, name: str, record: SeatRecord) -> Result:
        _, attempt = self._last.get(name, (record, None))
        if attempt is None:
            return result_of(record, Fate.ELSEWHERE, "its own sidecar gave it back")
        if attempt.result is not ReclaimResult.RELEASED or attempt.again_at is not None:
            return result_of(record, Fate.ELSEWHERE, "its record is gone: another reclaimer or its owner finished it")
        return result_of(record, *confirmed(attempt, freed=name in self._freed))

    def _left(self, it: Judged) -> Result:
        record, why = it.stored.record, it.judgement.why
        _, attempt = self._last.get(it.stored.name, (record, None))
        if attempt is not None and attempt.result is not ReclaimResult.RELEASED:
            return result_of(record, Fate.FAILED, attempt.why)
        match it.judgement.verdict:
            case Verdict.UNKNOWN_KEY:
                return result_of(record, Fate.NO_KEY, f"{it.owner.why}; {why}")
            case Verdict.FOREIGN:
                return result_of(record, Fate.LEFT, f"it was taken on {record.identity.server}, not on activation.url")
            case Verdict.KEEP:
                return result_of(record, Fate.WAITING, f"{why}: its sidecar gives it back when the pod ends")
            case Verdict.REPORT:
                return result_of(record, Fate.LEFT, why)
            case Verdict.WATCH | Verdict.RECLAIM:
                return result_of(record, Fate.WAITING, why)


def _may_change(it: Judged, *, scaled: bool, acts: bool) -> bool:
    """Tell whether this record may still go: if we can reclaim it, or if its owner's pod is told to end."""
    if it.judgement.verdict in (Verdict.RECLAIM, Verdict.WATCH):
        return acts
    return it.owner.standing is Standing.LIVE and (scaled or it.owner.leaving)


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
