"""The invariants of design.md section 9 as they are seen from outside; two have modules of their own."""

from __future__ import annotations

import signal
import sys
import time
from typing import Any

import pytest

from tests.process.processes import Process, until
from tests.process.scene import Scene, made_up_api_key

# --- RECORD_FIRST -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", ["upload", "product"])
def test_record_first_is_on_the_disk_before_the_server_is_asked(scene: Scene, route: str) -> None:
    """At the moment at which the server gets a request, whoever makes it, its record is written and open."""
    if route == "product":
        scene.fault("delay", seconds=0.01, times=1)
    scene.fault("hang")
    app = scene.app()
    scene.fork(app, {"activation.route": route})
    expected = 2 if route == "product" else 1
    until("the request", lambda: scene.asked() == expected, story=scene.story)
    request = scene.mock.journal(scene.fingerprint)[-1]
    record = scene.records()[request["deployment"]]
    assert record["open"] is True
    assert record["created_at"] <= request["at"]


def test_record_first_no_ledger_no_request(scene: Scene) -> None:
    """A ledger that cannot be written keeps the sidecar from asking; one that works again lets it."""
    app = scene.app()
    probe = scene.fork()
    until("the ledger's lock file", lambda: list(scene.ledger.glob(".lock*")), story=scene.story)
    probe.process.end()
    hold = "import fcntl,sys,time; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX); print(); time.sleep(60)"
    lock = next(scene.ledger.glob(".lock*"))
    holder = Process.start("holder", scene.folder, sys.executable, "-uc", hold, str(lock))
    scene.processes.append(holder)
    until("the lock", holder.printed, story=scene.story)
    sidecar = scene.fork(app)
    until("the ID", lambda: app.deployment_id in sidecar.get("/status")[1], story=scene.story)
    time.sleep(0.5)
    assert (scene.asked(), sidecar.ready) == (0, False)
    assert "ledger" in sidecar.status()["waiting_for"]
    holder.end()
    scene.expect_one_seat(sidecar, app)


# --- ONE_SEAT, NO_THEFT ----------------------------------------------------------------------------------------------


def test_one_seat_through_restarts_of_the_app(scene: Scene) -> None:
    """With a key of one seat every new container of the app gets it, and the one before leaves nothing behind."""
    app = scene.app()
    sidecar = scene.fork(app)
    seen = set()
    for abrupt in (False, True, False):
        scene.expect_one_seat(sidecar, app)
        seen.add(app.deployment_id)
        app.tell("restart", down=0.05, abrupt=abrupt)
        until("another ID", lambda: app.deployment_id not in seen, story=scene.story)
    scene.expect_one_seat(sidecar, app)
    assert len(seen) == 3


def test_one_seat_when_the_app_crashes_and_comes_back(scene: Scene) -> None:
    """The seat of a crashed app is free after the grace; the one that comes later takes its own."""
    port = ("--port", str(int(scene.app(name="first").url.rsplit(":", 1)[1])))
    scene.processes[-1].end()
    app = scene.app(*port)
    sidecar = scene.fork(app)
    scene.expect_one_seat(sidecar, app)
    app.process.end()
    scene.until_taken()
    until("an empty ledger", lambda: scene.records() == {}, story=scene.story)
    assert not sidecar.ready
    scene.expect_one_seat(sidecar, scene.app(*port))


@pytest.mark.slow
def test_no_theft_from_a_sidecar_that_is_frozen(scene: Scene) -> None:
    """A stopped process renews nothing for more than a lease, but it lives: no peer touches its seat."""
    app = scene.app()
    sidecar = scene.fork(app)
    scene.expect_one_seat(sidecar, app)
    peer = scene.fork(name="peer")
    sidecar.process.signal(signal.SIGSTOP)
    begin = time.monotonic()
    until("two leases", lambda: time.monotonic() > begin + 2 * 1.5)
    assert scene.taken() == {app.deployment_id}
    sidecar.process.signal(signal.SIGCONT)
    scene.expect_one_seat(sidecar, app)
    assert scene.asked("deactivation") == 0
    assert peer.process.code is None


# --- NO_SECRET -------------------------------------------------------------------------------------------------------


