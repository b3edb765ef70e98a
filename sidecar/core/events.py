"""What the machine is told. Every event is a fact; none asks for anything.

``luck`` is a fraction in [0, 1) that the shell drew for this event: the core's only source of jitter.
Events with ``op`` answer the flight of that number.
"""

from dataclasses import dataclass, field

from sidecar.core.facts import AppReport, KeySnapshot, Licence, PodReport
from sidecar.core.reasons import AppTrouble, Failure
from sidecar.core.records import Stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """The root of all events."""

    luck: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Event):
    """The root of the events that end a flight."""

    op: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick(Event):
    """The time asked for has come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop(Event):
    """End by ``deadline`` (monotonic; ``shutdown.drain`` included), giving the seat back or not (rule 18).

    ``release`` None: first find out whether the pod ends, or only the sidecar.
    """

    deadline: float
    release: bool | None = True


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysSeen(Event):
    """The key folder was read."""

    snapshot: KeySnapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Knocked(Event):
    """The app's port was tried between two questions; ``trouble`` None: it accepts connections."""

    trouble: AppTrouble | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSeen(Event):
    """The watch of our own pod tells how it is."""

    report: PodReport


@dataclass(frozen=True, slots=True, kw_only=True)
class PodUnseen(Event):
    """Our own pod cannot be watched; ``message`` says why, for people."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProspectsSeen(Event):
    """The ledger was looked at while waiting: ``names`` of records whose seat will become free, how many wait.

    ``held``: active records of others who stay. A release takes milliseconds, so such a record may be gone at the next
    look without ever having been among ``names``.
    """

    names: frozenset[str]
    waiting: int = 1
    held: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed(Answer):
    """All records of the ledger that carry our own uid; ``wall`` is the time of the look, seconds since the epoch."""

    own: tuple[Stored, ...]
    wall: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Written(Answer):
    """A record was written."""

    stored: Stored


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteLost(Answer):
    """A record was not written or erased: the ledger holds ``current`` instead of what was expected."""

    current: Stored | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased(Answer):
    """A record is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerFailed(Answer):
    """The ledger did not answer; ``retry_after`` is its wish in seconds, or None."""

    message: str
    retry_after: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PodLooked(Answer):
    """We looked at our own pod."""

    report: PodReport


@dataclass(frozen=True, slots=True, kw_only=True)
class PodUnanswered(Answer):
    """A look at our own pod brought no answer; ``retry_after``: the server's wish in seconds, or None."""

    message: str
    retry_after: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PortTried(Answer):
    """We knocked at the app's port; ``refused``: nobody listens there."""

    refused: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Activated(Answer):
    """The activation server granted the seat."""

    licence: Licence = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivationDeclined(Answer):
    """The activation server said no, in its own words."""

    reason: Failure
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deactivated(Answer):
    """The activation server answered a deactivation: free, or ``unknown`` (404)."""

    unknown: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFailed(Answer):
    """No definite answer of the activation server; ``sent`` False: the request certainly never reached it."""

    reason: Failure
    message: str
    sent: bool = True
    retry_after: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AppSeen(Answer):
    """The app answered."""

    report: AppReport


@dataclass(frozen=True, slots=True, kw_only=True)
class AppFailed(Answer):
    """The app did not answer usefully; ``sent``: it may be asking the activation server on our behalf.

    ``lingers``: its REST port refuses, and yet something of it may still serve (rule 19).
    """

    trouble: AppTrouble
    message: str
    sent: bool = False
    lingers: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered(Answer):
    """The app took the licence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadDeclined(Answer):
    """The app takes no licence file by upload."""

    message: str
