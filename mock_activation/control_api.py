"""The owner's side of the mock: inspect it, change it, script it. JSON, on its own port, never the vendor's.

Keys come in by request body only and go out as fingerprints only. Every mistake is answered by a 4xx that lists what
was wrong and repeats nothing of it.
"""

from __future__ import annotations

import hmac
from http import HTTPStatus
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from mock_activation import __version__
from mock_activation.backend import Backend
from mock_activation.console_api import ConsoleApi, redirect, refuse_other_sites, wants_page
from mock_activation.control_answers import MOST_BODY, Handler, answer, explain, problem
from mock_activation.control_events import EventsApi
from mock_activation.control_faults import FaultsApi
from mock_activation.control_journal import JournalApi
from mock_activation.control_keys import KeysApi
from mock_activation.metrics import exposition, make_registry
from mock_activation.openapi import as_json, as_yaml

_OPEN: Final = ("/", "/health", "/console")
"""What is served without the token: whether it lives, and the console's page, which asks for the token."""


class ControlApi:
    """Routes over one backend."""

    def __init__(self, backend: Backend, ca_pem: bytes | None = None, token: str | None = None) -> None:
        """Serve this backend, to whoever brings the token if there is one.

        ``ca_pem`` is the certificate to be trusted where the activation port speaks TLS.
        """
        self._token = None if token is None else token.encode()
        self._backend = backend
        self._ca_pem = ca_pem
        self._registry = make_registry(backend)
        self._events = EventsApi(backend)
        self._journal = JournalApi(backend)
        self._console = ConsoleApi(backend)

    def application(self) -> web.Application:
        """Return the application with all routes."""
        app = web.Application(
            middlewares=[explain, refuse_other_sites, self._guard, self._save], client_max_size=MOST_BODY
        )
        app.on_shutdown.append(self._events.stop)
        app.on_shutdown.append(self._journal.stop)
        app.add_routes(
            [
                *self._events.routes(),
                *self._console.routes(),
                *KeysApi(self._backend).routes(),
                *FaultsApi(self._backend, tls=self._ca_pem is not None).routes(),
                *self._journal.routes(),
                web.get("/", self._index),
                web.get("/health", self._health),
                web.get("/metrics", self._metrics),
                web.get("/ca.pem", self._ca),
                web.get("/openapi.{format:yaml|json}", self._document),
                web.get("/openapi/{name:activation|control}.{format:yaml|json}", self._document),
            ]
        )
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let in whoever brings the token."""
        is_open = request.path in _OPEN or request.path.startswith("/console/")
        if self._token is not None and not is_open:
            scheme, _, brought = request.headers.get("Authorization", "").partition(" ")
            # Bytes: what is compared may hold anything, and texts must be ASCII for it.
            right = hmac.compare_digest(brought.strip().encode(errors="replace"), self._token)
            if scheme.lower() != "bearer" or not right:
                response = problem(HTTPStatus.UNAUTHORIZED, "send the header Authorization: Bearer TOKEN")
                response.headers["WWW-Authenticate"] = 'Bearer realm="mock-activation"'
                return response
        return await handler(request)

    @web.middleware
    async def _save(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer nothing that is not on the disk."""
        response = await handler(request)
        await self._backend.saved()
        return response

    async def _index(self, request: web.Request) -> web.Response:
        if wants_page(request):
            return await redirect(request)
        routes = sorted(
            f"{route.method} {route.resource.canonical}"
            for route in request.app.router.routes()
            if route.resource is not None and route.method != "HEAD"
        )
        return answer({"mock_activation": __version__, "routes": routes})

    async def _health(self, _request: web.Request) -> web.Response:
        return answer({"status": "ok", "version": __version__})

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=exposition(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _ca(self, _request: web.Request) -> web.Response:
        if self._ca_pem is None:
            return problem(HTTPStatus.NOT_FOUND, "the activation port speaks plain HTTP (start it with --tls)")
        return web.Response(body=self._ca_pem, content_type="application/x-pem-file")

    async def _document(self, request: web.Request) -> web.Response:
        name = request.match_info.get("name", "control")
        if request.match_info["format"] == "json":
            return web.Response(body=as_json(name), content_type="application/json")
        return web.Response(body=as_yaml(name), content_type="application/yaml", charset="utf-8")
