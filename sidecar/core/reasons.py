"""The closed sets of words that logs, metrics and records share.

They live in the core because the core decides by them; nothing here may import anything of ours.
"""

from enum import StrEnum


class Failure(StrEnum):
    """Why an activation did not succeed (the label ``reason`` of ``observability.md``)."""

    NETWORK = "network"
    TIMEOUT = "timeout"
    TLS = "tls"
    HTTP_5XX = "http_5xx"
    RATE_LIMITED = "rate_limited"
    PROTOCOL = "protocol"
    NO_SEATS = "no_seats"
    INVALID_KEY = "invalid_key"
    INVALID_DEPLOYMENT = "invalid_deployment"
    INVALID_REQUEST = "invalid_request"
    """Anything else that was asked for in a wrong way, such as the quantity."""
    EXPIRED = "expired"
    REFUSED = "refused"
    APP = "app"
    LEDGER = "ledger"


REFUSALS = frozenset(
    {
        Failure.NO_SEATS,
        Failure.INVALID_KEY,
        Failure.INVALID_DEPLOYMENT,
        Failure.INVALID_REQUEST,
        Failure.EXPIRED,
        Failure.REFUSED,
    }
)
"""The failures that are a final "no" of the activation server; all others are outages."""


class Cause(StrEnum):
    """Why a seat is given back (the label ``cause`` of ``observability.md``)."""

    SHUTDOWN = "shutdown"
    APP_FAILURE = "app_failure"
    DEPLOYMENT_CHANGED = "deployment_changed"
    KEY_CHANGED = "key_changed"
    RECLAIM = "reclaim"
    OPERATOR = "operator"


class AppTrouble(StrEnum):
    """How the app failed to answer."""

    REFUSED = "refused"
    """The port refused the connection: outside Kubernetes this counts as an exit (rule 17)."""
    SILENT = "silent"
    """No connection or no answer in time."""
    FORBIDDEN = "forbidden"
    """403: at start for a while, for ever with a wrong API key."""
    BROKEN = "broken"
    """An answer that makes no sense: 5xx, no JSON, TLS failure."""


class AppEnd(StrEnum):
    """How the app failed (the label ``reason`` of ``app_failures_total``)."""

    EXIT = "exit"
    CRASH_LOOP = "crash_loop"
    OOM = "oom"
    UNREACHABLE = "unreachable"
