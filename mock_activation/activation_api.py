"""The vendor's wire format on aiohttp (protocol.md section 1), and the carrying out of faults.

It decides nothing: the pool answers, the faults say what goes wrong. No URL may be logged from here: the key is in it.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Final

from aiohttp import web

from mock_activation.answers import Answer, Outcome
from mock_activation.backend import Backend
from mock_activation.carrying_out import Pauses, StoppedError, altered, cut, instead, is_gone, plain, right
from mock_activation.effects import Altered, BreakHandshake, Delay, Refuse, Reply, Truncate
from mock_activation.faults import Fault, Operation
from mock_activation.journal import Entry, Fate
from mock_activation.secrecy import where
from mock_activation.state_file import StateError

LOG: Final = logging.getLogger("mock_activation")


class ActivationApi:
    """Handles requests of the low-level server; ``web.Application`` would cost a third of the throughput."""

    def __init__(self, backend: Backend, prefix: str = "") -> None:
        """Serve below ``prefix`` (empty, or a path that begins with a slash and does not end with one)."""
        self._backend = backend
        self._operations = {f"{prefix}/{operation}": operation for operation in Operation}
        self._pauses = Pauses()

    def stop(self) -> None:
        """Cut what is delayed or hanging."""
        self._pauses.stop()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        operation = self._operations.get(request.path)
        if operation is None:
            return plain(HTTPStatus.NOT_FOUND, "there is only /activation and /deactivation here\n")
        if request.method != "GET":
            return plain(HTTPStatus.METHOD_NOT_ALLOWED, "only GET is known here\n", {"Allow": "GET"})
        try:
            return await self._serve(request, operation)
        except StoppedError:
            return cut(request)
        except StateError as error:
            LOG.error("%s", error)
            return plain(HTTPStatus.INTERNAL_SERVER_ERROR, "the state file cannot be written: try again\n")
        except Exception as error:  # noqa: BLE001 - a bug must not reach aiohttp's log, which would print its message
            LOG.error("a bug in the mock: %s", where(error))
            return plain(HTTPStatus.INTERNAL_SERVER_ERROR, "a bug in the mock, see its log\n")

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
        try:
            return await self._suffer(request, entry, fault, (key, deployment, quantity))
        except StoppedError:
            self._close(entry, Fate.UNANSWERED, fault.name)
            raise

    async def _process(
        self,
        entry: Entry,
        key: str | None,
        deployment: str | None,
        quantity: str | None,
        as_if: Outcome | None = None,
    ) -> Answer:
        pool, now = self._backend.pool, self._backend.now()
        if entry.operation is Operation.ACTIVATION:
            answer = pool.activate(key, deployment, quantity, now, as_if=as_if)
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

    async def _suffer(
        self, request: web.BaseRequest, entry: Entry, fault: Fault, asked: tuple[str | None, str | None, str | None]
    ) -> web.StreamResponse:
        """Do what the fault says, and give the right answer where it leaves one."""
        effect = fault.effect
        answer = await self._process(entry, *asked) if fault.processed else None
        pause = fault.wait + (effect.seconds if isinstance(effect, Delay) else 0.0)
        if pause:
            await self._pauses.wait(pause)
        if not isinstance(effect, Altered | Delay | Refuse | BreakHandshake):
            response = await instead(request, effect, self._pauses, self._backend.now())
            answered = isinstance(effect, Reply) and not is_gone(request)
            entry.status = response.status if answered else None
            self._close(entry, Fate.ANSWERED if answered else Fate.UNANSWERED, fault.name)
            return response
        if answer is None:
            answer = await self._process(entry, *asked, as_if=effect.outcome if isinstance(effect, Refuse) else None)
        if not isinstance(effect, Altered) or is_gone(request):
            return self._finish(request, entry, answer)
        entry.status = answer.status
        response = await altered(request, effect, answer, self._pauses, self._backend.now())
        whole = not isinstance(effect, Truncate) and not is_gone(request)
        self._close(entry, Fate.ANSWERED if whole else Fate.UNANSWERED, answer.outcome if whole else fault.name)
        return response

    def _finish(self, request: web.BaseRequest, entry: Entry, answer: Answer) -> web.StreamResponse:
        if is_gone(request):
            self._close(entry, Fate.UNANSWERED, answer.outcome)
        else:
            entry.status = answer.status
            self._close(entry, Fate.ANSWERED, answer.outcome)
        return right(answer)

    def _close(self, entry: Entry, fate: Fate, answer: str) -> None:
        entry.fate = fate
        entry.done_at = self._backend.now()
        self._backend.journal.changed(entry)
        self._backend.count(entry.operation, answer)


def _shown_quantity(text: str | None) -> str:
    if text is None:
        return ""
    return text if text.isascii() and text.isdigit() and len(text) <= 6 else "(malformed)"  # noqa: PLR2004 - as the pool
