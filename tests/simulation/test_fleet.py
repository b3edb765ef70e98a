"""Stories of whole fleets on virtual time: deaths without a word, full keys, outages, rotations."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from statistics import median

import pytest

from mock_activation.answers import Outcome
from mock_activation.pool import Move
from mock_activation.switches import SamePair, Switches
from sidecar.core.view import Stage
from sidecar.secrets import Secret
from tests.simulation.virtual_loop import DeadlockError, VirtualLoop
from tests.simulation.world import EPOCH, Pod, Weather, World

KEY = "SIMU-LATE-DKEY-0000-0000-0000-0001"
NEXT_KEY = "SIMU-LATE-DKEY-0000-0000-0000-0002"
LEASE = 60.0


def live(story: Callable[[], Awaitable[None]]) -> None:
    """Run a story on a virtual loop of its own."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(story())  # type: ignore[arg-type]


def fleet(world: World, count: int, **policy: object) -> list[Pod]:
    """Start ``count`` pods."""
    pods = [world.pod(f"pod-{number}", **policy) for number in range(count)]
    for pod in pods:
        pod.start()
    return pods


def stage(pod: Pod) -> Stage:
    """Return where a pod's sidecar stands."""
    assert pod.agent is not None
    return pod.agent.view().stage


async def end(pods: list[Pod]) -> list[int]:
    """Stop every sidecar that still runs; return the exit codes."""
    return list(await asyncio.gather(*(pod.stop() for pod in pods if pod.sidecar is not None)))


def test_a_loop_on_which_nobody_can_wake_anybody_is_an_error() -> None:
    """A deadlock in a simulation is told, not waited for."""

    async def story() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(DeadlockError):
        live(story)


@pytest.mark.parametrize("size", [2, 10, 30])
def test_hard_death_frees_the_seat_within_the_target(size: int) -> None:
    """Design.md section 10: a pod gone without a word is reclaimed in a median of lease + 30 s, p95 lease + 60 s."""
    delays: list[float] = []

    async def story() -> None:
        world = World({KEY: size + 20})
        pods = fleet(world, size)
        await asyncio.sleep(200.0)
        for number in range(12):
            victim = world.pod(f"victim-{number}")
            victim.start()
            await asyncio.sleep(90.0 + 7.3 * number)
            doomed = victim.app.deployment_id
            await victim.delete(graceful=False)
            died = world.loop.time()
            while any(seat.deployment == doomed for view in world.pool.view() for seat in view.taken):
                await asyncio.sleep(0.5)
            delays.append(world.loop.time() - died)
        assert world.thefts == []
        await end(pods)
        assert world.used() == 0

    live(story)
    delays.sort()
    assert median(delays) <= LEASE + 30.0
    assert delays[-1] <= LEASE + 60.0


def test_clocks_that_differ_by_hours_change_nothing() -> None:
    """Rule 11: timestamps never decide. A clock in the past or the future robs nobody and keeps no orphan alive."""

    async def story() -> None:
        world = World({KEY: 8})
        pods = [world.pod(f"pod-{number}") for number in range(6)]
        for number, pod in enumerate(pods):
            pod.skew = 7_200.0 * (number - 3) + 11.7 * number
            pod.start()
        await asyncio.sleep(600.0)
        assert world.used() == 6
        await pods[0].delete(graceful=False)
        await pods[5].delete(graceful=False)
        await asyncio.sleep(LEASE + 6 * LEASE / 4 + 5.0)
        assert world.used() == 4
        assert world.thefts == []
        await pods[1].kill_sidecar()
        pods[1].start_sidecar()
        await asyncio.sleep(600.0)
        assert world.used() == 4
        await end(pods)
        assert (world.used(), len(world.ledger.content.records)) == (0, 0)

    live(story)


