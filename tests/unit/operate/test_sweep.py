"""``reclaim --once`` on virtual time: who loses a seat, who never does, and what is told at the end."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise

import pytest

from sidecar.core.policy import CLAIM_TIME
from sidecar.core.records import Claim, Phase, Standing
from sidecar.errors import LedgerOutage
from sidecar.operate.results import REMAINS, TRIES, Fate, Result
from sidecar.operate.sweep import Sweep, forecast
from sidecar.ports import Deactivation
from tests.simulation.memory_ledger import MemoryLedger
from tests.unit.operate.bench import FOREIGN, LATE, LEASE, Bench, Heard, on_virtual_time, outage


async def swept(bench: Bench) -> dict[str, Result]:
    """Run a sweep and return its results by deployment ID."""
    results = await Sweep(bench.reclaimer, bench.heard, lease=LEASE).run()
    found = {it.deployment_id: it for it in results}
    assert len(found) == len(results)
    return found


def test_NO_LEAK_orphans_are_released_after_one_lease_of_watching() -> None:  # noqa: N802 - the invariant's name
    """Two owners are gone, one lives: the two seats are free and unrecorded, not before a lease has passed."""

    async def story() -> None:
        bench = Bench()
        await bench.seat("A", "a")
        await bench.seat("B", "b")
        await bench.seat("C", "c", standing=Standing.LIVE)
        results = await swept(bench)
        assert {name: it.fate for name, it in results.items()} == {
            "A": Fate.RELEASED,
            "B": Fate.RELEASED,
            "C": Fate.KEPT,
        }
        assert bench.taken() == bench.records() == ["C"]
        assert min(at for at, _, _ in bench.server.asked) >= LEASE
        assert bench.heard.steps[0] == "3 seat records: 1 of owners that live, 2 of owners that are gone"

    on_virtual_time(story)


def test_NO_THEFT_whoever_comes_back_while_a_turn_is_awaited_keeps_the_seat() -> None:  # noqa: N802 - the invariant
    """One release a minute: the second orphan's owner starts again in that minute, and has written nothing yet."""

    async def story() -> None:
        bench = Bench(rate=1.0)
        for name in ("A", "B"):
            await bench.seat(name, name.lower())

        async def one_comes_back() -> None:
            while not bench.server.asked:
                await asyncio.sleep(1)
            (other,) = {"A", "B"} - {it for _, _, it in bench.server.asked}
            bench.owners.standings[other.lower()] = Standing.LIVE

        async with asyncio.TaskGroup() as group:
            group.create_task(one_comes_back())
            results = await swept(bench)
        assert sorted(it.fate for it in results.values()) == sorted([Fate.RELEASED, Fate.KEPT])
        assert len(bench.server.asked) == len(bench.taken()) == len(bench.records()) == 1

    on_virtual_time(story)


def test_NO_LEAK_turns_that_are_awaited_come_all_the_same() -> None:  # noqa: N802 - the invariant's name
    """Judging again costs nobody his turn: one release a minute for five orphans."""

    async def story() -> None:
        bench = Bench(rate=1.0)
        for number in range(5):
            await bench.seat(f"MSCL{number}", f"web-{number}")
        results = await swept(bench)
        assert {it.fate for it in results.values()} == {Fate.RELEASED}
        assert bench.records() == bench.taken() == []
        assert bench.loop.time() < LEASE + 5 * 60 + 10

    on_virtual_time(story)


def test_looks_that_take_longer_than_a_lease_are_no_reason_to_give_up() -> None:
    """Ten owners, each looked at for ten seconds: what was to be watched meanwhile has been, so all are released."""

    async def story() -> None:
        bench = Bench()
        for number in range(10):
            await bench.seat(f"MSCL{number}", f"web-{number}")
        bench.owners.slowness = 10.0
        results = await swept(bench)
        assert {it.fate for it in results.values()} == {Fate.RELEASED}
        assert (bench.taken(), bench.records()) == ([], [])

    on_virtual_time(story)


def test_an_empty_ledger_is_told_at_once() -> None:
    """Nothing is watched where nothing is."""

    async def story() -> float:
        bench = Bench()
        assert await swept(bench) == {}
        assert bench.heard.steps == ["0 seat records"]
        return bench.loop.time()

    assert on_virtual_time(story) == 0.0


