"""What the agent's side asks of the outside, as small Protocols named after their roles.

An adapter knows one outside thing, one call is one attempt with a total time-out, and every failure is an exception of
``sidecar.errors`` (``from`` the library's own). Cancelling a call must be safe at any await.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from enum import StrEnum
from typing import Protocol

from sidecar.core.commands import Notice
from sidecar.core.facts import AppReport, KeySnapshot, Licence, PodReport
from sidecar.core.records import Listing, Owner, Phase, SeatRecord, Sight, Stored
from sidecar.core.state import State
from sidecar.errors import LedgerOutage
from sidecar.secrets import Secret


class Deactivation(StrEnum):
    """A definite answer to a deactivation (rule 6)."""

    RELEASED = "released"
    UNKNOWN = "unknown"
    """404: unknown or already released; counts only when seen twice, far enough apart."""


class ActivationServer(Protocol):
    """The vendor's activation server (protocol.md section 1)."""

    async def activate(self, key: Secret, deployment_id: str) -> Licence:
        """Take a seat. Raises ``ActivationRefused`` or ``ActivationOutage``."""

    async def deactivate(self, key: Secret, deployment_id: str) -> Deactivation:
        """Give a seat back. Raises ``ActivationOutage`` for everything that is not definite."""


class App(Protocol):
    """ICAP Server's REST API (protocol.md section 2)."""

    async def report(self) -> AppReport:
        """Ask for deployment ID, licence and readiness. Raises ``AppOutage``."""

    async def upload(self, licence: Licence) -> None:
        """Deliver the licence file. Raises ``UploadRefused`` or ``AppOutage``."""

    async def activate(self, key: Secret) -> None:
        """Tell the product to activate its own ID with this key. Raises ``AppOutage``."""

    async def knock(self) -> None:
        """Open and close a connection to the REST port. Raises ``AppOutage`` (``REFUSED`` or ``SILENT``)."""


class Ledger(Protocol):
    """Where seat records live. All writes are compare-and-swap; all raise ``LedgerOutage``."""

    async def list(self) -> Listing:
        """Return everything in it."""

    async def read(self, name: str) -> Stored | None:
        """Return one record, or None."""

    async def create(self, record: SeatRecord) -> Stored:
        """Write a record that must not exist yet. Raises ``Conflict``."""

    async def replace(self, expected: Stored, record: SeatRecord) -> Stored:
        """Write over exactly ``expected.version``. Raises ``Conflict``."""

    async def erase(self, expected: Stored) -> None:
        """Remove exactly ``expected.version``. Raises ``Conflict`` (``current`` None: it was gone already)."""

    def follow(self) -> AsyncGenerator[Listing, None]:
        """Yield the ledger's content now and after each change, until closed."""


class Owners(Protocol):
    """Tells whether the owners of records live (rules 10 and 11)."""

    async def look(self, owner: Owner) -> Sight:
        """Look at one owner. Raises ``LedgerOutage`` where looking itself fails."""

    async def glance(self, owners: Sequence[Owner]) -> Mapping[str, Sight]:
        """Look at many at once, cheaply, and return who certainly lives, by uid; all others need a look of their own.

        May be empty where single looks are cheap. Raises ``LedgerOutage``.
        """

    async def sees_itself(self) -> bool:
        """Prove that we can see: our own instance must be visible, or nobody else's absence means anything."""


class OwnPod(Protocol):
    """Our own pod, as the API server knows it (rules 15, 17 and 18)."""

    async def look(self) -> PodReport:
        """Look now; a pod that does not exist is reported as such. Raises ``LedgerOutage``."""

    def follow(self) -> AsyncGenerator[PodReport | LedgerOutage, None]:
        """Yield the pod now and after each change, and why it cannot be seen while that is so, until closed."""


class PodJournal(Protocol):
    """Where our pod's events are kept, for people who ask Kubernetes first."""

    async def post(self, reason: str, note: str, *, warning: bool) -> None:
        """Add an event: ``reason`` is one word, ``note`` a sentence. Raises ``LedgerOutage``."""


class Keys(Protocol):
    """The activation keys, by fingerprint."""

    async def poll(self) -> KeySnapshot:
        """Read the key folder again; what is unusable is no change. Never raises for a bad folder."""

    def reveal(self, fingerprint: str) -> Secret | None:
        """Return the key with this fingerprint, if it was ever seen by this process."""


class RestartFile(Protocol):
    """The file ``restart-app`` in the folder shared with the app (design.md section 5). Raises ``OSError``."""

    def touch(self) -> None:
        """Make it, or make it young again."""

    def remove(self) -> None:
        """Remove it if it is there."""


class Target(StrEnum):
    """What a request was for (the label ``target`` of ``observability.md``)."""

    ACTIVATION_SERVER = "activation_server"
    APP = "app"
    LEDGER = "ledger"
    """In Kubernetes this is the API server, and counted as such."""


class WatchEnd(StrEnum):
    """Why a watch began anew before its time (the label ``reason`` of ``watch_restarts_total``)."""

    CLOSED = "closed"
    """The API server hung up before the time that it was given."""
    GONE = "gone"
    """410: the version that it went on from is history."""
    NETWORK = "network"
    """No connection, or one that fell silent."""
    PROTOCOL = "protocol"
    """An answer that makes no sense, or a refusal."""


class Outcome(StrEnum):
    """How a request ended (the label ``outcome`` of ``observability.md``)."""

    OK = "ok"
    REFUSED = "refused"
    RETRYABLE = "retryable"
    ERROR = "error"


class ReclaimResult(StrEnum):
    """How an attempt to reclaim a seat ended (the label ``result`` of ``observability.md``)."""

    RELEASED = "released"
    PENDING = "pending"
    """Released, but its record stays for a second look: told, not counted, so that a seat counts once."""
    CONFLICT = "conflict"
    FAILED = "failed"
    UNKNOWN_KEY = "unknown_key"


class Observer(Protocol):
    """Whoever watches: metrics, log lines, liveness. Every method is cheap, never waits, never raises."""

    def stepped(self, state: State, now: float) -> None:
        """Take note of the machine's state after an event; ``now`` is monotonic seconds."""

    def noticed(self, notice: Notice) -> None:
        """Take note of something worth a log line or a count."""

    def requested(self, target: Target, operation: str, outcome: Outcome, seconds: float) -> None:
        """Take note of a request that ended."""

    def scanned(self, phases: dict[Phase, int], orphans: dict[Phase, int]) -> None:
        """Take note of a finished scan of the ledger: records and orphans by phase."""

    def scan_failed(self, message: str) -> None:
        """Take note of a scan that could not be finished."""

    def left_alone(self, found: Mapping[str, str]) -> None:
        """Take note of all that a scan left alone because nobody here can judge it: the reason of each, by its name."""

    def reclaimed(self, record: SeatRecord, result: ReclaimResult, why: str) -> None:
        """Take note of an attempt to reclaim somebody else's seat."""

    def watch_ended(self, why: WatchEnd) -> None:
        """Take note of a watch of the API server that begins anew."""

    def turned(self, loop: str, limit: float) -> None:
        """Take note that a loop of ours has turned and will turn again within ``limit`` seconds (``/livez``)."""

    def ended(self, loop: str) -> None:
        """Take note that a loop has ended on purpose and is no longer expected to turn."""
