"""A TCP port that stays ours while nothing listens on it, and that can change from HTTP to HTTPS without a gap.

A crashed container refuses connections, but comes back on the same port: so the number is held by a bound socket that
never listens, and each life of the app listens on a second one. It must not know what is spoken on it.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from weakref import WeakSet

_BACKLOG = 128
_TURNS = 100
"""Turns of the loop within which a cut connection is gone."""


class _Socket(socket.socket):
    """A listening socket that knows what it accepted.

    asyncio shows a connection only after its TLS handshake, so one that never makes it could not be cut otherwise.
    """

    accepted: WeakSet[socket.socket]

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection and remember it."""
        connection, address = super().accept()
        self.accepted.add(connection)
        return connection, address


class Port:
    """One reserved TCP port."""

    def __init__(self, host: str, number: int) -> None:
        """Reserve it (0: a free one). Raises ``OSError``."""
        family, _, _, _, address = socket.getaddrinfo(host, number, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        self._reserved = self._bound(family, address)
        self._family = family
        self._address: tuple[str, int] = self._reserved.getsockname()
        self._listening: _Socket | None = None
        self._accepted: WeakSet[socket.socket] = WeakSet()
        self._server: asyncio.Server | None = None
        self.host = host
        self.number: int = self._address[1]

    @staticmethod
    def _bound(family: int, address: tuple[object, ...]) -> _Socket:
        bound = _Socket(family, socket.SOCK_STREAM)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.setblocking(False)  # noqa: FBT003 - the only parameter of a well-known call
            bound.bind(address)
        except OSError as error:
            bound.close()
            raise OSError(error.errno, f"{error.strerror}: {address[0]} port {address[1]}") from error
        return bound

    @property
    def authority(self) -> str:
        """Return ``host:port`` as it stands in a URL."""
        return f"[{self.host}]:{self.number}" if ":" in self.host else f"{self.host}:{self.number}"

    @property
    def open(self) -> bool:
        """Tell whether connections are accepted."""
        return self._server is not None

    async def serve(self, factory: Callable[[], asyncio.BaseProtocol], *, tls: ssl.SSLContext | None = None) -> None:
        """Accept connections from now on, or accept them in another way. Raises ``OSError``."""
        if self._listening is None:
            listening = self._bound(self._family, self._address)
            try:
                listening.listen(_BACKLOG)
            except OSError as error:
                listening.close()
                raise OSError(error.errno, f"{error.strerror}: {self.host} port {self.number}") from error
            self._listening = listening
        # The old server is given its own handle of the same socket: what arrives in between waits in the kernel.
        if self._server is not None:
            self._server.close()
        loop = asyncio.get_running_loop()
        handle = self._listening.dup()
        handle.accepted = self._accepted
        # Known before it accepts: a crash in the midst of the start closes it too.
        self._server = await loop.create_server(factory, sock=handle, ssl=tls, backlog=_BACKLOG, start_serving=False)
        await self._server.start_serving()

    def cut(self) -> None:
        """End every connection that was accepted, in whatever state it is."""
        for connection in self._accepted:
            with suppress(OSError):  # ended already
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Refuse connections from now on, and cut those that there are; the number stays ours."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        self.cut()

    def free(self) -> None:
        """Give the number back."""
        self.close()
        self._reserved.close()

    async def gone(self) -> None:
        """Wait until the loop has done with the connections that were cut."""
        for _ in range(_TURNS):
            if all(connection.fileno() == -1 for connection in self._accepted):
                break
            await asyncio.sleep(0)