def test_rule_11_a_handover_needs_no_watching() -> None:
    """Its owner said so himself, even if he still lives."""

    async def story() -> float:
        bench = Bench()
        await bench.seat("A", standing=Standing.LIVE, phase=Phase.HANDOVER)
        assert (await swept(bench))["A"].fate is Fate.RELEASED
        return bench.loop.time()

    assert on_virtual_time(story) < 1.0


def test_rule_06_a_404_counts_when_it_is_seen_twice() -> None:
    """The record stays until the second look, which is at least ``late`` later, and nothing is told as released."""

    async def story() -> None:
        bench = Bench()
        await bench.seat("A", taken=False)
        result = (await swept(bench))["A"]
        assert result.fate is Fate.UNKNOWN
        assert "did not know it, twice" in result.why
        first, second = (at for at, _, _ in bench.server.asked)
        assert second - first >= LATE
        assert bench.records() == []

    on_virtual_time(story)


def test_rule_04_a_late_request_gets_a_second_release() -> None:
    """``open``: the seat is released, taken late by a request that was under way, and released again."""

    async def story() -> None:
        bench = Bench()
        stored = await bench.seat("A", open=True)
        identity = stored.record.identity

        async def late_activation() -> None:
            await asyncio.sleep(LEASE + 30)
            bench.server.seats.add((identity.key_fingerprint, "A"))

        late = asyncio.get_running_loop().create_task(late_activation())
        assert (await swept(bench))["A"].fate is Fate.RELEASED
        await late
        assert bench.taken() == bench.records() == []
        assert bench.server.asked[-1][0] - bench.server.asked[0][0] >= LATE - LEASE

    on_virtual_time(story)


def test_NO_THEFT_a_record_that_is_renewed_meanwhile_is_left_alone() -> None:  # noqa: N802 - the invariant's name
    """The lock was free for a moment only: its owner came back and renews."""

    async def story() -> None:
        bench = Bench()
        stored = await bench.seat("A", "a")

        async def come_back() -> None:
            await asyncio.sleep(LEASE / 2)
            bench.owners.standings["a"] = Standing.LIVE
            await bench.renew(stored)

        back = asyncio.get_running_loop().create_task(come_back())
        assert (await swept(bench))["A"].fate is Fate.KEPT
        await back
        assert bench.taken() == ["A"]
        assert bench.server.asked == []

    on_virtual_time(story)


def test_unproven_owners_are_left_for_the_operator_to_decide() -> None:
    """They remain, which the exit code tells, and it is said what would release them."""

    async def story() -> None:
        bench = Bench()
        await bench.seat("A", standing=Standing.UNPROVEN)
        result = (await swept(bench))["A"]
        assert result.fate is Fate.LEFT
        assert result.fate in REMAINS
        assert "--all" in result.why
        assert bench.taken() == ["A"]

    on_virtual_time(story)


@pytest.mark.parametrize("unproven", [False, True], ids=["once", "all"])
def test_NO_THEFT_an_unproven_owner_that_renews_is_never_robbed(unproven: bool) -> None:  # noqa: N802 - the invariant's name
    """On a network file system its lock looks free to us, but its record changes before our eyes."""

    async def story() -> None:
        bench = Bench(unproven=unproven)
        stored = await bench.seat("A", standing=Standing.UNPROVEN)

        async def renew() -> None:
            while True:
                await asyncio.sleep(15)
                await bench.renew(stored)

        renewing = asyncio.get_running_loop().create_task(renew())
        result = (await swept(bench))["A"]
        renewing.cancel()
        with suppress(asyncio.CancelledError):
            await renewing
        assert bench.taken() == ["A"]
        assert bench.server.asked == []
        assert (result.fate is Fate.KEPT) != unproven

    on_virtual_time(story)


def test_all_releases_the_seats_of_unproven_owners_after_a_lease() -> None:
    """An operator said so; those that live are kept all the same."""

    async def story() -> None:
        bench = Bench(unproven=True)
        await bench.seat("A", "a", standing=Standing.UNPROVEN)
        await bench.seat("B", "b", standing=Standing.LIVE)
        results = await swept(bench)
        assert (results["A"].fate, results["B"].fate) == (Fate.RELEASED, Fate.KEPT)
        assert bench.taken() == ["B"]
        assert bench.server.asked[0][0] >= LEASE

    on_virtual_time(story)


def test_an_outage_is_tried_three_times_and_then_remains() -> None:
    """The record stays, for the next run."""

    async def story() -> None:
        bench = Bench()
        await bench.seat("A")
        bench.server.script = [outage(), outage(), outage(), Deactivation.RELEASED]
        result = (await swept(bench))["A"]
        assert (result.fate, result.why) == (Fate.FAILED, "activation server: no answer")
        assert len(bench.server.asked) == 3
        assert bench.records() == ["A"]

    on_virtual_time(story)


