"""The ICAP port: as much of RFC 3507 as a client needs to see whether the app does its work.

OPTIONS is always answered; REQMOD and RESPMOD let everything pass while the app is licensed and are refused with 503
while it is not. No content is ever judged. Garbage gets 400 and the end of its connection, nothing else happens.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

HEAD_LIMIT: Final = 64 * 1024
BODY_LIMIT: Final = 16 * 1024 * 1024
IDLE: Final = 60.0
"""Seconds until a silent connection is closed."""

_PHRASES: Final = {
    200: "OK",
    204: "No Content",
    400: "Bad Request",
    405: "Method Not Allowed",
    413: "Request Entity Too Large",
    503: "Service Unavailable",
    505: "ICAP Version Not Supported",
}
_REQUEST_LINE: Final = re.compile(r"([A-Z]{1,20}) (\S{1,4096}) ([A-Z]{1,10}/[0-9]{1,3}\.[0-9]{1,3})")
_MODIFICATIONS: Final = {"REQMOD": "req", "RESPMOD": "res"}


class _Fault(Exception):  # noqa: N818 - the client's fault, not ours
    """The request cannot be answered otherwise; its connection ends."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    uri: str
    headers: dict[str, str]
    parts: tuple[tuple[str, bytes], ...]
    """Encapsulated header blocks by name, without the body."""
    body_name: str
    body: bytes

    def wants(self, header: str, word: str) -> bool:
        return word in {item.strip().lower() for item in self.headers.get(header, "").split(",")}


class IcapServer:
    """Answers on any number of connections; ``licensed`` is asked for each request."""

    def __init__(self, licensed: Callable[[], bool], tag: Callable[[], str]) -> None:
        """Keep what decides; ``tag`` is the ISTag, which changes with the app's state (RFC 3507 section 4.7)."""
        self._licensed = licensed
        self._tag = tag
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    def protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol of one new connection."""
        reader = asyncio.StreamReader(limit=HEAD_LIMIT)
        return asyncio.StreamReaderProtocol(reader, self._converse)

    def abort(self) -> None:
        """Cut all connections."""
        for task, writer in self._open.items():
            writer.transport.abort()
            task.cancel()

    async def gone(self) -> None:
        """Cut all connections and wait until nobody serves them any more."""
        self.abort()
        if self._open:
            await asyncio.wait(self._open)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - streams run this callback as a task
        self._open[task] = writer
        try:
            while True:
                async with asyncio.timeout(IDLE):
                    if not await self._exchange(reader, writer):
                        break
        except (OSError, EOFError, TimeoutError, asyncio.CancelledError):
            # Gone, silent for too long, or cut by a crash; the task is ours alone, nobody waits for its cancellation.
            writer.transport.abort()
        finally:
            writer.close()
            del self._open[task]

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; tell whether the connection stays."""
        try:
            request = await _read(reader)
        except _Fault as fault:
            writer.write(self._head(fault.status, "Connection: close", "Encapsulated: null-body=0"))
            await writer.drain()
            return False
        stays = not request.wants("connection", "close")
        writer.write(self._answer(request, "Connection: keep-alive" if stays else "Connection: close"))
        await writer.drain()
        return stays

    def _answer(self, request: _Request, connection: str) -> bytes:
        if request.method == "OPTIONS":
            respmod = "resp" in request.uri.lower()
            return self._head(
                200,
                f"Methods: {'RESPMOD' if respmod else 'REQMOD'}",
                "Service: stand-in for MetaDefender ICAP Server (mock-activation)",
                "Service-ID: mock-icap-app",
                "Max-Connections: 1000",
                "Options-TTL: 60",
                "Allow: 204",
                "Preview: 0",
                "Transfer-Preview: *",
                connection,
                "Encapsulated: null-body=0",
            )
        if not self._licensed():
            return self._head(503, connection, "Encapsulated: null-body=0")
        if "preview" in request.headers or request.wants("allow", "204"):
            return self._head(204, connection, "Encapsulated: null-body=0")
        return self._echo(request, connection)

    def _echo(self, request: _Request, connection: str) -> bytes:
        """Give back what was sent (RFC 3507 section 4.4.1), for clients that do not allow 204."""
        side = _MODIFICATIONS[request.method]
        kept = [(name, block) for name, block in request.parts if name.startswith(side)]
        places, offset = [], 0
        for name, block in kept:
            places.append(f"{name}={offset}")
            offset += len(block)
        has_body = request.body_name.startswith(side)
        places.append(f"{request.body_name if has_body else 'null-body'}={offset}")
        head = self._head(200, connection, f"Encapsulated: {', '.join(places)}")
        body = b""
        if has_body:
            chunk = b"%x\r\n%b\r\n" % (len(request.body), request.body) if request.body else b""
            body = chunk + b"0\r\n\r\n"
        return head + b"".join(block for _, block in kept) + body

    def _head(self, status: int, *headers: str) -> bytes:
        lines = (f"ICAP/1.0 {status} {_PHRASES[status]}", f'ISTag: "{self._tag()}"', *headers, "", "")
        return "\r\n".join(lines).encode("ascii")


