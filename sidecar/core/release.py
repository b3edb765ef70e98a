"""The one procedure that gives a seat back: mark, deactivate, erase.

The agent, the reclaimer, the shutdown, the operator's commands and the chart's hooks all follow it; none of them
decides on its own when a seat counts as free. A ``Release`` is what one process knows about one seat on its way out.
Pure: ``now`` is the caller's monotonic clock.
"""

import math
from dataclasses import dataclass, replace

from sidecar.core.reasons import Cause
from sidecar.core.records import Phase, SeatRecord, Stored

NEVER = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One seat on its way out.

    ``stored``: the record as last seen in the ledger, None where there is none.
    ``quiet_at``: from when no earlier request for this ID can take effect any more (rule 4); infinite while one is
    under way. Only an answer to a deactivation sent from then on is final. ``late_until``: the same without the one
    that is under way. ``alone``: that one is the only request there ever was; if it is refused, nothing was taken.
    ``asked``: we have sent a deactivation for it.
    ``unknown_at``: our own first sight of a 404 (rule 6). ``answered``: some deactivation had a definite answer, so the
    seat is free unless something late takes it again. ``confirmed``: it is free for good; the record may go.
    """

    record: SeatRecord
    stored: Stored | None
    cause: Cause
    since: float
    quiet_at: float = 0.0
    late_until: float = 0.0
    alone: bool = False
    asked: bool = False
    unknown_at: float | None = None
    answered: bool = False
    confirmed: bool = False
    failures: int = 0
    not_before: float = 0.0

    @property
    def name(self) -> str:
        """Return the record's name."""
        return self.record.identity.name

    @property
    def marked(self) -> bool:
        """Tell whether the ledger knows that this seat is on its way out."""
        return self.stored is not None and self.stored.record.phase in (Phase.RELEASING, Phase.HANDOVER)


def begin(stored: Stored, cause: Cause, now: float, late: float) -> Release:
    """Start to release a record found in the ledger: what it says about open requests counts from our first sight."""
    record = stored.record
    quiet_at = now + late if record.open else now
    return Release(
        record=record,
        stored=stored,
        cause=cause,
        since=now,
        quiet_at=quiet_at,
        late_until=quiet_at,
        unknown_at=now if record.unknown else None,
        answered=record.unknown,
        not_before=now + late if record.unknown else now,
    )


def released(release: Release, sent_at: float) -> Release:
    """Fold "the seat is free", the answer to a deactivation sent at ``sent_at``."""
    if sent_at >= release.quiet_at:
        return replace(release, answered=True, confirmed=True, failures=0)
    return replace(release, answered=True, failures=0, not_before=release.quiet_at)


def unknown(release: Release, sent_at: float, now: float, late: float) -> Release:
    """Fold a 404: it counts when seen twice, at least ``late`` apart, with nothing open (rule 6)."""
    first = release.unknown_at
    if first is not None and sent_at >= first + late and sent_at >= release.quiet_at:
        return replace(release, answered=True, confirmed=True, failures=0)
    first = now if first is None else first
    return replace(
        release,
        record=replace(release.record, unknown=True),
        unknown_at=first,
        answered=True,
        failures=0,
        not_before=max(first + late, release.quiet_at),
    )


def failed(release: Release, now: float, pause: float) -> Release:
    """Fold an outage: the next attempt comes ``pause`` seconds from now."""
    return replace(release, failures=release.failures + 1, not_before=max(release.not_before, now + pause))


def requested(release: Release, late_until: float) -> Release:
    """Fold a request that got no answer: it may take the seat until then.

    What was answered before no longer counts, for the request may take the seat after it.
    """
    until = max(release.late_until, late_until)
    return replace(release, quiet_at=until, late_until=until, alone=False, confirmed=False)


def withdrawn(release: Release) -> Release:
    """Fold the certain end of the request under way without a seat; others may still be late (rule 5)."""
    return replace(release, quiet_at=release.late_until, alone=False, confirmed=release.confirmed or release.alone)


def retaken(release: Release, now: float) -> Release:
    """Fold "activated" for a seat that is on its way out: it is taken again and must be released again at once.

    A deactivation that is under way now may have come before it: its answer is not final.
    """
    until = max(release.late_until, now)
    return replace(
        release,
        quiet_at=until,
        late_until=until,
        alone=False,
        answered=False,
        confirmed=False,
        unknown_at=None,
        not_before=now,
    )


def wanted(release: Release, now: float, *, leaving: bool) -> SeatRecord:
    """Return what the ledger should hold while this release lasts; ``leaving``: somebody else must finish it."""
    record = release.record
    return replace(
        record,
        phase=Phase.HANDOVER if leaving else Phase.RELEASING,
        open=release.quiet_at > now,
        unknown=release.unknown_at is not None,
        claim=None,
    )
