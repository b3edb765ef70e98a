"""What the tests of the stand-in talk with: an activation server that remembers, a client, raw conversations."""

import asyncio
import io
import json
import ssl
import time
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from mock_activation.icap_app import IcapApp
from mock_activation.licence_file import YEAR, product_part, render
from tests.openapi_file import OpenApiFile

KEY = "ABCD-EFGH-JKLM-NPQR-STUV-WXYZ-2345"
API_KEY = "0a1b2c3d4e5f" * 3


REST = OpenApiFile("icap-app-rest")
CONTROL = OpenApiFile("icap-app-control")


def licence_file(deployment: str, *, lasts: float = YEAR) -> bytes:
    """Return a licence file as the activation server of the mock makes it."""
    part = product_part("MSIC", "MetaDefender ICAP Server", "Tests", ("one", "two"))
    return render(part, deployment, expires_at=time.time() + lasts, quantity=1).encode()


@dataclass
class Vendor:
    """An activation server that grants everything and remembers what it was asked; ``key_was_right`` hides the key."""

    url: str = ""
    calls: list[tuple[str, str, str]] = field(default_factory=list)
    key_was_right: bool = True
    refuse: bool = False
    status: int = 200
    silent: bool = False
    wrong_id: bool = False

    async def answer(self, request: web.Request) -> web.Response:
        query = request.query
        self.key_was_right &= query["key"] == KEY
        self.calls.append((request.path, query["deployment"], query.get("quantity", "")))
        if self.silent:
            await asyncio.Event().wait()
        if self.status != 200:
            return web.Response(status=self.status)
        if self.refuse:
            return web.Response(text="error: 'no seats'\n")
        if request.path.endswith("/deactivation"):
            return web.json_response({"success": True})
        return web.Response(body=licence_file("MSIC" + "f" * 32 if self.wrong_id else query["deployment"]))


@dataclass
class Client:
    """Calls the app as the sidecar would, and holds every answer against the OpenAPI files."""

    session: aiohttp.ClientSession

    async def call(
        self,
        method: str,
        url: str,
        body: Any = None,
        *,
        key: str | None = None,
        data: bytes | None = None,
        scripted: bool = False,
        **more: Any,
    ) -> tuple[int, Any]:
        """Return status and JSON; ``scripted``: a rule of faults has made the answer, which no file knows."""
        headers = dict(more.pop("headers", {}))
        if key is not None:
            headers["apikey"] = key
        if data is not None:
            headers.setdefault("Content-Type", "application/octet-stream")
        stream = None if data is None else io.BytesIO(data)
        async with self.session.request(method, url, json=body, data=stream, headers=headers, **more) as answer:
            text = await answer.text()
            if not scripted:
                check(method, answer.url.path, answer.status, answer.content_type, text.encode())
            return answer.status, json.loads(text) if text else None

    async def get(self, url: str, **more: Any) -> tuple[int, Any]:
        return await self.call("GET", url, **more)

    async def post(self, url: str, body: Any = None, **more: Any) -> tuple[int, Any]:
        return await self.call("POST", url, body, **more)

    async def upload(self, app: IcapApp, data: bytes, **more: Any) -> tuple[int, Any]:
        return await self.call("POST", f"{app.url}/admin/license", data=data, ssl=unverified(), **more)


def check(method: str, path: str, status: int, content_type: str, body: bytes) -> None:
    """Hold an answer against the file that knows the path; what none knows is told as such, in the same form."""
    for file in (REST, CONTROL):
        if file.find(method, path):
            return file.check_answer(method, path, status, content_type, body)
    if status not in (403, 404, 405):
        raise AssertionError(f"{method} {path} is in no file, and was answered with {status}")
    assert REST.faults(("components", "schemas", "Error"), json.loads(body)) == []
    return None


def unverified() -> ssl.SSLContext:
    """Return a TLS client that takes any certificate, as on loopback."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def converse(port: int, *sent: bytes, until: bytes = b"\r\n\r\n", tls: ssl.SSLContext | None = None) -> bytes:
    """Send bytes over a raw connection and return what comes back, up to a mark or the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    try:
        for piece in sent:
            writer.write(piece)
            await writer.drain()
        async with asyncio.timeout(5):
            try:
                return await reader.readuntil(until)
            except asyncio.IncompleteReadError as rest:
                return rest.partial
    finally:
        writer.close()


async def refused(port: int) -> bool:
    """Tell whether the port refuses connections."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return True
    writer.close()
    return False


async def until(condition: Any, *, within: float = 5.0) -> None:
    """Wait until a condition holds, looking often."""
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.005)
