"""One client: a connection that is kept, one request at a time, and what this client believes about its seat.

A bare ``asyncio.Protocol`` without a task and without an HTTP library, so that a thousand of them on one core ask
faster than the server answers. It does not choose what comes next and does not count: that is ``crew``'s affair.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from enum import Enum
from typing import Final, Protocol, cast

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d{1,9})\r\n", re.IGNORECASE)
_STATUS: Final = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r]")
_RELEASED: Final = re.compile(rb'\s*(?:\{\s*"success": *true\s*\}|success: *true|)\s*')
_LONGEST_ANSWER: Final = 2**20
_NOT_FOUND: Final = 404
_OK: Final = 200


class Step(Enum):
    """What a client asks for; the value is the request's path."""

    ACTIVATE = "activation"
    """A seat for a new deployment ID, or the one that it has already."""
    DEACTIVATE = "deactivation"


class Verdict(Enum):
    """What an answer says."""

    DONE = "done"
    REFUSED = "refused"
    LOST = "lost"
    """The server knows nothing of a seat that it had granted."""
    FAILED = "failed"
    """No answer, or none that says anything: whether the server did it is open."""


class Answered(Protocol):
    """Hears of answers, and of connections that are ready or gone."""

    def __call__(self, client: Client, step: Step, verdict: Verdict, seconds: float) -> None:
        """Take note of one answer."""


class Client(asyncio.Protocol):
    """One deployment after the other over one connection."""

    def __init__(self, number: int, key: str, answered: Answered, lost: Callable[[Client], None]) -> None:
        """Be client ``number``, with this key; the two callbacks tell of answers and of the connection's end."""
        self.number = number
        self.deployment = ""
        self.has_seat = False
        """Believed: an activation was answered, and no deactivation has been sent since."""
        self.in_doubt = False
        """Something was asked and not answered: the server may have done it or not."""
        self.asked_at: float | None = None
        """When the request that is on its way was sent, by the loop's clock."""
        self.connected = False
        self._key = key
        self._step = Step.ACTIVATE
        self._was_sure = False
        self._received = b""
        self._transport: asyncio.Transport | None = None
        self._answered, self._lost = answered, lost
        self._clock = asyncio.get_running_loop().time

    def ask(self, step: Step, prefix: str = "") -> None:
        """Send a request about ``deployment``; ``prefix`` is the path before ``/activation``."""
        assert self._transport is not None  # noqa: S101 - who asks has been told that it is connected
        quantity = "" if step is Step.DEACTIVATE else "&quantity=1"
        line = f"GET {prefix}/{step.value}?key={self._key}&deployment={self.deployment}{quantity} HTTP/1.1\r\n"
        self._step = step
        self._was_sure = self.has_seat
        if step is Step.DEACTIVATE or not self.has_seat:  # to ask again for a seat cannot cost it
            self.has_seat, self.in_doubt = False, True
        self.asked_at = self._clock()
        self._transport.write(f"{line}Host: mock\r\n\r\n".encode())

    def abort(self) -> None:
        """Cut the connection; ``connection_lost`` follows."""
        if self._transport is not None:
            self._transport.abort()

    # -- what asyncio calls ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)
        self._received = b""
        self.connected = True

    def data_received(self, data: bytes) -> None:
        """Put an answer together."""
        received = self._received + data if self._received else data
        end = received.find(b"\r\n\r\n")
        if end >= 0:
            length = _LENGTH.search(received, 0, end + 2)
            status = _STATUS.match(received)
            if length is None or status is None or len(received) > end + 4 + int(length[1]):
                self.abort()
                return
            if len(received) == end + 4 + int(length[1]):
                self._received = b""
                self._finish(self._judge(int(status[1]), received[end + 4 :]))
                return
        if len(received) > _LONGEST_ANSWER:
            self.abort()
        self._received = received

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Tell of a request that got no answer, then of the connection."""
        self._transport = None
        self.connected = False
        if self.asked_at is not None:
            self._finish(Verdict.FAILED)
        self._lost(self)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _judge(self, status: int, body: bytes) -> Verdict:
        refused = body.startswith(b"error:")
        if self._step is Step.DEACTIVATE:
            if status == _NOT_FOUND:
                return Verdict.LOST if self._was_sure else Verdict.DONE
            return Verdict.DONE if status == _OK and _RELEASED.fullmatch(body) else Verdict.FAILED
        if status != _OK or not (refused or b"\ndeployment: " in body):
            return Verdict.FAILED
        return Verdict.REFUSED if refused else Verdict.DONE

    def _finish(self, verdict: Verdict) -> None:
        asked_at, self.asked_at = self.asked_at, None
        if asked_at is None:
            self.abort()  # an answer that nobody asked for
            return
        if verdict is Verdict.REFUSED:  # which changes nothing
            self.in_doubt, self.has_seat = False, self._was_sure
        elif verdict is not Verdict.FAILED:
            self.in_doubt, self.has_seat = False, self._step is Step.ACTIVATE
        self._answered(self, self._step, verdict, self._clock() - asked_at)
