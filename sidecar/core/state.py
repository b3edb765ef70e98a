"""What the machine knows: one frozen value, made of regions that each carry their own data.

Only values and the small questions that several of the machine's parts ask about them; what follows from them is
decided in ``fold``, ``settle`` and ``plan``.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from sidecar.core.commands import Activate, ActivateByApp, Launch
from sidecar.core.facts import AppReport, KeySnapshot, Licence
from sidecar.core.policy import IdSource, Mode, Policy, Route
from sidecar.core.reasons import AppTrouble, Failure
from sidecar.core.records import Identity, Phase, SeatRecord, Stored
from sidecar.core.release import Release
from sidecar.core.replacement import replace


@dataclass(frozen=True, slots=True)
class Ask:
    """The next activation: not before ``at``; ``cleared`` once its record is written for this attempt (rule 2)."""

    at: float
    cleared: bool = False


@dataclass(frozen=True, slots=True)
class Unasked:
    """No request for this seat has ever been sent: if it is given up, only its record goes."""


@dataclass(frozen=True, slots=True)
class Unsure:
    """Some request for this seat was not answered, or was made in an earlier life: it may be taken."""


@dataclass(frozen=True, slots=True)
class Held:
    """The seat is ours."""

    since: float


@dataclass(frozen=True, slots=True)
class Denied:
    """The server said no, and yet the seat may be taken: an earlier request is unanswered, or the app is licensed."""

    since: float
    app_licensed: bool


Tenure = Unasked | Unsure | Held | Denied


@dataclass(frozen=True, slots=True)
class Undelivered:
    """A licence waits to be delivered, not before ``at``; ``tries`` deliveries have not licensed the app.

    ``cleared`` once the record says, by a write of this attempt, that the app may be asking (rule 2).
    """

    licence: Licence = field(repr=False)
    at: float
    tries: int
    cleared: bool = False


@dataclass(frozen=True, slots=True)
class Delivered:
    """Nothing is left to deliver since ``at``; ``tries`` deliveries so far have not licensed the app.

    ``mixed_up``: the app took another seat's licence after ours.
    """

    at: float
    tries: int = 0
    mixed_up: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """The seat that we want or hold.

    ``risk_until``: until when an unanswered earlier request may still take effect (rule 4). ``again``: after the next
    success ask once more ``late`` later, because a deactivation of ours is unanswered. ``blocked_until``: somebody
    else's record stands under our name. ``written_at``: our last successful write of the record.
    """

    identity: Identity
    stored: Stored | None = None
    tenure: Tenure = field(default_factory=Unasked)
    ask: Ask | None = None
    delivery: Undelivered | Delivered = field(default_factory=lambda: Delivered(0.0))
    risk_until: float = 0.0
    again: bool = False
    blocked_until: float = 0.0
    blocked_by: str = ""
    written_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Vacant:
    """No seat is wanted yet."""


@dataclass(frozen=True, slots=True)
class Adopted:
    """Records of our own earlier life, until the app tells which of them is its own.

    ``stale`` names those that had not been renewed for longer than a living sidecar leaves them.
    """

    stored: tuple[Stored, ...]
    stale: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class AppUnmet:
    """The app has not been asked yet."""


@dataclass(frozen=True, slots=True)
class AppMet:
    """The app answered last time."""

    report: AppReport
    at: float


@dataclass(frozen=True, slots=True)
class AppLost:
    """The app did not answer last time: in this way ``since``, in any way ``lost_at``; ``last`` is its last report."""

    last: AppReport | None
    trouble: AppTrouble
    message: str
    since: float
    lost_at: float


@dataclass(frozen=True, slots=True)
class AppView:
    """The app as we see it; ``takes_upload`` is None until an upload was tried."""

    contact: AppUnmet | AppMet | AppLost = field(default_factory=AppUnmet)
    next_at: float = 0.0
    failures: int = 0
    takes_upload: bool | None = None
    confirmed_at: float | None = None
    """When the app last said that it is licensed, for our seat."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The activation server's last "no" for the current key; ``since`` the first of this row of refusals."""

    reason: Failure
    sentence: str
    since: float
    count: int


@dataclass(frozen=True, slots=True)
class Outage:
    """The activation server's last silence; ``since`` the first of this row of outages."""

    reason: Failure
    message: str
    since: float
    count: int


@dataclass(frozen=True, slots=True)
class ServerView:
    """What keeps us from asking for a seat: survives a change of the deployment ID (rule 7)."""

    refusal: Refusal | None = None
    outage: Outage | None = None
    not_before: float = 0.0


