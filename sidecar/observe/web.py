"""The sidecar's HTTP side (design.md section 8): three probes, metrics, status. Nothing that changes anything.

Every answer is computed from what the process knows at that moment and waits for nothing, so probes are answered
while everything else is down. It is the only module besides the Kubernetes client that may load aiohttp, which costs
a fifth of a second: wiring imports it late.
"""

from __future__ import annotations

import errno
import json
import os
import socket
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final, Protocol

from sidecar.adapters.lean_imports import light_aiohttp
from sidecar.core.state import State
from sidecar.core.view import View
from sidecar.errors import Misconfigured
from sidecar.observe.lag import Lag
from sidecar.observe.metrics import CONTENT_TYPE, Metrics
from sidecar.observe.pulses import Pulses
from sidecar.observe.status import Moment, mask, status

with light_aiohttp():
    from aiohttp import web

_BACKLOG: Final = 128
_LAST_ANSWERS: Final = 0.5
"""Seconds that a request under way may take at the stop; all are answered at once."""
_LONGEST_LINE: Final = 500
_NO_IPV6: Final = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT})

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Source(Protocol):
    """Where the answers come from: the agent, at the moment of asking."""

    def view(self) -> View:
        """Return what can be said now."""

    def state(self) -> State:
        """Return what the machine knows."""

    def now(self) -> float:
        """Return the machine's monotonic clock."""

    def wall(self) -> float:
        """Return seconds since the epoch."""


class Web:
    """The web server; ``port`` 0 takes a free one."""

    def __init__(self, port: int, source: Source, metrics: Metrics, pulses: Pulses) -> None:
        """Take what is shown; nothing listens before ``start``."""
        self._port = port
        self._source = source
        self._metrics = metrics
        self._pulses = pulses
        self._lag = Lag()
        metrics.lag_from(self._lag.worst)
        self._routes: dict[str, Handler] = {
            "/startupz": self._startupz,
            "/readyz": self._readyz,
            "/livez": self._livez,
            "/metrics": self._render_metrics,
            "/status": self._status,
        }
        app = web.Application()
        for path, handler in self._routes.items():
            app.router.add_get(path, handler)  # HEAD with it
        app.router.add_route("*", "/{rest:.*}", self._elsewhere)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=_LAST_ANSWERS)

    async def start(self) -> int:
        """Listen on all addresses, IPv4 and IPv6, and return the port. Raises ``Misconfigured`` (``http.port``)."""
        try:
            listener = listen(self._port)
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno is not None else type(error).__name__
            raise Misconfigured(
                f"http.port: cannot listen on port {self._port}: {reason}. Choose another port, or end what uses it"
            ) from error
        try:
            await self._runner.setup()
            await web.SockSite(self._runner, listener, backlog=_BACKLOG).start()
        except BaseException:
            listener.close()
            raise
        self._lag.start()
        port: int = listener.getsockname()[1]
        return port

    async def stop(self) -> None:
        """Stop listening."""
        self._lag.stop()
        await self._runner.cleanup()

    # --- the routes ---------------------------------------------------------------------------------------------------

    async def _startupz(self, request: web.Request) -> web.Response:
        view = self._source.view()
        return self._probe(request, "started", good=view.started, reasons=_reasons(view))

    async def _readyz(self, request: web.Request) -> web.Response:
        view = self._source.view()
        return self._probe(request, "ready", good=view.ready, reasons=_reasons(view))

    async def _livez(self, request: web.Request) -> web.Response:
        overdue = [str(loop) for loop in self._pulses.overdue()]
        return self._probe(request, "live", good=not overdue, reasons=overdue or ["all loops turn"])

    async def _render_metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._metrics.render(), headers={"Content-Type": CONTENT_TYPE})

    async def _status(self, _request: web.Request) -> web.Response:
        moment = Moment(self._source.now(), self._source.wall())
        shown = status(self._source.state(), self._source.view(), moment, self._metrics.version)
        shown["loops"] = {loop: round(age, 1) for loop, age in self._pulses.ages().items()}
        return _json(shown)

    async def _elsewhere(self, request: web.Request) -> web.Response:
        if request.path in self._routes:
            return _line("only GET and HEAD", HTTPStatus.METHOD_NOT_ALLOWED, Allow="GET, HEAD")
        return _line(f"not here; there are {', '.join(self._routes)}", HTTPStatus.NOT_FOUND)

    def _probe(self, request: web.Request, question: str, *, good: bool, reasons: list[str]) -> web.Response:
        code = HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE
        if "verbose" not in request.query:
            return _line(f"{question if good else f'not {question}'}: {reasons[0]}", code)
        view = self._source.view()
        moment = Moment(self._source.now(), self._source.wall())
        answer: dict[str, Any] = {question: good, "reasons": reasons, "state": view.stage.value}
        if question != "live":
            answer |= {"awaits": view.waiting_for, "next_attempt_in_seconds": moment.until(view.next_at)}
        return _json(answer, code)


def listen(port: int) -> socket.socket:
    """Return a socket that listens on all addresses, IPv6 and IPv4; IPv4 alone where there is no IPv6.

    One socket for both, because two would get different free ports. Raises ``OSError``.
    """
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("::", port), family=socket.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=True)
        except OSError as error:
            # Compiled in, but switched off by the node's sysctl.
            if error.errno not in _NO_IPV6:
                raise
    return socket.create_server(("0.0.0.0", port), backlog=_BACKLOG)


def _reasons(view: View) -> list[str]:
    """Return why, then what else is not as it should be: a fault that the first sentence ends with is told by it."""
    told = view.why.removesuffix(")")
    return [view.why or view.stage.value, *(it for it in view.faults if not _repeats(told, it))]


def _repeats(told: str, fault: str) -> bool:
    _, _, message = fault.partition(": ")
    return bool(message) and told.endswith(message)


def _line(text: str, code: HTTPStatus, **headers: str) -> web.Response:
    # Sentences of a server may contain anything; an answer of a probe is one line.
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return web.Response(text=f"{mask(line)[:_LONGEST_LINE]}\n", status=code, headers=headers)


def _json(value: dict[str, Any], code: HTTPStatus = HTTPStatus.OK) -> web.Response:
    text = json.dumps(mask(value), indent=2)
    return web.Response(text=f"{text}\n", status=code, content_type="application/json")
