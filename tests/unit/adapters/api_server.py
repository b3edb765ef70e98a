"""An API server of the tests: real HTTPS on a free port, whose answers a story makes up, and what it was asked.

It stands in where a real one cannot be brought to misbehave; what a real one says is the contract's and the cluster
tests' affair.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from aiohttp import web

from sidecar.adapters.kubernetes_api import KubernetesApi
from sidecar.adapters.service_account import ServiceAccount
from sidecar.secrets import Secret
from tests.unit.adapters.raw_server import Tls

TOKEN = "eyJ-token-of-the-tests-0001"
Story = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    at: float = field(default=0.0)


class ApiServer:
    """Tells one story; ``url`` is known inside of ``async with``."""

    def __init__(self, story: Story, tls: ssl.SSLContext | None) -> None:
        self.story = story
        self.tls = tls
        self.asked: list[Asked] = []
        self.url = ""
        self.over = asyncio.Event()
        """Set at the end: streams that are kept open end then."""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self.tls)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"{'https' if self.tls else 'http'}://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.over.set()
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        data = await request.read()
        body = json.loads(data) if data else None
        now = asyncio.get_running_loop().time()
        self.asked.append(Asked(request.method, request.path, dict(request.query), dict(request.headers), body, at=now))
        return await self.story(request)


def status(code: int, message: str = "", **details: Any) -> dict[str, Any]:
    """Return a refusal as the API server words it."""
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message, **details}


def items(*objects: dict[str, Any], version: str = "100", more: str = "", kind: str = "PodList") -> dict[str, Any]:
    """Return a page of a list; ``more``: the token that the next page is asked for with."""
    meta = {"resourceVersion": version, **({"continue": more} if more else {})}
    return {"kind": kind, "apiVersion": "v1", "metadata": meta, "items": list(objects)}


def account(folder: Path, url: str, ca_file: Path) -> ServiceAccount:
    """Return a service account whose files lie in ``folder``, as the kubelet mounts them."""
    folder.mkdir(exist_ok=True)
    (folder / "token").write_text(TOKEN)
    (folder / "ca.crt").write_bytes(ca_file.read_bytes())
    return ServiceAccount(url, folder)


def api(folder: Path, url: str, tls: Tls, *, timeout: float = 2.0) -> KubernetesApi:
    """Return a client of that API server."""
    return KubernetesApi(account(folder, url, tls.ca_file), timeout=timeout)


def fingerprint(token: str = TOKEN) -> str:
    """Return what a token may be compared by."""
    return Secret(token).fingerprint


def shown_token(asked: Asked) -> str:
    """Return the fingerprint of the token that a request carried, empty if it carried none."""
    kind, _, token = asked.headers.get("Authorization", "").partition(" ")
    return Secret(token).fingerprint if kind == "Bearer" and token else ""


class Watcher:
    """The port ``Observer``, as far as these adapters tell it anything."""

    def __init__(self) -> None:
        self.ends: list[str] = []
        self.requests: list[tuple[str, str]] = []

    def watch_ended(self, why: Any) -> None:
        """Note why a watch began anew."""
        self.ends.append(str(why))

    def requested(self, target: Any, operation: str, outcome: Any, seconds: float) -> None:
        """Note a request."""
        assert seconds >= 0.0
        self.requests.append((operation, str(outcome)))
