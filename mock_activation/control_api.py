"""The owner's side of the mock: inspect it, change it, script it. JSON, on its own port, never the vendor's.

Keys come in by request body only and go out as fingerprints only. Every mistake is answered by a 4xx that lists what
was wrong and repeats nothing of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from mock_activation import __version__
from mock_activation.backend import Backend
from mock_activation.console_api import ConsoleApi, redirect, refuse_other_sites, wants_page
from mock_activation.control_answers import MOST_BODY, Handler, answer, explain, problem, read_body
from mock_activation.control_events import EventsApi
from mock_activation.fault_input import parse_fault
from mock_activation.faults import Delay, Fault, Operation, Reply, Rule
from mock_activation.key_input import (
    parse_force_release,
    parse_key,
    parse_key_change,
    parse_keys,
    parse_switches,
)
from mock_activation.licence_file import expiration_date
from mock_activation.metrics import exposition, make_registry
from mock_activation.pool import KeyView
from mock_activation.secrecy import mask


class ControlApi:
    """Routes over one backend."""

    def __init__(self, backend: Backend, ca_pem: bytes | None = None) -> None:
        """Serve this backend; ``ca_pem`` is the certificate to be trusted where the activation port speaks TLS."""
        self._backend = backend
        self._ca_pem = ca_pem
        self._registry = make_registry(backend)
        self._events = EventsApi(backend)
        self._console = ConsoleApi(backend)

    def application(self) -> web.Application:
        """Return the application with all routes."""
        app = web.Application(middlewares=[explain, refuse_other_sites, self._save], client_max_size=MOST_BODY)
        app.on_shutdown.append(self._events.stop)
        app.add_routes(
            [
                *self._events.routes(),
                *self._console.routes(),
                web.get("/", self._index),
                web.get("/health", self._health),
                web.get("/metrics", self._metrics),
                web.get("/ca.pem", self._ca),
                web.get("/state", self._state),
                web.get("/keys", self._keys),
                web.put("/keys", self._replace_keys),
                web.post("/keys", self._add_key),
                web.patch("/keys/{fingerprint}", self._change_key),
                web.post("/force-release", self._force_release),
                web.get("/switches", self._switches),
                web.patch("/switches", self._change_switches),
                web.get("/journal", self._journal),
                web.delete("/journal", self._clear_journal),
                web.get("/faults", self._faults),
                web.post("/faults", self._add_fault),
                web.delete("/faults", self._clear_faults),
                web.delete("/faults/{number}", self._remove_fault),
                web.post("/reset", self._reset),
            ]
        )
        return app

    @web.middleware
    async def _save(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer nothing that is not on the disk."""
        response = await handler(request)
        await self._backend.saved()
        return response

    async def _index(self, request: web.Request) -> web.Response:
        if wants_page(request):
            return await redirect(request)
        routes = sorted(
            f"{route.method} {route.resource.canonical}"
            for route in request.app.router.routes()
            if route.resource is not None and route.method != "HEAD"
        )
        return answer({"mock_activation": __version__, "routes": routes})

    async def _health(self, _request: web.Request) -> web.Response:
        return answer({"status": "ok", "version": __version__})

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=exposition(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _ca(self, _request: web.Request) -> web.Response:
        if self._ca_pem is None:
            return problem(HTTPStatus.NOT_FOUND, "the activation port speaks plain HTTP (start it with --tls)")
        return web.Response(body=self._ca_pem, content_type="application/x-pem-file")

    # -- keys and seats ----------------------------------------------------------------------------------------------

    async def _state(self, _request: web.Request) -> web.Response:
        now = self._backend.now()
        return answer({"now": now, "keys": [_key(view, now, seats=True) for view in self._backend.pool.view()]})

    async def _keys(self, _request: web.Request) -> web.Response:
        now = self._backend.now()
        return answer({"keys": [_key(view, now, seats=False) for view in self._backend.pool.view()]})

    async def _replace_keys(self, request: web.Request) -> web.Response:
        self._backend.pool.replace(parse_keys(await read_body(request)), self._backend.now())
        return await self._keys(request)

    async def _add_key(self, request: web.Request) -> web.Response:
        key, spec = parse_key(await read_body(request))
        return answer({"fingerprint": self._backend.pool.put(key, spec)}, HTTPStatus.CREATED)

    async def _change_key(self, request: web.Request) -> web.Response:
        key_fingerprint = request.match_info["fingerprint"]
        for view in self._backend.pool.view():
            if view.fingerprint == key_fingerprint:
                self._backend.pool.change(key_fingerprint, parse_key_change(await read_body(request), view.spec))
                return await self._keys(request)
        return problem(HTTPStatus.NOT_FOUND, "no key has this fingerprint")

    async def _force_release(self, request: web.Request) -> web.Response:
        key_fingerprint, deployment = parse_force_release(await read_body(request))
        if self._backend.pool.force_release(key_fingerprint, deployment, self._backend.now()):
            return answer({"released": True})
        return problem(HTTPStatus.NOT_FOUND, "this seat is not taken")

    async def _switches(self, _request: web.Request) -> web.Response:
        return answer(asdict(self._backend.pool.switches))

    async def _change_switches(self, request: web.Request) -> web.Response:
        self._backend.pool.switches = parse_switches(await read_body(request), self._backend.pool.switches)
        return await self._switches(request)

    # -- journal and faults ------------------------------------------------------------------------------------------

    async def _journal(self, request: web.Request) -> web.Response:
        wanted = dict(request.query)
        operation, deployment = wanted.pop("operation", None), wanted.pop("deployment", None)
        if wanted:
            return problem(HTTPStatus.BAD_REQUEST, "the journal can be asked for operation and deployment only")
        if operation is not None and operation not in list(Operation):
            return problem(HTTPStatus.BAD_REQUEST, f"operation must be one of {', '.join(Operation)}")
        entries = self._backend.journal.entries(
            operation=None if operation is None else Operation(operation), deployment=deployment
        )
        return answer({"entries": [asdict(entry) for entry in entries]})

    async def _clear_journal(self, _request: web.Request) -> web.Response:
        self._backend.journal.clear()
        return answer({"cleared": True})

    async def _faults(self, _request: web.Request) -> web.Response:
        return answer({"faults": [_rule(rule) for rule in self._backend.faults.rules()]})

    async def _add_fault(self, request: web.Request) -> web.Response:
        return answer({"number": self._backend.faults.add(parse_fault(await read_body(request)))}, HTTPStatus.CREATED)

    async def _clear_faults(self, _request: web.Request) -> web.Response:
        self._backend.faults.clear()
        return answer({"cleared": True})

    async def _remove_fault(self, request: web.Request) -> web.Response:
        number = request.match_info["number"]
        if number.isascii() and number.isdigit() and len(number) < 10 and self._backend.faults.remove(int(number)):  # noqa: PLR2004 - no fault has that many digits
            return answer({"removed": True})
        return problem(HTTPStatus.NOT_FOUND, "no fault has this number")

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


def _rule(rule: Rule) -> dict[str, Any]:
    fault = rule.fault
    return {"number": rule.number, "fired": rule.fired, **_fault(fault), **_effect(fault)}


def _fault(fault: Fault) -> Mapping[str, Any]:
    return {
        "fault": fault.name,
        "operation": fault.operation,
        "deployment": None if fault.deployment is None else mask(fault.deployment),
        "key_fingerprint": fault.key_fingerprint,
        "times": fault.times,
        "processed": fault.processed,
    }


def _effect(fault: Fault) -> Mapping[str, Any]:
    match fault.effect:
        case Delay(seconds):
            return {"seconds": seconds}
        case Reply(status, _body, _content_type, retry_after):
            return {"status": status, "retry_after": retry_after}
        case _:
            return {}
