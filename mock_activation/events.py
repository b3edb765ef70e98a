"""Tells whoever watches what happens, as it happens: the source of the control port's ``GET /events``.

It must never slow a request down: without watchers an event costs next to nothing, and a watcher that does not keep up
is dropped instead of waited for. No event holds a key; deployment IDs stand in it only as far as they may be shown.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final

from mock_activation.secrecy import mask

QUEUE_LENGTH: Final = 2_000
"""Events that wait for one watcher at most; what is over it ends the watcher."""


class Kind(StrEnum):
    """What an event is about."""

    JOURNAL = "journal"
    """A request was held back by a fault, or dealt with: an entry of the journal; the later one has the same number."""
    SEATS = "seats"
    """A seat was taken or became free."""
    FAULTS = "faults"
    """A rule was added, happened, was removed, or all were."""
    PROFILE = "profile"
    """Another profile or another seed is in force."""
    STATE = "state"
    """Something else is different (keys, switches, clock, reset, snapshot): read it again."""


class Watcher:
    """One client's queue of events, as the bytes that are sent."""

    def __init__(self, queue_length: int) -> None:
        """Begin with an empty queue."""
        self._queue: list[bytes] = []
        self._length = queue_length
        self._ready = asyncio.Event()
        self.dropped = False
        """It did not keep up, or the server stops: nothing more will come."""

    def put(self, message: bytes) -> bool:
        """Queue a message; False if the queue is full, and the watcher with it done."""
        if len(self._queue) >= self._length:
            self.end()
            return False
        self._queue.append(message)
        self._ready.set()
        return True

    def end(self) -> None:
        """Let it end."""
        self.dropped = True
        self._ready.set()

    async def take(self) -> bytes:
        """Wait for messages and return all there are; empty when it has ended."""
        await self._ready.wait()
        if self.dropped:
            return b""
        self._ready.clear()
        messages, self._queue = self._queue, []
        return b"".join(messages)


class Broadcast:
    """Passes events on to all watchers."""

    def __init__(self, queue_length: int = QUEUE_LENGTH) -> None:
        """Begin without watchers."""
        self._watchers: set[Watcher] = set()
        self._queue_length = queue_length
        self._last = 0
        self._ended = False

    def __bool__(self) -> bool:
        """Tell whether anybody watches: what an event says need not be put together otherwise."""
        return bool(self._watchers)

    @property
    def last(self) -> int:
        """Return the number of the last event."""
        return self._last

    def publish(self, kind: Kind, tell: Callable[[], dict[str, Any]]) -> None:
        """Give an event a number, and send what ``tell`` returns to all watchers."""
        self._last += 1
        if not self._watchers:
            return
        data = mask(json.dumps(tell(), separators=(",", ":")))
        message = f"id: {self._last}\nevent: {kind}\ndata: {data}\n\n".encode()
        self._watchers = {watcher for watcher in self._watchers if watcher.put(message)}

    def watch(self) -> Watcher:
        """Add a watcher; whoever asks for it takes it out again."""
        watcher = Watcher(self._queue_length)
        if self._ended:
            watcher.end()
        else:
            self._watchers.add(watcher)
        return watcher

    def leave(self, watcher: Watcher) -> None:
        """Forget a watcher."""
        self._watchers.discard(watcher)

    def end(self) -> None:
        """End all watchers, and every one that comes later: the server stops."""
        self._ended = True
        for watcher in self._watchers:
            watcher.end()
        self._watchers.clear()
