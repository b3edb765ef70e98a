"""What the sidecar does about each fault of the app: in the end one seat and ready, or an honest reason.

Each scene ends with a stop of the sidecar, after which the server counts no seat and the ledger holds no record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mock_activation.icap_app import Manners, Settings
from sidecar.core.view import Stage
from tests.contract.app_scene import FAILURE_GRACE, OTHER_API_KEY, PATIENCE, scene, together

NONSENSE: dict[str, dict[str, Any]] = {
    "500": {"fault": "status", "status": 500},
    "403": {"fault": "status", "status": 403},
    "429": {"fault": "status", "status": 429, "retry_after": 1},
    "html": {"fault": "html"},
    "torn": {"fault": "torn-json"},
    "no-json": {"fault": "not-json"},
    "type": {"fault": "content-type", "content_type": "text/html"},
    "cut": {"fault": "cut"},
    "reset": {"fault": "reset"},
    "garbage": {"fault": "garbage"},
    "truncated": {"fault": "truncate"},
    "slow": {"fault": "drip", "seconds": 0.02, "size": 40},
    "too-slow": {"fault": "drip", "seconds": 0.2, "size": 4},
    "late": {"fault": "delay", "seconds": 0.05},
    "hang": {"fault": "hang"},
}
"""Every fault that a rule can make of a call."""


def each(play: Callable[[dict[str, Any], Path], Awaitable[None]]) -> dict[str, Callable[[Path], Awaitable[None]]]:
    """Return a scene for each kind of nonsense."""
    return {name: partial(play, rule) for name, rule in NONSENSE.items()}


async def test_an_app_that_starts_slowly_is_waited_for(tmp_path: Path) -> None:
    """While its port refuses, no seat is asked for; then it gets one."""
    async with scene(tmp_path, Settings(start_delay=0.3)) as play:
        await play.until(lambda: play.view().stage is Stage.WAITING_FOR_APP)
        assert not play.app.port.open
        assert play.asked("activation") == []
        await play.until_served()
        assert play.asked("activation") == [play.app.deployment_id]


async def test_403_for_a_while_at_the_start_is_waited_out(tmp_path: Path) -> None:
    """The app refuses everybody for some moments after its start, the right API key too."""
    async with scene(tmp_path, Settings(forbidden_for=0.3)) as play:
        await play.until(lambda: play.view().faults)
        assert play.seats() == []
        await play.until_served()


async def test_403_for_ever_is_told_as_a_wrong_api_key(tmp_path: Path) -> None:
    """No seat is taken for an app that cannot be given its licence, and the reason names the setting."""
    async with scene(tmp_path, api_key=OTHER_API_KEY) as play:
        await play.until(lambda: any("API key" in fault for fault in play.view().faults))
        await play.until(lambda: len(play.app.rest.calls.matching(status=403)) >= 3)
        view = play.view()
        assert not view.ready
        assert view.stage is Stage.WAITING_FOR_APP
        assert "app.api_key_file" in f"{view.why} {view.faults}"
        assert play.asked("activation") == []


async def test_the_turn_to_https_is_followed_while_the_seat_is_held(tmp_path: Path) -> None:
    """The same seat, the same licence, and the server is not asked again."""
    async with scene(tmp_path) as play:
        await play.until_served()
        await play.app.enable_tls()
        before = play.app.rest.answered
        await play.until(lambda: play.app.rest.answered > before + 2)
        await play.until_served()
        assert play.asked("activation") == [play.app.deployment_id]
        assert play.asked("deactivation") == []


async def test_https_that_comes_in_the_midst_of_the_start_is_followed(tmp_path: Path) -> None:
    """It may happen between any two calls."""
    async with scene(tmp_path, Settings(tls_after=0.06)) as play:
        await play.until(lambda: play.app.tls)
        await play.until_served()


async def test_a_lost_licence_is_delivered_again(tmp_path: Path) -> None:
    """Not ready as long as the app says so, then licensed under the same seat."""
    async with scene(tmp_path) as play:
        await play.until_served()
        one = play.app.deployment_id
        play.app.lose_licence()
        await play.until(lambda: not play.view().ready or play.app.licensed)
        await play.until_served()
        assert play.app.deployment_id == one
        assert play.asked("deactivation") == []


async def test_a_crash_gives_the_seat_back_after_the_grace(tmp_path: Path) -> None:
    """A refused port counts as an exit outside Kubernetes; the seat is free until the app is back."""
    async with scene(tmp_path) as play:
        await play.until_served()
        play.app.crash()
        await play.until(lambda: play.seats() == [] and play.records() == [])
        assert not play.view().ready
        await play.app.start()
        await play.until_served()


@pytest.mark.parametrize("same_id", [True, False], ids=["same ID", "new ID"])
@pytest.mark.parametrize("down", [0.0, FAILURE_GRACE * 3], ids=["at once", "after the grace"])
async def test_a_crash_and_a_restart_end_with_one_seat(tmp_path: Path, same_id: bool, down: float) -> None:
    """The only seat of the key follows the app, whichever ID it comes back with, and however late."""
    async with scene(tmp_path) as play:
        await play.until_served()
        old = play.app.deployment_id
        await play.app.restart(down=down, abrupt=True, same_id=same_id)
        assert (play.app.deployment_id == old) == same_id
        await play.until_served()
        if same_id and not down:
            assert play.asked("deactivation") == []
        if not same_id:
            assert set(play.asked("deactivation")) == {old}


async def test_an_app_that_crashes_again_and_again_leaks_nothing(tmp_path: Path) -> None:
    """Each life has an ID of its own, some end before they have a licence."""
    async with scene(tmp_path) as play:
        for pause in (0.0, 0.02, 0.05, 0.1, 0.2):
            await asyncio.sleep(pause)
            await play.app.restart(abrupt=True)
        await play.until_served()


async def test_an_app_that_hangs_for_a_moment_keeps_its_seat(tmp_path: Path) -> None:
    """Silence is grace at first: ready, and nothing is given back."""
    async with scene(tmp_path) as play:
        await play.until_served()
        play.app.hang()
        await play.until(lambda: play.view().stage is Stage.GRACE)
        assert play.seats() == [play.app.deployment_id]
        play.app.unhang()
        await play.until_served()
        assert play.asked("deactivation") == []


async def test_an_app_that_hangs_for_long_loses_its_seat_and_gets_it_again(tmp_path: Path) -> None:
    """``app.unreachable_after`` of silence is a failure outside Kubernetes."""
    async with scene(tmp_path) as play:
        await play.until_served()
        play.app.hang(PATIENCE)
        await play.until(lambda: play.seats() == [])
        assert not play.view().ready
        play.app.unhang()
        await play.until_served()


@pytest.mark.parametrize("refusal", [{}, {"fault": "status", "status": 405}, {"fault": "status", "status": 501}])
async def test_a_refused_upload_turns_to_the_product(tmp_path: Path, refusal: dict[str, Any]) -> None:
    """404 as an ICAP Server may say, or another way of not knowing the call: the app is told to activate itself."""
    manners = Manners() if refusal else Manners(upload=False)
    rules = ({"route": "upload", **refusal},) if refusal else ()
    async with scene(tmp_path, Settings(manners=manners), rules=rules) as play:
        await play.until_served()
        assert play.app.product.licence is not None
        assert play.app.product.licence.online
        assert len(play.app.rest.calls.matching(route="activation", status=200)) == 1


async def test_an_id_that_is_none_is_not_taken_for_one(tmp_path: Path) -> None:
    """No seat is asked for in that name; as soon as there is an ID, it gets its seat."""

    async def play_it(shown: str, folder: Path) -> None:
        async with scene(folder, Settings(manners=Manners(deployment=shown))) as play:
            await play.until(lambda: play.app.rest.calls.matching(route="readyz", status=503))
            assert play.asked("activation") == []
            play.app.change_manners({"deployment": None})
            await play.until_served()

    await together(tmp_path, {"empty": partial(play_it, ""), "null": partial(play_it, "null")})


async def test_nonsense_at_the_start_is_survived(tmp_path: Path) -> None:
    """The first answer on each route that the sidecar asks is spoilt: one seat and ready in the end."""

    async def play_it(rule: dict[str, Any], folder: Path) -> None:
        rules = tuple({**rule, "route": route, "times": 1} for route in ("license", "readyz", "upload"))
        async with scene(folder, rules=rules) as play:
            await play.until_served()
            assert play.fired() >= 3

    await together(tmp_path, each(play_it))


async def test_nonsense_while_the_seat_is_held_takes_nothing_away(tmp_path: Path) -> None:
    """Two answers in a row that make no sense: ready all the time, no seat given back, none asked for."""

    async def play_it(rule: dict[str, Any], folder: Path) -> None:
        async with scene(folder) as play:
            await play.until_served()
            before = len(play.asked("activation"))
            play.script(**rule, times=2)
            unready: list[str] = []
            await play.until(lambda: unready.append(play.view().why) if not play.view().ready else play.fired() == 2)
            await play.until_served()
            assert unready == []
            assert len(play.asked("activation")) == before
            assert play.asked("deactivation") == []

    await together(tmp_path, each(play_it))


async def test_a_lost_answer_to_the_products_own_activation_takes_no_second_seat(tmp_path: Path) -> None:
    """The app did activate itself, but says something else: the sidecar looks, and finds it licensed."""

    async def play_it(rule: dict[str, Any], folder: Path) -> None:
        lost = {**rule, "route": "activation", "times": 1}
        if rule["fault"] not in ("truncate", "drip", "content-type"):  # those come after the fact in any case
            lost["processed"] = True
        async with scene(folder, Settings(manners=Manners(upload=False)), rules=(lost,)) as play:
            await play.until_served()
            assert play.fired() == 1
            assert set(play.asked("activation")) == {play.app.deployment_id}

    await together(tmp_path, each(play_it))


async def test_nonsense_for_ever_is_told_and_no_seat_is_taken(tmp_path: Path) -> None:
    """An app without an ID gets no seat; the reason tells what it answers."""
    says = {"500": "HTTP status 500", "html": "without a JSON object", "torn": "without a JSON object"}

    async def play_it(rule: dict[str, Any], folder: Path) -> None:
        async with scene(folder, rules=({**rule, "route": "license"},)) as play:
            await play.until(lambda: play.fired() >= 2)
            # The latest answer may have been late on a busy machine: that is told instead then, until the next one.
            await play.until(lambda: any(says.get(folder.name, "app: ") in fault for fault in play.view().faults))
            assert not play.view().ready
            assert play.asked("activation") == []

    harmless = ("type", "slow", "late")
    await together(tmp_path, {name: play for name, play in each(play_it).items() if name not in harmless})


async def test_500_for_ever_while_the_seat_is_held_is_grace(tmp_path: Path) -> None:
    """An answer, however bad, is no proof that the app is gone: the seat stays, and the reason is told."""
    async with scene(tmp_path) as play:
        await play.until_served()
        play.script(fault="status", status=500)
        await play.until(lambda: play.fired() >= 5 and "HTTP status 500" in play.view().why)
        assert play.view().stage is Stage.GRACE
        assert play.seats() == [play.app.deployment_id]


async def test_a_failing_database_is_not_ready_and_keeps_the_seat(tmp_path: Path) -> None:
    """Traffic goes elsewhere; the licence has nothing to do with it."""
    async with scene(tmp_path) as play:
        await play.until_served()
        play.app.product.database = False
        await play.until(lambda: not play.view().ready)
        assert "database" in play.view().why
        assert play.seats() == [play.app.deployment_id]
        play.app.product.database = True
        await play.until_served()
