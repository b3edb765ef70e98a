"""``import`` where the pods can be looked at: one that lives keeps its ID, and so does one that we must not see."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sidecar.core.records import Sight, Standing
from sidecar.operate.results import Fate
from sidecar.operate.takeover import LeftBehind, carry_out, foresee, look, plan
from tests.unit.operate.bench import KEY, Bench, on_virtual_time

SIGHTS = {
    "lives": Sight(Standing.LIVE, "its pod is there"),
    "ended": Sight(Standing.GONE, "its pod has ended (Failed)"),
    "gone": Sight(Standing.GONE, "the pod gone does not exist"),
    "hidden": Sight(Standing.UNPROVEN, "we may not look"),
}


class Pods:
    """The port ``NamedPods``."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def look(self, name: str) -> Sight | None:
        self.asked.append(name)
        return SIGHTS.get(name)


def told(tell: Callable[[Bench], Awaitable[None]]) -> None:
    """Run a story."""

    async def story() -> None:
        await tell(Bench())

    on_virtual_time(story)


async def fates(
    bench: Bench, *entries: LeftBehind, in_use: frozenset[str] = frozenset(), act: bool = True
) -> dict[str, tuple[Fate, str]]:
    """Return fate and reason of each ID under the first key."""
    pods = Pods()
    sights = await look(entries, in_use, pods)
    plans = plan(entries, in_use, await bench.reclaimer.scan(), sights)
    results = await carry_out(plans, bench.reclaimer, bench.keys[:1], bench.heard) if act else foresee(plans)
    return {it.deployment_id: (it.fate, it.why) for it in results}


def test_only_what_no_living_pod_stands_for_is_released() -> None:
    """Pods that are gone or have ended lose their seats; the others keep them, and it is said why."""

    async def tell(bench: Bench) -> None:
        entries = [LeftBehind(f"MSCL{name}", name) for name in SIGHTS] + [LeftBehind("MSCLnameless", "")]
        bench.server.seats = {(KEY.fingerprint, it.deployment_id) for it in entries}
        foreseen = await fates(bench, *entries, act=False)
        assert bench.server.asked == []
        done = await fates(bench, *entries)
        assert bench.taken() == ["MSCLhidden", "MSCLlives"]
        assert done["MSCLlives"] == (Fate.KEPT, "its pod is there")
        assert done["MSCLhidden"] == (Fate.KEPT, "we may not look")
        assert {name for name, (fate, _) in foreseen.items() if fate is Fate.PLANNED} == {
            name for name, (fate, _) in done.items() if fate is Fate.RELEASED
        }
        assert foreseen["MSCLgone"][1] == (
            "would be released: the pod gone does not exist, and the ledger knows no owner of it"
        )
        assert foreseen["MSCLnameless"][1] == "would be released: the ledger knows no owner of it"

    told(tell)


def test_an_id_under_two_names_is_kept_if_one_of_them_lives() -> None:
    """In whatever order they stand there."""

    async def tell(bench: Bench) -> None:
        for names in (("gone", "lives"), ("lives", "gone")):
            bench.server.seats = {(KEY.fingerprint, "MSCL1")}
            done = await fates(bench, *(LeftBehind("MSCL1", name) for name in names), act=False)
            assert done["MSCL1"][0] in (Fate.KEPT, Fate.SKIPPED)
            await fates(bench, *(LeftBehind("MSCL1", name) for name in names))
            assert bench.taken() == ["MSCL1"]

    told(tell)


def test_a_record_knows_more_than_a_name() -> None:
    """A pod's successor of the same name lives: the record says that the seat was its predecessor's."""

    async def tell(bench: Bench) -> None:
        await bench.seat("MSCL1", "lives", standing=Standing.GONE)
        await bench.seat("MSCL2", "gone", standing=Standing.LIVE)
        done = await fates(bench, LeftBehind("MSCL1", "lives"), LeftBehind("MSCL2", "gone"))
        assert done["MSCL1"][0] is Fate.RELEASED
        assert done["MSCL2"][0] is Fate.KEPT
        assert bench.taken() == ["MSCL2"]

    told(tell)


def test_nobody_is_looked_at_in_vain() -> None:
    """Neither for what is no ID, nor for what is in use, nor twice."""

    async def tell(bench: Bench) -> None:
        pods = Pods()
        entries = [
            LeftBehind("-", "faulty", "is no ID"),
            LeftBehind("MSCL1", "used"),
            LeftBehind("MSCL2", "gone"),
            LeftBehind("MSCL3", "gone"),
            LeftBehind("MSCL4", "No Pod's Name"),
            LeftBehind("MSCL5", ""),
        ]
        sights = await look(entries, frozenset({"MSCL1"}), pods)
        assert pods.asked == ["gone", "No Pod's Name"]
        assert list(sights) == ["gone"]
        assert bench.server.asked == []

    told(tell)
