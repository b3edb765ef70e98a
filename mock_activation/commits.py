"""When the state goes to disk: before the answer, and once for all requests that were handled in the same moment.

It hears from the pool what changed and writes the newest value. If writing fails, what changed stays noted: nobody was
answered, and the next request tries again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mock_activation.pool import Pool
from mock_activation.state_file import Difference, StateError, StateFile
from mock_activation.switches import Switches


class Commits:
    """Group commit of one pool to one file; belongs to the event loop in which it was made."""

    def __init__(self, file: StateFile, pool: Pool, clock_offset: Callable[[], float]) -> None:
        """Write to this file what this pool tells."""
        self._file = file
        self._pool = pool
        self._clock_offset = clock_offset
        # Dictionaries for their order: rows are written in the order in which things happened.
        self._keys: dict[str, None] = {}
        self._seats: dict[tuple[str, str], None] = {}
        self._settings: tuple[Switches, float] | None = None
        self._waiting: list[asyncio.Future[None]] = []
        self._due = False
        self._loop = asyncio.get_running_loop()

    def key_changed(self, key_digest: str) -> None:
        """Note a key."""
        self._keys[key_digest] = None
        self._arrange()

    def seat_changed(self, key_digest: str, deployment: str) -> None:
        """Note a seat."""
        self._seats[key_digest, deployment] = None
        self._arrange()

    async def saved(self) -> None:
        """Return when everything up to now is on the disk. Raises ``StateError``."""
        if not (self._keys or self._seats or self._settings_now() != self._settings):
            return
        waiting = self._loop.create_future()
        self._waiting.append(waiting)
        self._arrange()
        await waiting

    def write(self) -> None:
        """Write what is noted, now. Raises ``StateError``; it stays noted then."""
        specs = self._pool.specs() if self._keys else {}
        settings = self._settings_now()
        self._file.write(
            Difference(
                {key_digest: specs.get(key_digest) for key_digest in self._keys},
                {(key_digest, name): self._pool.seat(key_digest, name) for key_digest, name in self._seats},
                None if settings == self._settings else settings,
            )
        )
        self._keys.clear()
        self._seats.clear()
        self._settings = settings

    def close(self) -> None:
        """Write the rest and let go of the file. Raises ``StateError``."""
        try:
            self.write()
        finally:
            self._file.close()

    def _settings_now(self) -> tuple[Switches, float]:
        return self._pool.switches, self._clock_offset()

    def _arrange(self) -> None:
        # One turn of the loop handles all requests that have arrived; the commit follows behind them. A thread for
        # it would let the next requests in meanwhile, for little: they too would wait for the same disk.
        if not self._due:
            self._due = True
            self._loop.call_soon(self._commit)

    def _commit(self) -> None:
        self._due = False
        waiting, self._waiting = self._waiting, []
        try:
            if self._keys or self._seats or waiting:
                self.write()
        except StateError as error:
            for one in waiting:
                if not one.done():
                    one.set_exception(error)
        else:
            for one in waiting:
                if not one.done():
                    one.set_result(None)
