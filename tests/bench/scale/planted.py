"""What single requests cost at a ledger of a given size: records and pods are planted, one sidecar's parts ask.

Pods are objects with the metadata that a Deployment gives them. Real ones may have more (annotations of a network, of a
mesh), and a list of their metadata grows with that.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any, Final

from sidecar.adapters.kubernetes_api import KubernetesApi
from sidecar.adapters.lease_ledger import LeaseLedger
from sidecar.adapters.lease_record import encode
from sidecar.adapters.pods import ApiOwners, OwnApiPod
from sidecar.adapters.service_account import ServiceAccount
from sidecar.core.records import Identity, Owner, Phase, SeatRecord, Stored
from sidecar.observe.bystander import Bystander
from sidecar.reclaim import Reclaimer
from sidecar.releaser import Rules
from tests.bench.scale import wire
from tests.cluster.control_plane.admin import Admin
from tests.cluster.control_plane.plane import ControlPlane
from tests.cluster.control_plane.pods import APP
from tests.cluster.roles import documented
from tests.simulation.world import SimKeys, SimServer, World

SERVER: Final = "https://activation.example"
ACCOUNT: Final = "license-sidecar"
LEASE: Final = 60.0
_AT_ONCE: Final = 4


@dataclass(frozen=True, slots=True)
class Cost:
    """Medians of one operation at one size of the ledger."""

    size: int
    operation: str
    requests: int
    milliseconds: float
    received: int
    sent: int
    server_ms: float
    client_ms: float


class Garden:
    """A namespace in which pods and their records are planted."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        self.plane = plane
        self.namespace = plane.admin.create_namespace()
        roles = documented()
        rules = roles["license-sidecar"] + roles["license-sidecar-ledger"]
        self.user = plane.admin.create_service_account(self.namespace, ACCOUNT, rules)
        self.account = plane.admin.mount(folder / self.namespace, self.namespace, ACCOUNT).folder
        self.owners: list[Owner] = []

    def api(self) -> KubernetesApi:
        """Return a client of its own."""
        return KubernetesApi(ServiceAccount.of_pod(self.plane.environment(), self.account))

    def grow(self, size: int, *, records: bool = True, fingerprint: str = "0123456789ab") -> list[Owner]:
        """Plant pods, and a record for each, until there are so many; return the new owners."""
        numbers = range(len(self.owners), size)

        def plant(part: Sequence[int]) -> list[Owner]:
            # A client each: threads that share one take each other's connections now and then.
            with self.plane.admin.as_user(self.plane.admin_token) as admin:
                made = [self._pod(admin, number) for number in part]
                for owner in made if records else ():
                    self._record(admin, owner, fingerprint)
            return made

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            parts = list(pool.map(plant, [numbers[first::_AT_ONCE] for first in range(_AT_ONCE)]))
        new = sorted((owner for part in parts for owner in part), key=lambda it: it.pod)
        self.owners += new
        return new

    def _pod(self, admin: Admin, number: int) -> Owner:
        name = f"md-icapsrv-6c7d8f9b5-{number:05}"
        labels = {"app": "md-icapsrv", "app.kubernetes.io/instance": "icap", "pod-template-hash": "6c7d8f9b5"}
        notes = {"checksum/config": sha256(b"config").hexdigest(), "prometheus.io/port": "9480"}
        made = admin.create_pod(
            self.namespace, name, service_account=ACCOUNT, node=f"node-{number % 50}", labels=labels, annotations=notes
        )
        admin.set_pod_status(self.namespace, name)
        return Owner(name, made["metadata"]["uid"], self.namespace, f"node-{number % 50}", "icap")

    def _record(self, admin: Admin, owner: Owner, fingerprint: str) -> None:
        identity = Identity(SERVER, fingerprint, deployment_id(owner.uid))
        container = f"containerd://{sha256(owner.uid.encode()).hexdigest()}"
        now = time.time()
        record = SeatRecord(
            identity, replace(owner, container_id=container), Phase.ACTIVE, open=False, created_at=now, renewed_at=now
        )
        admin.create("leases", encode(record, self.namespace, lease=LEASE, over=None))