ECHOES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("status", {"status": 200, "body": "error: 'The key {key} has expired. Buy {key} again.'"}),
    ("status", {"status": 200, "body": "error: 'expired: GET /activation?key={escaped}&deployment=x'"}),
    ("status", {"status": 200, "body": "{key}"}),
    ("status", {"status": 500, "body": "Traceback: key='{key}'"}),
    ("status", {"status": 429, "retry_after": "1", "body": "{key}"}),
    ("html", {"body": "<html><a href='/activation?key={escaped}'>{key}</a></html>"}),
    ("cut", {}),
)


def test_no_secret_in_anything_that_a_hostile_server_causes(scene: Scene) -> None:
    """A server repeats the key in every way; nobody repeats it after him: log (at debug), status, metrics, files."""
    app = scene.app()
    for name, more in ECHOES:
        filled = {
            field: value.format(key=scene.key, escaped=scene.key.replace("-", "%2D"))
            if isinstance(value, str)
            else value
            for field, value in more.items()
        }
        scene.fault(name, times=1, **filled)
        scene.fault(name, "deactivation", times=1, **filled)
    sidecar = scene.fork(app, {"activation.refused_retry": 0.2})
    said = (scene.folder / "said.out").open("w")
    with said:
        asked = 0
        while not sidecar.ready:
            if scene.asked() == asked:
                continue
            asked = scene.asked()
            for path in ("/status", "/metrics", "/readyz", "/readyz?verbose", "/startupz", "/livez"):
                said.write(sidecar.get(path)[1])
    assert scene.asked() > len(ECHOES) - 2
    scene.expect_one_seat(sidecar, app)
    sidecar.process.signal(signal.SIGTERM)
    sidecar.process.wait()
    assert "***" in (scene.folder / "said.out").read_text() + sidecar.process.printed()
    scene.expect_no_secret()


def test_no_secret_in_a_traceback(scene: Scene) -> None:
    """A bug whose message holds the key: exit 70, its traceback is masked, nothing is released, the restart adopts."""
    app = scene.app()
    sidecar = scene.fork(app, point={"port": "server", "method": "deactivate", "deed": "bug"})
    scene.expect_one_seat(sidecar, app)
    sidecar.process.signal(signal.SIGTERM)
    assert sidecar.process.wait() == 70
    printed = sidecar.process.printed()
    assert "RuntimeError" in printed
    assert "not foreseen" in printed
    scene.expect_no_secret()
    assert scene.taken() == {app.deployment_id}
    scene.expect_one_seat(scene.fork(app), app)


def test_no_secret_of_the_app(scene: Scene) -> None:
    """The API key goes to the app and nowhere else, also when the app refuses it and through the product's route."""
    file = scene.folder / "api-key.secret"
    file.write_text(made_up_api_key(scene.name))
    scene.secrets.append(file.read_text())
    app = scene.app("--api-key-file", str(file), "--no-upload", "--forbidden-for", "0.5")
    sidecar = scene.sidecar(app, {"app.api_key_file": str(file)})
    scene.expect_one_seat(sidecar, app)
    (scene.folder / "said.out").write_text(sidecar.get("/status")[1] + sidecar.get("/metrics")[1])
    scene.expect_no_secret()


# --- NO_STARVE -------------------------------------------------------------------------------------------------------


def test_no_starve_the_second_gets_the_seat_of_the_first(scene: Scene) -> None:
    """Two apps and one seat: the second waits, and has the seat soon after the first has given it back."""
    apps = [scene.app(), scene.app()]
    first = scene.fork(apps[0], name="first")
    scene.expect_one_seat(first, apps[0])
    second = scene.fork(apps[1], name="second")
    until("the refusal", lambda: second.logged("activation refused"), story=scene.story)
    assert (second.ready, scene.taken()) == (False, {apps[0].deployment_id})
    first.process.signal(signal.SIGTERM)
    begin = time.monotonic()
    assert first.process.wait() == 0
    scene.expect_one_seat(second, apps[1])
    assert time.monotonic() - begin < 6  # the back-off alone would be 7.5 s at least


@pytest.mark.slow
def test_no_starve_the_seat_of_an_orphan(scene: Scene) -> None:
    """The first was killed with its app: the one who waits for the seat takes it back himself, a lease later."""
    apps = [scene.app(), scene.app()]
    first = scene.fork(apps[0], name="first")
    scene.expect_one_seat(first, apps[0])
    second = scene.fork(apps[1], name="second")
    until("the refusal", lambda: second.logged("activation refused"), story=scene.story)
    for process in (first.process, apps[0].process):
        process.end()
    until("waiting", lambda: second.stage() == "waiting", story=scene.story)
    scene.expect_one_seat(second, apps[1])
