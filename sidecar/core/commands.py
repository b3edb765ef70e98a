"""What the machine asks for. The shell carries commands out and reports back as events.

A ``Launch`` occupies its lane until it is answered or its deadline has passed; all others are done at once.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from sidecar.core.facts import Licence
from sidecar.core.reasons import Cause
from sidecar.core.records import Identity, SeatRecord, Stored


class Lane(StrEnum):
    """The three things that are never asked twice at a time."""

    LEDGER = "ledger"
    SERVER = "server"
    APP = "app"


@dataclass(frozen=True, slots=True)
class ListOwn:
    """Find all records that carry our own uid."""


@dataclass(frozen=True, slots=True)
class Write:
    """Write a record over exactly ``over`` (None: it must not exist).

    ``clears``: this is the write that every request for a seat must follow (rule 2).
    """

    record: SeatRecord
    over: Stored | None
    clears: bool = False

    @property
    def name(self) -> str:
        """Return the record's name."""
        return self.record.identity.name


@dataclass(frozen=True, slots=True)
class Erase:
    """Erase exactly this record."""

    stored: Stored

    @property
    def name(self) -> str:
        """Return the record's name."""
        return self.stored.name


@dataclass(frozen=True, slots=True)
class LookAtPod:
    """Look at our own pod: whether it exists, is ours, and is about to end (rules 15 and 18)."""


@dataclass(frozen=True, slots=True)
class Activate:
    """Ask the activation server for a seat; the record says so already (rule 2)."""

    identity: Identity


@dataclass(frozen=True, slots=True)
class Deactivate:
    """Ask the activation server to free a seat."""

    identity: Identity
    cause: Cause


@dataclass(frozen=True, slots=True)
class AskApp:
    """Ask the app for its deployment ID, licence and readiness."""


@dataclass(frozen=True, slots=True)
class Upload:
    """Upload the licence file to the app."""

    identity: Identity
    licence: Licence = field(repr=False)


@dataclass(frozen=True, slots=True)
class ActivateByApp:
    """Tell the app to activate the same ID itself; the record is open (design.md section 5)."""

    identity: Identity


@dataclass(frozen=True, slots=True)
class Knock:
    """Knock at the app's port: whether anybody listens there (rule 18)."""


LedgerCommand = ListOwn | Write | Erase | LookAtPod
ServerCommand = Activate | Deactivate
AppCommand = AskApp | Upload | ActivateByApp | Knock
LaneCommand = LedgerCommand | ServerCommand | AppCommand


@dataclass(frozen=True, slots=True)
class Launch:
    """Carry out ``command`` and answer as operation ``op``; after ``deadline`` (monotonic) nobody waits for it."""

    op: int
    command: LaneCommand
    deadline: float


@dataclass(frozen=True, slots=True)
class TouchRestartFile:
    """Ask the app's container to restart (design.md section 5)."""


@dataclass(frozen=True, slots=True)
class RemoveRestartFile:
    """No longer ask for it."""


@dataclass(frozen=True, slots=True)
class ScanNow:
    """Tell the reclaimer that a seat is wanted."""


@dataclass(frozen=True, slots=True)
class PollKeys:
    """Read the key folder now: a refusal may mean that the key was just replaced."""


@dataclass(frozen=True, slots=True)
class Follow:
    """Watch the ledger for seats that become free, or stop watching."""

    on: bool


@dataclass(frozen=True, slots=True)
class Exit:
    """End the process with this code."""

    code: int


class Occasion(StrEnum):
    """What a notice tells of."""

    ADOPTED = "adopted"
    ACTIVATION_ASKED = "activation_asked"
    ACTIVATED = "activated"
    ACTIVATION_FAILED = "activation_failed"
    ACTIVATION_REFUSED = "activation_refused"
    DELIVERED = "delivered"
    DELIVERY_FAILED = "delivery_failed"
    LICENSE_LOST = "license_lost"
    RELEASE_ASKED = "release_asked"
    RELEASED = "released"
    RELEASE_UNKNOWN = "release_unknown"
    RELEASE_FAILED = "release_failed"
    RECORD_RENEWED = "record_renewed"
    RECORD_FAILED = "record_failed"
    RECORD_LOST = "record_lost"
    RECORD_FOREIGN = "record_foreign"
    APP_CHECKED = "app_checked"
    APP_UNANSWERED = "app_unanswered"
    APP_FAILED = "app_failed"
    ID_CHANGED = "id_changed"
    KEY_CHANGED = "key_changed"
    KEY_UNUSABLE = "key_unusable"
    KEY_USABLE = "key_usable"
    RESTART_ASKED = "restart_asked"
    RESTART_FAILED = "restart_failed"
    STOPPING = "stopping"
    HANDED_OVER = "handed_over"
    SEAT_LEFT = "seat_left"
    POD_FOREIGN = "pod_foreign"
    POD_UNSEEN = "pod_unseen"
    POD_SEEN = "pod_seen"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something worth a log line, a metric or an event; ``reason`` is a word of ``reasons``, ``text`` for people."""

    occasion: Occasion
    reason: str = ""
    text: str = ""
    identity: Identity | None = None


Command = Launch | TouchRestartFile | RemoveRestartFile | ScanNow | PollKeys | Follow | Exit | Notice