def deployment_id(uid: str) -> str:
    """Return an ID in the vendor's form that belongs to this uid alone."""
    return f"MSIC{sha256(uid.encode()).hexdigest()[:32]}"


async def costs(garden: Garden, *, rounds: int) -> list[Cost]:
    """Return what each operation of a sidecar costs among what has been planted."""
    own, size = garden.owners[0], len(garden.owners)
    api, observer = garden.api(), Bystander()
    ledger = LeaseLedger(api, garden.namespace, lease=LEASE, random=Random(1), observer=observer)
    pod = OwnApiPod(api, own, APP, random=Random(1), observer=observer)
    mine = next(it for it in (await ledger.list()).records if it.record.owner.uid == own.uid)

    async def renew() -> None:
        nonlocal mine
        mine = await ledger.replace(mine, mine.record)

    async def look_at_all() -> None:
        await ApiOwners(api, own, observer).glance(garden.owners)

    operations: dict[str, tuple[int, Callable[[], Awaitable[Any]]]] = {
        "renew the record": (1, renew),
        "look at the own pod": (1, pod.look),
        "list the records": (-(-size // 500), ledger.list),
        "list the owners": (-(-size // 500) + 1, look_at_all),
    }
    try:
        found = [await _measured(garden, name, many, ask, rounds) for name, (many, ask) in operations.items()]
        return [*found, await _change_seen(garden, ledger, mine)]
    finally:
        await api.aclose()


async def _measured(garden: Garden, name: str, requests: int, ask: Callable[[], Awaitable[Any]], rounds: int) -> Cost:
    await ask()  # opens the connection
    spans = []
    for _ in range(rounds):
        before = wire.read(garden.plane)
        await ask()
        spans.append(wire.read(garden.plane) - before)
    return Cost(
        len(garden.owners),
        name,
        requests,
        statistics.median(it.at for it in spans) * 1000,
        round(statistics.median(it.received for it in spans)),
        round(statistics.median(it.sent for it in spans)),
        statistics.median(it.server for it in spans) * 1000,
        statistics.median(it.client for it in spans) * 1000,
    )


async def _change_seen(garden: Garden, ledger: LeaseLedger, mine: Stored, changes: int = 20) -> Cost:
    """Let a pod that waits for a seat see single changes of the ledger, a tenth of a second apart."""
    world = World({"ABCD-EFGH-JKLM-NPQR-STUV-WXYZ-2345": 1})
    watching, observer = garden.api(), Bystander()
    stranger = Owner("stranger", "no-such-uid", garden.namespace)
    keys = SimKeys(world.secrets)
    rules = Rules(server=SERVER, uid=stranger.uid, lease=LEASE, late=120.0, call_timeout=10.0, rate=30.0)
    reclaimer = Reclaimer(
        rules,
        ledger=LeaseLedger(watching, garden.namespace, lease=LEASE, random=Random(2), observer=observer),
        owners=ApiOwners(watching, garden.owners[0], observer),
        server=SimServer(world, "stranger", None),  # type: ignore[arg-type]  # it is never asked
        keys=keys,
        observer=observer,
        random=Random(2),
        wall=time.time,
    )
    seen = asyncio.Event()
    reclaimer.follow(on=True)
    task = asyncio.get_running_loop().create_task(reclaimer.watch_prospects(lambda _: seen.set()))
    try:
        await seen.wait()
        await asyncio.sleep(1.0)
        before = wire.read(garden.plane)
        for _ in range(changes):
            mine = await ledger.replace(mine, mine.record)
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.3)
        span = wire.read(garden.plane) - before
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await watching.aclose()
    return Cost(
        len(garden.owners),
        "see a change while waiting (the renewal included)",
        0,
        0.0,
        round(span.received / changes),
        round(span.sent / changes),
        span.server * 1000 / changes,
        span.client * 1000 / changes,
    )