@dataclass(frozen=True, slots=True)
class LedgerView:
    """The ledger's health; ``listed``: our own records are known; ``adopted``: those of an earlier life were."""

    listed: bool = False
    adopted: bool = False
    failures: int = 0
    not_before: float = 0.0
    down_since: float | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class KeyView:
    """The keys as last seen; None until the folder was read."""

    snapshot: KeySnapshot | None = None


@dataclass(frozen=True, slots=True)
class Prospects:
    """Records whose seats will become free, while we wait for one; ``names`` is None until the ledger was looked at.

    ``freed``: which refusal in the row was the last before one of them, or of those that are ``held`` by others, went;
    until it is asked again, a seat is there.
    """

    names: frozenset[str] | None = None
    waiting: int = 1
    freed: int = 0
    held: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Restart:
    """The request to restart the app: not before ``at`` (None: not wanted); ``touched_at`` while it stands.

    ``touched_for`` is the deployment ID that the app had then: another one means that it has restarted.
    """

    at: float | None = None
    pause: float = 0.0
    touched_at: float | None = None
    touched_for: str | None = None


@dataclass(frozen=True, slots=True)
class Running:
    """Not stopping."""


@dataclass(frozen=True, slots=True)
class Stopping:
    """On the way out; ``drain_until``: the app may still serve until then. ``exited``: the last command was given."""

    since: float
    deadline: float
    release: bool
    drain_until: float
    exited: bool = False

    @property
    def reserve(self) -> float:
        """Return the part of the shutdown's budget, in seconds, that is kept for handing over."""
        return min(2.0, 0.3 * (self.deadline - self.since))


@dataclass(frozen=True, slots=True)
class Flight:
    """What occupies a lane, or did until its deadline passed: ``overdue``, the lane has moved on since."""

    launch: Launch
    started: float
    overdue: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Everything the machine knows; ``overdue`` are flights whose deadline passed and whose answer may still come."""

    policy: Policy
    seat: Vacant | Adopted | Seat = field(default_factory=Vacant)
    successor: Seat | None = None
    """The same ID under a new key, while the seat under the old key is still held (rule 9)."""
    debts: tuple[Release, ...] = ()
    app: AppView = field(default_factory=AppView)
    key: KeyView = field(default_factory=KeyView)
    server: ServerView = field(default_factory=ServerView)
    ledger: LedgerView = field(default_factory=LedgerView)
    prospects: Prospects = field(default_factory=Prospects)
    restart: Restart = field(default_factory=Restart)
    stopping: Running | Stopping = field(default_factory=Running)
    following: bool = False
    started_at: float = 0.0
    active_since: float | None = None
    next_op: int = 1
    ledger_lane: Flight | None = None
    server_lane: Flight | None = None
    app_lane: Flight | None = None
    overdue: tuple[Flight, ...] = ()
    echoes: tuple[tuple[str, float], ...] = ()
    """Until when an unanswered deactivation of ours may still take these seats (by record name) away (rule 4)."""


def seats(state: State) -> tuple[Seat, ...]:
    """Return the seats that we ask for: the one we have or want and the one under a new key."""
    first = (state.seat,) if isinstance(state.seat, Seat) else ()
    return first if state.successor is None else (*first, state.successor)


def requesting(state: State, identity: Identity) -> bool:
    """Tell whether a request that can take this seat is under way in a lane."""
    for flight in (state.server_lane, state.app_lane):
        if flight is not None:
            command = flight.launch.command
            if isinstance(command, (Activate, ActivateByApp)) and command.identity == identity:
                return True
    return False


def echo_until(state: State, identity: Identity) -> float:
    """Return until when an unanswered deactivation of ours may still take this seat away (rule 4)."""
    return max((until for name, until in state.echoes if name == identity.name), default=0.0)


def with_echoes(state: State, names: Iterable[str], now: float) -> State:
    """Remember that deactivations of these seats got no answer; forget those that can no longer be late."""
    lasting = tuple(it for it in state.echoes if it[1] > now)
    return replace(state, echoes=(*lasting, *((name, now + state.policy.late) for name in names)))


def last_report(state: State) -> AppReport | None:
    """Return what the app said last, if it ever answered."""
    match state.app.contact:
        case AppMet(report=report):
            return report
        case AppLost(last=last):
            return last
        case AppUnmet():
            return None


def app_failed(state: State, now: float) -> bool:
    """Tell whether the app counts as failed (rule 17, outside Kubernetes)."""
    failing_at = app_fails_at(state)
    return failing_at is not None and now >= failing_at


def app_fails_at(state: State) -> float | None:
    """Return when the app will count as failed if it stays as it is, or None."""
    contact = state.app.contact
    if not isinstance(contact, AppLost):
        return None
    if contact.trouble is AppTrouble.REFUSED:
        return contact.since + state.policy.failure_grace
    if contact.trouble is AppTrouble.SILENT:
        return contact.since + state.policy.unreachable_after
    return None


def asks_app(policy: Policy) -> bool:
    """Tell whether there is a REST API to ask (source ``pod`` is for apps without)."""
    return policy.mode is not Mode.OFF and policy.id_source is not IdSource.POD


def deployment_id(state: State, now: float) -> str | None:
    """Return the app's deployment ID as far as it is known and the app has not failed."""
    policy = state.policy
    if policy.id_source is IdSource.POD:
        return policy.given_id
    if app_failed(state, now):
        return None
    report = last_report(state)
    if report is None or report.deployment_id is None:
        return None
    return policy.given_id if policy.id_source is IdSource.FIXED else report.deployment_id


