"""The owner of what runs in the background of the stand-in: every task has a name, and no bug of one goes unseen.

A TaskGroup would bind the app to one caller's task; fixtures of tests enter and leave it in different ones.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final

from mock_activation.secrecy import where

_LOG: Final = logging.getLogger("mock_activation.icap_app")


class Tasks:
    """Named tasks; ``failed`` is set as soon as one ended by a bug, ``faults`` holds them."""

    def __init__(self) -> None:
        """Start with none."""
        self._running: dict[str, asyncio.Task[Any]] = {}
        self.faults: list[BaseException] = []
        self.failed = asyncio.Event()

    def start(self, name: str, work: Coroutine[Any, Any, Any]) -> bool:
        """Run it in the background; False if one of this name is running still."""
        if name in self._running:
            work.close()
            return False
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running[name] = task
        task.add_done_callback(self._done)
        return True

    def cancel(self, name: str) -> None:
        """Cancel the task of this name, if there is one; another one may take its name at once."""
        task = self._running.pop(name, None)
        if task is not None:
            self._running[f"{name}, cancelled {id(task)}"] = task
            task.cancel()

    async def close(self) -> None:
        """Cancel all and wait for their end."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running = {name: other for name, other in self._running.items() if other is not task}
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOG.error("the task %s of the stand-in failed: %s", task.get_name(), where(error))
            self.faults.append(error)
            self.failed.set()
