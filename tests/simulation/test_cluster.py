"""Stories of fleets in a cluster on virtual time: every end of a pod, and restarts that are no end (rules 10 to 18)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from sidecar.core.records import Phase
from sidecar.core.view import Stage
from tests.simulation.cluster import GRACE, OVERDUE, Cluster, KubePod
from tests.simulation.storm import Storm, run
from tests.simulation.virtual_loop import VirtualLoop

KEY = "SIMU-LATE-DKEY-0000-0000-0000-0001"
LEASE = 60.0


def live(story: Callable[[], Awaitable[None]]) -> None:
    """Run a story on a virtual loop of its own."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(story())  # type: ignore[arg-type]


async def fleet(cluster: Cluster, count: int) -> list[KubePod]:
    """Start ``count`` pods and wait until all have their seats."""
    pods = [cluster.pod(f"icap-{number}") for number in range(count)]
    for pod in pods:
        pod.start()
    await asyncio.sleep(60.0)
    assert {stage(pod) for pod in pods} == {Stage.ACTIVE}
    return pods


def stage(pod: KubePod) -> Stage:
    """Return where a pod's sidecar stands."""
    assert pod.agent is not None
    return pod.agent.view().stage


def taken(cluster: Cluster) -> set[str]:
    """Return the deployment IDs whose seats are taken on the server."""
    return {seat.deployment for view in cluster.pool.view() for seat in view.taken}


async def over(cluster: Cluster, *pods: KubePod) -> None:
    """End the story: nobody was robbed, nothing was unrecorded, and nobody outlived his pod."""
    await asyncio.gather(*(pod.delete(graceful=True) for pod in pods))
    await cluster.settle()
    assert cluster.thefts == []
    assert cluster.unrecorded == []
    assert cluster.overruns == 0


def test_a_sidecar_that_is_restarted_alone_leaves_its_seat_to_its_successor() -> None:
    """SIGTERM to it alone is not the end of the pod: not one request to the activation server."""

    async def story() -> None:
        cluster = Cluster({KEY: 3})
        pods = await fleet(cluster, 3)
        requests, before = cluster.requests, taken(cluster)
        for pod in pods:
            assert await pod.stop() == 0
            pod.start_sidecar()
        await asyncio.sleep(10.0)
        assert cluster.requests == requests
        assert taken(cluster) == before
        assert {stage(pod) for pod in pods} == {Stage.ACTIVE}
        await over(cluster, *pods)
        assert cluster.used() == 0
        assert cluster.ledger.content.records == ()

    live(story)


def test_a_pod_that_is_deleted_gives_its_seat_back_within_its_grace_period() -> None:
    """The app ends, then the sidecar is told; the seat is free in the moment after that."""

    async def story() -> None:
        cluster = Cluster({KEY: 10})
        pods = await fleet(cluster, 10)
        await over(cluster, *pods)
        assert cluster.used() == 0
        assert cluster.ledger.content.records == ()

    live(story)


def test_half_of_the_pods_deleted_by_force() -> None:
    """Without a word: their seats are free a lease and a scan later, and none of the others is touched."""

    async def story() -> None:
        cluster = Cluster({KEY: 20})
        pods = await fleet(cluster, 20)
        dead, alive = pods[::2], pods[1::2]
        lost, kept = ({pod.app.deployment_id for pod in some} for some in (dead, alive))
        for pod in dead:
            cluster.gone(pod)
            await pod._die()
        await asyncio.sleep(LEASE - 20.0)
        assert taken(cluster) == lost | kept, "not before a lease of silence"
        await asyncio.sleep(20.0 + 60.0)
        assert taken(cluster) == kept
        await over(cluster, *alive)
        assert cluster.ledger.content.records == ()

    live(story)


def test_a_pod_deleted_by_force_keeps_its_seat_while_it_still_runs() -> None:
    """Its object is gone, its containers are not: it renews its record, so it is no orphan; then it is killed."""

    async def story() -> None:
        cluster = Cluster({KEY: 2})
        one, two = await fleet(cluster, 2)
        cluster.gone(one)
        await asyncio.sleep(5 * LEASE)
        assert one.app.deployment_id in taken(cluster)
        assert stage(one) is Stage.ACTIVE
        await one._die()
        await asyncio.sleep(LEASE + 60.0)
        assert taken(cluster) == {two.app.deployment_id}
        await over(cluster, two)

    live(story)


def test_a_lost_node_keeps_its_seats_until_its_pods_are_overdue() -> None:
    """As long as the object is there and not overdue, the pod may be alive behind a cut network."""

    async def story() -> None:
        cluster = Cluster({KEY: 2})
        one, two = await fleet(cluster, 2)
        cluster.soon(one.lose_node())
        await asyncio.sleep(50.0 + GRACE + OVERDUE - 5.0)
        assert one.app.deployment_id in taken(cluster)
        await asyncio.sleep(LEASE + 65.0)
        assert taken(cluster) == {two.app.deployment_id}
        await over(cluster, two)

    live(story)


def test_a_pod_that_is_alive_but_silent_for_ten_leases_keeps_its_seat() -> None:
    """Its sidecar is gone and does not come back; its app serves (rule 10)."""

    async def story() -> None:
        cluster = Cluster({KEY: 2})
        one, two = await fleet(cluster, 2)
        await one.kill_sidecar()
        await asyncio.sleep(10 * LEASE)
        assert one.app.deployment_id in taken(cluster)
        requests = cluster.requests
        one.start_sidecar()
        await asyncio.sleep(LEASE)
        assert stage(one) is Stage.ACTIVE
        assert cluster.requests - requests <= 2, "only the questions of an adopted stale record"
        await over(cluster, one, two)

    live(story)


