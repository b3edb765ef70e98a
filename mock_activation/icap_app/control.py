"""The control port: makes the app crash, hang, forget its licence, restart. Loopback only, no credentials.

A port of its own, so that nothing of it is ever mistaken for the product's API, and so that it answers while the app
is down. It shows no key and no API key.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from aiohttp import web

from mock_activation.icap_app.control_input import NUMBER, Handler, explain, fault, read_object, read_wishes
from mock_activation.icap_app.lives import life_of
from mock_activation.icap_app.rest import today
from mock_activation.icap_app.script import ScriptApi
from mock_activation.secrecy import fingerprint

if TYPE_CHECKING:
    from mock_activation.icap_app.app import IcapApp

_REMEMBERED: Final = 200


class ControlApi:
    """The control routes of one app; ``GET /`` lists them."""

    def __init__(self, app: IcapApp) -> None:
        """Make the routes."""
        self._app = app
        self.web = web.Application(middlewares=[explain])
        self._routes: dict[str, Handler] = {
            "GET /": self._index,
            "GET /state": self._state,
            "POST /crash": self._crash,
            "POST /start": self._start,
            "POST /hang": self._hang,
            "POST /unhang": self._unhang,
            "POST /restart": self._restart,
            "POST /lose-license": self._lose_licence,
            "POST /grant-license": self._grant_licence,
            "POST /tls": self._tls,
            "POST /forbid": self._forbid,
            "POST /database": self._database,
            "POST /manners": self._manners,
            "POST /life": self._life,
            **ScriptApi(app.rest).routes(),
        }
        for route, handler in self._routes.items():
            method, path = route.split()
            self.web.router.add_route(method, path, handler)

    async def _index(self, _request: web.Request) -> web.Response:
        return web.json_response({"routes": list(self._routes)})

    async def _state(self, _request: web.Request) -> web.Response:
        return self._told()

    def _told(self, status: int = 200) -> web.Response:
        app, product = self._app, self._app.product
        state = {
            "deployment_id": app.deployment_id,
            "licensed": app.licensed,
            "license": product.licence_fields(today()) if product.licence else None,
            "key_fingerprint": None if product.key is None else fingerprint(product.key),
            "alive": app.alive,
            "listening": app.port.open,
            "hanging": app.hanging,
            "tls": app.tls,
            "refusing": app.refusal(),
            "database": product.database,
            "manners": asdict(product.manners),
            "starts": app.starts,
            "connections": app.connections,
            "answered": app.rest.answered,
            "requests": [call.line for call in app.rest.calls.matching()[-_REMEMBERED:]],
            "life": life_of(app.settings),
            "seed": app.rest.faults.seed,
            **app.addresses(),
        }
        return web.json_response(state, status=status)

    async def _crash(self, request: web.Request) -> web.StreamResponse:
        hard = (await read_wishes(request, {"hard": bool})).get("hard", False)
        answer = web.json_response({"crashed": True})
        self._app.crash()
        if self._app.on_crash is not None:
            # The answer first: the process does not outlive the next line.
            await answer.prepare(request)
            await answer.write_eof()
            self._app.on_crash(hard)
        return answer

    async def _start(self, request: web.Request) -> web.Response:
        same_id = (await read_wishes(request, {"same_id": bool})).get("same_id", False)
        if self._app.alive:
            return fault(409, "the app is running already")
        try:
            await self._app.start(same_id=same_id)
        except OSError as error:
            return fault(409, f"it cannot start: {error.strerror or type(error).__name__}")
        except ValueError as error:
            return fault(409, f"it cannot start: {error}")
        return self._told()

    async def _hang(self, request: web.Request) -> web.Response:
        wishes = await read_wishes(request, {"seconds": NUMBER})
        if not self._app.alive:
            return fault(409, "the app is not running")
        self._app.hang(wishes.get("seconds"))
        return self._told()

    async def _unhang(self, request: web.Request) -> web.Response:
        await read_wishes(request, {})
        self._app.unhang()
        return self._told()

    async def _restart(self, request: web.Request) -> web.Response:
        wishes = await read_wishes(request, {"down": NUMBER, "abrupt": bool, "same_id": bool})
        down = wishes.get("down", 1.0)
        if not self._app.begin_restart(
            down=down, abrupt=wishes.get("abrupt", False), same_id=wishes.get("same_id", False)
        ):
            return fault(409, "a restart is under way already")
        return self._told(202)

    async def _lose_licence(self, request: web.Request) -> web.Response:
        await read_wishes(request, {})
        self._app.lose_licence()
        return self._told()

    async def _grant_licence(self, request: web.Request) -> web.Response:
        self._app.grant_licence((await read_wishes(request, {"days": NUMBER}, negative=True)).get("days", 365.0))
        return self._told()

    async def _tls(self, request: web.Request) -> web.Response:
        after = (await read_wishes(request, {"after": NUMBER})).get("after", 0)
        if not self._app.alive:
            return fault(409, "the app is not running")
        if after:
            self._app.enable_tls_later(after)
            return self._told(202)
        await self._app.enable_tls()
        return self._told()

    async def _forbid(self, request: web.Request) -> web.Response:
        wishes = await read_wishes(request, {"status": bool, "code": int, "seconds": NUMBER})
        code = wishes.get("code", 403)
        if code not in (403, 500):
            return fault(400, "code: 403 or 500 is expected")
        if wishes.get("status", True):
            self._app.refuse(code, wishes.get("seconds"))
        else:
            self._app.permit()
        return self._told()

    async def _database(self, request: web.Request) -> web.Response:
        wishes = await read_wishes(request, {"status": bool})
        if "status" not in wishes:
            return fault(400, "status: true or false is expected")
        self._app.product.database = wishes["status"]
        return self._told()

    async def _manners(self, request: web.Request) -> web.Response:
        try:
            self._app.change_manners(await read_object(request))
        except ValueError as error:
            return fault(400, str(error))
        return self._told()

    async def _life(self, request: web.Request) -> web.Response:
        try:
            self._app.change_life(await read_object(request))
        except ValueError as error:
            return fault(400, str(error))
        return self._told()