def test_a_full_key_whose_seats_belong_to_the_dead_is_reclaimed_by_whoever_waits() -> None:
    """NO_STARVE: a pod that starts on a key full of orphans gets a seat as soon as a lease of watching allows."""

    async def story() -> None:
        world = World({KEY: 3})
        for pod in fleet(world, 3):
            await asyncio.sleep(2.0)
            await pod.delete(graceful=False)
        assert world.used() == 3
        born = world.loop.time()
        newcomer = world.pod("newcomer")
        newcomer.start()
        await asyncio.sleep(5.0)
        assert stage(newcomer) is Stage.WAITING, "orphans make it waiting, not refused"
        while stage(newcomer) is not Stage.ACTIVE:
            await asyncio.sleep(1.0)
        assert world.loop.time() - born <= LEASE + 15.0
        assert newcomer.restart_file.touched == 0, "who waits does not restart the app"
        await asyncio.sleep(LEASE)
        assert world.used() == 1
        await end([newcomer])

    live(story)


def test_a_rolling_restart_of_ten_pods_with_ten_seats_leaks_nothing_and_refuses_nobody_for_long() -> None:
    """Design.md section 10: maxSurge 0; each new pod is created while the old one drains."""

    async def story() -> None:
        world = World({KEY: 10})
        pods = fleet(world, 10)
        await asyncio.sleep(30.0)
        for number in range(10):
            old, new = pods[number], world.pod(f"new-{number}")
            new.start()
            await asyncio.sleep(10.0)
            await old.delete(graceful=True)
            freed = world.loop.time()
            while stage(new) is not Stage.ACTIVE:
                await asyncio.sleep(0.5)
            assert world.loop.time() - freed <= 310.0, "within the longest refusal pause"
            pods[number] = new
        assert world.used() == 10
        assert world.thefts == []
        await end(pods)
        assert (world.used(), len(world.ledger.content.records)) == (0, 0)

    live(story)


def test_a_seat_that_is_handed_over_goes_to_the_one_who_waits_at_once() -> None:
    """Rule 14: a waiting sidecar watches the ledger and asks as soon as a record goes, not at its next back-off."""

    async def story() -> None:
        world = World({KEY: 1})
        first, second = fleet(world, 2)
        await asyncio.sleep(240.0)
        waiting = first if stage(first) is not Stage.ACTIVE else second
        holder = second if waiting is first else first
        # The holder's app fails: its seat is marked releasing before it is given back, which the other one sees.
        world.weather.server_down = [(world.loop.time(), world.loop.time() + 8.0)]
        holder.app.crash()
        await asyncio.sleep(7.0)
        freed = world.loop.time()
        while stage(waiting) is not Stage.ACTIVE:
            await asyncio.sleep(0.25)
        assert world.loop.time() - freed <= 60.0
        await end([first, second])
        assert world.used() == 0

    live(story)


def test_requests_of_one_sidecar_stay_bounded_during_an_outage() -> None:
    """BOUNDED_LOAD: in an hour without the server one sidecar asks at most 12 times a minute, then once in 30 s."""

    async def story() -> None:
        world = World({KEY: 1}, weather=Weather(server_down=[(0.0, 3600.0)]))
        (pod,) = fleet(world, 1)
        await asyncio.sleep(60.0)
        first_minute = world.requests
        await asyncio.sleep(3540.0)
        assert first_minute <= 20
        assert world.requests - first_minute <= 3540.0 / 15.0
        await asyncio.sleep(70.0)
        assert stage(pod) is Stage.ACTIVE, "and it finds back by itself"
        await end([pod])

    live(story)


def test_a_fleets_scans_of_the_ledger_are_constant() -> None:
    """BOUNDED_LOAD: ten and sixty sidecars list the ledger about equally often: once in lease / 4 in all."""
    counts = {}
    for size in (10, 60):

        async def story(size: int = size) -> None:
            world = World({KEY: size})
            pods = fleet(world, size)
            await asyncio.sleep(1200.0)
            before = world.listings
            await asyncio.sleep(3600.0)
            counts[size] = world.listings - before
            await end(pods)

        live(story)
    assert counts[60] <= 3600.0 / (LEASE / 4) * 1.3
    assert counts[60] <= counts[10] * 1.5


