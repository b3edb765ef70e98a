"""Something between a pod and the API server that speaks TLS with an authority of its own, and forwards or babbles.

It stands for portals and proxies that answer instead of the API server, and for a cluster whose authority is replaced.
It looks at nothing that passes through.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from concurrent.futures import Future
from typing import Final, Self
from urllib.parse import urlsplit

import trustme

from tests.cluster.control_plane.cluster import Cluster
from tests.cluster.stories.scene import Pod

PAGE: Final = b"<!doctype html><html><body>Please sign in</body></html>"


class Front:
    """A listening socket in a thread of its own, as a context manager."""

    def __init__(self, cluster: Cluster) -> None:
        """Take the cluster behind it; nothing listens yet."""
        parts = urlsplit(cluster.url)
        self._behind = (parts.hostname or "", parts.port or 443)
        self._trust = ssl.create_default_context(cafile=str(cluster.ca_file))
        self._page: bytes | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._listening: Future[int] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="front", daemon=True)
        self.authority = ""
        self.served = 0
        """Connections that got as far as a request."""
        self.replace_authority()

    @property
    def environ(self) -> dict[str, str]:
        """Return the variables by which a pod finds it."""
        return {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(self._listening.result())}

    def babble(self, status: str | None) -> None:
        """Answer everything with a page of this status, such as ``200 OK``; None: forward."""
        self._page = None if status is None else _page(status)
        self.cut()

    def replace_authority(self) -> None:
        """Show certificates of another authority from now on; ``authority`` is its PEM."""
        made = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.issue_cert("127.0.0.1").configure_cert(context)
        self._context = context
        self.authority = made.cert_pem.bytes().decode()
        self.cut()

    def cut(self) -> None:
        """Cut every connection."""
        if self._listening.done():
            self._loop.call_soon_threadsafe(self._cut)

    def __enter__(self) -> Self:
        """Listen on a free port."""
        self._thread.start()
        self._listening.result()
        return self

    def __exit__(self, *_exc_info: object) -> None:
        """Stop and wait for the end."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self._listening.set_result(server.sockets[0].getsockname()[1])
        await self._stop.wait()
        server.close()
        self._cut()
        await asyncio.sleep(0.1)  # what was cut gets a turn to end

    def _cut(self) -> None:
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            await writer.start_tls(self._context)
            if self._page is not None:
                await reader.readuntil(b"\r\n\r\n")
                self.served += 1
                writer.write(self._page)
                await writer.drain()
            else:
                self.served += 1
                await self._forward(reader, writer)
        except (OSError, EOFError, asyncio.LimitOverrunError):
            pass  # cut, or somebody who does not trust us
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, there = await asyncio.open_connection(*self._behind, ssl=self._trust)
        self._writers.add(there)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(reader, there))
                group.create_task(_pump(back, writer))
        except* OSError:
            pass
        finally:
            self._writers.discard(there)
            there.transport.abort()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(1 << 16):
        sink.write(data)
        await sink.drain()
    raise ConnectionResetError  # the end of one side is the end of both


def _page(status: str) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {len(PAGE)}\r\nConnection: close\r\n\r\n"
    return head.encode() + PAGE


def trust(pod: Pod, authority: str) -> None:
    """Replace the cluster's authority in a pod's service account, with the token that it has."""
    mounted = pod.scene.mounted[pod.name]
    mounted._steady["ca.crt"] = authority
    mounted.write(mounted.token)
