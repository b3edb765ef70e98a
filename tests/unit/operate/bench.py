"""A workbench on virtual time: a ledger in memory, a server with seats, owners that live or not, and what was told."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any, TypeVar

from sidecar.core.facts import KeySnapshot
from sidecar.core.reasons import Failure
from sidecar.core.records import Claim, Identity, Owner, Phase, SeatRecord, Sight, Standing, Stored
from sidecar.errors import ActivationOutage
from sidecar.ports import Deactivation
from sidecar.reclaim import Reclaimer
from sidecar.releaser import Rules
from sidecar.secrets import Secret
from tests.simulation.memory_ledger import MemoryLedger
from tests.simulation.silence import SilentObserver
from tests.simulation.virtual_loop import VirtualLoop

T = TypeVar("T")

SERVER = "https://activation.example"
KEY, FORMER, FOREIGN = Secret("OP11-OP12-OP13-OP14-OP15-OP16-OP17"), Secret("former"), Secret("never seen here")
LEASE, LATE = 60.0, 120.0


class Server:
    """The port ``ActivationServer``: knows its seats; ``script`` is what comes instead of the right answers."""

    def __init__(self) -> None:
        self.seats: set[tuple[str, str]] = set()
        self.script: list[Deactivation | Exception] = []
        self.asked: list[tuple[float, str, str]] = []
        self.before: Callable[[], Awaitable[None]] | None = None

    async def activate(self, key: Secret, deployment_id: str) -> Any:
        raise AssertionError("an operator's command takes no seat")

    async def deactivate(self, key: Secret, deployment_id: str) -> Deactivation:
        if self.before is not None:
            await self.before()
        self.asked.append((asyncio.get_running_loop().time(), key.fingerprint, deployment_id))
        if self.script:
            answer = self.script.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer
        seat = (key.fingerprint, deployment_id)
        if seat not in self.seats:
            return Deactivation.UNKNOWN
        self.seats.discard(seat)
        return Deactivation.RELEASED


class Keys:
    """The port ``Keys``."""

    def __init__(self, *secrets: Secret) -> None:
        self._secrets = {it.fingerprint: it for it in secrets}

    async def poll(self) -> KeySnapshot:
        current, *previous = self._secrets
        return KeySnapshot(current, tuple(previous))

    def reveal(self, fingerprint: str) -> Secret | None:
        return self._secrets.get(fingerprint)


class Owners:
    """The port ``Owners``: everybody is gone who is not named."""

    def __init__(self) -> None:
        self.standings: dict[str, Standing] = {}
        self.blind = False
        self.slowness = 0.0

    async def look(self, owner: Owner) -> Sight:
        await asyncio.sleep(self.slowness)
        standing = self.standings.get(owner.pod, Standing.GONE)
        return Sight(standing, f"a look says {standing.value}")

    async def glance(self, owners: Sequence[Owner]) -> Mapping[str, Sight]:
        return {}

    async def sees_itself(self) -> bool:
        return not self.blind


class Heard:
    """The ``Teller``: keeps what it hears."""

    def __init__(self, pause: float = math.inf) -> None:
        self.pause = pause
        self.steps: list[str] = []
        self.waited: list[tuple[str, float, float]] = []

    def step(self, text: str) -> None:
        self.steps.append(text)

    def waits(self, text: str, passed: float, whole: float) -> None:
        self.waited.append((text, passed, whole))


class Scans(SilentObserver):
    """Keeps how the scans ended."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.left: list[dict[str, str]] = []

    def left_alone(self, found: Mapping[str, str]) -> None:
        self.left.append(dict(found))

    def scanned(self, phases: dict[Phase, int], orphans: dict[Phase, int]) -> None:
        self.ended.append("finished")

    def scan_failed(self, message: str) -> None:
        self.ended.append(message)


class Bench:
    """Everything for one procedure; made inside of the loop."""

    def __init__(self, *, unproven: bool = False, rate: float = 30.0) -> None:
        self.loop = asyncio.get_running_loop()
        self.ledger, self.server, self.owners, self.heard = MemoryLedger(), Server(), Owners(), Heard()
        self.keys = (KEY.fingerprint, FORMER.fingerprint)
        self.observer = Scans()
        rules = Rules(
            server=SERVER, uid="operator", lease=LEASE, late=LATE, call_timeout=10.0, rate=rate, unproven=unproven
        )
        self.reclaimer = Reclaimer(
            rules,
            ledger=self.ledger,
            owners=self.owners,
            server=self.server,
            keys=Keys(KEY, FORMER),
            observer=self.observer,
            random=Random(1),
            wall=lambda: 1_700_000_000.0 + self.loop.time(),
        )

    async def seat(
        self,
        deployment_id: str = "MSCL1",
        owner: str = "web-0",
        *,
        standing: Standing = Standing.GONE,
        key: Secret = KEY,
        server: str = SERVER,
        taken: bool = True,
        claim: str | None = None,
        release: str = "",
        namespace: str = "",
        **changes: Any,
    ) -> Stored:
        """Write a record and take its seat on the server."""
        identity = Identity(server, key.fingerprint, deployment_id)
        self.owners.standings[owner] = standing
        if taken:
            self.server.seats.add((key.fingerprint, deployment_id))
        whose = Owner(pod=owner, uid=f"uid-{owner}", namespace=namespace, release=release)
        record = SeatRecord(identity, whose, Phase.ACTIVE, open=False)
        record = replace(record, claim=None if claim is None else Claim(claim, 0.0), **changes)
        return await self.ledger.create(record)

    async def renew(self, stored: Stored) -> Stored:
        """Write the record again, as its owner does."""
        current = await self.ledger.read(stored.name)
        assert current is not None
        return await self.ledger.replace(current, replace(current.record, renewed_at=self.loop.time()))

    def records(self) -> list[str]:
        """Return the IDs of which there are records."""
        return sorted(it.record.identity.deployment_id for it in self.ledger.content.records)

    def taken(self) -> list[str]:
        """Return the IDs that have a seat."""
        return sorted(deployment_id for _, deployment_id in self.server.seats)


def outage() -> ActivationOutage:
    """Return an outage of the activation server."""
    return ActivationOutage(Failure.TIMEOUT, "activation server: no answer", sent=True)


def on_virtual_time(story: Callable[[], Awaitable[T]]) -> T:
    """Run a story on a loop of its own, where waiting costs nothing."""

    async def run() -> T:
        return await story()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(run())
