"""Server-sent events: what is told, what is not, and who is dropped."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

from mock_activation.backend import Backend
from mock_activation.events import Broadcast, Kind
from mock_activation.faults import lost_answer
from mock_activation.secrecy import fingerprint
from tests.unit.mock.vendor_client import KEY, A, B, Vendor, expect_no_key


class Stream:
    """What a browser's EventSource would see."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self.reader = reader
        self.raw: list[str] = []

    async def block(self) -> str:
        async with asyncio.timeout(5):
            while True:
                # Blocks are lines; a chunk's size stands alone between them.
                line = (await self.reader.readuntil(b"\n\n")).decode()
                self.raw.append(line)
                return line

    async def event(self) -> tuple[str, dict[str, Any]]:
        while True:
            fields = dict(line.split(": ", 1) for line in (await self.block()).split("\n") if ": " in line)
            if "event" in fields:
                return fields["event"], json.loads(fields["data"])


@asynccontextmanager
async def following(vendor: Vendor) -> AsyncIterator[Stream]:
    """Follow the events of a mock."""
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(vendor.mock.control_url).port)
    writer.write(b"GET /events HTTP/1.1\r\nHost: mock\r\nAccept: text/event-stream\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    assert b"200 OK" in head
    assert b"text/event-stream" in head
    try:
        stream = Stream(reader)
        await stream.block()
        yield stream
    finally:
        writer.close()


async def test_requests_and_seats_are_told_as_they_happen(vendor: Vendor) -> None:
    """An activation is a taken seat and an entry of the journal; a deactivation frees it."""
    async with following(vendor) as stream:
        await vendor.activate(A)
        await vendor.deactivate(A)
        told = [await stream.event() for _ in range(4)]
    assert [(kind, data.get("move") or data.get("outcome")) for kind, data in told] == [
        ("seats", "taken"),
        ("journal", "activated"),
        ("seats", "released"),
        ("journal", "released"),
    ]
    assert told[0][1]["key_fingerprint"] == fingerprint(KEY)
    assert (told[0][1]["used"], told[2][1]["used"]) == (1, 0)
    assert told[1][1]["deployment"] == A


async def test_faults_are_told(vendor: Vendor) -> None:
    """A rule that is added, happens, and is cleared; the request that suffers is told before and after."""
    async with following(vendor) as stream:
        vendor.mock.faults.add(lost_answer(times=1))
        await vendor.activate(A)
        vendor.mock.faults.clear()
        told = [await stream.event() for _ in range(6)]
    assert [(kind, data.get("what") or data.get("fate") or data.get("move")) for kind, data in told] == [
        ("faults", "added"),
        ("faults", "fired"),
        ("journal", "pending"),
        ("seats", "taken"),
        ("journal", "unanswered"),
        ("faults", "cleared"),
    ]
    assert told[2][1]["number"] == told[4][1]["number"]


async def test_a_reset_is_told(vendor: Vendor) -> None:
    """What has no events of its own is told as "read it again"."""
    async with following(vendor) as stream:
        await vendor.control("POST", "/reset")
        told = [await stream.event() for _ in range(3)]
    assert [(kind, data.get("what") or data.get("name")) for kind, data in told] == [
        ("faults", "cleared"),
        ("profile", "calm"),
        ("state", "reset"),
    ]


async def test_no_key_in_any_event(vendor: Vendor) -> None:
    """NO_SECRET: a key as the ID, as the quantity, or as an unknown key is not told."""
    async with following(vendor) as stream:
        await vendor.activate(KEY)
        await vendor.activate(A, quantity=KEY)
        await vendor.activate(B, key=KEY.lower())
        for _ in range(3):
            await stream.event()
        expect_no_key(*stream.raw)


async def test_numbers_go_on(vendor: Vendor) -> None:
    """Each event has the next number, also those that nobody followed."""
    await vendor.activate(A)
    async with following(vendor) as stream:
        await vendor.deactivate(A)
        await stream.event()
        assert "id: 3\n" in stream.raw[-1]


async def test_who_does_not_keep_up_is_dropped() -> None:
    """The queue of a watcher is bounded; over it the watcher ends, and the others go on."""
    events = Broadcast(queue_length=2)
    slow, quick = events.watch(), events.watch()
    for number in range(3):
        events.publish(Kind.STATE, lambda number=number: {"number": number})  # type: ignore[misc]
        assert f'"number":{number}'.encode() in await quick.take()
    assert await slow.take() == b""
    assert slow.dropped
    assert not quick.dropped


async def test_nothing_is_put_together_for_nobody() -> None:
    """Without watchers an event only gets its number."""
    events = Broadcast()

    def never() -> dict[str, Any]:
        pytest.fail("nobody watches")

    events.publish(Kind.STATE, never)
    assert events.last == 1
    watcher = events.watch()
    events.leave(watcher)
    assert not events


async def test_a_stopping_server_ends_the_streams(vendor: Vendor) -> None:
    """Nobody who follows holds up the end, also one who comes too late."""
    watcher = vendor.mock.backend.events.watch()
    vendor.mock.backend.events.end()
    assert await watcher.take() == b""
    assert await vendor.mock.backend.events.watch().take() == b""


def test_a_backend_without_watchers_keeps_its_history() -> None:
    """Changes are kept in order, whether or not somebody watches."""
    backend = Backend({KEY: 1}, now=lambda: 5.0)
    backend.pool.activate(KEY, A, 1, backend.now())
    assert [(change.deployment, change.at) for change in backend.history] == [(A, 5.0)]
