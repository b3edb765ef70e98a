"""What changes under a running sidecar: certificates, keys, the app behind a wrong key, the log's reader."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from tests.process.processes import Process, environment, until
from tests.process.scene import Mock, Scene
from tests.process.watch import watched


def test_the_app_turns_to_https_while_running(scene: Scene) -> None:
    """The same port speaks TLS from one moment to the next: ready all the time, and deliveries find their way."""
    app = scene.app()
    sidecar = scene.fork(app)
    scene.expect_one_seat(sidecar, app)
    with watched(sidecar) as watch:
        app.tell("tls")
        answered = app.state()["answered"]
        until("questions over HTTPS", lambda: app.state()["answered"] > answered + 3, story=scene.story)
        assert watch.between(0, time.time()) == {True}
    app.tell("lose-license")
    until("the licence", lambda: app.licensed, story=scene.story)
    scene.expect_one_seat(sidecar, app)


def test_tls_to_the_activation_server(scene: Scene) -> None:
    """With ``activation.ca_file`` it is trusted; without, nothing is sent, and it says why."""
    ca_file = scene.folder / "ca.pem"
    mock = Mock.start(scene.folder, "tls_mock", "--tls", "--ca-out", str(ca_file))
    scene.processes.append(mock.process)
    mock.put_key(scene.key)
    app = scene.app()
    blind = scene.fork(app, {"activation.url": mock.url})
    until("the complaint", lambda: blind.logged("no answer to the activation"), story=scene.story)
    assert "certificate" in blind.logged("no answer to the activation")[0]["why"]
    assert mock.journal(scene.fingerprint) == []
    blind.process.signal(signal.SIGTERM)
    assert blind.process.wait() == 0
    sidecar = scene.fork(app, {"activation.url": mock.url, "activation.ca_file": str(ca_file)})
    scene.until_ready(sidecar)
    assert set(mock.seats(scene.fingerprint)) == {app.deployment_id}


def test_a_key_is_rotated_by_a_swap_of_its_folder(scene: Scene) -> None:
    """As kubelet does it: the seat moves to the new key, the old one becomes free, and it is ready all the time."""
    app = scene.app()
    sidecar = scene.fork(app)
    scene.expect_one_seat(sidecar, app)
    key = scene.other_key("new")
    with watched(sidecar) as watch:
        scene.write_key(key)
        scene.until_taken()
        new = scene.mock.put_key(key)
        assert set(scene.mock.seats(new)) == {app.deployment_id}
        until("one record", lambda: len(scene.records()) == 1, story=scene.story)
        assert watch.between(0, time.time()) == {True}
    sidecar.process.signal(signal.SIGTERM)
    assert sidecar.process.wait() == 0
    assert scene.mock.seats(new) == {}


def test_the_app_restarts_until_the_secret_is_right(scene: Scene) -> None:
    """Refused for long: the file ``restart-app`` gets the app restarted, again and again, until the key is another."""
    scene.mock.put_key(scene.key, state="expired")
    file = scene.folder / "restart-app"
    app = scene.app("--restart-file", str(file), "--probe-period", "0.1", "--probe-down", "0.1")
    sidecar = scene.fork(app, {"refused.restart_app_after": 0.3})
    until("two restarts", lambda: app.state()["starts"] >= 3, story=scene.story)
    until("the reason", lambda: "expired" in sidecar.get("/readyz")[1], story=scene.story)
    scene.write_key(scene.other_key("right"))
    scene.until_ready(sidecar)
    until("the end of the file", lambda: not file.exists(), story=scene.story)
    starts = app.state()["starts"]
    time.sleep(0.5)
    assert (app.state()["starts"], sidecar.ready) == (starts, True)


@contextmanager
def nobody_reads(how: str) -> Iterator[int]:
    """Yield a descriptor for standard error that takes nothing."""
    reader, target = os.pipe()
    try:
        match how:
            case "full disk":
                full = os.open("/dev/full", os.O_WRONLY)
                os.dup2(full, target)
                os.close(full)
            case "reader gone":
                os.close(reader)
                reader = os.open(os.devnull, os.O_RDONLY)
            case _:
                os.set_blocking(target, False)
                with suppress(BlockingIOError):
                    while True:
                        os.write(target, bytes(4096))
                os.set_blocking(target, True)
        yield target
    finally:
        os.close(reader)
        os.close(target)


@pytest.mark.parametrize("how", ["full disk", "reader gone", "reader stalled"])
def test_a_log_that_nobody_takes(scene: Scene, how: str) -> None:
    """What goes wrong behind standard error costs the log, not the licence."""
    app = scene.app()
    config = scene.config(scene.settings(app))
    command = (sys.executable, "-m", "sidecar", "run", "--config", str(config))
    for ending in ("out", "err"):
        (scene.folder / f"mute.{ending}").touch()
    with nobody_reads(how) as target:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=target, env=environment(), cwd=scene.folder)
        process = Process("mute", child, scene.folder)
        scene.processes.append(process)
        scene.until_taken(app.deployment_id)
        until("the licence", lambda: app.licensed, story=scene.story)
        app.tell("restart", down=0.05)
        until("the next licence", lambda: app.state()["starts"] == 2 and app.licensed, story=scene.story)
        process.signal(signal.SIGTERM)
        assert process.wait() == 0
    assert (scene.taken(), scene.records()) == (set(), {})
