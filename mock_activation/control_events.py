"""``GET /events`` of the control port: server-sent events (docs/mock.md has the kinds and their data).

A client that connects late or again reads ``/state`` and ``/journal`` first: nothing is sent twice.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Final

from aiohttp import web

from mock_activation.backend import Backend
from mock_activation.control_answers import problem

HEARTBEAT: Final = 15.0
MOST_WATCHERS: Final = 100


class EventsApi:
    """The route over one backend."""

    def __init__(self, backend: Backend, heartbeat: float = HEARTBEAT) -> None:
        """Send a comment after ``heartbeat`` seconds without an event."""
        self._events = backend.events
        self._heartbeat = heartbeat
        self._open = 0

    def routes(self) -> list[web.RouteDef]:
        """Return what it serves."""
        return [web.get("/events", self._stream, allow_head=False)]

    async def stop(self, _app: web.Application) -> None:
        """End all streams."""
        self._events.end()

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        if self._open >= MOST_WATCHERS:
            return problem(HTTPStatus.TOO_MANY_REQUESTS, f"at most {MOST_WATCHERS} clients can follow the events")
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )
        self._open += 1
        watcher = self._events.watch()
        try:
            await response.prepare(request)
            await response.write(f"retry: 2000\n: connected after event {self._events.last}\n\n".encode())
            while True:
                try:
                    async with asyncio.timeout(self._heartbeat):
                        messages = await watcher.take()
                except TimeoutError:
                    messages = b": still here\n\n"
                if not messages:
                    return response
                await response.write(messages)
        except ConnectionError:
            return response
        finally:
            self._open -= 1
            self._events.leave(watcher)
