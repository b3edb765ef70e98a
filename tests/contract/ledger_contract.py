"""What every ledger promises to those who call it; each real one and the simulation's run through the same suite.

A subclass gives the fixture ``ledgers``: two handles on one empty store, as two sidecars would have them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace

import pytest

from sidecar.core.records import Claim, Listing, Phase, Stored
from sidecar.errors import Conflict
from sidecar.ports import Ledger
from tests.contract.seats import seat


class LedgerContract:
    """The behaviours; subclasses say how a store is made."""

    @pytest.fixture
    def ledgers(self) -> tuple[Ledger, Ledger]:
        """Return two handles on one empty store."""
        raise NotImplementedError

    async def test_an_empty_ledger_lists_nothing(self, ledgers: tuple[Ledger, Ledger]) -> None:
        """A ledger starts without records and without strays, and reading what is not there gives None."""
        one, _ = ledgers
        assert await one.list() == Listing(())
        assert await one.read(seat().identity.name) is None

    async def test_what_is_written_is_read_by_everybody(self, ledgers: tuple[Ledger, Ledger]) -> None:
        """Every field of a record survives, under the version that its writer was told."""
        one, two = ledgers
        full = seat(phase=Phase.RELEASING, unknown=True, claim=Claim("reclaimer-é", 12.5))
        stored = await one.create(full)
        assert stored.record == full
        assert await two.read(stored.name) == stored
        assert (await two.list()).records == (stored,)

    async def test_a_listing_is_ordered_by_name(self, ledgers: tuple[Ledger, Ledger]) -> None:
        """Records come in the order of their names, whatever the order of their making."""
        one, _ = ledgers
        made = [await one.create(seat(f"MSCL{number}")) for number in range(7)]
        assert (await one.list()).records == tuple(sorted(made, key=lambda it: it.name))

    async def test_create_conflicts_with_a_record_that_exists(self, ledgers: tuple[Ledger, Ledger]) -> None:
        """A second creation is refused, tells the record that is there, and changes nothing."""
        one, two = ledgers
        first = await one.create(seat())
        with pytest.raises(Conflict) as refusal:
            await two.create(seat(phase=Phase.ACTIVE))
        assert refusal.value.current == first
        assert await one.read(first.name) == first

    async def test_replace_changes_record_and_version(self, ledgers: tuple[Ledger, Ledger]) -> None:
        """A write over the expected version takes effect; even the same record gets a new version."""
        one, two = ledgers
        first = await one.create(seat())
        second = await one.replace(first, seat(phase=Phase.ACTIVE, open=False))
        third = await two.replace(second, second.record)
        assert await one.read(first.name) == third
        assert len({first.version, second.version, third.version}) == 3

    async def test_replace_conflicts_with_another_version(self, ledgers: tuple[Ledger, Ledger]) -> None:
        """Whoever writes over a version that is no longer there is refused and told the current one."""
        one, two = ledgers
        first = await one.create(seat())
        second = await two.replace(first, seat(phase=Phase.ACTIVE))
        with pytest.raises(Conflict) as refusal:
            await one.replace(first, seat(phase=Phase.RELEASING))
        assert refusal.value.current == second
        assert await one.read(first.name) == second

    async def test_replace_conflicts_with_nothing(self, ledgers: tuple[Ledger, Ledger]) -> None:
        """A record that was erased meanwhile does not come back by being replaced."""
        one, two = ledgers
        first = await one.create(seat())
        await two.erase(first)
        with pytest.raises(Conflict) as refusal:
            await one.replace(first, seat(phase=Phase.ACTIVE))
        assert refusal.value.current is None
        assert await one.list() == Listing(())

    async def test_a_record_never_becomes_another_seats(self, ledgers: tuple[Ledger, Ledger]) -> None:
        """Replacing a record by that of another seat is a programmer's error and changes nothing."""
        one, _ = ledgers
        first = await one.create(seat())
        with pytest.raises(ValueError, match="identity"):
            await one.replace(first, seat("MSCL2"))
        assert (await one.list()).records == (first,)

    async def test_erase_removes_exactly_the_expected_version(self, ledgers: tuple[Ledger, Ledger]) -> None:
        """Erasing another version is refused with the current one; erasing the expected one leaves nothing."""
        one, two = ledgers
        first = await one.create(seat())
        second = await two.replace(first, seat(phase=Phase.ACTIVE))
        with pytest.raises(Conflict) as refusal:
            await one.erase(first)
        assert refusal.value.current == second
        await one.erase(second)
        assert await two.read(first.name) is None

    async def test_erasing_twice_conflicts_with_nothing(self, ledgers: tuple[Ledger, Ledger]) -> None:
        """The second one is told that the record was gone already."""
        one, two = ledgers
        first = await one.create(seat())
        await two.erase(first)
        with pytest.raises(Conflict) as refusal:
            await one.erase(first)
        assert refusal.value.current is None

    async def test_a_name_that_comes_back_has_another_version(self, ledgers: tuple[Ledger, Ledger]) -> None:
        """A version of an earlier life of the name fits nothing in the later one."""
        one, two = ledgers
        first = await one.create(seat())
        await one.erase(first)
        again = await two.create(seat())
        assert again.version != first.version
        with pytest.raises(Conflict) as refusal:
            await one.erase(first)
        assert refusal.value.current == again

    async def test_of_many_creators_exactly_one_wins(self, ledgers: tuple[Ledger, Ledger]) -> None:
        """When several create the same record at once, one succeeds and all others are told the winner's."""
        attempts = [ledgers[number % 2].create(seat(renewed_at=float(number))) for number in range(8)]
        answers = await asyncio.gather(*attempts, return_exceptions=True)
        won = [answer for answer in answers if isinstance(answer, Stored)]
        lost = [answer for answer in answers if isinstance(answer, Conflict)]
        assert (len(won), len(lost)) == (1, 7)
        assert all(answer.current == won[0] for answer in lost)

    async def test_of_many_writers_exactly_one_wins_each_version(self, ledgers: tuple[Ledger, Ledger]) -> None:
        """A count that is kept by compare-and-swap loses nothing, whoever writes."""
        first = await ledgers[0].create(seat(renewed_at=0.0))

        async def add_one(ledger: Ledger) -> int:
            conflicts, current = 0, first
            while True:
                try:
                    await ledger.replace(current, replace(current.record, renewed_at=current.record.renewed_at + 1))
                except Conflict as refusal:
                    conflicts, current = conflicts + 1, refusal.current or first
                else:
                    return conflicts

        conflicts = await asyncio.gather(*(add_one(ledgers[number % 2]) for number in range(6)))
        end = await ledgers[0].read(first.name)
        assert end is not None
        assert end.record.renewed_at == 6
        assert sum(conflicts) > 0

    async def test_of_writer_and_eraser_exactly_one_wins(self, ledgers: tuple[Ledger, Ledger]) -> None:
        """The owner that renews and the reclaimer that erases the same version cannot both succeed."""
        one, two = ledgers
        first = await one.create(seat())
        renewed, erased = await asyncio.gather(
            one.replace(first, seat(renewed_at=2.0)), two.erase(first), return_exceptions=True
        )
        left = await one.read(first.name)
        if isinstance(renewed, Stored):
            assert isinstance(erased, Conflict)
            assert left == renewed
        else:
            assert isinstance(renewed, Conflict)
            assert (erased, left) == (None, None)

    async def test_follow_tells_the_present_and_each_later_change(self, ledgers: tuple[Ledger, Ledger]) -> None:
        """Creation, replacement and erasure by another are all seen, in their order."""
        one, two = ledgers
        async with aclosing(_generator(one.follow())) as listings:
            assert await _next(listings) == Listing(())
            first = await two.create(seat())
            assert (await _next(listings)).records == (first,)
            second = await two.replace(first, seat(phase=Phase.ACTIVE))
            assert (await _next(listings)).records == (second,)
            await two.erase(second)
            assert await _next(listings) == Listing(())

    async def test_follow_misses_no_last_change(self, ledgers: tuple[Ledger, Ledger]) -> None:
        """Changes while the follower is busy may be told as one, but the last state is always told."""
        one, two = ledgers
        async with aclosing(_generator(one.follow())) as listings:
            await _next(listings)
            current = await two.create(seat())
            for number in range(5):
                current = await two.replace(current, seat(renewed_at=float(number)))
            listing = await _next(listings)
            while listing.records != (current,):
                listing = await _next(listings)

    async def test_follow_is_quiet_while_nothing_changes(self, ledgers: tuple[Ledger, Ledger]) -> None:
        """Without a change there is nothing to tell."""
        one, two = ledgers
        await two.create(seat())
        async with aclosing(_generator(one.follow())) as listings:
            assert len((await _next(listings)).records) == 1
            following = asyncio.ensure_future(_next(listings))
            done, _ = await asyncio.wait([following], timeout=0.1)
            following.cancel()
            await asyncio.wait([following])
            assert not done

    async def test_a_cancelled_write_happened_or_did_not(self, ledgers: tuple[Ledger, Ledger]) -> None:
        """A caller that is cancelled leaves a whole record or none, and the ledger goes on working."""
        one, two = ledgers
        writing = asyncio.ensure_future(one.create(seat()))
        await asyncio.sleep(0)
        writing.cancel()
        await asyncio.wait([writing])
        other = await one.create(seat("MSCL2"))
        left = (await two.list()).records
        assert other in left
        assert {it.record for it in left} <= {seat(), other.record}


def _generator(listings: AsyncIterator[Listing]) -> AsyncGenerator[Listing]:
    assert isinstance(listings, AsyncGenerator), "a follower must be able to stop"
    return listings


async def _next(listings: AsyncIterator[Listing]) -> Listing:
    async with asyncio.timeout(5):
        return await anext(listings)
