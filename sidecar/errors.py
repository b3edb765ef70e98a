"""The exception tree, split by what the caller does about it.

::

    SidecarError
    ├── Retryable                an outage: ask again later
    │   ├── ActivationOutage     no definite answer of the activation server
    │   ├── AppOutage            no useful answer of the app
    │   └── LedgerOutage         the ledger cannot be read or written now
    ├── Refused                  a definite "no": asking the same again does not help
    │   ├── ActivationRefused    the activation server's sentence, classified
    │   ├── UploadRefused        the app takes no licence file by upload
    │   └── Conflict             the ledger holds another version than expected
    └── Misconfigured            every fault of the settings at once

Programmer errors stay outside of the tree. No message may contain a key, a URL with a query, or a body that was not
trimmed and masked by whoever raises.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.core.reasons import AppTrouble, Failure

if TYPE_CHECKING:
    from sidecar.core.records import Stored


class SidecarError(Exception):
    """The root of everything that this program raises on purpose."""


class Retryable(SidecarError):  # noqa: N818 - named after what the caller does (style.md rule 3)
    """An outage: the same call may succeed later."""


class Refused(SidecarError):  # noqa: N818 - named after what the caller does (style.md rule 3)
    """A definite "no"."""


class Misconfigured(SidecarError):  # noqa: N818 - named after what the caller does (style.md rule 3)
    """The settings are wrong; ``faults`` lists every fault as one sentence (exit code 78)."""

    def __init__(self, *faults: str) -> None:
        """Keep every fault."""
        super().__init__("; ".join(faults))
        self.faults = faults


class ActivationOutage(Retryable):
    """No definite answer of the activation server (rule 5: everything that is neither a licence nor a refusal).

    ``sent`` is False only if it is certain that the request never reached the server (no connection, no TLS session).
    ``retry_after`` is the server's wish in seconds, or None.
    """

    def __init__(self, reason: Failure, message: str, *, sent: bool, retry_after: float | None = None) -> None:
        """Keep what the caller decides by."""
        super().__init__(message)
        self.reason = reason
        self.sent = sent
        self.retry_after = retry_after


class AppOutage(Retryable):
    """No useful answer of the app.

    ``sent``: a request that makes the app ask the activation server may have been taken (relevant for ``activate``).
    ``lingers``: its REST port refuses, and yet something of it may still serve (relevant for ``report``).
    """

    def __init__(self, trouble: AppTrouble, message: str, *, sent: bool = False, lingers: bool = False) -> None:
        """Keep what the caller decides by."""
        super().__init__(message)
        self.trouble = trouble
        self.sent = sent
        self.lingers = lingers


class LedgerOutage(Retryable):
    """The ledger cannot be read or written now; ``retry_after`` is its wish in seconds, or None.

    ``lasting``: somebody has to change something first (a Role, an address), so trying again at once is pointless.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, lasting: bool = False) -> None:
        """Keep what the caller decides by."""
        super().__init__(message)
        self.retry_after = retry_after
        self.lasting = lasting


class ActivationRefused(Refused):
    """The activation server's final "no": ``sentence`` is the server's own, ``reason`` our classification of it."""

    def __init__(self, reason: Failure, sentence: str) -> None:
        """Keep what the caller decides by."""
        super().__init__(sentence)
        self.reason = reason
        self.sentence = sentence


class UploadRefused(Refused):
    """The app takes no licence file by upload: 404, 405 or ``Invalid license`` (design.md section 5)."""


class Conflict(Refused):
    """The ledger holds ``current`` (None: nothing) instead of the expected version."""

    def __init__(self, name: str, current: Stored | None) -> None:
        """Keep what the caller decides by."""
        super().__init__(f"seat record {name} is another than expected")
        self.current = current
