"""``drain`` on virtual time: a release gives back its seats and no other's, and whoever waits is not kept waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from sidecar.core.records import Phase, Standing, Stored
from sidecar.errors import LedgerOutage
from sidecar.hook_ports import Extent, Remaining
from sidecar.operate.drain import Account, Drain, Orders
from sidecar.operate.results import Fate
from sidecar.ports import Deactivation
from tests.unit.operate.bench import FOREIGN, LATE, LEASE, Bench, on_virtual_time, outage

FORBIDDEN = LedgerOutage("the API server answers 403: no", lasting=True)
RELEASE = "icap"
NAMESPACE = "home"


@dataclass
class FakeWorkload:
    """The port ``Workload``: pods that end some time after they are told to."""

    bench: Bench
    wanted: int | None = 0
    pods: list[str] = field(default_factory=list)
    ends_after: float = 3.0
    leaving: list[str] = field(default_factory=list)
    scaled: int = 0
    forbidden_until: float = 0.0
    at_the_end: Callable[[str], Awaitable[None]] | None = None

    async def extent(self) -> Extent | None:
        self._check()
        return None if self.wanted is None else Extent(self.wanted, "app=md-icapsrv")

    async def scale_to_zero(self) -> Extent | None:
        self._check()
        self.scaled, self.wanted = self.scaled + 1, 0
        self.leaving = list(self.pods)
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._end())
        return Extent(0, "app=md-icapsrv")

    async def remaining(self, selector: str) -> Remaining:
        assert selector == "app=md-icapsrv"
        return Remaining(len(self.pods), len(self.leaving))

    async def _end(self) -> None:
        await asyncio.sleep(self.ends_after)
        for pod in list(self.leaving):
            if self.at_the_end is not None:
                await self.at_the_end(pod)
            self.pods.remove(pod)
            self.bench.owners.standings[pod] = Standing.GONE
        self.leaving = []

    def _check(self) -> None:
        if asyncio.get_running_loop().time() < self.forbidden_until:
            raise FORBIDDEN


class Scene:
    """One release with its workload."""

    def __init__(self, **workload: object) -> None:
        self.bench = Bench()
        self.workload = FakeWorkload(self.bench, **workload)  # type: ignore[arg-type]

    async def seat(self, deployment_id: str, pod: str, **changes: object) -> Stored:
        given = {"release": RELEASE, "namespace": NAMESPACE, **changes}
        return await self.bench.seat(deployment_id, pod, **given)  # type: ignore[arg-type]

    async def give_back(self, pod: str) -> None:
        """Do what the pod's own sidecar does at its end."""
        for stored in self.bench.ledger.content.records:
            if stored.record.owner.pod == pod:
                self.bench.server.seats.discard(
                    (stored.record.identity.key_fingerprint, stored.record.identity.deployment_id)
                )
                await self.bench.ledger.erase(stored)

    async def drained(self, *, seconds: float = 240.0) -> tuple[Account, float]:
        """Drain and return how it went, and how long it took."""
        began = self.bench.loop.time()
        orders = Orders(
            release=RELEASE, namespace=NAMESPACE, workload="deployment/it", until=began + seconds, call_timeout=10.0
        )
        drain = Drain(self.bench.reclaimer, self.workload, orders, self.bench.heard)
        await drain.run()
        return drain.account(), self.bench.loop.time() - began


def fates(account: Account) -> dict[str, Fate]:
    """Return the fate of each seat."""
    return {it.deployment_id: it.fate for it in account.results}


def told(tell: Callable[[], Awaitable[None]]) -> None:
    """Run a story."""
    on_virtual_time(tell)


