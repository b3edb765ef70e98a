"""The vendor's wire format on aiohttp (protocol.md section 1), and the carrying out of faults.

It decides nothing: the pool answers, the faults say what goes wrong. No URL may be logged from here: the key is in it.
"""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import Final

from aiohttp import web

from mock_activation import __version__
from mock_activation.answers import Answer
from mock_activation.backend import Backend
from mock_activation.faults import Cut, Delay, Fault, Hang, Operation, Reply
from mock_activation.journal import Entry, Fate
from mock_activation.secrecy import where
from mock_activation.state_file import StateError

LOG: Final = logging.getLogger("mock_activation")
_SERVER: Final = f"mock-activation/{__version__}"
_GONE_CHECK: Final = 1.0


class _StoppedError(Exception):
    """The server stops while a request is held back."""


class ActivationApi:
    """Handles requests of the low-level server; ``web.Application`` would cost a third of the throughput."""

    def __init__(self, backend: Backend, prefix: str = "") -> None:
        """Serve below ``prefix`` (empty, or a path that begins with a slash and does not end with one)."""
        self._backend = backend
        self._operations = {f"{prefix}/{operation}": operation for operation in Operation}
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Cut what is delayed or hanging."""
        self._stopping.set()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        operation = self._operations.get(request.path)
        if operation is None:
            return _plain(HTTPStatus.NOT_FOUND, "there is only /activation and /deactivation here\n")
        if request.method != "GET":
            return _plain(HTTPStatus.METHOD_NOT_ALLOWED, "only GET is known here\n", {"Allow": "GET"})
        try:
            return await self._serve(request, operation)
        except _StoppedError:
            return _cut(request)
        except StateError as error:
            LOG.error("%s", error)
            return _plain(HTTPStatus.INTERNAL_SERVER_ERROR, "the state file cannot be written: try again\n")
        except Exception as error:  # noqa: BLE001 - a bug must not reach aiohttp's log, which would print its message
            LOG.error("a bug in the mock: %s", where(error))
            return _plain(HTTPStatus.INTERNAL_SERVER_ERROR, "a bug in the mock, see its log\n")

    async def _serve(self, request: web.BaseRequest, operation: Operation) -> web.StreamResponse:
        backend = self._backend
        query = request.query
        key, deployment, quantity = query.get("key"), query.get("deployment"), query.get("quantity")
        key_fingerprint = backend.pool.fingerprint(key)
        entry = backend.journal.open(
            backend.now(), operation, key_fingerprint, backend.pool.shown(deployment), _shown_quantity(quantity)
        )
        fault = backend.faults.pick(operation, deployment, key_fingerprint) if backend.faults else None
        if fault is None:
            return self._finish(request, entry, await self._process(entry, key, deployment, quantity))
        entry.fault = fault.name
        backend.journal.changed(entry)
        if fault.processed:
            answer = await self._process(entry, key, deployment, quantity)
            changed = await self._carry_out(request, entry, fault)
            return changed or self._finish(request, entry, answer)
        changed = await self._carry_out(request, entry, fault)
        return changed or self._finish(request, entry, await self._process(entry, key, deployment, quantity))

    async def _process(self, entry: Entry, key: str | None, deployment: str | None, quantity: str | None) -> Answer:
        pool, now = self._backend.pool, self._backend.now()
        if entry.operation is Operation.ACTIVATION:
            answer = pool.activate(key, deployment, quantity, now)
        else:
            answer = pool.deactivate(key, deployment, now)
        entry.outcome = answer.outcome
        try:
            await self._backend.saved()
        except StateError:
            entry.status = HTTPStatus.INTERNAL_SERVER_ERROR
            self._close(entry, Fate.ANSWERED, answer.outcome)
            raise
        return answer

    async def _carry_out(self, request: web.BaseRequest, entry: Entry, fault: Fault) -> web.StreamResponse | None:
        """Do what the fault says; None: the right answer is still to be given."""
        try:
            match fault.effect:
                case Delay(seconds):
                    await self._wait(seconds)
                    return None
                case Hang():
                    while request.transport is not None:  # a client that has gone needs nobody who hangs for it
                        await self._wait(_GONE_CHECK)
                    response = _cut(request)
                case Cut():
                    response = _cut(request)
                case Reply(status, body, content_type, retry_after):
                    entry.status = status
                    response = _reply(status, body, content_type, retry_after)
        except _StoppedError:
            self._close(entry, Fate.UNANSWERED, fault.name)
            raise
        self._close(entry, Fate.UNANSWERED if entry.status is None else Fate.ANSWERED, fault.name)
        return response

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return
        raise _StoppedError

    def _finish(self, request: web.BaseRequest, entry: Entry, answer: Answer) -> web.StreamResponse:
        if request.transport is None:
            self._close(entry, Fate.UNANSWERED, answer.outcome)
        else:
            entry.status = answer.status
            self._close(entry, Fate.ANSWERED, answer.outcome)
        headers = {"Content-Type": f"{answer.content_type}; charset=utf-8", "Server": _SERVER}
        return web.Response(status=answer.status, reason=answer.phrase, body=answer.body, headers=headers)

    def _close(self, entry: Entry, fate: Fate, answer: str) -> None:
        entry.fate = fate
        entry.done_at = self._backend.now()
        self._backend.journal.changed(entry)
        self._backend.count(entry.operation, answer)


def _shown_quantity(text: str | None) -> str:
    if text is None:
        return ""
    return text if text.isascii() and text.isdigit() and len(text) <= 6 else "(malformed)"  # noqa: PLR2004 - as the pool


def _plain(status: HTTPStatus, text: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(status=status, text=text, headers={"Server": _SERVER, **(headers or {})})


def _reply(status: int, body: bytes, content_type: str, retry_after: str) -> web.Response:
    headers = {"Content-Type": content_type, "Server": _SERVER}
    if retry_after:
        headers["Retry-After"] = retry_after
    return web.Response(status=status, body=body, headers=headers)


def _cut(request: web.BaseRequest) -> web.Response:
    """Close the connection; what is returned then finds no connection to be written to."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
