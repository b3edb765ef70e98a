"""A mock activation server for code that blocks: it runs in a thread of its own, with a loop of its own.

    with MockInThread({"ABCD-...": 2}) as mock:
        requests.get(f"{mock.url}/activation", params={...})
        mock.do(lambda inside: inside.pool.used())

Whoever is asynchronous already uses ``server.MockActivation`` as it is. Nothing here may touch the server from outside
of its thread: ``do`` carries a function in.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Self, TypeVar

from mock_activation.pool import KeySpec
from mock_activation.server import MockActivation

T = TypeVar("T")


class MockInThread:
    """A running mock, as a plain context manager."""

    def __init__(self, keys: Mapping[str, KeySpec | int] | None = None, **options: Any) -> None:
        """Prepare; ``options`` are those of ``MockActivation``."""
        self._mock = MockActivation(keys, **options)
        self._started: Future[asyncio.AbstractEventLoop] = Future()
        self._thread = threading.Thread(target=self._live, name="mock-activation", daemon=True)

    @property
    def url(self) -> str:
        """Return where the client shall be pointed to."""
        return self._mock.url

    @property
    def control_url(self) -> str:
        """Return the address of the control port."""
        return self._mock.control_url

    @property
    def ca_pem(self) -> bytes | None:
        """Return the certificate authority to be trusted, if TLS is on."""
        return self._mock.ca_pem

    def do(self, function: Callable[[MockActivation], T]) -> T:
        """Call a function with the server, in its thread, and return what it returns (or raise what it raises)."""

        async def inside() -> T:
            return function(self._mock)

        return asyncio.run_coroutine_threadsafe(inside(), self._started.result()).result()

    def __enter__(self) -> Self:
        """Start. Raises what ``MockActivation`` raises."""
        self._thread.start()
        self._started.result()
        return self

    def __exit__(self, *_exc_info: object) -> None:
        """Stop and wait for the end."""
        self._started.result().call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _live(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if self._started.done():
                raise
            self._started.set_exception(error)

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        async with self._mock:
            self._started.set_result(asyncio.get_running_loop())
            await self._stop.wait()
