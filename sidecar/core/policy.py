"""The numbers by which the core decides, and the functions that turn them into points in time.

Nothing here draws a random number: every function that jitters takes ``luck``, a fraction in [0, 1) that the shell
drew. All durations are seconds.
"""

from dataclasses import dataclass
from enum import StrEnum

from sidecar.core.reasons import Failure
from sidecar.core.records import Owner


class Mode(StrEnum):
    """What the sidecar is there for (design.md section 5)."""

    ONLINE = "online"
    OBSERVE = "observe"
    OFF = "off"


class Route(StrEnum):
    """How a licence reaches the app (design.md section 5)."""

    AUTO = "auto"
    UPLOAD = "upload"
    PRODUCT = "product"
    APP = "app"


class IdSource(StrEnum):
    """Where the deployment ID comes from (design.md section 5)."""

    APP = "app"
    POD = "pod"
    FIXED = "fixed"


class ReleaseOnStop(StrEnum):
    """Whether a stop gives the seat back (rule 18)."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The settings that the core needs; the names follow design.md section 7."""

    server: str
    owner: Owner
    mode: Mode = Mode.ONLINE
    route: Route = Route.AUTO
    id_source: IdSource = IdSource.APP
    given_id: str = ""
    """The deployment ID for ``pod`` and ``fixed``."""
    activate_first: bool = True
    late: float = 120.0
    call_timeout: float = 10.0
    retry_base: float = 1.0
    retry_cap: float = 60.0
    refused_retry: float = 900.0
    renew: float = 15.0
    lease: float = 60.0
    app_interval: float = 15.0
    revalidate: float = 86400.0
    grace: float = 86400.0
    failure_grace: float = 5.0
    unreachable_after: float = 60.0
    restart_after: float = 60.0
    drain: float = 0.0
    watches_pod: bool = False
    """The own pod's status decides about the app's life and about the stop (rules 15, 17 and 18): in Kubernetes."""
    require: tuple[str, ...] = ("license", "database")


NO_SEATS_BASE = 15.0
NO_SEATS_CAP = 300.0
"""Rule 7: the back-off of a refusal that may end by itself."""
CLAIM_TIME = 30.0
"""Rule 12: how long a claim holds, by observation."""
STALE = 1.2
"""Renewals: an adopted record that is older was left by a predecessor that could not write any more. It may have given
the seat back all the same, so the server is asked; a fresh one is adopted without asking (rule 18)."""
SETTLED = 20.0
"""However short the times are set, an adopted seat is left in peace for so long: a successor asks nobody (rule 18)."""
SUCCESSION = 60.0
"""However short the lease is set, a kubelet may take so long to start the next sidecar of a pod."""
RELEASE_FIRST = 30.0
"""Rule 8: how long the release of the old seat may hold back the activation of the new one."""
RESTART_CAP = 1800.0
RESTART_TOUCH = 30.0
"""Well within the 2 minutes for which the app's liveness probe believes the file (design.md section 5)."""
HURRIED = 0.2
"""The longest pause before the ledger is tried again during a shutdown."""
LEDGER_TIMEOUT = 10.0
DELIVERY_TIMEOUT = 30.0
"""The app asks the activation server itself on route ``product``, so this is longer than one request."""
APP_TIMEOUT = 10.0
LINGERS_POLL = 0.5
"""Rule 19: how often it is looked whether an app that has closed its REST port has ended."""
POD_TIMEOUT = 5.0
POD_LOOK = 0.3
"""Rule 18: how long a stop waits to hear whether the pod ends, or only the sidecar."""
DECIDED_MARGIN = 0.25
"""Part of what is left of a pod's grace period, in seconds, for what comes after the machine's last command."""
LAST_GRACE = 2.0
"""What a pod gets even when its grace period is used up (kubernetes.md, Termination)."""


def confirm_after(policy: Policy) -> float:
    """Return how long after its adoption a record that is not in doubt is confirmed by one activation (rule 18)."""
    return max(policy.late, SETTLED)