def wanted_identity(state: State, now: float) -> Identity | None:
    """Return the seat that we should have, or None while that is not known."""
    policy = state.policy
    snapshot = state.key.snapshot
    if policy.mode is not Mode.ONLINE or snapshot is None or snapshot.current is None:
        return None
    known = deployment_id(state, now)
    if known is None and policy.route is Route.APP:
        known = ""
    return None if known is None else Identity(policy.server, snapshot.current, known)


def is_waiting(state: State) -> bool:
    """Tell whether "no seats" means waiting: some seat will become free by the protocol itself (rule 14)."""
    refusal = state.server.refusal
    if refusal is None or refusal.reason is not Failure.NO_SEATS:
        return False
    prospects = state.prospects
    if prospects.names is None or prospects.names or prospects.freed == refusal.count:
        return True
    return any(
        not debt.answered and not debt.confirmed and _of_current_key(state, debt.record.identity)
        for debt in state.debts
    )


def _of_current_key(state: State, identity: Identity) -> bool:
    snapshot = state.key.snapshot
    same = snapshot is not None and snapshot.current == identity.key_fingerprint
    return same and identity.server == state.policy.server


def through_product(state: State, seat: Seat) -> bool:
    """Tell whether the next delivery goes through the app's own activation (design.md section 5)."""
    match state.policy.route:
        case Route.PRODUCT:
            return True
        case Route.AUTO:
            # Upload is unproven on ICAP Server: where it said yes and the app stayed unlicensed, take turns.
            tries = seat.delivery.tries
            return state.app.takes_upload is False or tries % 2 == 1
        case Route.UPLOAD | Route.APP:
            return False


def wanted_record(state: State, seat: Seat, now: float) -> SeatRecord:
    """Return what the ledger should hold for this seat now: what it holds already if that is right."""
    held = isinstance(seat.tenure, Held)
    if state.policy.route is Route.APP:
        is_open = not held
    else:
        is_open = (
            (seat.ask is not None and seat.ask.cleared)
            or seat.risk_until > now
            or requesting(state, seat.identity)
            or (isinstance(seat.delivery, Undelivered) and through_product(state, seat))
        )
    phase, stored = Phase.ACTIVE if held else Phase.ACTIVATING, seat.stored
    if stored is not None and stored.record.phase is phase and stored.record.open == is_open:
        record = stored.record
        if not record.unknown and record.claim is None and record.owner == state.policy.owner:
            return record
    return SeatRecord(identity=seat.identity, owner=state.policy.owner, phase=phase, open=is_open)


def alike(one: SeatRecord, other: SeatRecord) -> bool:
    """Compare two records without their times, which whoever writes stamps."""
    return one is other or (
        one.phase is other.phase
        and one.open == other.open
        and one.unknown == other.unknown
        and one.claim == other.claim
        and one.owner == other.owner
        and one.identity == other.identity
    )


def may_act(state: State, identity: Identity) -> bool:
    """Tell whether this seat can be released at all: our own server and a key that we have (rule 6)."""
    snapshot = state.key.snapshot
    return (
        identity.server == state.policy.server
        and bool(identity.deployment_id)
        and snapshot is not None
        and identity.key_fingerprint in snapshot.known()
    )
