"""Does to a connection what a fault says, on aiohttp. It decides nothing: ``faults`` has done that.

Answers that are not HTTP as it should be are written past aiohttp; what is returned to aiohttp afterwards finds a
connection that is closing, and is not written.
"""

from __future__ import annotations

import asyncio
import struct
from email.utils import formatdate
from http import HTTPStatus
from socket import SO_LINGER, SOL_SOCKET
from typing import Final

from aiohttp import web

from mock_activation import __version__
from mock_activation.answers import Answer
from mock_activation.effects import Altered, Cut, Drip, Garbage, Hang, Instead, Redate, Reply, Reset, Retype, Truncate

SERVER: Final = f"mock-activation/{__version__}"
_GONE_CHECK: Final = 1.0
_LINGER_NONE: Final = struct.pack("ii", 1, 0)


class StoppedError(Exception):
    """The server stops while a request is held back."""


class Pauses:
    """Waits that end when the server does."""

    def __init__(self) -> None:
        """Begin without any."""
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """End all of them."""
        self._stopping.set()

    async def wait(self, seconds: float) -> None:
        """Wait so many seconds. Raises ``StoppedError``."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return
        raise StoppedError


def plain(status: HTTPStatus, text: str, headers: dict[str, str] | None = None) -> web.Response:
    """Return a text that no fault has to do with."""
    return web.Response(status=status, text=text, headers={"Server": SERVER, **(headers or {})})


def right(answer: Answer, headers: dict[str, str] | None = None) -> web.Response:
    """Return the right answer, with some headers otherwise."""
    head = {"Content-Type": f"{answer.content_type}; charset=utf-8", "Server": SERVER, **(headers or {})}
    return web.Response(status=answer.status, reason=answer.phrase, body=answer.body, headers=head)


def is_gone(request: web.BaseRequest) -> bool:
    """Tell whether nobody is there to be answered."""
    return request.transport is None


def cut(request: web.BaseRequest) -> web.Response:
    """Close the connection; what is returned then finds no connection to be written to."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def instead(request: web.BaseRequest, effect: Instead, pauses: Pauses, now: float) -> web.StreamResponse:
    """Do what takes the place of the right answer. Raises ``StoppedError``."""
    match effect:
        case Cut():
            return cut(request)
        case Reset():
            _linger_none(request)
            return cut(request)
        case Hang():
            while request.transport is not None:  # a client that has gone needs nobody who hangs for it
                await pauses.wait(_GONE_CHECK)
            return cut(request)
        case Garbage(content):
            return _last_words(request, content)
        case Reply():
            return _reply(effect, now)


async def altered(
    request: web.BaseRequest, effect: Altered, answer: Answer, pauses: Pauses, now: float
) -> web.StreamResponse:
    """Give the right answer in another shape. Raises ``StoppedError``."""
    match effect:
        case Retype(content_type):
            return right(answer, {"Content-Type": content_type})
        case Redate(seconds):
            return right(answer, {"Date": _date(now + seconds)})
        case Truncate(keep):
            head = _head(answer, now)
            if not answer.body:  # then the head is all there is to be cut short
                return _last_words(request, head[: int(len(head) * keep)])
            return _last_words(request, head + answer.body[: int(len(answer.body) * min(keep, 0.999))])
        case Drip(seconds, size):
            _write(request, _head(answer, now))
            for begin in range(0, len(answer.body), size):
                await pauses.wait(seconds)
                if is_gone(request):
                    break
                _write(request, answer.body[begin : begin + size])
            return _last_words(request, b"")


def _reply(reply: Reply, now: float) -> web.Response:
    headers = {"Content-Type": reply.content_type, "Server": SERVER}
    if reply.retry_after:
        headers["Retry-After"] = reply.retry_after
    if reply.date_offset or reply.retry_after_date is not None:
        headers["Date"] = _date(now + reply.date_offset)
    if reply.retry_after_date is not None:
        headers["Retry-After"] = _date(now + reply.date_offset + reply.retry_after_date)
    return web.Response(status=reply.status, body=reply.body, headers=headers)


def _date(at: float) -> str:
    return formatdate(max(0.0, at), usegmt=True)


def _head(answer: Answer, now: float) -> bytes:
    lines = (
        f"HTTP/1.1 {answer.status} {answer.phrase}",
        f"Content-Type: {answer.content_type}; charset=utf-8",
        f"Content-Length: {len(answer.body)}",
        f"Server: {SERVER}",
        f"Date: {_date(now)}",
        "Connection: close",
    )
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()


def _write(request: web.BaseRequest, content: bytes) -> None:
    if request.transport is not None and not request.transport.is_closing():
        request.transport.write(content)


def _last_words(request: web.BaseRequest, content: bytes) -> web.Response:
    """Write past aiohttp, then close in good order."""
    if request.transport is not None:
        _write(request, content)
        request.transport.close()
    return web.Response()


def _linger_none(request: web.BaseRequest) -> None:
    """Let the end of this connection be a reset."""
    socket = None if request.transport is None else request.transport.get_extra_info("socket")
    if socket is not None:
        socket.setsockopt(SOL_SOCKET, SO_LINGER, _LINGER_NONE)