async def _read(reader: asyncio.StreamReader) -> _Request:
    """Read one request. Raises ``_Fault`` for nonsense and ``EOFError`` at the end."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.LimitOverrunError:
        raise _Fault(400) from None
    first, *lines = head[:-4].lstrip("\r\n").split("\r\n")
    line = _REQUEST_LINE.fullmatch(first)
    if line is None:
        raise _Fault(400)
    method, uri, version = line.groups()
    if version != "ICAP/1.0":
        raise _Fault(505)
    if method != "OPTIONS" and method not in _MODIFICATIONS:
        raise _Fault(405)
    headers = {}
    for text in lines:
        name, colon, value = text.partition(":")
        if not colon or not name or name != name.strip():
            raise _Fault(400)
        headers[name.lower()] = value.strip()
    places = _places(headers.get("encapsulated", "null-body=0" if method == "OPTIONS" else ""))
    *blocks, (body_name, end) = places
    try:
        encapsulated = await reader.readexactly(end)
        body = b"" if body_name == "null-body" else await _read_chunks(reader)
    except asyncio.LimitOverrunError:
        raise _Fault(400) from None
    ends = [offset for _, offset in places[1:]]
    parts = tuple((name, encapsulated[start:stop]) for (name, start), stop in zip(blocks, ends, strict=True))
    return _Request(method, uri, headers, parts, body_name, body)


def _places(text: str) -> list[tuple[str, int]]:
    """Read the ``Encapsulated`` header: names and offsets, the last one being the body."""
    places = []
    for item in text.split(","):
        found = re.fullmatch(r"\s*((?:req|res)-hdr|(?:req|res|opt|null)-body)\s*=\s*([0-9]{1,6})\s*", item)
        if found is None:
            raise _Fault(400)
        places.append((found[1], int(found[2])))
    offsets = [offset for _, offset in places]
    if offsets != sorted(offsets) or offsets[0] != 0 or offsets[-1] > HEAD_LIMIT:
        raise _Fault(400)
    if [name.endswith("-body") for name, _ in places] != [False] * (len(places) - 1) + [True]:
        raise _Fault(400)
    return places


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    """Read a chunked body, or its preview, up to and with its last chunk."""
    body = bytearray()
    while True:
        size_line = (await reader.readuntil(b"\r\n")).split(b";")[0].strip()
        if not re.fullmatch(rb"[0-9A-Fa-f]{1,8}", size_line):
            raise _Fault(400)
        size = int(size_line, 16)
        if size == 0:
            break
        if len(body) + size > BODY_LIMIT:
            raise _Fault(413)
        body += await reader.readexactly(size)
        if await reader.readexactly(2) != b"\r\n":
            raise _Fault(400)
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass  # trailers
    return bytes(body)
