"""Keys, seats, switches and the clock on the control port, and all of it at once as a snapshot.

Keys come in by request body only. A snapshot knows a key by the SHA-256 of its text, so it can be put into any mock and
still holds no key.
"""

from __future__ import annotations

from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from aiohttp import web

from mock_activation.backend import Backend
from mock_activation.control_answers import answer, problem, read_body
from mock_activation.fields import Fields
from mock_activation.key_input import (
    parse_force_release,
    parse_key,
    parse_key_change,
    parse_keys,
    parse_switches,
)
from mock_activation.licence_file import expiration_date
from mock_activation.pool import KeyView
from mock_activation.snapshot import FURTHEST, MOST_SNAPSHOT, export, parse_snapshot, restore


class KeysApi:
    """The routes over one backend."""

    def __init__(self, backend: Backend) -> None:
        """Serve this backend's keys and seats."""
        self._backend = backend

    def routes(self) -> list[web.RouteDef]:
        """Return what it serves."""
        return [
            web.get("/state", self._state),
            web.get("/keys", self._keys),
            web.put("/keys", self._replace),
            web.post("/keys", self._add),
            web.patch("/keys/{fingerprint}", self._change),
            web.delete("/keys/{fingerprint}", self._remove),
            web.post("/force-release", self._force_release),
            web.get("/switches", self._switches),
            web.patch("/switches", self._change_switches),
            web.get("/clock", self._clock),
            web.post("/clock", self._advance),
            web.get("/snapshot", self._export),
            web.put("/snapshot", self._import),
            web.post("/reset", self._reset),
        ]

    async def _state(self, _request: web.Request) -> web.Response:
        now = self._backend.now()
        return answer({"now": now, "keys": [_key(view, now, seats=True) for view in self._backend.pool.view()]})

    async def _keys(self, _request: web.Request) -> web.Response:
        now = self._backend.now()
        return answer({"keys": [_key(view, now, seats=False) for view in self._backend.pool.view()]})

    async def _replace(self, request: web.Request) -> web.Response:
        self._backend.pool.replace(parse_keys(await read_body(request)), self._backend.now())
        self._backend.tell_state("keys")
        return await self._keys(request)

    async def _add(self, request: web.Request) -> web.Response:
        key, spec = parse_key(await read_body(request))
        fingerprint = self._backend.pool.put(key, spec)
        self._backend.tell_state("keys")
        return answer({"fingerprint": fingerprint}, HTTPStatus.CREATED)

    async def _change(self, request: web.Request) -> web.Response:
        view = self._view(request)
        if view is None:
            return problem(HTTPStatus.NOT_FOUND, "no key has this fingerprint")
        self._backend.pool.change(view.fingerprint, parse_key_change(await read_body(request), view.spec))
        self._backend.tell_state("keys")
        return await self._keys(request)

    async def _remove(self, request: web.Request) -> web.Response:
        view = self._view(request)
        if view is None:
            return problem(HTTPStatus.NOT_FOUND, "no key has this fingerprint")
        self._backend.pool.drop(view.fingerprint, self._backend.now())
        self._backend.tell_state("keys")
        return answer({"removed": True})

    def _view(self, request: web.Request) -> KeyView | None:
        wanted = request.match_info["fingerprint"]
        return next((view for view in self._backend.pool.view() if view.fingerprint == wanted), None)

    async def _force_release(self, request: web.Request) -> web.Response:
        key_fingerprint, deployment = parse_force_release(await read_body(request))
        if self._backend.pool.force_release(key_fingerprint, deployment, self._backend.now()):
            return answer({"released": True})
        return problem(HTTPStatus.NOT_FOUND, "this seat is not taken")

    async def _switches(self, _request: web.Request) -> web.Response:
        return answer(asdict(self._backend.pool.switches))

    async def _change_switches(self, request: web.Request) -> web.Response:
        self._backend.pool.switches = parse_switches(await read_body(request), self._backend.pool.switches)
        self._backend.tell_state("switches")
        return await self._switches(request)

    async def _clock(self, _request: web.Request) -> web.Response:
        return answer({"now": self._backend.now(), "advanced": self._backend.advanced})

    async def _advance(self, request: web.Request) -> web.Response:
        fields = Fields(await read_body(request), "")
        seconds = fields.number("advance", None, least=0.0, most=FURTHEST)
        if seconds is None and not fields.faults:
            fields.wrong("advance is missing: by how many seconds")
        if seconds is not None and self._backend.advanced + seconds > FURTHEST:
            fields.wrong(f"the clock can be {FURTHEST:.0f} seconds ahead at most")
        fields.finish()
        self._backend.advance(seconds or 0.0)
        return await self._clock(request)

    async def _export(self, _request: web.Request) -> web.Response:
        return answer(export(self._backend))

    async def _import(self, request: web.Request) -> web.Response:
        restore(self._backend, parse_snapshot(await read_body(request.clone(client_max_size=MOST_SNAPSHOT))))
        return await self._state(request)

    async def _reset(self, _request: web.Request) -> web.Response:
        self._backend.reset()
        return answer({"reset": True})


def _key(view: KeyView, now: float, *, seats: bool) -> dict[str, Any]:
    spec = view.spec
    shown: dict[str, Any] = {
        "fingerprint": view.fingerprint,
        "state": spec.state,
        "seats": spec.seats,
        "used": view.used,
        "expires": None if spec.expires_at is None else expiration_date(spec.expires_at),
    }
    if seats:
        shown["taken"] = [
            {
                "deployment": seat.deployment,
                "taken_at": seat.taken_at,
                "age": max(0.0, now - seat.taken_at),
                "last_contact": seat.last_contact,
                "units": seat.units,
            }
            for seat in view.taken
        ]
    return shown
