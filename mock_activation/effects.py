"""What a fault can do to a request, as data. ``carrying_out`` does it, ``fault_input`` reads it from JSON.

Three kinds: something instead of the right answer (``Cut``, ``Reset``, ``Hang``, ``Garbage``, ``Reply``), the right
answer in another shape (``Truncate``, ``Drip``, ``Retype``, ``Redate``), and a right answer that differs or is late
(``Refuse``, ``Delay``). ``BreakHandshake`` happens before there is a request.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from mock_activation.answers import Outcome

CAPTIVE_PORTAL: Final = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please sign in.</body></html>\n"
REFUSALS: Final = (
    Outcome.NO_SEATS,
    Outcome.EXPIRED,
    Outcome.SUSPENDED,
    Outcome.WRONG_PRODUCT,
    Outcome.UNKNOWN_KEY,
)
"""What ``Refuse`` may stand for."""


class Distribution(StrEnum):
    """How the length of a delay is chosen."""

    FIXED = "fixed"
    UNIFORM = "uniform"
    EXPONENTIAL = "exponential"
    LOGNORMAL = "lognormal"


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection is closed in good order (FIN) without a byte of an answer."""


@dataclass(frozen=True, slots=True)
class Reset:
    """The connection is reset (RST) without a byte of an answer."""


@dataclass(frozen=True, slots=True)
class Delay:
    """Everything happens later.

    ``seconds`` is the delay itself (fixed), the least (uniform, up to ``most``), the mean (exponential) or the median
    (lognormal, with ``sigma``); ``most`` bounds every distribution.
    """

    seconds: float
    distribution: Distribution = Distribution.FIXED
    most: float | None = None
    sigma: float = 0.5


@dataclass(frozen=True, slots=True)
class Hang:
    """The request is accepted and never answered."""


@dataclass(frozen=True, slots=True)
class Garbage:
    """Bytes that are not HTTP, then the end of the connection. No ``content``: ``size`` bytes chosen by the seed."""

    content: bytes = b""
    size: int = 64


@dataclass(frozen=True, slots=True)
class Reply:
    """Another answer.

    ``retry_after`` is the header's text: seconds or an HTTP date; empty: no header. ``retry_after_date``: seconds from
    now, sent as a date by the clock that ``Date`` shows. ``date_offset``: by how many seconds ``Date`` is wrong.
    """

    status: int
    body: bytes
    content_type: str = "text/plain"
    retry_after: str = ""
    retry_after_date: float | None = None
    date_offset: float = 0.0


@dataclass(frozen=True, slots=True)
class Truncate:
    """The right answer, announced in full; the connection ends after ``keep`` (a fraction) of its body."""

    keep: float = 0.5


@dataclass(frozen=True, slots=True)
class Drip:
    """The right answer, its body in pieces of ``size`` bytes with ``seconds`` before each of them."""

    seconds: float = 0.2
    size: int = 16


@dataclass(frozen=True, slots=True)
class Retype:
    """The right answer under another ``Content-Type``."""

    content_type: str = "text/html"


@dataclass(frozen=True, slots=True)
class Redate:
    """The right answer with a ``Date`` that is wrong by so many seconds (negative: stale)."""

    seconds: float = -86_400.0


@dataclass(frozen=True, slots=True)
class Refuse:
    """The pool answers as if the key were in this state; a seat that is taken already is kept."""

    outcome: Outcome = Outcome.NO_SEATS


@dataclass(frozen=True, slots=True)
class BreakHandshake:
    """The TLS handshake fails; no request is ever seen. Without TLS it cannot happen."""


Instead = Cut | Reset | Hang | Garbage | Reply
Altered = Truncate | Drip | Retype | Redate
Effect = Instead | Altered | Delay | Refuse | BreakHandshake
