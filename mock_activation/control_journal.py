"""The journal on the control port: read it, clear it, wait for what a test expects to happen."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import asdict
from enum import StrEnum
from http import HTTPStatus
from typing import Final, TypeVar

from aiohttp import web

from mock_activation.answers import Outcome
from mock_activation.backend import Backend
from mock_activation.control_answers import answer, problem
from mock_activation.faults import NAMES, Operation
from mock_activation.fields import InputError
from mock_activation.journal import Entry, Fate, Journal, Wanted

LONGEST_WAIT: Final = 600.0
MOST_WAITING: Final = 1_000
MOST_NUMBER: Final = 1_000_000_000_000

_Choice = TypeVar("_Choice", bound=StrEnum)


class JournalApi:
    """The routes over one backend."""

    def __init__(self, backend: Backend) -> None:
        """Serve this backend's journal."""
        self._backend = backend
        self._waiting: set[asyncio.Future[None]] = set()
        self._stopped = False

    def routes(self) -> list[web.RouteDef]:
        """Return what it serves."""
        return [
            web.get("/journal", self._read),
            web.get("/journal/wait", self._wait, allow_head=False),
            web.delete("/journal", self._clear),
        ]

    async def stop(self, _app: web.Application) -> None:
        """End all waits."""
        self._stopped = True
        for waiting in self._waiting:
            waiting.cancel()

    async def _read(self, request: web.Request) -> web.Response:
        query = _Query(request.query)
        limit = query.integer("limit", None)
        wanted = query.wanted()
        query.finish()
        entries = self._backend.journal.entries(wanted)
        return self._told(entries if limit is None else entries[-limit:] if limit else [])

    async def _wait(self, request: web.Request) -> web.Response:
        query = _Query(request.query)
        seconds, count = query.seconds("timeout", 30.0), query.integer("count", 1) or 1
        wanted = query.wanted()
        query.finish()
        if len(self._waiting) >= MOST_WAITING:
            return problem(HTTPStatus.TOO_MANY_REQUESTS, f"at most {MOST_WAITING} clients can wait")
        journal = self._backend.journal
        if not await self._come(journal, wanted, count, seconds):
            if self._stopped:
                return problem(HTTPStatus.SERVICE_UNAVAILABLE, "the mock stops")
            found = len(journal.entries(wanted))
            return problem(HTTPStatus.NOT_FOUND, f"{found} of {count} matching requests within {seconds:g} s")
        return self._told(journal.entries(wanted))

    async def _come(self, journal: Journal, wanted: Wanted, count: int, seconds: float) -> bool:
        """Wait until so many entries match; False: they did not in time."""
        numbers = {entry.number for entry in journal.entries(wanted)}
        come: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def listen(entry: Entry) -> None:
            if wanted.matches(entry):
                numbers.add(entry.number)
            if len(numbers) >= count and not come.done():
                come.set_result(None)

        if len(numbers) >= count:
            return True
        journal.listeners.add(listen)
        self._waiting.add(come)
        try:
            await asyncio.wait([come], timeout=seconds)
        finally:
            journal.listeners.discard(listen)
            self._waiting.discard(come)
        return come.done() and not come.cancelled()

    def _told(self, entries: list[Entry]) -> web.Response:
        return answer({"entries": [asdict(entry) for entry in entries]})

    async def _clear(self, _request: web.Request) -> web.Response:
        self._backend.journal.clear()
        self._backend.tell_state("journal")
        return answer({"cleared": True})


class _Query:
    """Takes the parameters of a query out, and complains about what is wrong or left, repeating nothing of it."""

    def __init__(self, query: Mapping[str, str]) -> None:
        self._left = dict(query)
        self._faults: list[str] = []

    def wanted(self) -> Wanted:
        return Wanted(
            self._choice("operation", Operation),
            self._left.pop("deployment", None),
            self._left.pop("key_fingerprint", None),
            self._word("outcome", tuple(Outcome)),
            self._word("fault", NAMES),
            self._choice("fate", Fate),
            self.integer("status", None),
            self.integer("after", 0) or 0,
        )

    def integer(self, name: str, default: int | None) -> int | None:
        text = self._left.pop(name, None)
        if text is None:
            return default
        if text.isascii() and text.isdigit() and len(text) <= len(str(MOST_NUMBER)):
            return int(text)
        self._faults.append(f"{name} must be a whole number")
        return default

    def seconds(self, name: str, default: float) -> float:
        text = self._left.pop(name, None)
        if text is None:
            return default
        try:
            seconds = float(text)
        except ValueError:
            seconds = math.nan
        if 0 <= seconds <= LONGEST_WAIT:
            return seconds
        self._faults.append(f"{name} must be a number of seconds from 0 to {LONGEST_WAIT:.0f}")
        return default

    def finish(self) -> None:
        if self._left:
            self._faults.append(
                "the journal can be asked for operation, deployment, key_fingerprint, outcome, fault, fate, status, "
                "after and limit (/journal/wait: timeout and count) only"
            )
        if self._faults:
            raise InputError(*self._faults)

    def _choice(self, name: str, kind: type[_Choice]) -> _Choice | None:
        text = self._word(name, tuple(kind))
        return None if text is None else kind(text)

    def _word(self, name: str, words: tuple[str, ...]) -> str | None:
        text = self._left.pop(name, None)
        if text is None or text in words:
            return text
        self._faults.append(f"{name} must be one of {', '.join(words)}")
        return None
