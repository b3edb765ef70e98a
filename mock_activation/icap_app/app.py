"""The app's life: it starts, is killed, hangs, restarts with another deployment ID, stops.

``IcapApp`` is the whole stand-in, for use inside a test or behind the command. One life is what a container would live;
the reserved ports and the control port outlast it. Nothing here reads the command line or the environment.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Self

from aiohttp import web

from mock_activation.icap_app.activation import ActivationClient
from mock_activation.icap_app.certificate import Certificate
from mock_activation.icap_app.control import ControlApi
from mock_activation.icap_app.icap import IcapServer
from mock_activation.icap_app.identity import choose_id
from mock_activation.icap_app.lives import lives_changed
from mock_activation.icap_app.port import Port
from mock_activation.icap_app.product import Product, read_licence
from mock_activation.icap_app.rest import RestApi, today
from mock_activation.icap_app.settings import Settings
from mock_activation.icap_app.surroundings import activate_once, deactivate_once, mind_restart_file
from mock_activation.icap_app.tasks import Tasks
from mock_activation.licence_file import YEAR, product_part, render

_LOG: Final = logging.getLogger("mock_activation.icap_app")
_SILENT: Final = logging.getLogger("mock_activation.icap_app.http")
# aiohttp's own messages quote requests, and with them keys; bugs are told by the routes themselves.
_SILENT.disabled = True

_LIFE: Final = "life"
_RESTART: Final = "restart"
_TLS: Final = "tls"
_HANG: Final = "hang"


class IcapApp:
    """ICAP Server as far as the sidecar can tell.

    ``async with IcapApp(Settings(...)) as app:`` has it listening (unless ``start_delay`` says later); then ``url``,
    ``icap_url``, ``control_url``, ``deployment_id``, ``licensed`` describe it, and the methods make it misbehave.
    ``on_crash(hard)`` is what ``POST /crash`` does: the command ends its process there.
    """

    def __init__(self, settings: Settings | None = None, *, on_crash: Callable[[bool], None] | None = None) -> None:
        """Keep the settings; nothing is opened yet."""
        self.settings = settings or Settings()
        self.on_crash = on_crash
        self.starts = 0
        self.connections = 0
        self.product = Product("", self.settings.manners)
        self._alive = False
        self._going = asyncio.Event()
        self._refusal: tuple[int, float] | None = None
        self._tls = False
        self._certificate = Certificate()
        self._tasks = Tasks()

    async def __aenter__(self) -> Self:
        """Open everything and start the first life. Raises ``OSError`` (port taken, unusable CA file or folder)."""
        settings = self.settings
        self._client = ActivationClient.of(settings)
        self._ports: list[Port] = []
        self._runners: list[web.AppRunner] = []
        try:
            self.port = self._reserve(settings.host, settings.port)
            self.icap_port = self._reserve(settings.host, settings.icap_port)
            self.control_port = self._reserve(settings.control_host, settings.control_port)
            self.rest = RestApi(self, secrets.randbits(32) if settings.seed is None else settings.seed)
            self.icap = IcapServer(lambda: self.licensed, lambda: self.product.deployment_id[-32:])
            self._rest_server = await self._runner(self.rest.web)
            control_server = await self._runner(ControlApi(self).web)
            await self.control_port.serve(control_server)
            await self.start()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop as SIGTERM does, and free everything."""
        await self.stop()

    def _reserve(self, host: str, number: int) -> Port:
        port = Port(host, number)
        self._ports.append(port)
        return port

    async def _runner(self, application: web.Application) -> web.Server:
        runner = web.AppRunner(application, access_log=None, logger=_SILENT, shutdown_timeout=0.1)
        await runner.setup()
        self._runners.append(runner)
        assert runner.server is not None  # noqa: S101 - it was just set up
        return runner.server

    # What it is

    @property
    def deployment_id(self) -> str:
        """Return the deployment ID of the present life, or of the last one."""
        return self.product.deployment_id

    @property
    def licensed(self) -> bool:
        """Tell whether the app has a valid licence."""
        return self.product.licensed(today())

    @property
    def alive(self) -> bool:
        """Tell whether the app's process exists (its ports may be closed still)."""
        return self._alive

    @property
    def hanging(self) -> bool:
        """Tell whether requests to the REST port are left unanswered."""
        return self._alive and not self._going.is_set()

    @property
    def tls(self) -> bool:
        """Tell whether the REST port speaks HTTPS."""
        return self._tls

    @property
    def ca_pem(self) -> bytes:
        """Return the certificate authority of the app's certificate."""
        return self._certificate.ca_pem

    @property
    def url(self) -> str:
        """Return the address of the REST API as it is now."""
        return f"{'https' if self._tls else 'http'}://{self.port.authority}"

    @property
    def icap_url(self) -> str:
        """Return the address of the ICAP service."""
        return f"icap://{self.icap_port.authority}/reqmod"

    @property
    def control_url(self) -> str:
        """Return the address of the control API."""
        return f"http://{self.control_port.authority}"

    @property
    def seed(self) -> int:
        """Return the seed of what the rules of faults leave to chance."""
        return self.rest.faults.seed

    @property
    def failed(self) -> asyncio.Event:
        """Return the event that something in the background ended by a bug."""
        return self._tasks.failed

    def addresses(self) -> dict[str, str]:
        """Return its addresses by name."""
        return {"url": self.url, "icap_url": self.icap_url, "control_url": self.control_url}

    # One life

    async def start(self, *, same_id: bool = False) -> None:
        """Begin a life: another deployment ID, no licence, ports open (after ``start_delay``).

        Raises ``OSError`` or ``ValueError`` where it cannot (the kept ID is none, a port was taken); it is down then.
        """
        if self._alive:
            raise RuntimeError("the app is running already")
        settings = self.settings
        self.product = Product(
            self.product.deployment_id if same_id and self.starts else choose_id(settings), self.product.manners
        )
        self._alive = True
        self._tls = settings.tls_after == 0
        self._going.set()
        self.starts += 1
        self._refusal = None
        if settings.licensed:
            self.grant_licence()
        if not settings.start_delay:
            try:
                await self._open()
            except OSError:
                self._cut()
                raise
        self._tasks.start(_LIFE, self._live())

    async def _open(self) -> None:
        if self.settings.forbidden_for:
            self.refuse(403, self.settings.forbidden_for)
        await self._open_rest()
        await self.icap_port.serve(self.icap.protocol)

    async def _open_rest(self) -> None:
        await self.port.serve(self._connection, tls=self._certificate.context() if self._tls else None)

    def _connection(self) -> asyncio.BaseProtocol:
        self.connections += 1
        protocol: asyncio.BaseProtocol = self._rest_server()
        return protocol

    async def _live(self) -> None:
        settings = self.settings
        if settings.start_delay:
            await asyncio.sleep(settings.start_delay)
            await self._open()
        if settings.tls_after:
            self.enable_tls_later(settings.tls_after)
        async with asyncio.TaskGroup() as group:
            if (key := settings.license_key) is not None:
                group.create_task(activate_once(lambda: self.activate(key, 1)), name="vendor")
            if settings.restart_file is not None:
                restart = partial(self.begin_restart, down=settings.probe_down)
                mind = mind_restart_file(settings.restart_file, settings.probe_period, restart)
                group.create_task(mind, name="restart-file")

    async def _switch_later(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.enable_tls()

    def _cut(self) -> None:
        """End this life as SIGKILL would: no goodbye, nothing answered, ports refuse."""
        self._alive = False
        for name in (_LIFE, _TLS, _HANG):
            self._tasks.cancel(name)
        self.port.close()
        self.icap_port.close()
        self.rest.abort()
        self.icap.abort()

    # What can be done to it

    def crash(self) -> None:
        """Kill the app: its sockets are cut, its ports refuse until ``start`` is called."""
        self._tasks.cancel(_RESTART)
        self._cut()

    async def restart(self, *, down: float = 0.0, abrupt: bool = False, same_id: bool = False) -> str:
        """Restart the container in place and return the new deployment ID.

        The ports refuse for ``down`` seconds. Unless ``abrupt``, it is told to end first, so that the vendor's own
        automation, where it is on, deactivates.
        """
        if self._alive and not abrupt:
            await self._deactivate_like_vendor()
        self._cut()
        await asyncio.sleep(down)
        if not self._alive:  # somebody may have started it meanwhile
            await self.start(same_id=same_id)
        _LOG.info("restarted, deployment ID %s", self.deployment_id)
        return self.deployment_id

    def begin_restart(self, *, down: float, abrupt: bool = False, same_id: bool = False) -> bool:
        """Restart in the background; False if a restart is under way already."""
        return self._tasks.start(_RESTART, self.restart(down=down, abrupt=abrupt, same_id=same_id))

    def hang(self, seconds: float | None = None) -> None:
        """Accept connections on the REST port and answer nothing, for a time or until ``unhang``.

        Requests take effect afterwards.
        """
        self.unhang()
        self._going.clear()
        if seconds is not None:
            self._tasks.start(_HANG, self._unhang_later(seconds))

    def unhang(self) -> None:
        """Answer again, also what was asked meanwhile."""
        self._tasks.cancel(_HANG)
        self._going.set()

    async def _unhang_later(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._going.set()

    def enable_tls_later(self, seconds: float) -> None:
        """Turn to HTTPS that many seconds from now, if this life lasts; the last wish counts."""
        self._tasks.cancel(_TLS)
        self._tasks.start(_TLS, self._switch_later(seconds))

    async def enable_tls(self) -> None:
        """Speak HTTPS on the REST port from now on; connections from before are cut."""
        if self._tls or not self._alive:
            return
        self._tls = True
        if self.port.open:
            self.port.cut()
            await self._open_rest()

    def refuse(self, status: int, seconds: float | None = None) -> None:
        """Refuse every authenticated call with this status, for a time or until ``permit``."""
        until = float("inf") if seconds is None else asyncio.get_running_loop().time() + seconds
        self._refusal = (status, until)

    def permit(self) -> None:
        """End a refusal."""
        self._refusal = None

    def lose_licence(self) -> None:
        """Be unlicensed, with the same deployment ID."""
        self.product.lose_licence()

    def grant_licence(self, days: float = 365.0) -> None:
        """Be licensed without any key, as by an on-premises licence server; negative days: expired."""
        part = product_part("MSICAP", "MetaDefender ICAP Server (mock)", "nobody", ())
        text = render(part, self.deployment_id, expires_at=time.time() + days * YEAR / 365, quantity=1)
        self.product.licence = read_licence(text.encode(), self.deployment_id, online=False)

    def change_life(self, wishes: dict[str, Any]) -> None:
        """Live in another way from the next start on. Raises ``ValueError``."""
        self.settings = lives_changed(self.settings, wishes)

    def change_manners(self, wishes: dict[str, Any]) -> None:
        """Answer in another way from now on, in later lives too. Raises ``ValueError``."""
        self.product.manners = self.product.manners.changed(wishes)

    # What the routes ask

    async def not_hanging(self) -> None:
        """Wait while the app hangs."""
        await self._going.wait()

    def refusal(self) -> int | None:
        """Return the status with which everything is refused now, or None."""
        if self._refusal is None or asyncio.get_running_loop().time() >= self._refusal[1]:
            return None
        return self._refusal[0]

    async def activate(self, key: str, quantity: int) -> None:
        """Activate by itself at the activation server. Raises ``ActivationFailed`` or ``InvalidLicence``."""
        product = self.product
        body = await self._client.activate(key, product.deployment_id, quantity)
        product.licence = read_licence(body, product.deployment_id, online=True)
        product.key = key
        _LOG.info("licensed by the activation server")

    async def deactivate(self) -> None:
        """Give the own seat back, if there is a key to do so, and be unlicensed. Raises ``ActivationFailed``."""
        product = self.product
        if product.key is not None:
            await self._client.deactivate(product.key, product.deployment_id)
        product.lose_licence()

    async def _deactivate_like_vendor(self) -> None:
        if self.settings.license_key is not None and self.product.key is not None:
            await deactivate_once(self.deactivate)

    async def stop(self) -> None:
        """End as SIGTERM does, and free everything. Raises what went wrong in the background."""
        if self._alive:
            await self._deactivate_like_vendor()
        self._cut()
        await self._close()
        if self._tasks.faults:
            raise BaseExceptionGroup("in the background of the stand-in", self._tasks.faults)

    async def _close(self) -> None:
        await self._tasks.close()
        for port in self._ports:
            port.free()
        if hasattr(self, "icap"):
            await self.icap.gone()
        for runner in self._runners:
            await runner.cleanup()
        for port in self._ports:
            await port.gone()
        await self._client.close()
