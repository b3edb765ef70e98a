"""What the machine knows: one frozen value, made of regions that each carry their own data.

Only values and how to find one in another; what follows from them is told in ``conclusions`` and decided in ``fold``,
``settle`` and ``plan``.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import assert_never

from sidecar.core.commands import Activate, ActivateByApp, Launch
from sidecar.core.facts import AppReport, KeySnapshot, Licence, PodReport
from sidecar.core.policy import Policy
from sidecar.core.reasons import AppTrouble, Failure
from sidecar.core.records import Identity, Stored
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
    else's record stands under our name. ``written_at``: our last successful write of the record. ``lost_at``: when we
    saw that somebody had claimed or removed our record, and maybe freed the seat; None again once it was confirmed.
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
    lost_at: float | None = None


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
    """The app did not answer last time: in this way ``since``, in any way ``lost_at``; ``last`` is its last report.

    ``lingers``: something of it may still serve, although its REST port refuses.
    """

    last: AppReport | None
    trouble: AppTrouble
    message: str
    since: float
    lost_at: float
    lingers: bool = False


@dataclass(frozen=True, slots=True)
class AppView:
    """The app as we see it; ``takes_upload`` is None until an upload was tried."""

    contact: AppUnmet | AppMet | AppLost = field(default_factory=AppUnmet)
    next_at: float = 0.0
    failures: int = 0
    takes_upload: bool | None = None
    answered_at: float = -math.inf
    """When it answered last, whatever it said."""
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
class PodView:
    """Our own pod as last seen (None: not yet).

    ``seen_at``: when the watch told of it last. ``looked_at``: our last own look, which unlike the watch is never
    behind; ``doubted_at``: since when we need one,
    because our record was taken away (rule 15). ``app_ended_at``: when we first saw that the app's container does not
    run. ``ends_at``: when the grace period of a pod that is being deleted will be over. ``down_since``, ``message``,
    ``failures``, ``not_before``: the pod cannot be seen, since when and why, and when it is worth another look.
    """

    report: PodReport | None = None
    seen_at: float = -math.inf
    looked_at: float = -math.inf
    doubted_at: float = -math.inf
    app_ended_at: float | None = None
    ends_at: float | None = None
    down_since: float | None = None
    message: str = ""
    failures: int = 0
    not_before: float = 0.0


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
class Deciding:
    """Told to stop, and finding out until ``until`` whether the pod ends or only the sidecar (rule 18).

    ``pod`` and ``port_refuses`` are the answers so far, None while they are awaited; ``silent``: the API server did not
    tell. ``always``: the seat goes back either way, and only who we are is still to be found out.
    """

    since: float
    deadline: float
    until: float
    pod: PodReport | None = None
    silent: bool = False
    port_refuses: bool | None = None
    always: bool = False


@dataclass(frozen=True, slots=True)
class Stopping:
    """On the way out; ``drain_until``: the app may still serve until then. ``exited``: the last command was given.

    ``after_app``: how much of the time that is left may be used once the app has ended.
    """

    since: float
    deadline: float
    release: bool
    drain_until: float
    after_app: float = math.inf
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
    pod: PodView = field(default_factory=PodView)
    stopping: Running | Deciding | Stopping = field(default_factory=Running)
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
        case other:
            assert_never(other)
