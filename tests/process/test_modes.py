"""Other ways of design.md section 5: the app activates itself, has no REST API, or its licence is not our affair."""

from __future__ import annotations

import signal

import pytest

from tests.process.processes import until
from tests.process.scene import Scene


def test_an_app_that_activates_itself(scene: Scene) -> None:
    """Route ``app``: a record before the ID is known, then one with it; watched, and given back at the stop."""
    sidecar = scene.fork(None, {"activation.route": "app"}, name="early")
    until("the record without ID", lambda: set(scene.records()) == {""}, story=scene.story)
    until("the start", lambda: sidecar.get("/startupz")[0] == 200, story=scene.story)
    sidecar.process.signal(signal.SIGTERM)
    sidecar.process.wait()
    app = scene.app(environ={"LICENSE_KEY": scene.key})
    sidecar = scene.fork(app, {"activation.route": "app"})
    scene.until_ready(sidecar)
    until("its record", lambda: scene.records().get(app.deployment_id, {}).get("phase") == "active", story=scene.story)
    assert (scene.taken(), scene.asked()) == ({app.deployment_id}, 1)
    sidecar.process.signal(signal.SIGTERM)
    assert sidecar.process.wait() == 0
    assert scene.taken() == set()


def test_an_app_without_a_rest_api(scene: Scene) -> None:
    """Source ``pod``: the ID is made of the instance's uid, so the seat is there before any app is."""
    sidecar = scene.fork(None, {"deployment_id.source": "pod"})
    scene.until_ready(sidecar)
    assert sidecar.get("/startupz")[0] == 200
    (deployment,) = scene.taken()
    assert set(scene.records()) == {deployment}
    sidecar.process.signal(signal.SIGTERM)
    assert sidecar.process.wait() == 0
    assert (scene.taken(), scene.records()) == (set(), {})


@pytest.mark.parametrize("mode", ["observe", "off"])
def test_a_licence_that_is_not_our_affair(scene: Scene, mode: str) -> None:
    """Nothing is asked, nothing is written; ``observe`` is ready while the app is licensed, ``off`` always."""
    app = scene.app()
    sidecar = scene.fork(app, {"mode": mode})
    if mode == "off":
        scene.until_ready(sidecar)
    else:
        until("a look at the app", lambda: sidecar.stage() == "waiting_for_app", story=scene.story)
        assert not sidecar.ready
    app.tell("grant-license", days=10)
    scene.until_ready(sidecar)
    app.tell("lose-license")
    until("the loss", lambda: sidecar.ready == (mode == "off"), story=scene.story)
    sidecar.process.signal(signal.SIGTERM)
    assert sidecar.process.wait() == 0
    assert (scene.asked(), scene.asked("deactivation"), list(scene.ledger.iterdir())) == (0, 0, [])
    assert app.deployment_id
