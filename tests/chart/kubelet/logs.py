"""The kubelet's port as far as Helm needs it: the API server fetches containers' logs there."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Final, Self

import trustme
from aiohttp import web

_FAREWELL: Final = 0.1


class LogServer:
    """Serves ``/containerLogs/NAMESPACE/POD/CONTAINER`` over TLS with a certificate that nobody has to trust."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = 0

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._log)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()
        await asyncio.sleep(_FAREWELL)  # what is left of TLS connections closes in callbacks

    async def _log(self, request: web.Request) -> web.Response:
        place = request.match_info
        file = self._folder / f"{place['namespace']}_{place['pod']}_{place['container']}.log"
        if not file.exists():
            raise web.HTTPNotFound
        answer = web.Response(body=file.read_bytes(), content_type="text/plain")
        answer.force_close()  # the API server would keep the connection, beyond the end of this loop
        return answer
