"""A server that answers with exactly the given bytes, or with none: what no HTTP library would send."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class Tls:
    """A server's context for the loopback address, and the file of the authority that signed it."""

    server: ssl.SSLContext
    ca_file: Path


Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """Read one request with its body, as far as ``Content-Length`` says; give up on a greeting of TLS, as others do."""
    first = await reader.readexactly(1)
    if not first.isalpha():
        raise asyncio.IncompleteReadError(first, None)
    head = first + await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return head + await reader.readexactly(length)


class RawServer:
    """Plays one script per connection, in order, the last one again and again; keeps what it was asked."""

    def __init__(self, *scripts: Script | bytes, tls: ssl.SSLContext | None = None) -> None:
        self.scripts = list(scripts)
        self.tls = tls
        self.requests: list[bytes] = []
        self.connections = 0
        self.release = asyncio.Event()
        """Lets scripts end that hold the connection."""
        self.asked = asyncio.Event()
        """Set by the first request."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls, limit=1 << 22)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.release.set()
        self._server.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        """The address in the scheme that is spoken."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
        script = self.scripts[min(self.connections, len(self.scripts) - 1)]
        self.connections += 1
        try:
            if isinstance(script, bytes):
                await self.cut(reader, writer)
                writer.write(script)
                await writer.drain()
            else:
                await script(reader, writer)
        except (OSError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def hold(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take the request and never answer."""
        await self.cut(reader, writer)
        await self.release.wait()

    async def mute(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Accept the connection and neither read nor write."""
        await self.release.wait()

    async def cut(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take the request and close without a word."""
        self.requests.append(await read_request(reader))
        self.asked.set()


def answer(body: bytes | str = b"", *, status: str = "200 OK", headers: str = "", length: int | None = None) -> bytes:
    """Return an answer as bytes; ``length`` is what is claimed."""
    data = body.encode() if isinstance(body, str) else body
    claimed = len(data) if length is None else length
    return f"HTTP/1.1 {status}\r\nContent-Length: {claimed}\r\n{headers}\r\n".encode() + data
