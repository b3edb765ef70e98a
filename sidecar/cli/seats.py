"""One look at the ledger, in words: the rows and the objects of ``list``.

A single look cannot tell an orphan (rule 11 of design.md section 4 wants a lease of watching), so this only says how
far the proof is. Times in records are their writers' own clocks: shown as hints.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final

from sidecar.core.orphans import Verdict
from sidecar.core.records import Phase, Standing
from sidecar.durations import format_duration
from sidecar.reclaim import Judged, Scan

HEAD: Final = ("DEPLOYMENT ID", "KEY", "PHASE", "OWNER", "AGE", "RENEWED", "ORPHAN", "WHY")
_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def orphan(it: Judged) -> str:
    """Return whether this record is an orphan, as far as one look can tell: yes, no, not yet or unproven."""
    if it.stored.record.phase is Phase.HANDOVER:
        return "yes"
    match it.owner.standing:
        case Standing.LIVE:
            return "no"
        case Standing.GONE:
            return "not yet"
        case Standing.UNPROVEN:
            return "unproven"


def why(it: Judged, wall: float, lease: float) -> str:
    """Return the reasons in one sentence; ``wall`` is seconds since the epoch, ``lease`` seconds."""
    record, judgement = it.stored.record, it.judgement
    parts: list[str] = []
    if record.phase is Phase.HANDOVER:
        parts.append("handed over by its owner")
    elif it.owner.standing is Standing.GONE:
        silence = max(0.0, wall - record.renewed_at)
        parts.append(
            f"gone: {it.owner.why}; not renewed for {silence:.0f} s by its own clock; "
            f"counts as an orphan after {format_duration(lease)} of watching"
        )
    else:
        parts.append(it.owner.why)
    nameless = judgement.verdict is Verdict.REPORT and not record.identity.deployment_id
    if nameless or judgement.verdict in {Verdict.FOREIGN, Verdict.UNKNOWN_KEY}:
        parts.append(judgement.why)
    if record.claim is not None:
        parts.append(f"claimed by {record.claim.by}")
    if record.open:
        parts.append("a request for it may be under way")
    if record.unknown:
        parts.append("the server did not know it once; a second look is due")
    return "; ".join(parts)


def rows(scan: Scan, wall: float, lease: float) -> Iterator[tuple[str, ...]]:
    """Yield the head and one row a seat."""
    yield HEAD
    for it in _in_order(scan):
        record = it.stored.record
        yield (
            record.identity.deployment_id or "-",
            record.identity.key_fingerprint,
            record.phase.value,
            record.owner.pod or record.owner.uid,
            age(record.created_at, wall),
            age(record.renewed_at, wall),
            orphan(it),
            why(it, wall, lease),
        )


def objects(scan: Scan, wall: float, lease: float) -> Iterator[dict[str, Any]]:
    """Yield one object a seat, for a program; times are seconds since the epoch, ages are seconds."""
    for it in _in_order(scan):
        record = it.stored.record
        yield {
            **asdict(record.identity),
            "record": it.stored.name,
            "phase": record.phase.value,
            "open": record.open,
            "unknown": record.unknown,
            "owner": asdict(record.owner),
            "standing": it.owner.standing.value,
            "orphan": orphan(it),
            "why": why(it, wall, lease),
            "created_at": record.created_at,
            "renewed_at": record.renewed_at,
            "age": max(0.0, wall - record.created_at),
            "renewed_ago": max(0.0, wall - record.renewed_at),
            "claim": None if record.claim is None else asdict(record.claim),
        }


def _in_order(scan: Scan) -> list[Judged]:
    """Return the seats by owner: the order of the records' names means nothing to anybody."""
    return sorted(scan.judged, key=lambda it: (it.stored.record.owner.pod, it.stored.record.identity.deployment_id))


def totals(scan: Scan) -> dict[str, int]:
    """Return how many seats there are, by the state of the proof and by phase."""
    proofs = Counter(orphan(it).replace(" ", "_") for it in scan.judged)
    phases = Counter(it.stored.record.phase for it in scan.judged)
    names = {"no": "live", "not_yet": "gone", "unproven": "unproven", "yes": "handed_over"}
    return {
        "seats": len(scan.judged),
        **{name: proofs[proof] for proof, name in names.items()},
        **{phase.value: phases[phase] for phase in Phase},
        "strays": len(scan.strays),
    }


def summary(scan: Scan) -> str:
    """Return the totals as a line."""
    count = totals(scan)
    by_key = Counter(it.stored.record.identity.key_fingerprint for it in scan.judged)
    keys = ", ".join(f"{number} under {key}" for key, number in sorted(by_key.items()))
    return (
        f"{count['seats']} seat{'' if count['seats'] == 1 else 's'}: {count['live']} of owners that live, "
        f"{count['gone']} of owners that are gone, {count['handed_over']} handed over, {count['unproven']} unproven"
        f"{f' ({keys})' if len(by_key) > 1 else ''}"
    )


def age(at: float, wall: float) -> str:
    """Return how long ago something was in its two largest units, such as ``3h 12m``; ``-`` if nobody noted it."""
    if at <= 0:
        return "-"
    left = int(max(0.0, wall - at))
    parts: list[str] = []
    for seconds, unit in _UNITS:
        count, left = divmod(left, seconds)
        if count or (unit == "s" and not parts):
            parts.append(f"{count}{unit}")
        elif parts:
            break
    return " ".join(parts[:2])
