"""A cluster around the fleet: pods as the API server knows them, a kubelet that reports late, nodes that die.

What the API server tells and what is true differ by the kubelet's lag, and its outages are the ledger's. Everything
else is the simulated world's: the same agent, reclaimer, server and apps.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Mapping, Sequence
from contextlib import suppress

from sidecar.core.facts import AppContainer, PodReport
from sidecar.core.policy import Policy
from sidecar.core.reasons import AppEnd
from sidecar.core.records import Claim, Owner, Sight, Standing
from sidecar.core.replacement import replace
from sidecar.errors import LedgerOutage
from sidecar.ports import Owners, OwnPod
from tests.simulation.world import Pod, Revoked, World

NAMESPACE = "icap"
GRACE = 30.0
OVERDUE = 30.0
"""As ``adapters.pods``: how long after its grace period a pod that is still there counts as gone."""


class Cluster(World):
    """A world whose pods are objects; ``objects`` by name, as long as the API server has them."""

    def __init__(self, *arguments: object, **more: object) -> None:
        super().__init__(*arguments, **more)  # type: ignore[arg-type]
        self.objects: dict[str, KubePod] = {}
        self.overruns = 0
        """Sidecars that had not ended when their pod's grace period was over."""
        self.born = 0
        self._watchers: dict[str, list[asyncio.Event]] = {}

    def pod(self, name: str, **policy: object) -> KubePod:
        """Create a pod object; nothing runs until ``start``."""
        self.born += 1
        pod = KubePod(self, name, f"uid-{self.born}", policy)
        self.pods[pod.uid] = self.objects[name] = pod
        self.touch(name)
        return pod

    def gone(self, pod: KubePod) -> None:
        """Remove a pod's object, if another has not taken its name."""
        if self.objects.get(pod.name) is pod:
            del self.objects[pod.name]
            self.touch(pod.name)

    def touch(self, name: str) -> None:
        """Let the watches of this name know that something has changed."""
        for changed in self._watchers.get(name, ()):
            changed.set()

    def watch(self, name: str) -> asyncio.Event:
        """Return what is set at each change of the pod of this name."""
        changed = asyncio.Event()
        self._watchers.setdefault(name, []).append(changed)
        return changed

    def unwatch(self, name: str, changed: asyncio.Event) -> None:
        """End a watch."""
        self._watchers[name].remove(changed)

    def report(self, name: str) -> PodReport:
        """Return what the API server says about the pod of this name."""
        pod = self.objects.get(name)
        return PodReport("") if pod is None else pod.report()

    def outage_in(self) -> float | None:
        """Return in how many seconds the API server goes down: 0.0 while it is, None if never."""
        now = self.loop.time()
        coming = [max(0.0, begin - now) for begin, end in self.weather.ledger_down if end > now]
        return min(coming, default=None)

    async def claim(self, pod: KubePod) -> None:
        """Claim a pod's records as an operator does by force, who is then interrupted before he sends anything."""
        for stored in self.ledger.content.records:
            if stored.record.owner.uid == pod.uid:
                claim = Claim(by="uid-operator", at=self.loop.time())
                await self.ledger.replace(stored, replace(stored.record, claim=claim))

    def soon(self, work: Awaitable[None]) -> None:
        """Let this go on by itself; ``settle`` waits for it."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class SimOwnPod:
    """The port ``OwnPod`` of one incarnation: a look is never behind, the watch is."""

    def __init__(self, pod: KubePod, revoked: Revoked) -> None:
        self._pod, self._revoked = pod, revoked

    async def look(self) -> PodReport:
        """Look now."""
        cluster = self._pod.cluster
        await self._revoked.pass_through()
        await cluster.ledger_weather(self._pod.name, "look", self._pod.uid)
        await self._revoked.pass_through()
        return cluster.report(self._pod.name)

    async def follow(self) -> AsyncGenerator[PodReport | LedgerOutage, None]:
        """Tell how the pod is now and after each change, a little late."""
        cluster, name = self._pod.cluster, self._pod.name
        changed = cluster.watch(name)
        pause = 0.5
        try:
            while True:
                await self._revoked.pass_through()
                if cluster.outage_in() == 0.0:
                    yield LedgerOutage("no connection to the API server")
                    await asyncio.sleep(pause * (1 + cluster.chance.fraction(name, "watch", "pause")))
                    pause = min(15.0, 2 * pause)
                    continue
                pause = 0.5
                changed.clear()
                seen = cluster.report(name)
                await asyncio.sleep(0.4 * cluster.chance.fraction(name, "watch", "lag"))
                yield seen
                with suppress(TimeoutError):
                    async with asyncio.timeout(cluster.outage_in()):
                        await changed.wait()
        finally:
            cluster.unwatch(name, changed)


class SimClusterOwners:
    """The port ``Owners`` over the objects of the cluster (rule 10)."""

    def __init__(self, pod: KubePod, revoked: Revoked) -> None:
        self._pod, self._revoked = pod, revoked

    async def look(self, owner: Owner) -> Sight:
        """Look at one pod."""
        cluster = self._pod.cluster
        await self._revoked.pass_through()
        await cluster.ledger_weather(self._pod.name, "owner", owner.uid)
        found = cluster.objects.get(owner.pod)
        if found is None or found.uid != owner.uid:
            return Sight(Standing.GONE, "its pod does not exist")
        return found.standing()

    async def glance(self, owners: Sequence[Owner]) -> Mapping[str, Sight]:
        """Look at many, if there are many, and tell only who lives."""
        if len({it.uid for it in owners}) <= 8:
            return {}
        cluster = self._pod.cluster
        await self._revoked.pass_through()
        await cluster.ledger_weather(self._pod.name, "owners", "")
        seen = {it.uid: it.standing() for it in cluster.objects.values()}
        return {uid: sight for uid, sight in seen.items() if sight.standing is Standing.LIVE}

    async def sees_itself(self) -> bool:
        """Tell whether our own pod is there."""
        cluster = self._pod.cluster
        await self._revoked.pass_through()
        await cluster.ledger_weather(self._pod.name, "itself", "")
        found = cluster.objects.get(self._pod.name)
        return found is self._pod


class KubePod(Pod):
    """A pod with an object: deleted, evicted, lost with its node, or with a sidecar that is restarted alone."""

    def __init__(self, cluster: Cluster, name: str, uid: str, policy: dict[str, object]) -> None:
        super().__init__(cluster, name, policy)
        self.cluster, self.uid = cluster, uid
        self.app.pod = uid
        self.release = None
        self.deletion_at: float | None = None
        """The deletionTimestamp: when its grace period is over."""
        self.ended = self.disrupted = False
        self.node_lives = True
        self.shown = AppContainer()

    def policy(self) -> Policy:
        """Return this pod's policy."""
        plain = Pod.policy(self)
        return replace(plain, watches_pod=True, owner=Owner(pod=self.name, uid=self.uid, namespace=NAMESPACE))

    def owners(self, revoked: Revoked) -> Owners:
        """Return how its sidecar looks at the owners of records."""
        return SimClusterOwners(self, revoked)

    def own_pod(self, revoked: Revoked) -> OwnPod | None:
        """Return how its sidecar looks at its own pod."""
        return SimOwnPod(self, revoked)

    # --- as the API server knows it ---------------------------------------------------------------------------------

    @property
    def stays(self) -> bool:
        """Tell whether it is there and nobody wants it to end."""
        there = self.cluster.objects.get(self.name) is self
        return there and self.deletion_at is None and not (self.ended or self.disrupted)

    def serves(self, deployment: str) -> bool:
        """Tell whether its seat must not be taken: also by its own side, and whether or not a sidecar is there."""
        return self.app.running and bool(self.app.licensed_by) and self.app.deployment_id == deployment and self.stays

    def report(self) -> PodReport:
        """Return its status."""
        left = None if self.deletion_at is None else self.deletion_at - self.cluster.loop.time()
        ended = self.ended or self.disrupted
        return PodReport(self.uid, deleting=left is not None, grace_left=left, ended=ended, app=self.shown)

    def standing(self) -> Sight:
        """Return how it stands as the owner of a record."""
        if self.ended:
            return Sight(Standing.GONE, "its pod has ended")
        left = None if self.deletion_at is None else self.deletion_at - self.cluster.loop.time()
        if left is not None and left < -OVERDUE:
            return Sight(Standing.GONE, "its pod should have been deleted")
        return Sight(Standing.LIVE, "its pod is there", leaving=left is not None or self.disrupted)

    def _happened(self) -> None:
        """Let the kubelet report how the app's container is by then, a second or two from now."""
        if self.node_lives:
            lag = 0.3 + 2.2 * self.cluster.chance.fraction(self.uid, "kubelet", "lag")
            self.cluster.loop.call_later(lag, self._reported)

    def _reported(self) -> None:
        if not self.node_lives:
            return
        starts = self.app.starts
        ended = None if self.app.running else AppEnd.EXIT
        self.shown = AppContainer(f"{self.uid}/{starts}", max(0, starts - 1), ended)
        self.cluster.touch(self.name)

    # --- its life ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start app and sidecar."""
        Pod.start(self)
        self._happened()

    async def crash_app(self, seconds: float) -> None:
        """End the app's container and start another one after a while, as the kubelet does."""
        self.app.crash()
        self._happened()
        await asyncio.sleep(seconds)
        if self.node_lives and self.sidecar is not None:
            self.app.start()
            self._happened()

    async def restart_sidecar(self, *, killed: bool, pause: float) -> None:
        """End the sidecar alone, by SIGTERM or SIGKILL, and start it again."""
        if killed:
            await self.kill_sidecar()
        else:
            await self.stop()
        await asyncio.sleep(pause)
        self.start_sidecar()

    async def delete(self, *, graceful: bool) -> None:
        """Delete the pod, or only its object, whose containers are then killed without a word."""
        fraction = self.cluster.chance.fraction(self.uid, "delete", "pace")
        if graceful:
            self.deletion_at = self.cluster.loop.time() + GRACE
            self.cluster.touch(self.name)
            await self._terminate(plain=fraction < 0.3, app_takes=0.3 + 12.0 * fraction)
            await asyncio.sleep(0.5)
        else:
            self.cluster.gone(self)
            await asyncio.sleep(90.0 * fraction if fraction > 0.4 else 0.0)
            await self._die()
        self.cluster.gone(self)
        self.deleted = True

    async def evict(self, *, hard: bool) -> None:
        """End the pod as a node under pressure does: no deletionTimestamp, and its object stays behind as failed."""
        self.disrupted = True
        self.cluster.touch(self.name)
        if hard:
            await self._die()
        else:
            await self._terminate(plain=False, app_takes=4.0)
        self.ended = True
        self.cluster.touch(self.name)
        await asyncio.sleep(400.0)
        self.cluster.gone(self)
        self.deleted = True

    async def lose_node(self) -> None:
        """End everything on its node without a word; the API server notices later, and nobody confirms the deletion."""
        self.node_lives = False
        await self._die()
        await asyncio.sleep(50.0)
        self.deletion_at = self.cluster.loop.time() + GRACE
        self.cluster.touch(self.name)
        await asyncio.sleep(GRACE + 600.0)
        self.cluster.gone(self)
        self.deleted = True

    async def _terminate(self, *, plain: bool, app_takes: float) -> None:
        """Send SIGTERM: to the app, and to the sidecar when the app has ended, or at once as to a plain container."""
        began = self.cluster.loop.time()

        async def end_app() -> None:
            await asyncio.sleep(app_takes)
            self.app.crash()
            self._happened()

        ending = asyncio.ensure_future(end_app())
        if not plain:
            await asyncio.wait([ending])
            await asyncio.sleep(0.24)
        agent, sidecar = self.agent, self.sidecar
        heard = self.cluster.outage_in() != 0.0
        stopping = asyncio.ensure_future(self.stop())
        left = max(2.0, began + GRACE - self.cluster.loop.time())
        done, _ = await asyncio.wait([stopping], timeout=left)
        if not done:
            # Whoever could not be told how long its pod has left may be killed before it has finished.
            told = heard or (agent is not None and agent.state.pod.ends_at is not None)
            # Its last command is its end: a real process does not wait for what is still under way.
            left_in_time = agent is not None and agent.finished.done()
            self.cluster.overruns += not left_in_time and told
            self.revoked.dead = True
            if agent is not None and agent._timer is not None:
                agent._timer.cancel()
            if sidecar is not None:
                sidecar.cancel()
        await asyncio.wait([ending, stopping])

    async def _die(self) -> None:
        self.app.crash()
        await self.kill_sidecar()
