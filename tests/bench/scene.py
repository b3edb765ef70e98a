"""A place to measure in: the mock and stand-in apps in this process, contestants as processes, all on loopback.

The mock's own history says when a seat changed hands, so nothing is polled over HTTP while a clock runs.
"""

from __future__ import annotations

import asyncio
import signal
import tempfile
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol, Self

from mock_activation.icap_app.app import IcapApp
from mock_activation.icap_app.settings import Settings
from mock_activation.pool import Move
from mock_activation.server import MockActivation
from tests.bench.process import Process

KEY = "ABCD-EFGH-JKLM-NPQR-STUV-WXYZ-2345"
SEATS = 100
_PATIENCE = 60.0
_GLANCE = 0.001


class TookTooLongError(Exception):
    """Something that was waited for did not happen."""


class Contestant(Protocol):
    """Something that keeps a seat for an app."""

    name: str

    def launch(self, scene: Scene, app: IcapApp, folder: Path, settings: Mapping[str, str]) -> Process:
        """Start it for this app; ``folder`` is its own."""


class Ours:
    """``license-sidecar run`` from the installed wheel."""

    name = "license-sidecar"

    def __init__(self, command: Path) -> None:
        self._command = command

    def launch(self, scene: Scene, app: IcapApp, folder: Path, settings: Mapping[str, str]) -> Process:
        wanted = {
            "activation.url": scene.mock.url,
            "app.url": app.url,
            "key.dir": str(scene.keys),
            "ledger.dir": str(scene.ledger),
            "refused.dir": str(folder),
            "http.port": "0",
            "pod.name": folder.name,
            "log.format": "json",
            **settings,
        }
        names = {f"LICENSE_SIDECAR_{name.replace('.', '_').upper()}": value for name, value in wanted.items()}
        return Process([self._command, "run"], {**names, **self.surroundings()}, folder / "log")

    def surroundings(self) -> dict[str, str]:
        """Return variables that are no settings of ours."""
        return {}


class Naive:
    """The shell script next to this file."""

    name = "naive shell"

    def launch(self, scene: Scene, app: IcapApp, folder: Path, settings: Mapping[str, str]) -> Process:
        environ = {"APP_URL": app.url, "ACTIVATION_URL": scene.mock.url, "KEY_FILE": str(scene.keys / "value")}
        return Process([Path(__file__).with_name("naive-sidecar.sh")], environ, folder / "log")


class Pod:
    """An app and whatever keeps its seat."""

    def __init__(self, scene: Scene, app: IcapApp, process: Process) -> None:
        self.scene, self.app, self.process = scene, app, process
        self.deployment = app.deployment_id

    async def licensed(self) -> float:
        """Wait until the seat is taken and the app licensed; return the seconds since the process was started."""

        def there() -> bool:
            self.process.insist()
            return self.app.licensed and self.scene.moved(self.deployment, Move.TAKEN) is not None

        await until(there)
        return time.time() - self.process.started_at

    async def terminated(self) -> tuple[float, float]:
        """Send SIGTERM; return the seconds to the free seat and to the end of the process."""
        at = self.process.signal(signal.SIGTERM)
        ended = await self.process.end()
        freed = self.scene.moved(self.deployment, Move.RELEASED)
        return (float("nan") if freed is None else freed - at), ended - at

    async def freed(self, since: float) -> float:
        """Wait until the seat is free; return the seconds since then."""
        await until(lambda: self.scene.moved(self.deployment, Move.RELEASED) is not None)
        return (self.scene.moved(self.deployment, Move.RELEASED) or since) - since

    async def close(self) -> None:
        """End what still runs."""
        if self.process.code is None:
            await self.process.kill()
        await self.app.stop()


class Scene:
    """One activation server, one ledger, any number of pods; ``async with`` ends everything."""

    def __init__(self) -> None:
        self.mock = MockActivation({KEY: SEATS})
        self._stack = AsyncExitStack()
        self._count = 0

    async def __aenter__(self) -> Self:
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        self.folder, self.keys, self.ledger = folder, folder / "keys", folder / "ledger"
        self.keys.mkdir()
        self.ledger.mkdir()
        (self.keys / "value").write_text(f"{KEY}\n")
        await self._stack.enter_async_context(self.mock)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def pod(self, contestant: Contestant, **settings: str) -> Pod:
        """Start an app, and for it a contestant; ``settings`` with ``_`` for the dot."""
        self._count += 1
        folder = self.folder / f"pod-{self._count}"
        folder.mkdir()
        app = IcapApp(Settings(activation_url=self.mock.url))
        await app.__aenter__()
        named = {name.replace("_", ".", 1): value for name, value in settings.items()}
        pod = Pod(self, app, contestant.launch(self, app, folder, named))
        self._stack.push_async_callback(pod.close)
        return pod

    def moved(self, deployment: str, move: Move) -> float | None:
        """Return when this seat last changed hands in this way, or None."""
        for change in reversed(self.mock.history):
            if change.deployment == deployment and change.move is move:
                return change.at
        return None

    def taken(self) -> int:
        """Return how many seats are taken."""
        return sum(used for used, _limit in self.mock.pool.used().values())


async def until(condition: object) -> None:
    """Look every millisecond until the condition holds. Raises ``TookTooLongError``."""
    give_up = time.monotonic() + _PATIENCE
    while not condition():  # type: ignore[operator] # a callable
        if time.monotonic() > give_up:
            raise TookTooLongError
        await asyncio.sleep(_GLANCE)
