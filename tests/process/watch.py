"""Asks for readiness without a pause, so that a test can tell what was said between any two moments."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.process.scene import Sidecar


class Watch:
    """Asks ``/readyz`` without a pause, in a thread, and remembers every answer with the time before and after it."""

    def __init__(self, sidecar: Sidecar) -> None:
        """Begin at once; ``sidecar`` listens already."""
        self.answers: list[tuple[float, float, bool]] = []
        self._sidecar = sidecar
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.is_set():
            begin = time.time()
            ready = self._sidecar.ready
            self.answers.append((begin, time.time(), ready))
            time.sleep(0.01)

    def between(self, begin: float, end: float) -> set[bool]:
        """Return which answers were given wholly between two moments."""
        return {ready for asked, told, ready in self.answers if begin <= asked and told <= end}

    def close(self) -> None:
        """Stop asking."""
        self._over.set()
        self._thread.join()


@contextmanager
def watched(sidecar: Sidecar) -> Iterator[Watch]:
    """Watch a sidecar for the length of a block."""
    watch = Watch(sidecar)
    try:
        yield watch
    finally:
        watch.close()
