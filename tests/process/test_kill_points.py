"""SIGKILL at every step of the seat protocol: the next start ends with one seat, and its stop with none.

Where the killed one may have left a request behind that takes effect late (rules 4 and 6), the stop leaves a record
for a second look, and a peer finishes it. The points before and after a call are exact (``mortal``), all else is real.
"""

from __future__ import annotations

import os
import signal

import pytest

from tests.process.processes import until
from tests.process.scene import App, Scene, Sidecar

REACHED = 0


def expect_one_seat_then_none(scene: Scene, app: App, *, second_look: bool) -> None:
    """Start again, and stop: one seat in between, none at the end. ``second_look``: its record is left for a peer."""
    again = scene.fork(app)
    scene.expect_one_seat(again, app)
    expect_end(scene, again, second_look=second_look)


def expect_end(scene: Scene, sidecar: Sidecar, *, second_look: bool) -> None:
    """Stop a sidecar; its seat is free at once, its record erased, or handed over."""
    sidecar.process.signal(signal.SIGTERM)
    code = sidecar.process.wait()
    assert scene.taken() == set()
    left = [(record["phase"], record["open"]) for record in scene.records().values()]
    # Its release was answered: the lost request may still be late, but there was nothing that was not reached.
    assert (code, left) == (REACHED, [("handover", True)] if second_look else [])


@pytest.mark.parametrize(
    ("point", "second_look"),
    [
        pytest.param({"port": "ledger", "method": "list"}, False, id="before_anything"),
        pytest.param({"port": "ledger", "method": "create"}, False, id="before_the_record"),
        pytest.param({"port": "ledger", "method": "create", "when": "after"}, True, id="after_the_record"),
        pytest.param({"port": "server", "method": "activate"}, True, id="before_the_request"),
        pytest.param({"port": "server", "method": "activate", "when": "after"}, True, id="after_the_answer"),
        pytest.param({"port": "ledger", "method": "replace", "phase": "active"}, True, id="before_it_is_active"),
        pytest.param(
            {"port": "ledger", "method": "replace", "phase": "active", "when": "after"}, False, id="after_it_is_active"
        ),
        pytest.param({"port": "app", "method": "upload"}, None, id="before_the_delivery"),
        pytest.param({"port": "app", "method": "upload", "when": "after"}, None, id="after_the_delivery"),
    ],
)
def test_killed_while_taking_a_seat(scene: Scene, point: dict[str, str], *, second_look: bool | None) -> None:
    """Whatever the record and the server know by then, the next life has one seat, and leaves none behind."""
    app = scene.app()
    killed = scene.fork(app, point=point)
    assert killed.process.wait() == -signal.SIGKILL
    if second_look is None:  # the delivery does not wait for the ledger: either may be first
        second_look = next(iter(scene.records().values()))["open"]
    expect_one_seat_then_none(scene, app, second_look=second_look)


@pytest.mark.slow
@pytest.mark.parametrize("fate", ["lost", "late", "unanswered"])
def test_killed_while_the_server_is_asked(scene: Scene, fate: str) -> None:
    """A request that nobody waits for any more may never arrive, take its seat late, or have taken it already."""
    match fate:
        case "lost":
            scene.fault("hang", times=1)
        case "late":
            scene.fault("delay", seconds=1.0, times=1)
        case _:
            scene.fault("hang", processed=True, times=1)
    app = scene.app()
    killed = scene.fork(app)
    until("the request", lambda: scene.asked() == 1, story=scene.story)
    killed.process.end()
    assert scene.taken() == ({app.deployment_id} if fate == "unanswered" else set())
    expect_one_seat_then_none(scene, app, second_look=True)
    scene.until_nothing_is_left()


@pytest.mark.parametrize(
    "point",
    [
        pytest.param({"when": "before"}, id="before_the_delivery"),
        pytest.param({"when": "after"}, id="after_the_delivery"),
        pytest.param({}, id="while_the_app_asks_the_server"),
    ],
)
def test_killed_on_the_route_through_the_product(scene: Scene, point: dict[str, str]) -> None:
    """The app's own request is as open as ours: whatever becomes of it, one seat, and none after the stop."""
    app = scene.app("--no-upload")
    if point:
        killed = scene.fork(app, {"activation.route": "product"}, point={"port": "app", "method": "activate", **point})
        assert killed.process.wait() == -signal.SIGKILL
    else:
        scene.fault("delay", seconds=0.01, times=1)
        scene.fault("delay", seconds=0.7, times=1)
        killed = scene.fork(app, {"activation.route": "product"})
        until("the app's request", lambda: scene.asked() == 2, story=scene.story)
        killed.process.end()
    assert [record["open"] for record in scene.records().values()] == [True]
    again = scene.fork(app, {"activation.route": "product"})
    scene.expect_one_seat(again, app)
    expect_end(scene, again, second_look=True)


