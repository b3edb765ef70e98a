"""One thread for the calls that may hang on a sick disk, so that they hang neither the loop nor the exit.

Not ``asyncio.to_thread`` and not a ``ThreadPoolExecutor``: the interpreter joins their threads when it ends, and a
volume that does not answer would hold ``list`` for ever. A daemon thread is left behind. It must not know what it runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Job:
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Any]
    work: Callable[[float], Any]
    deadline: float


class DiskThread:
    """Runs small blocking calls one after the other; started by its first call."""

    def __init__(self, name: str) -> None:
        """Take the name that the thread shows in a dump of all stacks."""
        self._name = name
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    async def run(self, work: Callable[[float], T], *, seconds: float) -> T:
        """Run ``work(deadline)`` in the thread and return its result.

        ``seconds`` counts from now, the time behind a hanging predecessor included; ``deadline`` is its end on
        ``time.monotonic``, for waits inside of the work. What the work raises is raised here. Raises ``TimeoutError``;
        the work may then still take effect, as with any request that was sent and not answered.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        answer.add_done_callback(_seen)
        self._jobs.put(_Job(loop, answer, work, time.monotonic() + seconds))
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
            self._thread.start()
        async with asyncio.timeout(seconds):
            return await answer

    def close(self) -> None:
        """Let the thread end after what it does now; it is not waited for."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._jobs.put(None)

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            if job.answer.done() or time.monotonic() >= job.deadline:
                continue  # nobody waits any more; what was not begun is not begun late
            result: Any = None
            fault: BaseException | None = None
            try:
                result = job.work(job.deadline)
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever awaits, whatever it is
                fault = error
            with contextlib.suppress(RuntimeError):  # the loop may have ended meanwhile
                job.loop.call_soon_threadsafe(_settle, job.answer, result, fault)
            del job, result, fault  # an idle thread keeps nothing alive


def _settle(answer: asyncio.Future[Any], result: object, fault: BaseException | None) -> None:
    if answer.done():
        return
    if fault is None:
        answer.set_result(result)
    else:
        answer.set_exception(fault)


def _seen(answer: asyncio.Future[Any]) -> None:
    """Look at the result once, or asyncio complains about a failure whose caller was cancelled at the same moment."""
    if not answer.cancelled():
        answer.exception()
