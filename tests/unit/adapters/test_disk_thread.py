"""A thread for a disk that may hang."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from sidecar.adapters.disk_thread import DiskThread


@pytest.fixture
def disk() -> Iterator[DiskThread]:
    """Return a thread that ends with the test."""
    thread = DiskThread("disk-of-a-test")
    yield thread
    thread.close()


async def test_results_and_failures_reach_the_caller(disk: DiskThread) -> None:
    """What the work returns or raises is what the caller gets, and it ran in the one named thread."""
    assert await disk.run(lambda _: threading.current_thread().name, seconds=5) == "disk-of-a-test"

    def fail(_deadline: float) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        await disk.run(fail, seconds=5)


async def test_bounded_stop_a_hung_disk_holds_neither_the_loop_nor_what_follows(disk: DiskThread) -> None:
    """BOUNDED_STOP: the caller gets a TimeoutError in time, and what waited behind is not begun late."""
    recovered, begun = threading.Event(), []
    try:
        with pytest.raises(TimeoutError):
            await disk.run(lambda _: recovered.wait(10), seconds=0.02)
        with pytest.raises(TimeoutError):
            await disk.run(lambda _: begun.append("late"), seconds=0.02)
    finally:
        recovered.set()
    assert await disk.run(lambda deadline: deadline > time.monotonic(), seconds=5)
    assert begun == []


async def test_a_cancelled_caller_leaves_the_thread_usable(disk: DiskThread) -> None:
    """A caller that is cancelled is let go at once; the next one is served."""
    go_on = threading.Event()
    waiting = asyncio.ensure_future(disk.run(lambda _: go_on.wait(10), seconds=5))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    go_on.set()
    assert await disk.run(lambda _: "served", seconds=5) == "served"


def test_a_thread_outlives_its_loop() -> None:
    """Work that ends after its loop was closed harms nobody: a later loop is served by the same thread."""
    disk, go_on = DiskThread("disk-of-a-test"), threading.Event()

    async def leave() -> None:
        with pytest.raises(TimeoutError):
            await disk.run(lambda _: go_on.wait(10), seconds=0.01)

    async def come_back() -> str:
        return await disk.run(lambda _: "served", seconds=5)

    asyncio.run(leave())
    go_on.set()
    assert asyncio.run(come_back()) == "served"
    disk.close()
