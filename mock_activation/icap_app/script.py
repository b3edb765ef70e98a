"""The part of the control port that scripts the REST API and tells what it was asked: rules, seed, journal, OpenAPI."""

from __future__ import annotations

from dataclasses import asdict
from typing import Final

from aiohttp import web

from mock_activation.fields import Fields
from mock_activation.icap_app.control_input import Handler, fault, read_object, read_search
from mock_activation.icap_app.rest import RestApi
from mock_activation.icap_app.rules import parse_rule, shown
from mock_activation.openapi import as_json, as_yaml

HIGHEST_SEED: Final = 2**63 - 1
_MOST_DIGITS: Final = 9


class ScriptApi:
    """Routes over one REST API."""

    def __init__(self, rest: RestApi) -> None:
        """Serve this one; it outlasts the lives of the app, and so do its rules and its journal."""
        self._rest = rest

    def routes(self) -> dict[str, Handler]:
        """Return what it serves, by method and path."""
        return {
            "GET /faults": self._faults,
            "POST /faults": self._add,
            "DELETE /faults": self._clear,
            "DELETE /faults/{number}": self._remove,
            "POST /seed": self._seed,
            "GET /journal": self._journal,
            "DELETE /journal": self._forget,
            "GET /openapi.yaml": _yaml("icap-app-control"),
            "GET /openapi.json": _json("icap-app-control"),
            "GET /rest/openapi.yaml": _yaml("icap-app-rest"),
            "GET /rest/openapi.json": _json("icap-app-rest"),
        }

    async def _faults(self, _request: web.Request) -> web.Response:
        faults = self._rest.faults
        return web.json_response({"seed": faults.seed, "faults": [dict(shown(rule)) for rule in faults.rules()]})

    async def _add(self, request: web.Request) -> web.Response:
        number = self._rest.faults.add(parse_rule(await read_object(request)))
        return web.json_response({"number": number}, status=201)

    async def _clear(self, request: web.Request) -> web.Response:
        self._rest.faults.clear()
        return await self._faults(request)

    async def _remove(self, request: web.Request) -> web.Response:
        number = request.match_info["number"]
        known = number.isascii() and number.isdigit() and len(number) <= _MOST_DIGITS
        if known and self._rest.faults.remove(int(number)):
            return await self._faults(request)
        return fault(404, "no rule has this number")

    async def _seed(self, request: web.Request) -> web.Response:
        fields = Fields(await read_object(request), "")
        seed = fields.integer("seed", None, least=0, most=HIGHEST_SEED)
        if seed is None and not fields.faults:
            fields.wrong("seed is missing")
        fields.finish()
        assert seed is not None  # noqa: S101 - finish raised otherwise
        self._rest.faults.reseed(seed)
        return await self._faults(request)

    async def _journal(self, request: web.Request) -> web.Response:
        wanted, seconds = read_search(request)
        calls = await self._rest.calls.wait(seconds, **wanted)
        return web.json_response({"calls": [asdict(call) for call in calls]})

    async def _forget(self, _request: web.Request) -> web.Response:
        self._rest.calls.clear()
        return web.json_response({"calls": []})


def _yaml(name: str) -> Handler:
    async def serve(_request: web.Request) -> web.Response:
        return web.Response(body=as_yaml(name), content_type="application/yaml")

    return serve


def _json(name: str) -> Handler:
    async def serve(_request: web.Request) -> web.Response:
        return web.Response(body=as_json(name), content_type="application/json")

    return serve
