"""HONEST_READY: ready means that the seat is ours and the app is licensed, or grace; asked without a pause."""

from __future__ import annotations

import signal
import time

import pytest

from tests.process.processes import until
from tests.process.scene import Mock, Scene, made_up_api_key
from tests.process.watch import watched

NOTICED = 1.5
"""Seconds within which a loaded machine notices what the app tells every 0.2 s."""


@pytest.mark.slow
def test_honest_ready_through_a_whole_life(scene: Scene) -> None:
    """Asked without a pause: ready only while the server has the seat and the app its licence, or a moment after."""
    app = scene.app()
    scene.fault("delay", seconds=0.7, times=1)
    sidecar = scene.fork(app)
    with watched(sidecar) as watch:
        begin = time.time()
        scene.until_ready(sidecar)
        taken_at = scene.mock.seats(scene.fingerprint)[app.deployment_id]
        assert watch.between(begin, taken_at) == {False}

        # The app loses its licence and the server cannot give it another: the seat alone is not enough.
        scene.fault("hang")
        lost_at = time.time()
        app.tell("lose-license")
        until("not ready", lambda: not sidecar.ready, story=scene.story)
        assert time.time() < lost_at + NOTICED
        quiet_at = time.time()
        time.sleep(0.7)
        healed_at = time.time()
        scene.heal()
        scene.until_ready(sidecar)
        assert watch.between(quiet_at, healed_at) == {False}

        # Another container of the app, with a licence of its own: not with our seat.
        scene.fault("delay", seconds=0.9, times=1)
        former = app.deployment_id
        app.tell("restart", down=0.05)
        until("another ID", lambda: app.deployment_id != former, story=scene.story)
        app.tell("grant-license", days=10)
        until("not ready", lambda: not sidecar.ready, story=scene.story)
        quiet_at = time.time()
        until("the seat", lambda: app.deployment_id in scene.taken(), story=scene.story)
        assert watch.between(quiet_at, scene.mock.seats(scene.fingerprint)[app.deployment_id]) == {False}
        scene.until_ready(sidecar)

        stopped_at = time.time()
        sidecar.process.signal(signal.SIGTERM)
        sidecar.process.wait()
        assert True not in watch.between(stopped_at + 0.3, time.time())


def test_honest_ready_needs_our_own_seat(scene: Scene) -> None:
    """A licence for another ID than the one whose seat we hold (``fixed``, wrongly set) is not ours to be ready for."""
    file = scene.folder / "api-key.secret"
    file.write_text(made_up_api_key(scene.name))
    scene.secrets.append(file.read_text())
    app = scene.app("--api-key-file", str(file))
    value = "MSIC" + "0123456789abcdef" * 2
    fixed = {"deployment_id.source": "fixed", "deployment_id.value": value}
    sidecar = scene.fork(app, {**fixed, "app.api_key_file": str(file)})
    scene.until_taken(value)
    app.tell("grant-license", days=10)
    until("the report", lambda: sidecar.status()["app"].get("licensed") is True, story=scene.story)
    assert not sidecar.ready
    assert any("deployment_id.value" in fault for fault in sidecar.status()["faults"])


def test_honest_ready_grace_while_the_server_is_down(scene: Scene) -> None:
    """An activation server that does not answer takes down no licensed app: ready, and the reason says grace."""
    mock = Mock.start(scene.folder, "short_lived")
    scene.processes.append(mock.process)
    mock.put_key(scene.key)
    app = scene.app()
    sidecar = scene.fork(app, {"activation.url": mock.url, "heartbeat.revalidate": 1})
    scene.until_ready(sidecar)
    mock.process.end()
    with watched(sidecar) as watch:
        until("grace", lambda: sidecar.stage() == "grace", story=scene.story)
    assert watch.between(0, time.time()) == {True}