def stale_after(policy: Policy) -> float:
    """Return the age in seconds from which on an adopted record is in doubt.

    In Kubernetes a lease, and at least a minute: a stop releases there only in a pod that ends, which has no successor,
    no peer takes the seat of a pod that is there, and a kubelet takes its time to start the next sidecar.
    """
    return max(policy.lease, SUCCESSION) if policy.watches_pod else STALE * policy.renew


def outage_pause(policy: Policy, failures: int, luck: float, retry_after: float | None = None) -> float:
    """Return the pause after the ``failures``-th outage in a row: full jitter, at least what the server wishes.

    A tenth of the base is the floor: a pause of nothing would be a burst.
    """
    ceiling = min(policy.retry_cap, policy.retry_base * 2.0 ** min(failures - 1, 30))
    pause = max(policy.retry_base / 10, ceiling * luck)
    if retry_after is not None:
        # A server that names a time is believed up to an hour; the spread keeps a fleet from coming back as one.
        pause = max(pause, min(retry_after, 3600.0) * (1 + 0.1 * luck))
    return pause


def refusal_pause(policy: Policy, reason: Failure, refusals: int, luck: float) -> float:
    """Return the pause after the ``refusals``-th refusal in a row (rule 7)."""
    if reason in (Failure.NO_SEATS, Failure.REFUSED):
        ceiling = min(NO_SEATS_CAP, NO_SEATS_BASE * 2.0 ** min(refusals - 1, 10))
        return ceiling * (0.5 + 0.5 * luck)
    return policy.refused_retry * (0.9 + 0.2 * luck)


def ledger_pause(failures: int, luck: float, retry_after: float | None = None) -> float:
    """Return the pause after the ``failures``-th outage of the ledger in a row: at least what it wishes, up to 30 s."""
    pause = min(15.0, 0.5 * 2.0 ** min(failures - 1, 10)) * (0.5 + 0.5 * luck)
    return pause if retry_after is None else max(pause, min(retry_after, 30.0) * (1 + 0.1 * luck))


def app_pause(policy: Policy, failures: int, luck: float) -> float:
    """Return the pause after the ``failures``-th question in a row that the app did not answer usefully."""
    return min(policy.app_interval, 5.0, 0.5 * 2.0 ** min(failures - 1, 10)) * (0.75 + 0.25 * luck)


def jittered(interval: float, luck: float, spread: float = 0.04) -> float:
    """Return the interval, lengthened by up to ``spread`` (4 %, as the kubelet does for its lease)."""
    return interval * (1 + spread * luck)


def freed_pause(waiting: int, luck: float) -> float:
    """Return how long to wait before asking for a seat that has just become free, spread over all that wait."""
    return luck * min(5.0, 0.5 * max(waiting, 1))


def scan_pause(lease: float, rank: int, renewing: int, wall: float, *, waiting: bool, luck: float) -> float:
    """Return the pause until the next scan of the ledger (rule 13): a fleet of any size lists once in lease / 4.

    Every sidecar sees the same owners in the same order, so each takes the turn of its ``rank`` among the ``renewing``
    ones in a round that all read off the wall clock (``wall``, seconds since the epoch). Clocks that differ only make
    the looks less even, as random pauses would always be: sidecars that were started together, or that were all called
    to one orphan, would go on scanning together, and nobody for most of the time.
    """
    if waiting:
        return jittered(lease / 4, luck)
    turn = lease / 4
    interval = max(lease / 2, turn * renewing)
    pause = (interval * rank / max(renewing, 1) + 0.2 * turn * luck - wall) % interval
    return pause if pause >= turn / 2 else pause + interval


def failed_scan_pause(lease: float, failures: int, luck: float) -> float:
    """Return the pause after the ``failures``-th look at the ledger in a row that failed: at most three leases.

    Widely spread, for whatever took the ledger away took it away from the whole fleet, and would bring all of it back
    at one moment.
    """
    return min(2.0 * lease, lease / 4 * 2.0 ** min(failures - 1, 10)) * (0.5 + luck)
