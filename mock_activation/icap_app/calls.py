"""What the REST port was asked and what became of it: the last calls, in order, without a secret.

Queries, headers and bodies are not kept: of an activation key only its fingerprint, of an API key only whether it was
the right one. Bounded, so that a stand-in that runs for weeks does not grow. It decides nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from mock_activation.journal import Fate
from mock_activation.secrecy import mask

__all__ = ["KEPT", "ROUTES", "ApiKeyGiven", "Call", "Calls", "Fate", "Route"]

KEPT: Final = 10_000
_LONGEST_PATH: Final = 200
_LONGEST_METHOD: Final = 20


class Route(StrEnum):
    """The calls of protocol.md section 2, by the names that rules of faults and the journal give them."""

    LICENSE = "license"
    """``GET /admin/license``."""
    UPLOAD = "upload"
    """``POST /admin/license``."""
    ACTIVATION = "activation"
    DEACTIVATION = "deactivation"
    READYZ = "readyz"
    VERSION = "version"
    LOGIN = "login"
    OTHER = "other"
    """Whatever the app does not know."""


ROUTES: Final[Mapping[tuple[str, str], Route]] = {
    ("GET", "/admin/license"): Route.LICENSE,
    ("POST", "/admin/license"): Route.UPLOAD,
    ("POST", "/admin/license/activation"): Route.ACTIVATION,
    ("POST", "/admin/license/deactivation"): Route.DEACTIVATION,
    ("GET", "/readyz"): Route.READYZ,
    ("GET", "/version"): Route.VERSION,
    ("POST", "/login"): Route.LOGIN,
}
"""All that the REST port knows, by method and path."""


class ApiKeyGiven(StrEnum):
    """What came in the header ``apikey``."""

    NONE = "none"
    RIGHT = "right"
    """The API key, or a session; anything, where none is demanded."""
    WRONG = "wrong"


@dataclass(slots=True)
class Call:
    """One call. ``at`` and ``done_at`` are seconds since the epoch; ``status`` is what was sent, None if nothing was.

    ``fault`` names the rule that happened to it; ``key_fingerprint`` is the activation key's, where one was sent.
    """

    number: int
    at: float
    route: Route
    method: str
    path: str
    api_key: ApiKeyGiven
    key_fingerprint: str | None = None
    fault: str | None = None
    status: int | None = None
    fate: Fate = Fate.PENDING
    done_at: float | None = None

    @property
    def line(self) -> str:
        """Return the call as a line for people."""
        return f"{self.method} {self.path} {self.status if self.fate is Fate.ANSWERED else self.fate}"


class Calls:
    """The journal of one stand-in; it outlasts the lives of the app."""

    def __init__(self, now: Callable[[], float], kept: int = KEPT) -> None:
        """Keep at most ``kept`` calls; ``now`` tells seconds since the epoch."""
        self._now = now
        self._calls: deque[Call] = deque(maxlen=kept)
        self._last = 0
        self._news = asyncio.Event()

    def open(self, route: Route, method: str, path: str, api_key: ApiKeyGiven) -> Call:
        """Note a call at its arrival."""
        self._last += 1
        call = Call(self._last, self._now(), route, mask(method)[:_LONGEST_METHOD], mask(path)[:_LONGEST_PATH], api_key)
        self._calls.append(call)
        self._tell()
        return call

    def close(self, call: Call, status: int | None) -> None:
        """Note what became of it; ``status`` None: it was left unanswered."""
        call.status = status
        call.fate = Fate.UNANSWERED if status is None else Fate.ANSWERED
        call.done_at = self._now()
        self._tell()

    def matching(self, **wanted: Any) -> list[Call]:
        """Return what is kept, oldest first; ``wanted`` are fields and their values, ``after`` a number (exclusive)."""
        after = wanted.pop("after", 0)
        return [
            call
            for call in self._calls
            if call.number > after and all(getattr(call, name) == value for name, value in wanted.items())
        ]

    async def wait(self, seconds: float, **wanted: Any) -> list[Call]:
        """Return what matches as soon as anything does; nothing, if that takes longer than ``seconds``."""
        try:
            async with asyncio.timeout(seconds):
                while not (found := self.matching(**wanted)):
                    await self._news.wait()
        except TimeoutError:
            return []
        return found

    def clear(self) -> None:
        """Forget all calls; numbers go on, so that a reader notices the gap."""
        self._calls.clear()

    def _tell(self) -> None:
        """Wake everybody who waits now, and let the next ones wait for the next news."""
        self._news.set()
        self._news = asyncio.Event()
