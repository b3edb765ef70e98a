"""Faults, profiles and the seed on the control port."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from mock_activation.backend import Backend
from mock_activation.control_answers import answer, problem, read_body
from mock_activation.fault_input import parse_fault, written
from mock_activation.faults import BreakHandshake, Rule
from mock_activation.fields import Fields
from mock_activation.profiles import MOST_SEED, PROFILES

MOST_RULES: Final = 1_000
_MOST_DIGITS: Final = 9


class FaultsApi:
    """The routes over one backend."""

    def __init__(self, backend: Backend, *, tls: bool) -> None:
        """Serve this backend's faults; ``tls``: the activation port speaks TLS."""
        self._backend = backend
        self._tls = tls

    def routes(self) -> list[web.RouteDef]:
        """Return what it serves."""
        return [
            web.get("/faults", self._list),
            web.post("/faults", self._add),
            web.delete("/faults", self._clear),
            web.delete("/faults/{number}", self._remove),
            web.get("/profiles", self._profiles),
            web.get("/profile", self._profile),
            web.put("/profile", self._choose),
            web.get("/seed", self._seed),
            web.put("/seed", self._reseed),
        ]

    async def _list(self, _request: web.Request) -> web.Response:
        return answer({"faults": [_rule(rule) for rule in self._backend.faults.rules()]})

    async def _add(self, request: web.Request) -> web.Response:
        fault = parse_fault(await read_body(request))
        if isinstance(fault.effect, BreakHandshake) and not self._tls:
            return problem(HTTPStatus.CONFLICT, "the activation port speaks plain HTTP: start it with --tls")
        if len(self._backend.faults.rules()) >= MOST_RULES:
            return problem(HTTPStatus.CONFLICT, f"there are {MOST_RULES} rules already: delete some")
        return answer({"number": self._backend.faults.add(fault)}, HTTPStatus.CREATED)

    async def _clear(self, _request: web.Request) -> web.Response:
        self._backend.faults.clear()
        return answer({"cleared": True})

    async def _remove(self, request: web.Request) -> web.Response:
        number = request.match_info["number"]
        digits = number.isascii() and number.isdigit() and len(number) <= _MOST_DIGITS
        if digits and self._backend.faults.remove(int(number)):
            return answer({"removed": True})
        return problem(HTTPStatus.NOT_FOUND, "no fault has this number")

    async def _profiles(self, _request: web.Request) -> web.Response:
        profiles = [
            {
                "name": profile.name,
                "description": profile.summary,
                "faults": [written(fault) for fault in profile.faults],
            }
            for profile in PROFILES.values()
        ]
        return answer({"profiles": profiles, "profile": self._backend.profile, "seed": self._backend.faults.seed})

    async def _profile(self, _request: web.Request) -> web.Response:
        return answer({"name": self._backend.profile, "seed": self._backend.faults.seed})

    async def _choose(self, request: web.Request) -> web.Response:
        fields = Fields(await read_body(request), "")
        name = fields.take("name")
        if not isinstance(name, str) or name not in PROFILES:
            fields.wrong(f"name must be one of {', '.join(PROFILES)}")
        seed = fields.integer("seed", self._backend.faults.seed, least=0, most=MOST_SEED) or 0
        fields.finish()
        self._backend.choose(str(name), seed)
        return await self._profile(request)

    async def _seed(self, _request: web.Request) -> web.Response:
        return answer({"seed": self._backend.faults.seed})

    async def _reseed(self, request: web.Request) -> web.Response:
        fields = Fields(await read_body(request), "")
        seed = fields.integer("seed", None, least=0, most=MOST_SEED)
        if seed is None and not fields.faults:
            fields.wrong("seed is missing")
        fields.finish()
        self._backend.reseed(seed or 0)
        return await self._seed(request)


def _rule(rule: Rule) -> dict[str, Any]:
    return {"number": rule.number, "fired": rule.fired, **written(rule.fault)}