def test_pods_give_their_seats_back_themselves() -> None:
    """Scaled to 0, waited for, and nothing is asked of the server by us."""

    async def tell() -> None:
        scene = Scene(wanted=2, pods=["a", "b"])
        scene.workload.at_the_end = scene.give_back
        for deployment_id, pod in (("A", "a"), ("B", "b")):
            await scene.seat(deployment_id, pod, standing=Standing.LIVE)
        account, seconds = await scene.drained()
        assert fates(account) == {"A": Fate.ELSEWHERE, "B": Fate.ELSEWHERE}
        assert (account.left, account.troubles, account.pods.pods) == ((), [], 0)
        assert (scene.workload.scaled, scene.bench.server.asked) == (1, [])
        assert seconds < 8.0
        assert scene.bench.heard.steps[:2] == [
            "deployment/it is scaled from 2 to 0",
            "the release icap has 2 pods (2 being deleted) and 2 seat records",
        ]

    told(tell)


def test_NO_LEAK_what_dead_pods_left_is_reclaimed_after_a_lease() -> None:  # noqa: N802 - the invariant's name
    """One was handed over and goes at once, one is watched for a lease first; all seats are free in time."""

    async def tell() -> None:
        scene = Scene(wanted=1, pods=["a"])
        await scene.seat("A", "a", standing=Standing.LIVE)
        await scene.seat("B", "b")
        await scene.seat("C", "c", phase=Phase.HANDOVER)
        account, seconds = await scene.drained()
        assert fates(account) == dict.fromkeys("ABC", Fate.RELEASED)
        assert scene.bench.taken() == scene.bench.records() == []
        asked = {deployment_id: at for at, _, deployment_id in scene.bench.server.asked}
        assert asked["C"] < 2.0
        assert asked["B"] >= LEASE
        assert seconds < LEASE + 10.0

    told(tell)


def test_NO_THEFT_seats_of_other_releases_stay() -> None:  # noqa: N802 - the invariant's name
    """Neither an orphan nor what was handed over, nor what one of the same name left in another namespace."""

    async def tell() -> None:
        scene = Scene()
        await scene.seat("A", "a")
        await scene.seat("B", "b", release="other")
        await scene.seat("C", "c", release="other", phase=Phase.HANDOVER)
        await scene.seat("D", "d", release="")
        await scene.seat("E", "e", namespace="abroad")
        account, seconds = await scene.drained()
        assert fates(account) == {"A": Fate.RELEASED}
        assert scene.bench.taken() == ["B", "C", "D", "E"]
        assert seconds < LEASE + 10.0

    told(tell)


def test_a_workload_that_is_gone_already_is_fine() -> None:
    """The records are drained all the same, and nothing is scaled."""

    async def tell() -> None:
        scene = Scene(wanted=None)
        await scene.seat("A", "a")
        account, _ = await scene.drained()
        assert fates(account) == {"A": Fate.RELEASED}
        assert scene.bench.heard.steps.count("there is no deployment/it any more") == 1
        assert scene.workload.scaled == 0

    told(tell)


def test_nothing_at_all_is_told_within_seconds() -> None:
    """Two looks, for a record may be about to be written."""

    async def tell() -> None:
        account, seconds = await Scene().drained()
        assert (account.results, account.seen) == ([], True)
        assert 0.0 < seconds < 3.0

    told(tell)


def test_whoever_scales_up_again_is_scaled_down_again() -> None:
    """An autoscaler that does not know of the uninstall."""

    async def tell() -> None:
        scene = Scene(wanted=1, pods=["a"], ends_after=10.0)
        scene.workload.at_the_end = scene.give_back
        await scene.seat("A", "a", standing=Standing.LIVE)

        def scale_up() -> None:
            scene.workload.wanted = 3

        scene.bench.loop.call_later(4.0, scale_up)
        await scene.drained()
        assert scene.workload.scaled == 2

    told(tell)


def test_rights_that_come_late_are_waited_for() -> None:
    """The hook's Role is known to the API server after 20 s: then it goes on as usual, and the trouble is forgotten."""

    async def tell() -> None:
        scene = Scene(wanted=1, pods=["a"], forbidden_until=20.0)
        scene.workload.at_the_end = scene.give_back
        await scene.seat("A", "a", standing=Standing.LIVE)
        account, seconds = await scene.drained()
        assert (fates(account), account.troubles) == ({"A": Fate.ELSEWHERE}, [])
        assert 20.0 < seconds < 30.0
        assert scene.bench.heard.steps[0] == "scaling deployment/it to 0: the API server answers 403: no; trying again"

    told(tell)


