"""A client of the mock that sees the bytes, and the key and IDs that the tests share."""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from mock_activation.server import MockActivation

KEY = "ABCD-EFGH-IJKL-MNOP-QRST-UVWX-YZ01"
OTHER_KEY = "ZZZZ-EFGH-IJKL-MNOP-QRST-UVWX-YZ01"
A, B, C = (f"MSCL{number:032x}" for number in range(3))


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """One answer as it came over the wire; an empty status line: the connection was closed without a byte."""

    status_line: str
    headers: dict[str, str]
    body: bytes

    @property
    def status(self) -> int:
        return int(self.status_line.split(" ")[1])

    def json(self) -> Any:
        return json.loads(self.body)


async def exchange(url: str, request: bytes) -> RawAnswer:
    """Send bytes, read until the server closes."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(request)
        async with asyncio.timeout(5):
            raw = await reader.read()
    except ConnectionResetError:
        raw = b""
    finally:
        writer.close()
        with suppress(ConnectionResetError):
            await writer.wait_closed()
    head, _, body = raw.partition(b"\r\n\r\n")
    status_line, *lines = head.decode("latin-1").split("\r\n")
    return RawAnswer(status_line, {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}, body)


async def ask(url: str, method: str = "GET", path: str = "/", body: object = None) -> RawAnswer:
    """Send one request; a body that is not bytes is sent as JSON."""
    content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: mock\r\nConnection: close\r\nContent-Length: {len(content)}\r\n\r\n"
    return await exchange(url, head.encode() + content)


@dataclass(frozen=True, slots=True)
class Vendor:
    """What the vendor's clients do."""

    mock: MockActivation

    async def activate(self, deployment: str, *, key: str = KEY, quantity: str = "1") -> RawAnswer:
        query = urlencode({"key": key, "deployment": deployment, "quantity": quantity})
        return await ask(self.mock.url, path=f"{urlsplit(self.mock.url).path}/activation?{query}")

    async def deactivate(self, deployment: str, *, key: str = KEY) -> RawAnswer:
        query = urlencode({"key": key, "deployment": deployment})
        return await ask(self.mock.url, path=f"{urlsplit(self.mock.url).path}/deactivation?{query}")

    async def control(self, method: str, path: str, body: object = None) -> RawAnswer:
        return await ask(self.mock.control_url, method, path, body)

    async def send_and_forget(self, deployment: str) -> asyncio.StreamWriter:
        """Send an activation and do not wait for its answer; whoever calls closes the connection."""
        _, writer = await asyncio.open_connection("127.0.0.1", urlsplit(self.mock.url).port)
        line = f"GET /activation?key={KEY}&deployment={deployment}&quantity=1 HTTP/1.1\r\nHost: mock\r\n\r\n"
        writer.write(line.encode())
        return writer

    def used(self) -> int:
        """Return the seats taken of the first key."""
        return next(iter(self.mock.pool.used().values()))[0]


async def until(condition: Callable[[], object]) -> None:
    """Wait for something that is about to happen; five seconds at most."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


def expect_no_key(*texts: str) -> None:
    """Fail, without showing the texts, if one of our keys or a piece of it is in them."""
    everything = "\n".join(texts).upper()
    if any(piece in everything for key in (KEY, OTHER_KEY) for piece in (key, key[5:24], key.replace("-", "%2D"))):
        pytest.fail("a key is shown", pytrace=False)
