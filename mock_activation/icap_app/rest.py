"""The REST API of the app (protocol.md section 2): routes, credentials, and how the app refuses, hangs and goes away.

It never logs a request: bodies, queries and headers hold keys. What is remembered of a request is method, path, status.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import secrets
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime
from typing import Any, Final, Protocol

from aiohttp import web

from mock_activation.icap_app.activation import ActivationFailed
from mock_activation.icap_app.product import InvalidLicence, Product, read_licence
from mock_activation.icap_app.settings import Readyz, Settings
from mock_activation.secrecy import where

_LOG: Final = logging.getLogger("mock_activation.icap_app")
_FILE_LIMIT: Final = 64 * 1024
_REMEMBERED: Final = 200
_OPEN_PATHS: Final = frozenset({"/readyz", "/login", "/version"})
"""Paths without credentials."""

VERSION: Final = {"product_id": "MSICAP", "version": "5.12.0-mock"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Body(Protocol):
    """What the routes ask of the app that they belong to."""

    settings: Settings
    product: Product

    async def not_hanging(self) -> None:
        """Wait while the app hangs."""

    def refusal(self) -> int | None:
        """Return the status with which everything is refused for a while, or None."""

    async def activate(self, key: str, quantity: int) -> None:
        """Activate by itself. Raises ``ActivationFailed`` or ``InvalidLicence``."""

    async def deactivate(self) -> None:
        """Give the own seat back. Raises ``ActivationFailed``."""


def today() -> date:
    """Return today's date in UTC."""
    return datetime.now(UTC).date()


class RestApi:
    """The routes, and the requests that are being answered."""

    def __init__(self, app: Body) -> None:
        """Make the routes for one app."""
        self._app = app
        self._answering: set[asyncio.Task[Any]] = set()
        self.requests: deque[str] = deque(maxlen=_REMEMBERED)
        self.answered = 0
        self.web = web.Application(middlewares=[self._life, self._guard], client_max_size=_FILE_LIMIT)
        self.web.add_routes(
            [
                web.get("/admin/license", self._licence),
                web.post("/admin/license", self._upload),
                web.post("/admin/license/activation", self._activation),
                web.post("/admin/license/deactivation", self._deactivation),
                web.get("/readyz", self._readyz),
                web.get("/version", self._version),
                web.post("/login", self._login),
            ]
        )

    def abort(self) -> None:
        """Leave every request unanswered, as a killed process does."""
        for task in self._answering:
            task.cancel()

    @web.middleware
    async def _life(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer unless the app hangs; remember what was asked."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a request is served by a task
        self._answering.add(task)
        try:
            await self._app.not_hanging()
            answer = await handler(request)
        except web.HTTPException as error:
            answer = _error(error.status, error.reason)
        except Exception as error:  # noqa: BLE001 - the library would log the request with its key
            _LOG.error("a bug in the stand-in: %s", where(error))
            answer = _error(500, "Internal error")
        finally:
            self._answering.discard(task)
        self.answered += 1
        self.requests.append(f"{request.method} {request.path} {answer.status}")
        return answer

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse during the first seconds, and whoever has no valid API key."""
        if request.path == "/readyz":
            return await handler(request)
        refused = self._app.refusal()
        if refused is not None:
            return _error(refused, "Access denied" if refused == web.HTTPForbidden.status_code else "Not ready")
        if request.path not in _OPEN_PATHS and not self._known(request.headers.get("apikey", "")):
            return _error(403, "Access denied")
        return await handler(request)

    def _known(self, given: str) -> bool:
        expected = self._app.settings.api_key
        if expected is None or given in self._app.product.sessions:
            return True
        return hmac.compare_digest(given.encode(errors="surrogatepass"), expected.encode())

    async def _licence(self, _request: web.Request) -> web.Response:
        return web.json_response(self._app.product.licence_fields(today()))

    async def _upload(self, request: web.Request) -> web.Response:
        if not self._app.product.manners.upload:
            return _error(404, "Not found")
        if request.content_type != "application/octet-stream":
            return _error(415, "application/octet-stream is expected")
        try:
            licence = read_licence(await request.read(), self._app.product.deployment_id, online=False)
        except InvalidLicence as error:
            _LOG.info("refused a licence file: %s", error)
            return _error(400, "Invalid license")
        self._app.product.licence = licence
        _LOG.info("licensed by upload")
        return web.json_response({"success": True})

    async def _activation(self, request: web.Request) -> web.Response:
        body = await _json_object(request)
        key, quantity, comment = body.get("activationKey"), body.get("quantity", 1), body.get("comment", "")
        if not isinstance(key, str) or not key:
            return _error(400, "activationKey is missing")
        if isinstance(quantity, bool) or not isinstance(quantity, int) or quantity < 1:
            return _error(400, "quantity must be a number from 1")
        if not isinstance(comment, str):
            return _error(400, "comment must be a text")
        try:
            await self._app.activate(key, quantity)
        except (ActivationFailed, InvalidLicence) as error:
            # The reason is for the log only: the product's answer does not tell it either.
            _LOG.info("not activated: %s", error)
            failure = self._app.product.manners.failure
            if failure == web.HTTPOk.status_code:
                return web.json_response({"success": False})
            return _error(failure, "Activation failed")
        return web.json_response({"success": True})

    async def _deactivation(self, _request: web.Request) -> web.Response:
        try:
            await self._app.deactivate()
        except ActivationFailed as error:
            _LOG.info("not deactivated: %s", error)
            return _error(500, "Deactivation failed")
        return web.json_response({"success": True})

    async def _readyz(self, request: web.Request) -> web.Response:
        if self._app.product.manners.readyz is Readyz.ABSENT:
            return _error(404, "Not found")
        status, body = self._app.product.readiness(today())
        if request.query.get("verbose") == "true":
            return web.json_response(body, status=status)
        return web.Response(status=status)

    async def _version(self, _request: web.Request) -> web.Response:
        if not self._app.product.manners.user:
            return _error(403, "Access denied")
        return web.json_response(VERSION)

    async def _login(self, request: web.Request) -> web.Response:
        body = await _json_object(request)
        user, password = body.get("user"), body.get("password")
        if not isinstance(user, str) or not isinstance(password, str):
            return _error(400, "user and password are expected")
        settings = self._app.settings
        wrong = settings.password is not None and not hmac.compare_digest(
            password.encode(errors="surrogatepass"), settings.password.encode()
        )
        if not self._app.product.manners.user or user != settings.user or wrong:
            return _error(403, "Access denied")
        session = secrets.token_hex(16)
        self._app.product.sessions.add(session)
        return web.json_response({"session_id": session})


def _error(status: int, text: str) -> web.Response:
    return web.json_response({"err": text}, status=status)


async def _json_object(request: web.Request) -> dict[str, Any]:
    """Read the body as a JSON object. Raises ``HTTPBadRequest``."""
    try:
        content = json.loads(await request.read())
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise web.HTTPBadRequest(reason="a JSON object is expected")
    return content
