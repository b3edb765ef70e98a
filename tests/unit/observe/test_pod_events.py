"""Which events a person finds on the pod: few, without a key, and never in anybody's way."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from sidecar.core.commands import Notice, Occasion
from sidecar.core.reasons import Failure
from sidecar.core.records import Identity, Owner, Phase, SeatRecord
from sidecar.core.view import Stage
from sidecar.errors import LedgerOutage
from sidecar.observe.pod_events import PAUSE, PodEvents
from sidecar.ports import ReclaimResult
from sidecar.secrets import MASKER, Secret

SEAT = Identity("https://activation.example", "0123456789ab", "MSCL1")
THEIRS = SeatRecord(SEAT, Owner("web-9", "uid-9"), Phase.ACTIVE, open=False)


class Journal:
    """The port ``PodJournal``, keeping what is posted."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, str, bool]] = []
        self.down = False

    async def post(self, reason: str, note: str, *, warning: bool) -> None:
        """Keep it, or fail."""
        if self.down:
            raise LedgerOutage("no answer")
        self.posted.append((reason, note, warning))


class Scene:
    """Events with a clock of their own."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.journal = Journal()
        self.events = PodEvents(self.journal, lambda: self.now)

    async def posted(self) -> list[str]:
        """Let everything that waits be posted; return the reasons."""
        task = asyncio.ensure_future(self.events.run())
        for _ in range(50):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        return [reason for reason, _, _ in self.journal.posted]


@pytest.mark.parametrize(
    ("occasion", "reason", "warning"),
    [
        (Occasion.ACTIVATED, "Activated", False),
        (Occasion.ACTIVATION_REFUSED, "ActivationRefused", True),
        (Occasion.LICENSE_LOST, "LicenseLost", True),
        (Occasion.RELEASED, "SeatReleased", False),
    ],
)
async def test_what_is_worth_an_event(occasion: Occasion, reason: str, warning: bool) -> None:
    """What happened to the pod's seat."""
    scene = Scene()
    scene.events.noticed(Notice(occasion=occasion, text="the server's sentence", identity=SEAT))
    assert await scene.posted() == [reason]
    assert scene.journal.posted[0][2] is warning


async def test_everything_else_is_for_the_log() -> None:
    """A renewal every 15 seconds is no event."""
    scene = Scene()
    for occasion in set(Occasion) - {
        Occasion.ACTIVATED,
        Occasion.ACTIVATION_REFUSED,
        Occasion.LICENSE_LOST,
        Occasion.RELEASED,
    }:
        scene.events.noticed(Notice(occasion=occasion))
    assert await scene.posted() == []


async def test_a_pod_that_only_waits_for_a_seat_is_not_refused() -> None:
    """Rule 14: told is the refusal, in the server's words, when it is one; a seat that came ends the matter."""
    scene = Scene()
    full = Notice(occasion=Occasion.ACTIVATION_REFUSED, reason=Failure.NO_SEATS, text="all in use", identity=SEAT)
    for stage in (Stage.ACTIVATING, Stage.WAITING):
        scene.events.moved(stage)
        scene.events.noticed(full)
    assert await scene.posted() == []
    scene.events.moved(Stage.REFUSED)
    assert await scene.posted() == ["ActivationRefused"]
    assert scene.journal.posted[0][1:] == ("The activation server says: all in use", True)
    scene.now += PAUSE
    scene.events.noticed(full)
    assert await scene.posted() == ["ActivationRefused"] * 2
    scene.now += PAUSE
    scene.events.moved(Stage.WAITING)
    scene.events.noticed(full)
    scene.events.noticed(Notice(occasion=Occasion.ACTIVATED, identity=SEAT))
    scene.events.moved(Stage.REFUSED)
    assert await scene.posted() == ["ActivationRefused"] * 2 + ["Activated"]


@pytest.mark.parametrize("reason", [Failure.INVALID_KEY, Failure.EXPIRED, Failure.REFUSED])
async def test_every_other_refusal_is_told_at_once(reason: Failure) -> None:
    """Nothing is waited for."""
    scene = Scene()
    scene.events.moved(Stage.ACTIVATING)
    scene.events.noticed(Notice(occasion=Occasion.ACTIVATION_REFUSED, reason=reason, text="no", identity=SEAT))
    assert await scene.posted() == ["ActivationRefused"]


async def test_at_most_one_a_minute_for_the_same_reason() -> None:
    """A flapping server must not fill etcd; other reasons have minutes of their own."""
    scene = Scene()
    for _ in range(int(3 * PAUSE)):
        scene.events.noticed(Notice(occasion=Occasion.ACTIVATION_REFUSED, text="no seats"))
        scene.now += 1.0
    scene.events.noticed(Notice(occasion=Occasion.ACTIVATED))
    assert await scene.posted() == ["ActivationRefused"] * 3 + ["Activated"]


@pytest.mark.parametrize("result", list(ReclaimResult))
async def test_a_reclaimed_seat_is_told(result: ReclaimResult) -> None:
    """Whose it was; what could not be reclaimed is for the log."""
    scene = Scene()
    scene.events.reclaimed(THEIRS, result)
    told = result in (ReclaimResult.RELEASED, ReclaimResult.PENDING)
    assert await scene.posted() == (["OrphanReclaimed"] if told else [])
    if told:
        assert "web-9" in scene.journal.posted[0][1]


async def test_a_key_is_masked() -> None:
    """NO_SECRET, also where the activation server repeats the key in its sentence."""
    key = Secret("FAKE-EVNT-0000-0000-0000-0000-0001")
    MASKER.register(key)
    scene = Scene()
    scene.events.noticed(Notice(occasion=Occasion.ACTIVATION_REFUSED, text=f"key {key.reveal()} is unknown"))
    await scene.posted()
    assert key.reveal() not in scene.journal.posted[0][1]


async def test_what_cannot_be_posted_is_dropped() -> None:
    """No right to make events, or too many at once: nobody waits, and the loop goes on."""
    scene = Scene()
    scene.journal.down = True
    scene.events.noticed(Notice(occasion=Occasion.ACTIVATED))
    assert await scene.posted() == []
    scene.journal.down = False
    for _ in range(100):
        scene.now += PAUSE
        scene.events.noticed(Notice(occasion=Occasion.ACTIVATED))
    assert 1 <= len(await scene.posted()) <= 20


@pytest.mark.parametrize("down", [False, True], ids=["posted", "dropped"])
async def test_the_last_events_can_be_waited_for(down: bool) -> None:
    """The end of the process comes just after the seat was freed: that has to be told first, if it can be."""
    scene = Scene()
    scene.journal.down = down
    await scene.events.told()
    scene.events.noticed(Notice(occasion=Occasion.RELEASED))
    running = asyncio.ensure_future(scene.events.run())
    async with asyncio.timeout(1.0):
        await scene.events.told()
    assert [reason for reason, _, _ in scene.journal.posted] == ([] if down else ["SeatReleased"])
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
