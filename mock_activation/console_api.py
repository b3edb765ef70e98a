"""The console: a web page on the control port, and what it needs that no program asked for before.

The page (``console/``) is plain files without anything from elsewhere. It holds no secret, so it is served without a
token; every route that it calls is the control API's own. Nothing here changes the mock.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from typing import Any, Final
from urllib.parse import urlsplit

from aiohttp import web

from mock_activation.answers import Outcome
from mock_activation.backend import Backend
from mock_activation.control_answers import Handler, answer, problem
from mock_activation.effects import REFUSALS
from mock_activation.faults import NAMES, Operation
from mock_activation.pool import Change
from mock_activation.seats import KeyState
from mock_activation.switches import POSITIONS, Switches

LONGEST_HISTORY: Final = 86_400.0
MOST_STEPS: Final = 900
"""Steps of one key in an answer; more of them could not be told apart in the picture."""
_BUCKETS: Final = MOST_STEPS // 3
_TYPES: Final = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_HEADERS: Final = {
    # The page may load from, and talk to, its own origin only; scripts and styles in the page itself are not run.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
CHOICES: Final[dict[str, Any]] = {
    "states": list(KeyState),
    "operations": list(Operation),
    "outcomes": list(Outcome),
    "faults": list(NAMES),
    "refusals": list(REFUSALS),
    "defaults": asdict(Switches()),
    "switches": {name: list(positions) for name, positions in POSITIONS.items()},
}
"""What the page lets people choose from, so that it never offers more or less than this server knows."""


class ConsoleApi:
    """The routes over one backend."""

    def __init__(self, backend: Backend) -> None:
        """Serve the page for this backend."""
        self._backend = backend

    def routes(self) -> list[web.RouteDef]:
        """Return what it serves."""
        return [
            web.get("/console", redirect),
            web.get("/console/", self._page),
            web.get("/console/choices.json", self._choices),
            web.get("/console/{name}", self._page),
            web.get("/history", self._history),
        ]

    async def _page(self, request: web.Request) -> web.Response:
        name = request.match_info.get("name", "index.html")
        content = _contents().get(name)
        if content is None:
            return problem(HTTPStatus.NOT_FOUND, "the console has no such file")
        kind = _TYPES[name.rpartition(".")[2]]
        return web.Response(body=content, content_type=kind, charset="utf-8", headers=_HEADERS)

    async def _choices(self, _request: web.Request) -> web.Response:
        return answer(CHOICES)

    async def _history(self, request: web.Request) -> web.Response:
        wanted = dict(request.query)
        seconds = _read_seconds(wanted.pop("seconds", "900"))
        if seconds is None or wanted:
            return problem(
                HTTPStatus.BAD_REQUEST,
                f"the history can be asked for seconds only: a number from 1 to {LONGEST_HISTORY:.0f}",
            )
        now = self._backend.now()
        since = now - seconds
        keys: dict[str, dict[str, Any]] = {
            key_fingerprint: {"before": used, "steps": [], "thinned": False}
            for key_fingerprint, (used, _limit) in self._backend.pool.used().items()
        }
        for key_fingerprint, (before, changes) in _since(self._backend.history, since).items():
            steps = thin(changes, since, seconds)
            keys[key_fingerprint] = {
                "before": before,
                "steps": [[change.at, change.used, change.move] for change in steps],
                "thinned": len(steps) < len(changes),
            }
        return answer({"now": now, "since": since, "after_event": self._backend.events.last, "keys": keys})


def wants_page(request: web.Request) -> bool:
    """Tell whether a person's browser asks, and not a program: it is a page that it wants."""
    return "text/html" in request.headers.get("Accept", "")


async def redirect(_request: web.Request) -> web.Response:
    """Lead a browser to the console."""
    return web.Response(status=HTTPStatus.FOUND, headers={"Location": "/console/"})


@web.middleware
async def refuse_other_sites(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let no page of another site press our buttons: a browser would send its request without asking us first."""
    origin = request.headers.get("Origin")
    if origin is not None and request.method not in ("GET", "HEAD") and urlsplit(origin).netloc != request.host:
        return problem(HTTPStatus.FORBIDDEN, "a page of another origin may change nothing here")
    return await handler(request)


def _since(history: Sequence[Change], since: float) -> dict[str, tuple[int | None, list[Change]]]:
    """Return by key: how many seats were taken at ``since`` (None: not known any more), and the changes after it."""
    before: dict[str, int] = {}
    changes: dict[str, list[Change]] = {}
    for change in reversed(history):
        if change.at >= since:
            changes.setdefault(change.key_fingerprint, []).append(change)
        else:
            before.setdefault(change.key_fingerprint, change.used)
    return {name: (before.get(name), changes.get(name, [])[::-1]) for name in before | changes}


def thin(changes: list[Change], since: float, seconds: float) -> list[Change]:
    """Return all changes, or of too many: the least, the most and the last of each short time, so no peak is lost."""
    if len(changes) <= MOST_STEPS:
        return changes
    buckets: dict[int, list[int]] = {}
    for index, change in enumerate(changes):
        buckets.setdefault(min(_BUCKETS - 1, int((change.at - since) / seconds * _BUCKETS)), []).append(index)
    kept: set[int] = set()
    for indexes in buckets.values():
        by_used = sorted(indexes, key=lambda index: changes[index].used)
        kept.update((by_used[0], by_used[-1], indexes[-1]))
    return [changes[index] for index in sorted(kept)]


def _read_seconds(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and 1 <= seconds <= LONGEST_HISTORY else None


@cache
def _contents() -> dict[str, bytes]:
    """Return the files of the page by name; nothing but these can be asked for."""
    folder = files("mock_activation") / "console"
    return {entry.name: entry.read_bytes() for entry in folder.iterdir() if entry.name.rpartition(".")[2] in _TYPES}
