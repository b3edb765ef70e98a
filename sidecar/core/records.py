"""The seat record: what is written down before a seat is asked for (design.md section 4, rules 1 to 4).

Pure values. How they are stored is a ledger's affair; which of them may be acted on is ``orphans``' affair.
"""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache


class Phase(StrEnum):
    """Where a seat record stands in its life (rule 3)."""

    ACTIVATING = "activating"
    ACTIVE = "active"
    RELEASING = "releasing"
    HANDOVER = "handover"


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes a seat: one (activation server, key, deployment ID).

    ``server`` is the normalised activation URL, ``key_fingerprint`` the first 12 hex digits of the key's SHA-256,
    ``deployment_id`` the app's identity (empty only for route ``app`` before the ID is known).
    """

    server: str
    key_fingerprint: str
    deployment_id: str

    @property
    def name(self) -> str:
        """Return the record's name: ``seat-`` and 40 hex digits, legal as a Kubernetes object name and a file name."""
        return _name(self.server, self.key_fingerprint, self.deployment_id)


# A scan asks for every record's name several times: without the cache this was a sixth of a large fleet's time.
@lru_cache(maxsize=4096)
def _name(server: str, key_fingerprint: str, deployment_id: str) -> str:
    text = f"{server}\n{key_fingerprint}\n{deployment_id}"
    return f"seat-{hashlib.sha256(text.encode()).hexdigest()[:40]}"


@dataclass(frozen=True, slots=True)
class Owner:
    """Who took the seat: enough to prove later that he is gone (rule 10).

    Outside Kubernetes ``pod`` is the instance's name, ``uid`` the instance's uid kept in the ledger's folder, and
    ``boot`` tells the boot of the machine; ``namespace`` is empty.
    """

    pod: str
    uid: str
    namespace: str = ""
    node: str = ""
    release: str = ""
    container_id: str = ""
    boot: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """A reclaimer's announcement that it is about to release the seat (rule 12).

    ``at`` is wall-clock seconds since the epoch, for people; expiry is judged by observation only.
    """

    by: str
    at: float


@dataclass(frozen=True, slots=True)
class SeatRecord:
    """One seat as it is written down.

    ``open``: a request that can take the seat may be under way (rule 2).
    ``unknown``: a deactivation was answered with 404 once; a second look is due (rule 6).
    ``created_at``, ``renewed_at``: wall-clock seconds since the epoch, stamped by whoever writes; hints only.
    """

    identity: Identity
    owner: Owner
    phase: Phase
    open: bool
    unknown: bool = False
    claim: Claim | None = None
    created_at: float = 0.0
    renewed_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Stored:
    """A seat record together with the version under which the ledger holds it (for compare-and-swap).

    ``version`` is opaque: only equality means something. It changes with every write.
    """

    record: SeatRecord
    version: str

    @property
    def name(self) -> str:
        """Return the record's name."""
        return self.record.identity.name


@dataclass(frozen=True, slots=True)
class Stray:
    """Something in the ledger that is not a readable seat record: reported and left alone."""

    name: str
    fault: str


@dataclass(frozen=True, slots=True)
class Listing:
    """All that the ledger holds at one moment, records in the order of their names."""

    records: tuple[Stored, ...]
    strays: tuple[Stray, ...] = ()


class Standing(StrEnum):
    """What is known about a record's owner (rules 10 and 11)."""

    LIVE = "live"
    GONE = "gone"
    UNPROVEN = "unproven"
    """Neither: no right to look, another boot, a network file system, an own pod that cannot be seen."""


@dataclass(frozen=True, slots=True)
class Sight:
    """A look at a record's owner: the standing, and for people why."""

    standing: Standing
    why: str
    leaving: bool = False
    """The owner is live but about to end (a pod that is being deleted): its seat will soon be free."""
