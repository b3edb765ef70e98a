"""A fleet on one virtual clock: the mock's pool, a memory ledger, stand-in apps, the unchanged agent and reclaimer.

A *pod* has an app and a sidecar. Killing revokes the incarnation's ports first (its later calls hang without effect)
and then cancels, because cancelling runs ``finally`` and SIGKILL does not.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from mock_activation.answers import Answer, Outcome
from mock_activation.faults import Faults, Operation
from mock_activation.pool import Change, Move, Pool
from mock_activation.profiles import choose
from mock_activation.switches import Switches
from sidecar.agent import Agent, Ports
from sidecar.core.facts import AppReport, KeySnapshot, Licence
from sidecar.core.policy import Policy
from sidecar.core.reasons import AppTrouble, Failure
from sidecar.core.records import Owner, Phase, Sight, Standing
from sidecar.errors import ActivationOutage, ActivationRefused, AppOutage, LedgerOutage, UploadRefused
from sidecar.patience import PatientLedger
from sidecar.ports import Deactivation, Owners, OwnPod
from sidecar.reclaim import Reclaimer, Rules
from sidecar.secrets import Secret
from tests.simulation.chance import Chance
from tests.simulation.hostility import Ask, outage, suffer
from tests.simulation.memory_ledger import MemoryLedger
from tests.simulation.silence import SilentObserver

SERVER = "https://activation.example"
EPOCH = 1_760_000_000.0
REFUSAL = {
    Outcome.NO_SEATS: Failure.NO_SEATS,
    Outcome.UNKNOWN_KEY: Failure.INVALID_KEY,
    Outcome.INVALID_KEY: Failure.INVALID_KEY,
    Outcome.INVALID_DEPLOYMENT: Failure.INVALID_DEPLOYMENT,
    Outcome.INVALID_QUANTITY: Failure.INVALID_REQUEST,
    Outcome.EXPIRED: Failure.EXPIRED,
}


class Revoked:
    """Whether an incarnation still acts: after a kill its calls hang for ever, without effect."""

    def __init__(self) -> None:
        self.dead = False

    async def pass_through(self) -> None:
        """Return, or hang for ever."""
        if self.dead:
            await asyncio.get_running_loop().create_future()


@dataclass
class Weather:
    """What goes wrong, as probabilities for each request, and as outages in virtual seconds."""

    lose_request: float = 0.0
    lose_answer: float = 0.0
    lag: float = 0.0
    """The request is processed up to ``late`` seconds after the client gave up."""
    ledger_fault: float = 0.0
    server_down: list[tuple[float, float]] = field(default_factory=list)
    ledger_down: list[tuple[float, float]] = field(default_factory=list)
    slowest: float = 0.05


def _within(now: float, spans: list[tuple[float, float]]) -> bool:
    return any(begin <= now < end for begin, end in spans)


@dataclass
class Theft:
    """A seat was taken from an app that lives and serves with it."""

    at: float
    deployment: str
    by: str


class World:
    """Everything outside of the sidecars, and the invariants on the server's own history."""

    def __init__(
        self, keys: dict[str, int], seed: int = 1, weather: Weather | None = None, switches: Switches | None = None
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.keys = keys
        self.secrets = [Secret(key) for key in keys]
        self.seed = seed
        self.chance = Chance(seed)
        self.weather = weather or Weather()
        self.history: list[Change] = []
        self.thefts: list[Theft] = []
        self.unrecorded: list[Change] = []
        self.requests = 0
        self.listings = 0
        self.operations = 0
        """All calls to the ledger, the activation server and the apps, knocks not counted."""
        self.knocks = True
        """Whether sidecars knock at the app's port, as outside Kubernetes; before the first pod starts."""
        self.pool = Pool(keys, switches, on_change=self._changed)
        self.faults = Faults(seed, now=self.loop.time)
        """The mock's own faults, none until a profile is chosen."""
        self.ledger = MemoryLedger()
        self.pods: dict[str, Pod] = {}
        self._asking = ""
        self._serving_when_sent: frozenset[str] = frozenset()
        self._tasks: set[asyncio.Task[None]] = set()

    def _changed(self, change: Change) -> None:
        self.history.append(change)
        if change.move is Move.TAKEN:
            recorded = {
                (it.record.identity.key_fingerprint, it.record.identity.deployment_id)
                for it in self.ledger.content.records
            }
            if (change.key_fingerprint, change.deployment) not in recorded:
                self.unrecorded.append(change)
        elif change.move is Move.RELEASED:
            served = self._serving_when_sent
            if any(
                it.record.phase is Phase.HANDOVER and it.record.identity.deployment_id == change.deployment
                for it in self.ledger.content.records
            ):
                served = frozenset()  # rule 10: an earlier life asked for it, and the next has not yet taken it back
            for pod in self.pods.values():
                # A deactivation that was sent for an app that was gone, and takes effect late, is rule 4's affair.
                if pod.uid in served and pod.serves_with(change.key_fingerprint, change.deployment):
                    self.thefts.append(Theft(self.loop.time(), change.deployment, self._asking))

    def pod(self, name: str, **policy: object) -> Pod:
        """Make a pod; it does nothing until ``start``."""
        pod = Pod(self, name, policy)
        self.pods[pod.uid] = pod
        return pod

    def used(self) -> int:
        """Return how many seats are taken on the server."""
        return sum(used for used, _limit in self.pool.used().values())

    def rehearse(self, profile: str) -> None:
        """Let the server misbehave from now on as this profile of the mock says."""
        choose(self.faults, profile, self.seed)

    async def request(self, actor: str, operation: str, key: Secret, deployment: str, ask: Ask) -> Answer:
        """Carry a request to the server and its answer back, through the weather and the faults."""
        self.requests += 1
        self.operations += 1
        serving = frozenset(pod.uid for pod in self.pods.values() if pod.serves(deployment))
        fraction = lambda what: self.chance.fraction(actor, operation, deployment, what)  # noqa: E731 - three words
        await asyncio.sleep(self.weather.slowest * (0.1 + 0.9 * fraction("there")))
        if _within(self.loop.time(), self.weather.server_down):
            raise ActivationOutage(Failure.NETWORK, "connection refused", sent=False)
        if self.faults:
            if self.faults.pick_handshake():
                raise outage(Failure.TLS, sent=False)
            kind = Operation.DEACTIVATION if operation == "deactivate" else Operation.ACTIVATION
            fault = self.faults.pick(kind, deployment, key.fingerprint)
            if fault is not None:
                return await suffer(
                    fault,
                    lambda as_if: self._process(actor, lambda: ask(as_if), serving),
                    lambda delay: self._soon(actor, delay, lambda: ask(None), serving),
                )
        luck = fraction("fate")
        lost, unanswered, lagging = self.weather.lose_request, self.weather.lose_answer, self.weather.lag
        if luck < lost:
            await asyncio.sleep(10.0)
            raise ActivationOutage(Failure.TIMEOUT, "no answer", sent=True)
        if luck < lost + lagging:
            self._soon(actor, 10.0 + 100.0 * fraction("lag"), lambda: ask(None), serving)
            await asyncio.sleep(10.0)
            raise ActivationOutage(Failure.TIMEOUT, "no answer", sent=True)
        answer = self._process(actor, lambda: ask(None), serving)
        if luck < lost + lagging + unanswered:
            raise ActivationOutage(Failure.NETWORK, "connection cut", sent=True)
        await asyncio.sleep(self.weather.slowest * (0.1 + 0.9 * fraction("back")))
        return answer

    def _process(self, actor: str, ask: Callable[[], Answer], serving: frozenset[str]) -> Answer:
        self._asking, self._serving_when_sent = actor, serving
        return ask()

    def _soon(self, actor: str, delay: float, ask: Callable[[], Answer], serving: frozenset[str]) -> None:
        task = self.loop.create_task(self._later(actor, delay, ask, serving))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _later(self, actor: str, delay: float, ask: Callable[[], Answer], serving: frozenset[str]) -> None:
        await asyncio.sleep(delay)
        self._process(actor, ask, serving)

    async def ledger_weather(self, actor: str, operation: str, name: str) -> None:
        """Delay or fail one ledger call."""
        self.operations += 1
        self.listings += operation == "list"
        luck = self.chance.fraction(actor, operation, name, "ledger")
        await asyncio.sleep(0.002 + 0.02 * luck)
        if _within(self.loop.time(), self.weather.ledger_down) or luck < self.weather.ledger_fault:
            raise LedgerOutage("the ledger does not answer")

    async def settle(self) -> None:
        """Wait until no late request is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks)


class SimServer:
    """The port ``ActivationServer`` over the pool."""

    def __init__(self, world: World, actor: str, revoked: Revoked) -> None:
        self._world, self._actor, self._revoked = world, actor, revoked

    async def activate(self, key: Secret, deployment_id: str) -> Licence:
        pool, now = self._world.pool, self._world.loop.time
        await self._revoked.pass_through()
        answer = await self._world.request(
            self._actor,
            "activate",
            key,
            deployment_id,
            lambda as_if: pool.activate(key.reveal(), deployment_id, 1, EPOCH + now(), as_if=as_if),
        )
        await self._revoked.pass_through()
        if answer.outcome is Outcome.ACTIVATED:
            return Licence(answer.body)
        raise ActivationRefused(REFUSAL.get(answer.outcome, Failure.REFUSED), "the server's sentence")

    async def deactivate(self, key: Secret, deployment_id: str) -> Deactivation:
        pool, now = self._world.pool, self._world.loop.time
        await self._revoked.pass_through()
        answer = await self._world.request(
            self._actor,
            "deactivate",
            key,
            deployment_id,
            lambda _as_if: pool.deactivate(key.reveal(), deployment_id, EPOCH + now()),
        )
        await self._revoked.pass_through()
        return Deactivation.UNKNOWN if answer.status == 404 else Deactivation.RELEASED


class SimApp:
    """The port ``App`` and the app behind it: a new deployment ID at each start, unlicensed until it gets a licence."""

    def __init__(self, world: World, pod: str, *, takes_upload: bool = True, keeps_id: bool = False) -> None:
        self.world, self.pod = world, pod
        self.takes_upload, self.keeps_id = takes_upload, keeps_id
        self.starts = 0
        self.running = False
        self.silent = False
        self.deployment_id = ""
        self.licensed_by = ""

    def start(self) -> None:
        """Start the container, with another ID unless it keeps its disk."""
        self.starts += 1
        self.running = True
        self.licensed_by = ""
        number = 1 if self.keeps_id else self.starts
        digest = hashlib.sha256(f"{self.world.seed}/{self.pod}/{number}".encode()).hexdigest()[:32].upper()
        self.deployment_id = f"MSCL{digest}"

    def crash(self) -> None:
        """End the container."""
        self.running = False

    async def _reach(self, revoked: Revoked) -> None:
        await revoked.pass_through()
        self.world.operations += 1
        await asyncio.sleep(0.002)
        if self.silent:
            await asyncio.sleep(5.0)
            raise AppOutage(AppTrouble.SILENT, "no answer")
        if not self.running:
            raise AppOutage(AppTrouble.REFUSED, "connection refused")

    def port(self, revoked: Revoked) -> SimAppPort:
        """Return the app as one sidecar incarnation reaches it."""
        return SimAppPort(self, revoked)


class SimAppPort:
    """The port ``App``, for one incarnation of the sidecar."""

    def __init__(self, app: SimApp, revoked: Revoked) -> None:
        self._app, self._revoked = app, revoked

    async def report(self) -> AppReport:
        await self._app._reach(self._revoked)
        return AppReport(self._app.deployment_id, bool(self._app.licensed_by), parts=(("database", True),))

    async def upload(self, licence: Licence) -> None:
        await self._app._reach(self._revoked)
        if not self._app.takes_upload:
            raise UploadRefused("404")
        if self._app.deployment_id.encode() not in licence.body:
            raise UploadRefused("Invalid license")
        self._app.licensed_by = "upload"

    async def activate(self, key: Secret) -> None:
        await self._app._reach(self._revoked)
        world, app = self._app.world, self._app
        try:
            answer = await world.request(
                app.pod,
                "product",
                key,
                app.deployment_id,
                lambda as_if: world.pool.activate(
                    key.reveal(), app.deployment_id, 1, EPOCH + world.loop.time(), as_if=as_if
                ),
            )
        except ActivationOutage as outage:
            raise AppOutage(AppTrouble.BROKEN, "500", sent=True) from outage
        if answer.outcome is not Outcome.ACTIVATED:
            raise AppOutage(AppTrouble.BROKEN, "500", sent=True)
        app.licensed_by = "product"

    async def knock(self) -> None:
        await self._revoked.pass_through()
        if self._app.silent:
            await asyncio.sleep(1.0)
            raise AppOutage(AppTrouble.SILENT, "no answer")
        if not self._app.running:
            raise AppOutage(AppTrouble.REFUSED, "connection refused")


class SimKeys:
    """The port ``Keys``: what the world's key folder holds now."""

    def __init__(self, secrets: list[Secret]) -> None:
        self.secrets = secrets
        self._seen: dict[str, Secret] = {}

    async def poll(self) -> KeySnapshot:
        for secret in self.secrets:
            self._seen[secret.fingerprint] = secret
        if not self.secrets:
            return KeySnapshot(None, tuple(self._seen), "no key")
        current = self.secrets[0].fingerprint
        return KeySnapshot(current, tuple(name for name in self._seen if name != current))

    def reveal(self, fingerprint: str) -> Secret | None:
        return self._seen.get(fingerprint)


class SimOwners:
    """The port ``Owners``: an instance lives while its process does."""

    def __init__(self, world: World, revoked: Revoked) -> None:
        self._world, self._revoked = world, revoked

    async def look(self, owner: Owner) -> Sight:
        await self._revoked.pass_through()
        pod = self._world.pods.get(owner.uid)
        if pod is not None and pod.sidecar is not None:
            return Sight(Standing.LIVE, "its owner holds its lock")
        return Sight(Standing.GONE, "the lock of its owner is free")

    async def glance(self, owners: Sequence[Owner]) -> Mapping[str, Sight]:
        return {}

    async def sees_itself(self) -> bool:
        await self._revoked.pass_through()
        return True


class NoRestartFile:
    """The port ``RestartFile``, counting."""

    def __init__(self) -> None:
        self.touched = 0

    def touch(self) -> None:
        self.touched += 1

    def remove(self) -> None:
        pass


class Pod:
    """An app and a sidecar; each can die alone, or both at once."""

    def __init__(self, world: World, name: str, policy: dict[str, object]) -> None:
        self.world, self.name = world, name
        self.uid = f"uid-{name}"
        self.app = SimApp(world, name)
        self.keys = SimKeys(list(world.secrets[:1]))
        self.restart_file = NoRestartFile()
        self.sidecar: asyncio.Task[int] | None = None
        self.agent: Agent | None = None
        self.revoked = Revoked()
        self.stopping = False
        self.deleted = False
        self.skew = 0.0
        """How far this pod's clock is off, in seconds."""
        self.release: bool | None = True
        """What a stop is told; None: it finds out whether the pod ends."""
        self._policy = policy
        self._lives = 0

    def policy(self) -> Policy:
        """Return this pod's policy."""
        return Policy(server=SERVER, owner=Owner(pod=self.name, uid=self.uid), **self._policy)  # type: ignore[arg-type]

    def serves(self, deployment: str) -> bool:
        """Tell whether the app serves with this ID and nobody asked its sidecar to end."""
        return (
            self.app.running
            and bool(self.app.licensed_by)
            and self.app.deployment_id == deployment
            and self.sidecar is not None
            and not self.stopping
        )

    def serves_with(self, fingerprint: str, deployment: str) -> bool:
        """Tell whether the app serves with exactly this seat and nobody asked its sidecar to end."""
        return self.serves(deployment) and bool(self.keys.secrets) and self.keys.secrets[0].fingerprint == fingerprint

    def start(self) -> None:
        """Start app (if it is down) and sidecar."""
        if not self.app.running:
            self.app.start()
        self.start_sidecar()

    def start_sidecar(self) -> None:
        """Start a new incarnation of the sidecar."""
        self._lives += 1
        self.stopping = False
        self.revoked = Revoked()
        self.sidecar = asyncio.get_running_loop().create_task(self._live(self.revoked), name=self.name)

    def owners(self, revoked: Revoked) -> Owners:
        """Return how its sidecar looks at the owners of records."""
        return SimOwners(self.world, revoked)

    def own_pod(self, revoked: Revoked) -> OwnPod | None:
        """Return how its sidecar looks at its own pod: not at all outside Kubernetes."""
        return None

    async def _live(self, revoked: Revoked) -> int:
        world, loop = self.world, asyncio.get_running_loop()
        random = Random(f"{world.seed}/{self.name}/{self._lives}")

        async def before(operation: str, name: str) -> None:
            await revoked.pass_through()
            await world.ledger_weather(self.name, operation, name)

        async def after(_operation: str, _name: str) -> None:
            await revoked.pass_through()

        ledger = PatientLedger(world.ledger.seen_by(before, after), random, asyncio.sleep)
        observer = SilentObserver()
        policy = self.policy()
        server = SimServer(world, self.name, revoked)
        ports = Ports(
            ledger=ledger,
            server=server,
            app=self.app.port(revoked),
            keys=self.keys,
            restart_file=self.restart_file,
            observer=observer,
            pod=self.own_pod(revoked),
        )
        agent = Agent(policy, ports, random=random, wall=lambda: EPOCH + self.skew + loop.time())
        rules = Rules(server=SERVER, uid=self.uid, lease=policy.lease, late=policy.late, call_timeout=10.0, rate=30.0)
        reclaimer = Reclaimer(
            rules,
            ledger=ledger,
            owners=self.owners(revoked),
            server=server,
            keys=self.keys,
            observer=observer,
            random=random,
            wall=lambda: EPOCH + self.skew + loop.time(),
        )
        self.agent = agent
        async with asyncio.TaskGroup() as ops:
            agent.start(ops, reclaimer)
            self._senses = [
                ops.create_task(agent.watch_keys(5.0)),
                ops.create_task(reclaimer.run(agent.feed)),
                ops.create_task(reclaimer.watch_prospects(agent.feed)),
            ]
            if ports.pod is not None:
                self._senses.append(ops.create_task(agent.watch_pod(400.0)))
            if world.knocks:
                self._senses.append(ops.create_task(agent.watch_port(1.0)))
            code = await agent.finished
            for task in self._senses:
                task.cancel()
            if agent._timer is not None:
                agent._timer.cancel()
        return code

    async def stop(self, budget: float = 20.0) -> int:
        """SIGTERM to the sidecar; return its exit code."""
        if self.sidecar is None or self.agent is None:
            return 0
        self.stopping = True
        for task in self._senses:
            task.cancel()
        drain = self.policy().drain
        self.agent.stop(asyncio.get_running_loop().time() + drain + budget, release=self.release)
        sidecar, self.sidecar = self.sidecar, None
        try:
            return await sidecar
        finally:
            self.agent = None

    async def kill_sidecar(self) -> None:
        """SIGKILL to the sidecar alone."""
        if self.sidecar is None:
            return
        self.revoked.dead = True
        if self.agent is not None and self.agent._timer is not None:
            self.agent._timer.cancel()
        sidecar, self.sidecar, self.agent = self.sidecar, None, None
        sidecar.cancel()
        await asyncio.wait([sidecar])

    async def delete(self, *, graceful: bool) -> None:
        """End the pod: app first, then the sidecar, with or without a word."""
        if graceful:
            self.app.crash()
            await self.stop()
        else:
            self.app.crash()
            await self.kill_sidecar()
        self.deleted = True
