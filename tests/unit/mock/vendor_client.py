"""A client of the mock that sees the bytes, and the key and IDs that the tests share."""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
import yaml

from mock_activation.faults import Operation
from mock_activation.server import MockActivation
from tests.openapi_file import Mismatch, OpenApiFile

KEY = "ABCD-EFGH-IJKL-MNOP-QRST-UVWX-YZ01"
OTHER_KEY = "ZZZZ-EFGH-IJKL-MNOP-QRST-UVWX-YZ01"
ACTIVATION, CONTROL = OpenApiFile("activation"), OpenApiFile("control")
NOWHERE = b"there is only /activation and /deactivation here\n"
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


def judge(operation: Operation, answer: RawAnswer) -> None:
    """Hold an answer of the activation port against the OpenAPI file; its bodies are YAML whatever they are called."""
    kind = answer.headers["content-type"].split(";")[0]
    ACTIVATION.check_answer("GET", f"/{operation}", answer.status, kind, answer.body)
    if kind != "text/plain":
        body = yaml.safe_load(answer.body)
        pointer = ("paths", f"/{operation}", "get", "responses", str(answer.status))
        pointer, _ = ACTIVATION._resolved(pointer)
        faults = ACTIVATION.faults((*pointer, "content", kind, "schema"), body)
        if faults:
            raise Mismatch("; ".join(faults))


@dataclass(frozen=True, slots=True)
class Vendor:
    """What the vendor's clients do."""

    mock: MockActivation

    async def activate(self, deployment: str, *, key: str = KEY, quantity: str = "1") -> RawAnswer:
        query = urlencode({"key": key, "deployment": deployment, "quantity": quantity})
        return await self._request(Operation.ACTIVATION, query)

    async def deactivate(self, deployment: str, *, key: str = KEY) -> RawAnswer:
        query = urlencode({"key": key, "deployment": deployment})
        return await self._request(Operation.DEACTIVATION, query)

    async def _request(self, operation: Operation, query: str) -> RawAnswer:
        answer = await ask(self.mock.url, path=f"{urlsplit(self.mock.url).path}/{operation}?{query}")
        # What a fault makes of an answer stands in no file; nor do paths that lead nowhere.
        if not self.mock.faults and answer.body != NOWHERE:
            judge(operation, answer)
        return answer

    async def control(self, method: str, path: str, body: object = None) -> RawAnswer:
        answer = await ask(self.mock.control_url, method, path, body)
        route = urlsplit(path).path
        if answer.status == 500:  # anything may fail like this, so the file says it once, in words
            assert CONTROL.faults(("components", "schemas", "Problem"), answer.json()) == []
        elif CONTROL.find(method, route) is not None:
            kind = answer.headers.get("content-type", "").split(";")[0]
            CONTROL.check_answer(method, route, answer.status, kind, answer.body)
        elif answer.status not in (404, 405):
            raise Mismatch("a route that the file does not know")
        return answer

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