def test_an_outage_that_passes_costs_nothing() -> None:
    """Our own claim does not keep us away."""

    async def story() -> float:
        bench = Bench()
        await bench.seat("A", phase=Phase.HANDOVER)
        bench.server.script = [outage()]
        assert (await swept(bench))["A"].fate is Fate.RELEASED
        return bench.loop.time()

    assert on_virtual_time(story) < 10.0


def test_rule_12_anothers_claim_is_respected_until_it_lapses() -> None:
    """30 s by our own observation."""

    async def story() -> None:
        bench = Bench()
        await bench.seat("A", phase=Phase.HANDOVER, claim="somebody")
        assert (await swept(bench))["A"].fate is Fate.RELEASED
        assert bench.server.asked[0][0] >= 30.0

    on_virtual_time(story)


def test_rule_12_a_claim_that_is_seen_late_is_waited_for_too() -> None:
    """While we release one seat, somebody claims the other and dies: there is time for that claim to lapse."""

    async def story() -> None:
        bench = Bench()
        await bench.seat("MSCL1", "web-0")
        await bench.seat("MSCL2", "web-1")

        async def claim() -> None:
            bench.server.before = None
            await asyncio.sleep(8.0)
            other = next(it for it in bench.ledger.content.records if it.record.claim is None)
            await bench.ledger.replace(other, replace(other.record, claim=Claim("somebody", 0.0)))

        bench.server.before = claim
        results = await swept(bench)
        assert {it.fate for it in results.values()} == {Fate.RELEASED}
        assert (bench.taken(), bench.records()) == ([], [])

    on_virtual_time(story)


def test_an_owner_that_is_faster_than_our_claim_keeps_its_seat() -> None:
    """Compare-and-swap: what changed between the last look and the claim is not touched, and told as not done."""

    async def story() -> None:
        bench = Bench()
        stored = await bench.seat("A")
        renewals = 0

        async def before(operation: str, _name: str) -> None:
            nonlocal renewals
            if operation == "replace" and renewals == 0:
                renewals += 1
                await bench.renew(stored)

        view = bench.ledger.seen_by(before)
        bench.reclaimer.releaser._ledger = view
        result = (await swept(bench))["A"]
        assert bench.server.asked == []
        assert result.fate is Fate.FAILED
        assert "its owner lives" in result.why

    on_virtual_time(story)


@pytest.mark.parametrize(("lost", "fate"), [(5, Fate.RELEASED), (math.inf, Fate.FAILED)], ids=["often", "for ever"])
def test_a_race_that_is_lost_again_and_again_is_no_failure_until_nothing_gets_done(lost: float, fate: Fate) -> None:
    """Ten reclaimers on one seat: whoever loses looks again. Where that never ends, the run does."""

    async def story() -> float:
        bench = Bench()
        stored = await bench.seat("A", phase=Phase.HANDOVER)
        races = 0

        async def before(operation: str, _name: str) -> None:
            nonlocal races
            if operation == "replace" and races < lost:
                races += 1
                await bench.renew(stored)

        bench.reclaimer.releaser._ledger = bench.ledger.seen_by(before)
        assert (await swept(bench))["A"].fate is fate
        assert races > TRIES
        return bench.loop.time()

    assert on_virtual_time(story) < LEASE + CLAIM_TIME + 10.0


def test_what_others_finish_meanwhile_is_told_as_theirs() -> None:
    """Between our two looks at a seat that the server did not know, a running sidecar erased its record."""

    async def story() -> None:
        bench = Bench()
        stored = await bench.seat("A", taken=False, phase=Phase.HANDOVER)

        async def finish() -> None:
            await asyncio.sleep(LATE / 2)
            current = await bench.ledger.read(stored.name)
            assert current is not None
            await bench.ledger.erase(current)

        other = asyncio.get_running_loop().create_task(finish())
        assert (await swept(bench))["A"].fate is Fate.ELSEWHERE
        await other

    on_virtual_time(story)


