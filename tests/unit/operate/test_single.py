"""``release ID`` and ``import`` on virtual time: what is refused, what is looked at twice, what is never touched."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sidecar.core.records import Identity, Owner, Phase, SeatRecord, Standing
from sidecar.operate.results import Fate, Result
from sidecar.operate.single import Wish, release
from sidecar.operate.takeover import LeftBehind, carry_out, foresee, plan
from sidecar.ports import Deactivation
from tests.unit.operate.bench import FOREIGN, FORMER, KEY, LATE, SERVER, Bench, on_virtual_time, outage


async def released(bench: Bench, deployment_id: str = "A", **wish: bool) -> tuple[Result, ...]:
    """Release one ID."""
    return await release(bench.reclaimer, Wish(deployment_id=deployment_id, **wish), bench.keys, bench.heard)  # type: ignore[arg-type]


def fates(results: Sequence[Result]) -> list[Fate]:
    """Return what became of each."""
    return [it.fate for it in results]


def test_the_seat_of_an_owner_that_is_gone_is_released_at_once() -> None:
    """A person asks for it by name: no lease of watching."""

    async def story() -> float:
        bench = Bench()
        await bench.seat("A", "a")
        await bench.seat("B", "b")
        assert fates(await released(bench)) == [Fate.RELEASED]
        assert bench.taken() == bench.records() == ["B"]
        return bench.loop.time()

    assert on_virtual_time(story) < 1.0


def test_NO_THEFT_a_living_owner_keeps_its_seat_without_force() -> None:  # noqa: N802 - the invariant's name
    """It is said what would release it; with force it is released, and said that its owner takes it again."""

    async def story() -> None:
        bench = Bench()
        await bench.seat("A", "a", standing=Standing.LIVE)
        (result,) = await released(bench)
        assert (result.fate, bench.taken(), bench.server.asked) == (Fate.REFUSED, ["A"], [])
        assert "--force" in result.why
        (result,) = await released(bench, force=True)
        assert (result.fate, bench.taken(), bench.records()) == (Fate.RELEASED, [], [])
        assert "take it again" in result.why

    on_virtual_time(story)


def test_an_owner_whose_end_nobody_can_prove_needs_force_too() -> None:
    """It may live on another machine."""

    async def story() -> None:
        bench = Bench()
        await bench.seat("A", standing=Standing.UNPROVEN)
        assert fates(await released(bench)) == [Fate.REFUSED]
        assert fates(await released(bench, force=True)) == [Fate.RELEASED]

    on_virtual_time(story)


def test_what_was_handed_over_needs_no_force() -> None:
    """Its owner said so himself."""

    async def story() -> None:
        bench = Bench()
        await bench.seat("A", standing=Standing.LIVE, phase=Phase.HANDOVER)
        (result,) = await released(bench)
        assert result.fate is Fate.RELEASED
        assert "again" not in result.why

    on_virtual_time(story)


def test_rule_06_a_404_is_left_for_a_second_look_or_waited_for() -> None:
    """Without ``wait`` the record stays and it is said what finishes it; with it the second look is taken here."""

    async def story() -> None:
        bench = Bench()
        await bench.seat("A", taken=False)
        (result,) = await released(bench)
        assert (result.fate, bench.records()) == (Fate.WAITING, ["A"])
        assert "--wait" in result.why
        began = bench.loop.time()
        (result,) = await released(bench, wait=True)
        assert (result.fate, bench.records()) == (Fate.UNKNOWN, [])
        assert bench.loop.time() - began >= LATE

    on_virtual_time(story)


def test_rule_04_an_open_record_is_released_twice() -> None:
    """The seat is free at once, and free for good after ``late``."""

    async def story() -> None:
        bench = Bench()
        await bench.seat("A", open=True)
        (result,) = await released(bench)
        assert (result.fate, bench.taken(), bench.records()) == (Fate.WAITING, [], ["A"])
        assert "late" in result.why
        await bench.seat("B", open=True)
        assert fates(await released(bench, "B", wait=True)) == [Fate.RELEASED]
        assert (bench.taken(), bench.records()) == ([], ["A"])

    on_virtual_time(story)


def test_rule_12_a_claim_of_another_is_waited_for_or_told() -> None:
    """It may be releasing the seat just now."""

    async def story() -> None:
        bench = Bench()
        await bench.seat("A", claim="somebody")
        (result,) = await released(bench)
        assert (result.fate, bench.server.asked) == (Fate.WAITING, [])
        assert fates(await released(bench, wait=True)) == [Fate.RELEASED]
        assert bench.server.asked[0][0] >= 30.0

    on_virtual_time(story)


def test_an_outage_is_tried_three_times() -> None:
    """Then it is told in the words of the failure, and the record stays."""

    async def story() -> None:
        bench = Bench()
        await bench.seat("A")
        bench.server.script = [outage(), outage(), outage()]
        (result,) = await released(bench)
        assert (result.fate, result.why, bench.records()) == (Fate.FAILED, "activation server: no answer", ["A"])

    on_virtual_time(story)


def test_a_record_that_vanishes_between_two_attempts_is_told_as_finished_by_others() -> None:
    """Nothing is asked about it any more."""

    async def story() -> None:
        bench = Bench()
        stored = await bench.seat("A")
        bench.server.script = [outage()]

        async def finish() -> None:
            await asyncio.sleep(1.0)
            current = await bench.ledger.read(stored.name)
            assert current is not None
            await bench.ledger.erase(current)

        other = asyncio.get_running_loop().create_task(finish())
        assert fates(await released(bench)) == [Fate.ELSEWHERE]
        await other
        assert len(bench.server.asked) == 1

    on_virtual_time(story)


def test_a_forced_release_does_not_fight_with_an_owner_that_takes_its_seat_again() -> None:
    """It is said, once, that the owner has it again."""

    async def story() -> None:
        bench = Bench()
        stored = await bench.seat("A", standing=Standing.LIVE, open=True)

        async def take_again() -> None:
            await asyncio.sleep(15)
            current = await bench.ledger.read(stored.name)
            assert current is not None
            await bench.ledger.replace(current, stored.record)

        owner = asyncio.get_running_loop().create_task(take_again())
        (result,) = await released(bench, force=True, wait=True)
        await owner
        assert result.fate is Fate.ELSEWHERE
        assert "taken it again" in result.why
        assert len(bench.server.asked) == 1

    on_virtual_time(story)


def test_the_records_of_other_servers_and_keys_are_refused_with_the_reason() -> None:
    """Our key is not sent elsewhere, and another key is not tried on it (rules 6 and 9)."""

    async def story() -> None:
        bench = Bench()
        await bench.seat("A", server="https://other.example")
        await bench.seat("B", key=FOREIGN)
        (elsewhere,) = await released(bench, "A", force=True)
        (keyless,) = await released(bench, "B", force=True)
        assert (elsewhere.fate, keyless.fate) == (Fate.REFUSED, Fate.NO_KEY)
        assert "https://other.example" in elsewhere.why
        assert FOREIGN.fingerprint in keyless.why
        assert bench.server.asked == []

    on_virtual_time(story)


def test_an_id_under_two_keys_has_two_seats_and_one_can_be_meant() -> None:
    """After a change of the key; without the fingerprint both are meant."""

    async def story() -> None:
        bench = Bench()
        await bench.seat("A", key=KEY)
        await bench.seat("A", key=FORMER)
        wish = Wish(deployment_id="A", key_fingerprint=FORMER.fingerprint)
        results = await release(bench.reclaimer, wish, (FORMER.fingerprint,), bench.heard)
        assert [(it.key_fingerprint, it.fate) for it in results] == [(FORMER.fingerprint, Fate.RELEASED)]
        assert bench.server.seats == {(KEY.fingerprint, "A")}
        assert fates(await released(bench)) == [Fate.RELEASED]

    on_virtual_time(story)


def test_an_id_without_a_record_is_asked_about_under_every_key() -> None:
    """A 404 is told as unknown under that key, an outage as a failure."""

    async def story() -> None:
        bench = Bench()
        bench.server.seats.add((FORMER.fingerprint, "A"))
        results = await released(bench)
        assert [(it.key_fingerprint, it.fate) for it in results] == [
            (KEY.fingerprint, Fate.UNKNOWN),
            (FORMER.fingerprint, Fate.RELEASED),
        ]
        assert "unknown under this key" in results[0].why
        bench.server.script = [outage()]
        assert fates(await released(bench)) == [Fate.FAILED, Fate.UNKNOWN]

    on_virtual_time(story)


def ids(*names: str) -> list[LeftBehind]:
    """Return IDs as an import reads them."""
    return [LeftBehind(name, f"pod-{name}") for name in names]


def test_an_import_decides_before_it_asks_anybody() -> None:
    """What is in use, alive, unproven, named twice or no ID is left alone."""

    async def story() -> None:
        bench = Bench()
        await bench.seat("LIVE", "a", standing=Standing.LIVE)
        await bench.seat("DOUBT", "b", standing=Standing.UNPROVEN)
        await bench.seat("GONE", "c")
        entries = [*ids("LIVE", "DOUBT", "GONE", "LOST", "USED", "LOST"), LeftBehind("-", "p", "is empty", empty=True)]
        plans = plan(entries, frozenset({"USED"}), await bench.reclaimer.scan())
        assert fates(foresee(plans)) == [
            Fate.KEPT,
            Fate.KEPT,
            Fate.PLANNED,
            Fate.PLANNED,
            Fate.KEPT,
            Fate.SKIPPED,
            Fate.SKIPPED,
        ]
        assert bench.server.asked == []
        bench.server.seats.add((FORMER.fingerprint, "LOST"))
        results = await carry_out(plans, bench.reclaimer, bench.keys, bench.heard)
        assert [(it.deployment_id, it.fate) for it in results[2:5]] == [
            ("GONE", Fate.RELEASED),
            ("LOST", Fate.UNKNOWN),
            ("LOST", Fate.RELEASED),
        ]
        assert bench.taken() == bench.records() == ["DOUBT", "LIVE"]

    on_virtual_time(story)


def test_an_import_can_be_run_again() -> None:
    """What was released the first time is told as unknown, never as released."""

    async def story() -> None:
        bench = Bench()
        bench.server.seats.add((KEY.fingerprint, "LOST"))
        plans = plan(ids("LOST"), frozenset(), await bench.reclaimer.scan())
        first = await carry_out(plans, bench.reclaimer, bench.keys[:1], bench.heard)
        second = await carry_out(plans, bench.reclaimer, bench.keys[:1], bench.heard)
        assert (fates(first), fates(second)) == ([Fate.RELEASED], [Fate.UNKNOWN])

    on_virtual_time(story)


def test_NO_THEFT_an_id_that_is_taken_during_a_long_import_is_left_alone() -> None:  # noqa: N802 - the invariant's name
    """Its record is looked for once more before each request."""

    async def story() -> None:
        bench = Bench()
        bench.server.seats.add((KEY.fingerprint, "A"))
        plans = plan(ids("A"), frozenset(), await bench.reclaimer.scan())
        identity = Identity(SERVER, KEY.fingerprint, "A")
        await bench.ledger.create(SeatRecord(identity, Owner("new", "uid-new"), Phase.ACTIVATING, open=True))
        (result,) = await carry_out(plans, bench.reclaimer, bench.keys[:1], bench.heard)
        assert (result.fate, bench.taken(), bench.server.asked) == (Fate.KEPT, ["A"], [])

    on_virtual_time(story)


def test_a_server_that_answers_released_first_and_404_later_is_believed() -> None:
    """Only the record of an open request asks twice; a plain 200 is final (rule 6)."""

    async def story() -> None:
        bench = Bench()
        await bench.seat("A")
        bench.server.script = [Deactivation.RELEASED, Deactivation.UNKNOWN]
        assert fates(await released(bench, wait=True)) == [Fate.RELEASED]
        assert len(bench.server.asked) == 1

    on_virtual_time(story)