@pytest.mark.parametrize(
    "point",
    [
        pytest.param({"port": "ledger", "method": "replace", "phase": "releasing"}, id="before_the_mark"),
        pytest.param({"port": "ledger", "method": "replace", "phase": "releasing", "when": "after"}, id="marked"),
        pytest.param({"port": "server", "method": "deactivate"}, id="before_the_request"),
        pytest.param({"port": "server", "method": "deactivate", "when": "after"}, id="after_the_answer"),
        pytest.param({"port": "ledger", "method": "erase"}, id="before_it_is_erased"),
        pytest.param({"port": "ledger", "method": "erase", "when": "after"}, id="erased"),
    ],
)
def test_killed_during_its_release(scene: Scene, point: dict[str, str]) -> None:
    """A stop that is cut off is as good as none: the next life takes the same seat again and can give it back."""
    app = scene.app()
    killed = scene.fork(app, point=point)
    scene.expect_one_seat(killed, app)
    killed.process.signal(signal.SIGTERM)
    assert killed.process.wait() == -signal.SIGKILL
    expect_one_seat_then_none(scene, app, second_look=False)


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_while_the_old_seat_goes(scene: Scene, when: str) -> None:
    """The app came back with another ID, and the sidecar died between the two seats: only the new one is left."""
    app = scene.app()
    killed = scene.fork(app, point={"port": "server", "method": "deactivate", "when": when})
    scene.expect_one_seat(killed, app)
    app.tell("restart", down=0.05)
    assert killed.process.wait() == -signal.SIGKILL
    expect_one_seat_then_none(scene, app, second_look=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    "point",
    [
        pytest.param({"method": "activate", "when": "after", "nth": 2}, id="after_the_new_seat"),
        pytest.param({"method": "deactivate"}, id="before_the_old_one_goes"),
    ],
)
def test_killed_between_two_keys(scene: Scene, point: dict[str, str]) -> None:
    """With both keys at hand the next life keeps the seat under the new one and gives the old one back."""
    app = scene.app()
    killed = scene.fork(app, point={"port": "server", **point})
    scene.expect_one_seat(killed, app)
    key = scene.other_key("new")
    scene.write_key(key, previous=scene.key)
    assert killed.process.wait() == -signal.SIGKILL
    again = scene.fork(app)
    new = scene.mock.put_key(key)
    until("the seat under the new key", lambda: set(scene.mock.seats(new)) == {app.deployment_id}, story=scene.story)
    scene.until_taken()
    scene.until_ready(again)
    again.process.signal(signal.SIGTERM)
    again.process.wait()
    assert scene.mock.seats(new) == {}
    scene.until_nothing_is_left(new)


@pytest.mark.slow
def test_no_leak_when_everybody_was_killed(scene: Scene) -> None:
    """NO_LEAK: sidecars killed for good at four different points, their apps too: a peer gives every seat back."""
    scene.mock.put_key(scene.key, seats=4)
    points = (
        {"port": "server", "method": "activate"},
        {"port": "server", "method": "activate", "when": "after"},
        {"port": "ledger", "method": "replace", "phase": "releasing", "when": "after"},
        {"port": "ledger", "method": "erase"},
    )
    apps = [scene.app() for _ in points]
    killed = [
        scene.fork(app, name=f"killed{number}", point=point)
        for number, (app, point) in enumerate(zip(apps, points, strict=True))
    ]
    for sidecar in killed[2:]:
        scene.until_ready(sidecar)
        sidecar.process.signal(signal.SIGTERM)
    assert [sidecar.process.wait() for sidecar in killed] == [-signal.SIGKILL] * 4
    for app in apps:
        app.process.end()
    assert len(scene.records()) == 4
    assert len(scene.taken()) >= 1
    scene.until_nothing_is_left()


@pytest.mark.slow
@pytest.mark.skipif(os.environ.get("CI") != "true", reason="waits 30 s for a claim to lapse; CI=true runs it")
def test_a_reclaimer_that_was_killed(scene: Scene) -> None:
    """A claim expires by observation: whoever comes next finishes what a killed reclaimer began (rule 12)."""
    scene.mock.put_key(scene.key, seats=2)
    points = ({"port": "ledger", "method": "replace"}, {"port": "server", "method": "deactivate"})
    for number, point in enumerate(points):
        app = scene.app()
        orphan = scene.fork(app, name=f"orphan{number}")
        scene.until_ready(orphan)
        for it in (orphan, app):
            it.process.end()
        reclaimer = scene.fork(name=f"reclaimer{number}", point={**point, "when": "after"})
        assert reclaimer.process.wait() == -signal.SIGKILL
    assert [record["claim"] is not None for record in scene.records().values()] == [True, True]
    scene.until_nothing_is_left()