def test_an_evicted_pods_object_stays_and_its_seat_does_not() -> None:
    """Failed pods lie around for days: ended is ended."""

    async def story() -> None:
        cluster = Cluster({KEY: 3})
        soft, hard, last = await fleet(cluster, 3)
        cluster.soon(soft.evict(hard=False))
        cluster.soon(hard.evict(hard=True))
        await asyncio.sleep(10.0)
        assert soft.app.deployment_id not in taken(cluster), "it was told, and gave it back itself"
        await asyncio.sleep(LEASE + 60.0)
        assert taken(cluster) == {last.app.deployment_id}
        assert cluster.objects[hard.name] is hard
        await over(cluster, last)

    live(story)


def test_an_app_that_crashes_frees_its_seat_within_the_target() -> None:
    """Failure grace and what the kubelet needs to tell; a quick restart costs nothing but the new ID."""

    async def story() -> None:
        cluster = Cluster({KEY: 1})
        (pod,) = await fleet(cluster, 1)
        began = cluster.loop.time()
        crashing = asyncio.ensure_future(pod.crash_app(40.0))
        while cluster.used():
            await asyncio.sleep(0.1)
        assert 5.0 < cluster.loop.time() - began < 5.0 + 2.5 + 2.0
        await crashing
        await asyncio.sleep(20.0)
        assert stage(pod) is Stage.ACTIVE
        assert taken(cluster) == {pod.app.deployment_id}
        await over(cluster, pod)

    live(story)


def test_two_minutes_without_the_api_server_change_nothing() -> None:
    """Nobody loses a seat, nobody takes a second one, and nothing is asked of the activation server."""

    async def story() -> None:
        cluster = Cluster({KEY: 20})
        pods = await fleet(cluster, 20)
        before, requests = taken(cluster), cluster.requests
        now = cluster.loop.time()
        cluster.weather.ledger_down.append((now + 5.0, now + 125.0))
        await asyncio.sleep(60.0)
        assert all(pod.agent is not None and pod.agent.view().ready for pod in pods)
        await asyncio.sleep(240.0)
        assert taken(cluster) == before
        assert cluster.requests == requests
        assert {stage(pod) for pod in pods} == {Stage.ACTIVE}
        await over(cluster, *pods)

    live(story)


def test_an_app_that_crashes_while_the_api_server_is_away_keeps_its_seat_until_it_is_back() -> None:
    """Rule 17: silence of the port releases nothing; the status does, once it can be seen again."""

    async def story() -> None:
        cluster = Cluster({KEY: 2})
        one, two = await fleet(cluster, 2)
        now = cluster.loop.time()
        cluster.weather.ledger_down.append((now, now + 120.0))
        await asyncio.sleep(20.0)
        crashing = asyncio.ensure_future(one.crash_app(400.0))
        await asyncio.sleep(90.0)
        assert one.app.deployment_id in taken(cluster)
        await asyncio.sleep(90.0)
        assert taken(cluster) == {two.app.deployment_id}
        crashing.cancel()
        await over(cluster, one, two)

    live(story)


def test_a_full_key_whose_seats_belong_to_dead_pods() -> None:
    """A new pod waits, reclaims what they left, and is active: nobody calls support."""

    async def story() -> None:
        cluster = Cluster({KEY: 5})
        for pod in await fleet(cluster, 5):
            cluster.gone(pod)
            await pod._die()
        await asyncio.sleep(600.0)
        assert cluster.used() == 5
        one = cluster.pod("icap-new")
        one.start()
        await asyncio.sleep(10.0)
        assert stage(one) is Stage.WAITING
        await asyncio.sleep(LEASE + 30.0)
        assert stage(one) is Stage.ACTIVE
        await asyncio.sleep(60.0)
        assert taken(cluster) == {one.app.deployment_id}
        await over(cluster, one)

    live(story)


def test_a_rolling_restart_at_a_full_quota() -> None:
    """Ten pods, ten seats: each new pod begins while the old one drains, waits, and gets its seat."""

    async def story() -> None:
        cluster = Cluster({KEY: 10})
        old = await fleet(cluster, 10)
        new: list[KubePod] = []
        for number, pod in enumerate(old):
            leaving = asyncio.ensure_future(pod.delete(graceful=True))
            new.append(cluster.pod(f"icap-next-{number}"))
            new[-1].start()
            await leaving
            async with asyncio.timeout(60.0):
                while stage(new[-1]) is not Stage.ACTIVE:
                    assert stage(new[-1]) is not Stage.REFUSED
                    await asyncio.sleep(0.5)
        assert taken(cluster) == {pod.app.deployment_id for pod in new}
        phases = {it.record.phase for it in cluster.ledger.content.records}
        assert phases == {Phase.ACTIVE}
        await over(cluster, *new)

    live(story)


@pytest.mark.parametrize("seed", range(1, 4))
def test_every_invariant_survives_a_storm_in_a_cluster(seed: int) -> None:
    """All ends at once, at a full quota, with outages of everything, for half a virtual hour; then calm."""
    report = run(Storm(seed, pods=12, seconds=1800.0, every=20.0, cluster=True))
    assert report.faults() == []
    assert len(report.history) > 2 * 12, "the storm must have moved seats, or it has shown nothing"


def test_a_storm_in_a_cluster_replays_exactly() -> None:
    """The same seed gives the same history; another seed another one."""
    storm = Storm(77, pods=5, seconds=600.0, every=20.0, cluster=True)
    first, second = run(storm), run(storm)
    assert first.history == second.history
    assert first.requests == second.requests
    assert first.history != run(Storm(78, pods=5, seconds=600.0, every=20.0, cluster=True)).history
