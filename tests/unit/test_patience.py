"""Patience: how often something is tried, how long it is waited for, and what is told at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random

import pytest

from sidecar.core.records import Listing, Owner, Sight, Standing
from sidecar.errors import Conflict, LedgerOutage
from sidecar.patience import LONG, Patience, PatientLedger, PatientNamedPods, PatientOwners
from tests.simulation.memory_ledger import MemoryLedger

BUSY = LedgerOutage("429", retry_after=1.0)
VERY_BUSY = LedgerOutage("429", retry_after=30.0)
AWAY = LedgerOutage("503")
FORBIDDEN = LedgerOutage("403", lasting=True)


class Outside:
    """Fails as told, one error each, then succeeds; knows how long it was waited for."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0
        self.slept: list[float] = []

    def fail(self) -> None:
        """Raise the next error, if one is left."""
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)

    async def sleep(self, seconds: float) -> None:
        """Take note of a pause."""
        self.slept.append(seconds)

    async def call(self, *arguments: object) -> tuple[object, ...]:
        """Return the arguments."""
        self.fail()
        return arguments


@pytest.mark.parametrize(
    ("errors", "calls", "least"),
    [
        ([], 1, []),
        ([AWAY], 2, [0.0]),
        ([AWAY, AWAY], 3, [0.0, 0.0]),
        ([BUSY, BUSY], 3, [1.0, 1.0]),
        ([AWAY, BUSY], 3, [0.0, 1.0]),
    ],
)
async def test_a_wish_is_respected_at_each_answer(errors: list[Exception], calls: int, least: list[float]) -> None:
    """Never sooner than the server wishes, however often it was asked already."""
    outside = Outside(*errors)
    assert await Patience(Random(1), outside.sleep)(outside.call, 1, 2) == (1, 2)
    assert outside.calls == calls
    assert len(outside.slept) == len(least)
    assert all(at_least <= pause <= max(at_least, 0.2) for pause, at_least in zip(outside.slept, least, strict=True))


@pytest.mark.parametrize(
    ("errors", "calls"),
    [
        ([FORBIDDEN], 1),
        ([VERY_BUSY], 1),
        ([AWAY, FORBIDDEN], 2),
        ([AWAY, VERY_BUSY], 2),
        ([AWAY, Conflict("seat-1", None)], 2),
        ([AWAY, AWAY, AWAY], 3),
        ([BUSY, BUSY, BUSY], 3),
    ],
)
async def test_what_does_not_pass_soon_is_told_at_once(errors: list[Exception], calls: int) -> None:
    """Also at the second answer: a server that wishes for half a minute is not hammered, nor is one that forbids."""
    outside = Outside(*errors, AWAY)
    with pytest.raises(type(errors[-1])) as told:
        await Patience(Random(1), outside.sleep)(outside.call)
    assert told.value is errors[-1]
    assert (outside.calls, len(outside.slept)) == (calls, calls - 1)


async def test_a_persons_command_waits_for_longer() -> None:
    """It has only this one try."""
    outside = Outside(LedgerOutage("429", retry_after=LONG))
    await Patience(Random(1), outside.sleep, longest=LONG)(outside.call)
    assert outside.slept == [LONG]


class Everybody:
    """The ports ``Owners`` and ``NamedPods``: everybody lives."""

    def __init__(self, fail: Callable[[], None]) -> None:
        self.fail = fail
        self.sight = Sight(Standing.LIVE, "its pod is there")

    async def look(self, _whom: Owner | str) -> Sight:
        """Look at one."""
        self.fail()
        return self.sight

    async def glance(self, owners: Sequence[Owner]) -> Mapping[str, Sight]:
        """Look at many."""
        self.fail()
        return {it.uid: self.sight for it in owners}

    async def sees_itself(self) -> bool:
        """See ourselves."""
        self.fail()
        return True


async def test_a_busy_moment_ends_no_look_at_others() -> None:
    """One 429 among a thousand looks ended a scan, a list, and a sweep that had watched for minutes."""
    outside, owner = Outside(), Owner("icap-0", "uid-0", "icap")
    everybody = Everybody(outside.fail)
    owners = PatientOwners(everybody, Random(1), outside.sleep)
    pods = PatientNamedPods(everybody, Random(1), outside.sleep)
    for errors in ([BUSY], [AWAY, BUSY]):
        for call, expected in (
            (lambda: owners.look(owner), everybody.sight),
            (lambda: owners.glance([owner]), {"uid-0": everybody.sight}),
            (owners.sees_itself, True),
            (lambda: pods.look("icap-0"), everybody.sight),
        ):
            outside.errors = list(errors)
            assert await call() == expected  # type: ignore[operator]
    assert outside.calls == 4 * 2 + 4 * 3


async def test_a_ledger_is_asked_patiently() -> None:
    """The wrapped ledger's own answers come back."""
    outside = Outside(AWAY)

    async def before(_operation: str, _name: str) -> None:
        outside.fail()

    ledger = PatientLedger(MemoryLedger().seen_by(before), Random(1), outside.sleep)
    assert await ledger.list() == Listing(())
    assert outside.calls == 2