def test_without_the_right_to_scale_it_does_what_it_can_and_ends() -> None:
    """After half a minute: what lives stays, with the reason; what is handed over is released."""

    async def tell() -> None:
        scene = Scene(wanted=1, pods=["a"], forbidden_until=1000.0)
        await scene.seat("A", "a", standing=Standing.LIVE)
        await scene.seat("C", "c", phase=Phase.HANDOVER)
        account, seconds = await scene.drained()
        assert fates(account) == {"A": Fate.WAITING, "C": Fate.RELEASED}
        assert account.troubles == ["scaling deployment/it to 0: the API server answers 403: no"]
        assert 30.0 <= seconds < 40.0
        assert scene.bench.taken() == ["A"]

    told(tell)


@pytest.mark.parametrize(("lasting", "least", "most"), [(True, 30.0, 35.0), (False, 230.0, 240.0)])
def test_a_ledger_that_cannot_be_seen_is_told_in_time(
    lasting: bool, least: float, most: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What somebody must mend is tried for half a minute, an outage to the end; nothing is said about seats then."""

    async def tell() -> None:
        scene = Scene()
        await scene.seat("A", "a")

        async def fails() -> object:
            raise LedgerOutage("no luck", lasting=lasting)

        monkeypatch.setattr(scene.bench.ledger, "list", fails)
        account, seconds = await scene.drained()
        assert (account.results, account.seen) == ([], False)
        assert account.troubles == ["looking at the seat records: no luck"]
        assert least <= seconds <= most
        assert scene.bench.heard.steps.count("looking at the seat records: no luck; trying again") == 1

    told(tell)


def test_a_ledger_that_cannot_be_written_is_told_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the right to claim nothing is released and nobody asked; half a minute is enough to say so."""

    async def tell() -> None:
        scene = Scene()
        await scene.seat("A", "a", phase=Phase.HANDOVER)

        async def fails(*_: object) -> Stored:
            raise FORBIDDEN

        monkeypatch.setattr(scene.bench.ledger, "replace", fails)
        account, seconds = await scene.drained()
        assert fates(account) == {"A": Fate.WAITING}
        assert account.troubles == ["reclaiming: the API server answers 403: no"]
        assert 30.0 <= seconds <= 35.0
        assert scene.bench.server.asked == []
        assert scene.bench.heard.steps.count(f"{account.troubles[0]}; trying again") == 1

    told(tell)


def test_a_ledger_that_comes_back_is_drained() -> None:
    """An outage in the middle costs time only; the lease is watched from when it was first seen."""

    async def tell() -> None:
        scene = Scene()
        await scene.seat("A", "a")
        real = scene.bench.ledger.list

        async def flickers() -> object:
            if 10.0 < scene.bench.loop.time() < 50.0:
                raise LedgerOutage("away")
            return await real()

        scene.bench.ledger.list = flickers  # type: ignore[assignment]
        account, seconds = await scene.drained()
        assert (fates(account), account.troubles) == ({"A": Fate.RELEASED}, [])
        assert seconds < LEASE + 5.0

    told(tell)


def test_a_pod_that_does_not_end_costs_the_whole_time_and_no_more() -> None:
    """Its seat stays, for it lives; the drain says so and ends before its time is up."""

    async def tell() -> None:
        scene = Scene(wanted=1, pods=["a"], ends_after=1000.0)
        await scene.seat("A", "a", standing=Standing.LIVE)
        account, seconds = await scene.drained()
        assert fates(account) == {"A": Fate.WAITING}
        assert [it.stored.record.identity.deployment_id for it in account.left] == ["A"]
        assert account.pods == Remaining(1, 1)
        assert 235.0 <= seconds <= 240.0
        assert scene.bench.taken() == ["A"]

    told(tell)


def test_pods_whose_seats_are_free_are_not_waited_for() -> None:
    """A pod on a dead node hangs in its deletion for ever: without a record it is no affair of ours."""

    async def tell() -> None:
        scene = Scene(wanted=1, pods=["a"], ends_after=1000.0)
        account, seconds = await scene.drained()
        assert (account.results, account.pods) == ([], Remaining(1, 1))
        assert seconds < 4.0

    told(tell)


def test_an_activation_server_that_is_away_is_tried_again() -> None:
    """Until it answers."""

    async def tell() -> None:
        scene = Scene()
        scene.bench.server.script = [outage()] * 5
        await scene.seat("A", "a", phase=Phase.HANDOVER)
        account, _ = await scene.drained()
        assert fates(account) == {"A": Fate.RELEASED}
        assert len(scene.bench.server.asked) == 6

    told(tell)


def test_an_activation_server_that_stays_away_is_told_in_time() -> None:
    """The seat is left with the reason, and no request is begun that would be cut off."""

    async def tell() -> None:
        scene = Scene()
        scene.bench.server.script = [outage()] * 1000
        await scene.seat("A", "a", phase=Phase.HANDOVER)
        account, seconds = await scene.drained(seconds=100.0)
        assert fates(account) == {"A": Fate.FAILED}
        assert "no answer" in account.results[0].why
        assert seconds <= 100.0
        assert max(at for at, _, _ in scene.bench.server.asked) < 100.0 - 10.0 - 2.0

    told(tell)


def test_a_404_gets_its_second_look_if_there_is_time() -> None:
    """Unknown twice, as far apart as late requests can be: told as unknown, not as released."""

    async def tell() -> None:
        scene = Scene()
        scene.bench.server.script = [Deactivation.UNKNOWN] * 2
        await scene.seat("A", "a", phase=Phase.HANDOVER)
        account, seconds = await scene.drained()
        assert fates(account) == {"A": Fate.UNKNOWN}
        assert seconds >= LATE
        assert scene.bench.records() == []

    told(tell)


def test_without_time_for_the_second_look_the_record_stays() -> None:
    """Whoever looks next needs it."""

    async def tell() -> None:
        scene = Scene()
        scene.bench.server.script = [Deactivation.UNKNOWN]
        await scene.seat("A", "a", phase=Phase.HANDOVER)
        account, seconds = await scene.drained(seconds=60.0)
        assert fates(account) == {"A": Fate.WAITING}
        assert seconds <= 60.0
        assert scene.bench.records() == ["A"]

    told(tell)


def test_what_no_waiting_changes_is_told_at_once() -> None:
    """A key that is not known here, another server, an owner about whom nothing can be proven."""

    async def tell() -> None:
        scene = Scene()
        await scene.seat("A", "a", key=FOREIGN)
        await scene.seat("B", "b", server="https://elsewhere.example")
        await scene.seat("C", "c", standing=Standing.UNPROVEN)
        account, seconds = await scene.drained()
        assert fates(account) == {"A": Fate.NO_KEY, "B": Fate.LEFT, "C": Fate.LEFT}
        assert "https://elsewhere.example" in {it.deployment_id: it.why for it in account.results}["B"]
        assert seconds < 5.0
        assert scene.bench.server.asked == []

    told(tell)


def test_it_can_be_told_at_any_moment() -> None:
    """A drain that is cut off knows what it has done and what it has not."""

    async def tell() -> None:
        scene = Scene()
        await scene.seat("A", "a", phase=Phase.HANDOVER)
        await scene.seat("B", "b")
        orders = Orders(release=RELEASE, namespace=NAMESPACE, workload="deployment/it", until=240.0, call_timeout=10.0)
        drain = Drain(scene.bench.reclaimer, scene.workload, orders, scene.bench.heard)
        assert not drain.account().seen
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await drain.run()
        # Before the next look, which would not find the record any more.
        assert fates(drain.account()) == {"A": Fate.RELEASED, "B": Fate.WAITING}
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30.0):
                await drain.run()
        assert fates(drain.account()) == {"A": Fate.RELEASED, "B": Fate.WAITING}

    told(tell)