def test_a_server_that_counts_a_pair_twice_does_not_refuse_for_ever() -> None:
    """Rule 5: a refusal after an unanswered success keeps the record; later it is released and asked for anew."""

    async def story() -> None:
        world = World({KEY: 1}, switches=Switches(same_pair=SamePair.CONSUMES))
        pod = world.pod("only")
        world.weather.lose_answer = 1.0
        pod.start()
        await asyncio.sleep(0.5)
        world.weather.lose_answer = 0.0
        assert world.used() == 1
        await asyncio.sleep(20.0)
        assert len(world.ledger.content.records) == 1, "the record of a seat that may be taken is not erased"
        await asyncio.sleep(580.0)
        assert stage(pod) is Stage.ACTIVE
        assert world.used() == 1
        await end([pod])
        assert world.used() == 0

    live(story)


def test_a_key_is_rotated_through_a_fleet_without_a_gap() -> None:
    """Rule 9: the same ID is activated under the new key first; then the old seat goes, under the old key."""

    async def story() -> None:
        world = World({KEY: 5, NEXT_KEY: 5})
        pods = fleet(world, 5)
        await asyncio.sleep(30.0)
        gap = 0
        for pod in pods:
            pod.keys.secrets = [Secret(NEXT_KEY)]
        for _ in range(300):
            await asyncio.sleep(0.1)
            gap += sum(not pod.agent.view().ready for pod in pods if pod.agent is not None)
        used = world.pool.used()
        assert used[Secret(NEXT_KEY).fingerprint] == (5, 5)
        assert used[Secret(KEY).fingerprint] == (0, 5)
        assert gap == 0
        assert world.thefts == []
        await end(pods)
        assert (world.used(), len(world.ledger.content.records)) == (0, 0)

    live(story)


def test_a_refused_new_key_costs_nothing() -> None:
    """Rule 9: with activate-first a key without a free seat leaves every old seat in place, and says so."""

    async def story() -> None:
        world = World({KEY: 2, NEXT_KEY: 0})
        pods = fleet(world, 2)
        await asyncio.sleep(30.0)
        for pod in pods:
            pod.keys.secrets = [Secret(NEXT_KEY)]
        await asyncio.sleep(120.0)
        for pod in pods:
            assert pod.agent is not None
            view = pod.agent.view()
            assert view.ready
            assert any("new key was refused" in fault for fault in view.faults)
        assert world.pool.used()[Secret(KEY).fingerprint] == (2, 2)
        assert not any(change.move is Move.RELEASED for change in world.history)
        await end(pods)
        assert world.used() == 0

    live(story)


def test_a_seat_of_a_former_key_is_nothing_to_wait_for() -> None:
    """An orphan under the key before has a quota of its own: who lacks a seat under the new key is refused."""

    async def story() -> None:
        world = World({KEY: 2, NEXT_KEY: 0})
        gone = world.pod("gone")
        gone.start()
        await asyncio.sleep(30)
        await gone.delete(graceful=False)
        waiter = world.pod("waiter")
        waiter.keys.secrets = [world.secrets[1], world.secrets[0]]
        waiter.start()
        await asyncio.sleep(20)
        assert world.used() == 1
        assert stage(waiter) is Stage.REFUSED
        await end([waiter])

    live(story)


def test_all_gone_and_one_reclaim_leaves_nothing() -> None:
    """NO_LEAK: every pod dies without a word, with requests under way; one sidecar later: 0 seats, 0 records."""

    async def story() -> None:
        world = World({KEY: 30}, weather=Weather(lose_answer=0.2, lag=0.2))
        pods = fleet(world, 20)
        await asyncio.sleep(9.0)
        await asyncio.gather(*(pod.delete(graceful=False) for pod in pods))
        assert world.used() > 0
        world.weather.lose_answer = world.weather.lag = 0.0
        last = world.pod("last")
        last.start()
        await asyncio.sleep(900.0)
        await end([last])
        await world.settle()
        assert (world.used(), len(world.ledger.content.records)) == (0, 0)

    live(story)


def test_the_stand_ins_of_the_simulation_speak_the_mocks_own_outcomes() -> None:
    """Verify the fake: the simulated server refuses exactly what the mock's pool refuses, with its reason."""

    async def story() -> None:
        world = World({KEY: 1})
        first = world.pool.activate(KEY, "MSCL" + "0" * 32, 1, EPOCH)
        second = world.pool.activate(KEY, "MSCL" + "1" * 32, 1, EPOCH)
        assert (first.outcome, second.outcome) == (Outcome.ACTIVATED, Outcome.NO_SEATS)

    live(story)