def test_a_seat_under_an_unknown_key_remains_if_its_owner_is_gone() -> None:
    """It is said which key is missing; no key of ours is sent for it."""

    async def story() -> None:
        bench = Bench()
        await bench.seat("A", "a", key=FOREIGN)
        await bench.seat("B", "b", key=FOREIGN, standing=Standing.LIVE)
        await bench.seat("C", "c", server="https://other.example")
        results = await swept(bench)
        assert [results[name].fate for name in "ABC"] == [Fate.NO_KEY, Fate.KEPT, Fate.KEPT]
        assert FOREIGN.fingerprint in results["A"].why
        assert "previous" in results["A"].why
        assert bench.server.asked == []

    on_virtual_time(story)


def test_a_record_without_an_id_is_reported() -> None:
    """Route ``app``: there is nothing that could be released."""

    async def story() -> None:
        bench = Bench()
        await bench.seat("", taken=False)
        result = (await swept(bench))[""]
        assert result.fate is Fate.REPORTED
        assert result.fate not in REMAINS
        assert bench.server.asked == []

    on_virtual_time(story)


def test_an_owner_that_ends_while_we_watch_others_remains() -> None:
    """It was not watched for a lease, which is said, and the exit code tells that something remains."""

    async def story() -> None:
        bench = Bench()
        await bench.seat("A", "a")
        await bench.seat("B", "b", standing=Standing.LIVE)
        stored = next(it for it in bench.ledger.content.records if it.record.owner.pod == "b")

        async def end() -> None:
            await asyncio.sleep(LEASE - 5)
            await bench.renew(stored)
            bench.owners.standings["b"] = Standing.GONE

        ending = asyncio.get_running_loop().create_task(end())
        results = await swept(bench)
        await ending
        assert (results["A"].fate, results["B"].fate) == (Fate.RELEASED, Fate.WAITING)
        assert results["B"].fate in REMAINS
        assert bench.taken() == ["B"]

    on_virtual_time(story)


def test_the_rate_is_kept_before_the_claim() -> None:
    """Five seats at two a minute: the first two at once, the others half a minute apart."""

    async def story() -> None:
        bench = Bench(rate=2.0)
        for name in "ABCDE":
            await bench.seat(name, name, phase=Phase.HANDOVER)
        await swept(bench)
        moments = [at for at, _, _ in bench.server.asked]
        assert moments[1] - moments[0] < 1
        assert all(29 < later - earlier < 31 for earlier, later in pairwise(moments[1:]))

    on_virtual_time(story)


def test_a_person_sees_the_time_pass() -> None:
    """On a terminal the wait is told again and again, elsewhere once."""

    async def story(pause: float) -> int:
        bench = Bench()
        bench.heard = Heard(pause)
        await bench.seat("A")
        await swept(bench)
        assert bench.heard.waited[0] == ("watching whether somebody renews 1 seat", 0.0, LEASE)
        return len(bench.heard.waited)

    assert on_virtual_time(lambda: story(float("inf"))) == 1
    assert on_virtual_time(lambda: story(1.0)) >= 60


def test_a_ledger_that_fails_ends_the_run() -> None:
    """It is for the command line to tell."""

    async def story() -> None:
        bench = Bench()

        async def fail(_operation: str, _name: str) -> None:
            raise LedgerOutage("the disk is gone")

        bench.reclaimer._ledger = MemoryLedger(fail)
        with pytest.raises(LedgerOutage, match="the disk is gone"):
            await swept(bench)

    on_virtual_time(story)


def test_a_dry_run_says_what_would_be_done_and_does_nothing() -> None:
    """One look, no waiting, no request, no write."""

    async def story() -> float:
        bench = Bench()
        await bench.seat("A", "a", phase=Phase.HANDOVER)
        await bench.seat("B", "b")
        await bench.seat("C", "c", standing=Standing.LIVE)
        await bench.seat("D", "d", standing=Standing.UNPROVEN)
        await bench.seat("E", "e", key=FOREIGN)
        await bench.seat("F", "f", claim="somebody")
        await bench.seat("", "g", taken=False)
        before = bench.ledger.content
        told = {it.deployment_id: it for it in forecast(await bench.reclaimer.scan(), lease=LEASE)}
        assert [told[name].fate for name in ("A", "B", "C", "D", "E", "F", "")] == [
            Fate.PLANNED,
            Fate.PLANNED,
            Fate.KEPT,
            Fate.LEFT,
            Fate.NO_KEY,
            Fate.PLANNED,
            Fate.REPORTED,
        ]
        assert "at once" in told["A"].why
        assert "60 s" in told["B"].why
        assert "claimed by somebody" in told["F"].why
        assert bench.ledger.content == before
        assert bench.server.asked == []
        return bench.loop.time()

    assert on_virtual_time(story) == 0.0
