"""``import``: releases the seats of deployment IDs that older automation left behind, and of nothing else.

An ID is left alone if the ledger knows a living owner of it, if the operator says that it is in use, and in Kubernetes
if the pod of its name lives or cannot be looked at; elsewhere nobody can look at the pods that the IDs came from. It
writes nothing, so it can be run again after any end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sidecar.core.records import Sight, Standing
from sidecar.hook_ports import NamedPods
from sidecar.operate.results import Fate, Result, Teller, result_of
from sidecar.operate.single import Wish, release_recorded, release_unrecorded
from sidecar.reclaim import Judged, Reclaimer, Scan


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """One ID as it was read. ``pod`` is empty where nothing names one; ``fault`` says why it is no ID, if so.

    ``empty``: there was none yet when it was written down.
    """

    deployment_id: str
    pod: str = ""
    fault: str = ""
    empty: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """One ID with what is to be done: a result that stands already, or the records to release it by (or none).

    ``why``: what is known of its pod.
    """

    entry: LeftBehind
    settled: Result | None = None
    records: tuple[Judged, ...] = ()
    why: str = ""


async def look(entries: Iterable[LeftBehind], in_use: frozenset[str], pods: NamedPods) -> dict[str, Sight]:
    """Return how the pods stand whose IDs may be released, by name. Raises ``LedgerOutage``."""
    names = dict.fromkeys(it.pod for it in entries if it.pod and not it.fault and it.deployment_id not in in_use)
    found = [(name, await pods.look(name)) for name in names]
    return {name: sight for name, sight in found if sight is not None}


def plan(
    entries: Iterable[LeftBehind], in_use: frozenset[str], scan: Scan, pods: Mapping[str, Sight] | None = None
) -> tuple[Plan, ...]:
    """Decide about each ID; the first of several equal ones counts. ``pods``: how those named stand, where known."""
    seen: set[str] = set()
    sights = pods or {}
    entries = list(entries)
    # An ID stands under two names where a pod's successor took it over: one of them that lives keeps it.
    living = {it.deployment_id: it.pod for it in entries if _keeps(sights.get(it.pod))}
    plans: list[Plan] = []
    for entry in entries:
        keeper = living.get(entry.deployment_id, entry.pod)
        plans.append(_planned(entry, in_use, scan, seen, sights.get(keeper)))
        if not entry.fault:
            seen.add(entry.deployment_id)
    return tuple(plans)


def _planned(entry: LeftBehind, in_use: frozenset[str], scan: Scan, seen: set[str], pod: Sight | None) -> Plan:
    if entry.fault:
        return Plan(entry, _result(entry, Fate.SKIPPED, entry.fault))
    if entry.deployment_id in seen:
        return Plan(entry, _result(entry, Fate.SKIPPED, "named before"))
    if entry.deployment_id in in_use:
        return Plan(entry, _result(entry, Fate.KEPT, "you say that it is in use"))
    records = tuple(it for it in scan.judged if it.stored.record.identity.deployment_id == entry.deployment_id)
    for it in records:
        if it.owner.standing is not Standing.GONE:
            return Plan(entry, result_of(it.stored.record, Fate.KEPT, f"the ledger has its record: {it.owner.why}"))
    # A record tells its owner by uid, which is more than a name.
    if pod is not None and not records and _keeps(pod):
        return Plan(entry, _result(entry, Fate.KEPT, pod.why))
    return Plan(entry, records=records, why=pod.why if pod is not None else "")


def _keeps(pod: Sight | None) -> bool:
    return pod is not None and pod.standing is not Standing.GONE


def foresee(plans: Iterable[Plan]) -> tuple[Result, ...]:
    """Return what carrying the plans out would do."""
    return tuple(it.settled or _result(it.entry, Fate.PLANNED, _intention(it)) for it in plans)


async def carry_out(
    plans: Sequence[Plan], reclaimer: Reclaimer, keys: Sequence[str], teller: Teller
) -> tuple[Result, ...]:
    """Release what is to be released, one after the other. Raises ``LedgerOutage``."""
    results: list[Result] = []
    many, begun = sum(1 for it in plans if it.settled is None), 0
    for it in plans:
        if it.settled is not None:
            results.append(it.settled)
            continue
        begun += 1
        wish = Wish(deployment_id=it.entry.deployment_id)
        if it.records:
            told = [await release_recorded(reclaimer, record, wish, teller) for record in it.records]
        else:
            told = list(await release_unrecorded(reclaimer, wish.deployment_id, keys))
            for one in told:
                teller.step(f"{begun} of {many}: {one.deployment_id}: {one.why} ({one.key_fingerprint})")
        results.extend(told)
    return tuple(results)


def _intention(it: Plan) -> str:
    if it.records:
        return "would be released by its record: its owner is gone"
    pod = f"{it.why}, and " if it.why else ""
    return f"would be released: {pod}the ledger knows no owner of it"


def _result(entry: LeftBehind, fate: Fate, why: str) -> Result:
    return Result(deployment_id=entry.deployment_id, key_fingerprint="", owner=entry.pod, fate=fate, why=why)
