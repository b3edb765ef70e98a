"""A sidecar's agent with its real adapters, one mock activation server and one stand-in, all in this process.

The key has a single seat: a seat that leaks, or is taken twice, keeps the next one from being taken, and is seen.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mock_activation.icap_app import IcapApp, Settings
from mock_activation.icap_app.rules import parse_rule
from mock_activation.server import MockActivation
from sidecar.adapters.activation_server import HttpActivationServer
from sidecar.adapters.icap_server import IcapServer
from sidecar.adapters.key_ring import KeyRing
from sidecar.adapters.restart_file import FolderRestartFile
from sidecar.agent import Agent, Ports
from sidecar.core.policy import Policy
from sidecar.core.records import Owner, Phase
from sidecar.core.servers import normalise
from sidecar.core.view import Stage, View
from sidecar.secrets import Secret
from tests.simulation.memory_ledger import MemoryLedger
from tests.simulation.silence import SilentObserver

KEY = "ABCD-EFGH-JKLM-NPQR-STUV-WXYZ-2345"
API_KEY = "0a1b2c3d4e5f" * 3
OTHER_API_KEY = "f5e4d3c2b1a0" * 3
PATIENCE = 20.0
"""Seconds until a test gives up; on an idle machine nothing takes a tenth of it."""
AT_A_TIME = 5
UNREACHABLE_AFTER = 2.0
FAILURE_GRACE = 0.15


@dataclass
class Scene:
    """Everything, running."""

    mock: MockActivation
    app: IcapApp
    agent: Agent
    ledger: MemoryLedger

    def view(self) -> View:
        return self.agent.view()

    def seats(self) -> list[str]:
        """Return the deployment IDs that are active on the server."""
        return [seat.deployment for key in self.mock.pool.view() for seat in key.taken]

    def asked(self, operation: str) -> list[str]:
        """Return the deployment IDs of all requests of a kind that reached the server."""
        return [entry.deployment for entry in self.mock.journal.entries() if entry.operation == operation]

    def records(self) -> list[tuple[str, Phase]]:
        """Return what is written down."""
        return [(it.record.identity.deployment_id, it.record.phase) for it in self.ledger.content.records]

    def script(self, **rule: Any) -> None:
        """Add a rule of faults, as ``POST /faults`` does."""
        self.app.rest.faults.add(parse_rule(rule))

    def fired(self) -> int:
        """Return how often rules happened."""
        return sum(rule.fired for rule in self.app.rest.faults.rules())

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until a condition holds, looking often; tell where things stand if it never does."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not condition():
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise AssertionError(f"{self.view()} seats={self.seats()} records={self.records()}") from None

    def served(self) -> bool:
        """Tell whether all is as it should be: one seat, the app's; one record of it, settled; licensed; ready."""
        one = self.app.deployment_id
        return (
            self.view().stage is Stage.ACTIVE
            and self.app.licensed
            and self.seats() == [one]
            and self.records() == [(one, Phase.ACTIVE)]
            and not any(it.record.open for it in self.ledger.content.records)
        )

    async def until_served(self) -> None:
        await self.until(self.served)


async def together(folder: Path, plays: Mapping[str, Callable[[Path], Awaitable[None]]]) -> None:
    """Play several scenes at once, some at a time: they mostly wait. A failure names its scene."""
    few = asyncio.Semaphore(AT_A_TIME)

    async def one(name: str, play: Callable[[Path], Awaitable[None]]) -> None:
        place = folder / name
        place.mkdir()
        async with few:
            try:
                await play(place)
            except Exception as error:
                error.add_note(f"in the scene {name}")
                raise

    async with asyncio.TaskGroup() as group:
        for name, play in plays.items():
            group.create_task(one(name, play), name=name)


@asynccontextmanager
async def scene(
    folder: Path, settings: Settings | None = None, *, api_key: str = API_KEY, rules: tuple[dict[str, Any], ...] = ()
) -> AsyncIterator[Scene]:
    """Start all; at the end the sidecar is told to stop, and nothing may be left on the server or in the ledger.

    ``settings`` are the stand-in's (addresses and keys are filled in), ``rules`` are there before the sidecar starts.
    """
    (folder / "keys").mkdir()
    (folder / "keys" / "value").write_text(KEY)
    async with AsyncExitStack() as stack:
        mock = await stack.enter_async_context(MockActivation({KEY: 1}))
        given = settings or Settings()
        app = IcapApp(_addressed(given, mock.url))
        await stack.enter_async_context(app)
        server = HttpActivationServer(mock.url, timeout=3.0)
        stack.push_async_callback(server.aclose)
        port = f"http://{app.port.authority}"
        icap = IcapServer(port, api_key=Secret(api_key), timeout=0.4, delivery_timeout=0.5, knock_timeout=0.4)
        stack.push_async_callback(icap.aclose)
        keys = KeyRing(folder / "keys")
        stack.callback(keys.close)
        ledger = MemoryLedger()
        ports = Ports(
            ledger=ledger,
            server=server,
            app=icap,
            keys=keys,
            restart_file=FolderRestartFile(folder),
            observer=SilentObserver(),
        )
        agent = Agent(_policy(mock.url), ports, random=random.Random(1), wall=time.time)
        play = Scene(mock, app, agent, ledger)
        for rule in rules:
            play.script(**rule)
        await _live(play, stack)
        try:
            yield play
        except BaseException:
            agent.stop(asyncio.get_running_loop().time(), release=False)  # or its timer would outlive the scene
            raise
        await _leave(play)


def _addressed(settings: Settings, url: str) -> Settings:
    return replace(settings, api_key=API_KEY, activation_url=url)


def _policy(url: str) -> Policy:
    return Policy(
        server=normalise(url),
        owner=Owner(pod="one", uid="0" * 32),
        late=0.4,
        call_timeout=3.0,
        retry_base=0.02,
        retry_cap=0.1,
        refused_retry=0.2,
        renew=0.3,
        lease=1.5,
        app_interval=0.1,
        failure_grace=FAILURE_GRACE,
        unreachable_after=UNREACHABLE_AFTER,
        restart_after=0.0,
    )


async def _live(play: Scene, stack: AsyncExitStack) -> None:
    """Run the agent and its senses until the scene ends."""
    ops = await stack.enter_async_context(asyncio.TaskGroup())
    play.agent.start(ops, None)
    senses = [
        ops.create_task(play.agent.watch_keys(5.0), name="keys"),
        ops.create_task(play.agent.watch_port(0.05), name="port"),
    ]
    for sense in senses:
        stack.callback(sense.cancel)


async def _leave(play: Scene) -> None:
    """Stop as at SIGTERM: the seat is given back, the record is erased."""
    play.agent.stop(asyncio.get_running_loop().time() + 5.0, release=True)
    async with asyncio.timeout(PATIENCE):
        code = await play.agent.finished
    assert (code, play.seats(), play.records()) == (0, [], [])
