"""The REST API of the app (protocol.md section 2): routes, credentials, and how the app refuses, hangs and goes away.

It never logs a request: bodies, queries and headers hold keys. What is remembered of one is told in ``calls``.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime
from typing import Any, Final, Protocol

from aiohttp import web

from mock_activation.faults import Faults
from mock_activation.icap_app.activation import ActivationFailed
from mock_activation.icap_app.calls import ROUTES, ApiKeyGiven, Call, Calls, Route
from mock_activation.icap_app.carrying_out import carry_out
from mock_activation.icap_app.product import InvalidLicence, Product, read_licence
from mock_activation.icap_app.settings import Readyz, Settings
from mock_activation.secrecy import fingerprint, where

_LOG: Final = logging.getLogger("mock_activation.icap_app")
_FILE_LIMIT: Final = 64 * 1024
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

    def __init__(self, app: Body, seed: int = 0) -> None:
        """Make the routes for one app; ``seed`` is for what the rules of faults leave to chance."""
        self._app = app
        self._answering: dict[asyncio.Task[Any], Call] = {}
        self.calls = Calls(time.time)
        self.faults = Faults(seed, now=time.monotonic)
        self.answered = 0
        self.web = web.Application(middlewares=[self._life, self._guard], client_max_size=_FILE_LIMIT)
        handlers: dict[Route, Handler] = {
            Route.LICENSE: self._licence,
            Route.UPLOAD: self._upload,
            Route.ACTIVATION: self._activation,
            Route.DEACTIVATION: self._deactivation,
            Route.READYZ: self._readyz,
            Route.VERSION: self._version,
            Route.LOGIN: self._login,
        }
        for (method, path), route in ROUTES.items():
            self.web.router.add_route(method, path, handlers[route])

    def abort(self) -> None:
        """Leave every request unanswered, as a killed process does."""
        for task in self._answering:
            task.cancel()

    @web.middleware
    async def _life(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer unless the app hangs or a rule says otherwise; remember what was asked."""
        task = _this_task()
        route = ROUTES.get((request.method, request.path), Route.OTHER)
        call = self.calls.open(route, request.method, request.path, self._api_key(request))
        self._answering[task] = call
        status: int | None = None
        answer: web.StreamResponse = web.Response()  # where it stays this, no connection is left to be written to
        try:
            await self._app.not_hanging()
            answer, status = await self._perform(request, handler, call)
        except ConnectionError:
            pass  # the client went away in the midst of its request
        except Exception as error:  # noqa: BLE001 - the library would log the request with its key
            _LOG.error("a bug in the stand-in: %s", where(error))
            answer = _error(500, "Internal error")
            status = answer.status
        finally:
            self._answering.pop(task)
            self.calls.close(call, status)
        self.answered += status is not None
        return answer

    async def _perform(
        self, request: web.Request, handler: Handler, call: Call
    ) -> tuple[web.StreamResponse, int | None]:
        """Return what goes to the library, and the status that the client saw (None: none)."""

        async def serve() -> web.Response:
            try:
                answer = await handler(request)
            except web.HTTPException as error:
                return _told(error)
            assert isinstance(answer, web.Response)  # noqa: S101 - every route gives all of its answer at once
            return answer

        fault = self.faults.pick(call.route, None, "") if self.faults else None
        if fault is None:
            answer = await serve()
            return answer, answer.status
        call.fault = fault.name
        return await carry_out(request, fault, serve)

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

    def _api_key(self, request: web.Request) -> ApiKeyGiven:
        given = request.headers.get("apikey")
        if given is None:
            return ApiKeyGiven.NONE
        return ApiKeyGiven.RIGHT if self._known(given) else ApiKeyGiven.WRONG

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
        if not _encodable(key):
            return _error(400, "activationKey is no text that could be sent on")
        self._note_key(key)
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

    def _note_key(self, key: str) -> None:
        call = self._answering.get(_this_task())
        if call is not None:
            call.key_fingerprint = fingerprint(key)

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


def _this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - a request is served by a task
    return task


def _encodable(text: str) -> bool:
    """Tell whether a text has no half of a surrogate pair, which JSON can hold and a URL cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _error(status: int, text: str) -> web.Response:
    return web.json_response({"err": text}, status=status)


def _told(error: web.HTTPException) -> web.Response:
    """Return the library's own refusal (404, 405, 413) in the form of the product's errors."""
    answer = _error(error.status, error.reason)
    if "Allow" in error.headers:
        answer.headers["Allow"] = error.headers["Allow"]
    return answer


async def _json_object(request: web.Request) -> dict[str, Any]:
    """Read the body as a JSON object. Raises ``HTTPBadRequest``."""
    try:
        content = json.loads(await request.read())
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise web.HTTPBadRequest(reason="a JSON object is expected")
    return content
