"""The operator's commands as processes, beside sidecars that live, and after some that were killed."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.process.processes import ask, environment, until
from tests.process.scene import App, Scene, Settings, Sidecar

QUICK: Settings = {"lease.duration": 0.9, "lease.renew": 0.25, "activation.late": 1, "reclaim.enabled": "false"}
"""Short watches; sidecars that don't reclaim leave it to the command that is tested."""


@pytest.fixture
def settings(scene: Scene) -> Path:
    """Write the settings that the operator's commands are given."""
    return scene.config(scene.settings(None, QUICK, name="operator"), "operator")


def operate(scene: Scene, settings: Path, *arguments: str) -> tuple[int, str, str]:
    """Run a command to its end; return exit code, output and error output."""
    process = scene.command(*arguments, "--config", str(settings), name=arguments[0]).process
    code = process.wait()
    return code, process.out.read_text(), process.err.read_text()


def listed(scene: Scene, settings: Path) -> dict[str, Any]:
    """Return the seats that ``list`` shows, by deployment ID."""
    code, out, _ = operate(scene, settings, "list", "--output", "json")
    assert code == 0
    return {seat["deployment_id"]: seat for seat in json.loads(out)["seats"]}


def killed(scene: Scene, app: App, name: str = "killed") -> str:
    """Let a sidecar take a seat and kill it; return the seat's deployment ID."""
    sidecar = scene.fork(app, QUICK, name=name)
    scene.until_ready(sidecar)
    sidecar.process.end()
    return app.deployment_id


def living(scene: Scene, app: App) -> Sidecar:
    """Let a sidecar take a seat and live."""
    sidecar = scene.fork(app, QUICK, name="living")
    scene.until_ready(sidecar)
    return sidecar


def test_NO_LEAK_and_NO_THEFT_of_reclaim(scene: Scene, settings: Path) -> None:  # noqa: N802 - the invariants' names
    """One sidecar was killed, one lives: list tells them apart, and reclaim frees the one seat and not the other."""
    scene.mock.put_key(scene.key, seats=2)
    lost = killed(scene, scene.app())
    alive = scene.app()
    sidecar = living(scene, alive)
    seats = listed(scene, settings)
    assert {name: seat["orphan"] for name, seat in seats.items()} == {lost: "not yet", alive.deployment_id: "no"}
    code, out, _ = operate(scene, settings, "reclaim")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines() if "released" in line] == [lost]
    assert scene.taken() == set(scene.records()) == {alive.deployment_id}
    assert sidecar.ready


def test_a_forced_release_is_taken_again_by_the_sidecar_that_lives(scene: Scene, settings: Path) -> None:
    """Without force it is refused; with it the seat is free, and the sidecar helps itself (rule 15)."""
    app = scene.app()
    sidecar = living(scene, app)
    code, out, _ = operate(scene, settings, "release", app.deployment_id)
    assert (code, "--force" in out) == (77, True)
    assert scene.asked("deactivation") == 0
    code, out, _ = operate(scene, settings, "release", app.deployment_id, "--force")
    assert scene.asked("deactivation") == 1
    assert (code, "again" in out) == (0, True)
    scene.expect_one_seat(sidecar, app)


def test_watch_reclaims_until_it_is_told_to_stop(scene: Scene, settings: Path) -> None:
    """A seat that is lost while it watches is free a lease later; SIGTERM ends it within two seconds with 0."""
    watch = scene.command("reclaim", "--watch", "--config", str(settings), name="watch")
    app = scene.app()
    lost = killed(scene, app)
    scene.until_taken()
    told = until("its line", lambda: watch.logged("orphan's seat released"), story=scene.story)
    assert ([line["deployment_id"] for line in told], scene.records()) == ([lost], {})
    began = time.monotonic()
    watch.process.signal(signal.SIGTERM)
    assert watch.process.wait() == 0
    assert time.monotonic() - began < 2.0


def test_BOUNDED_STOP_of_watch_in_the_middle_of_a_release(scene: Scene, settings: Path) -> None:  # noqa: N802 - the invariant's name
    """The server hangs: the claim stays in the record, runs out by itself, and the process ends with 0."""
    lost = killed(scene, scene.app())
    scene.fault("hang", "deactivation")
    config = scene.config({**json.loads(settings.read_text()), "activation.timeout": 20, "activation.late": 20}, "slow")
    watch = scene.command("reclaim", "--watch", "--config", str(config), name="watch")
    until("a claim", lambda: scene.records()[lost]["claim"], story=scene.story)
    began = time.monotonic()
    watch.process.signal(signal.SIGTERM)
    assert watch.process.wait() == 0
    assert time.monotonic() - began < 2.0
    assert "Traceback" not in watch.process.printed()
    assert scene.records()[lost]["claim"]["by"].startswith("operator-")


def test_ctrl_c_ends_a_reclaim_cleanly(scene: Scene, settings: Path) -> None:
    """While it watches: one sentence, no traceback, exit code 130, nothing changed."""
    lost = killed(scene, scene.app())
    before = scene.records()
    config = scene.config({**json.loads(settings.read_text()), "lease.duration": 60}, "slow")
    reclaim = scene.command("reclaim", "--config", str(config), name="reclaim")
    until("the watch", lambda: "watching" in reclaim.process.printed(), story=scene.story)
    reclaim.process.signal(signal.SIGINT)
    assert reclaim.process.wait() == 130
    said = reclaim.process.printed()
    assert "stopped; a seat that was just being released is finished by the next run" in said
    assert "Traceback" not in said
    assert (scene.records(), scene.taken()) == (before, {lost})


def test_two_who_reclaim_at_once_release_each_seat_once(scene: Scene, settings: Path) -> None:
    """The claim is a compare-and-swap: whoever is slower leaves it, and at the end nothing is left."""
    scene.mock.put_key(scene.key, seats=3)
    for number in range(3):
        killed(scene, scene.app(), f"killed-{number}")
    both = [scene.command("reclaim", "--config", str(settings), name=name).process for name in ("left", "right")]
    for process in both:
        process.wait()
    if scene.records():  # the slower one saw a claim and left it to the faster
        operate(scene, settings, "reclaim")
    assert (scene.taken(), scene.records()) == (set(), {})
    assert scene.asked("deactivation") == 3


def test_a_person_at_a_terminal_sees_a_bar(scene: Scene, settings: Path) -> None:
    """It moves while the orphan is watched; the result on standard output is the same as ever."""
    lost = killed(scene, scene.app())
    ours, theirs = pty.openpty()
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "sidecar", "reclaim", "--config", str(settings)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=theirs,
            env=environment(),
            timeout=30,
            check=False,
        )
        seen = os.read(ours, 65536).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert ended.returncode == 0
    assert lost in ended.stdout.decode()
    assert seen.count("\r[") > 3
    assert "watching whether somebody renews 1 seat" in seen


def test_import_frees_what_the_vendors_own_automation_left_behind(scene: Scene, settings: Path) -> None:
    """Apps that activated themselves are unknown to the ledger; the Secret's file still names their IDs."""
    scene.mock.put_key(scene.key, seats=2)
    left, alive = (f"MSIC{number:032X}" for number in (1, 2))
    for deployment in (left, alive):
        assert ask(f"{scene.mock.url}/activation?key={scene.key}&deployment={deployment}&quantity=1")[0] == 200
    assert scene.taken() == {left, alive}
    file = scene.folder / "mdicap-licensing.json"
    file.write_text(json.dumps({"icap-1": left, "icap-2": alive, "icap-3": None}))
    arguments = ("import", str(file), "--keep", alive)
    code, out, _ = operate(scene, settings, *arguments, "--apply")
    assert (code, scene.taken()) == (0, {alive})
    assert "released under this key" in out
    code, out, _ = operate(scene, settings, *arguments, "--apply")
    assert code == 0
    assert "unknown under this key (404)" in out
    assert "released under this key" not in out


def test_a_running_sidecar_tells_once_what_it_leaves_alone(scene: Scene) -> None:
    """A torn record and a file of somebody: each is one line with its name, however many scans find it."""
    (scene.ledger / "notes.txt").write_text("hello")
    torn = scene.ledger / f"seat-{'0' * 40}.json"
    torn.write_text('{"format": 1, "server": "https://')
    app = scene.app()
    sidecar = scene.fork(app, {"lease.duration": 0.9, "lease.renew": 0.25})
    scene.until_ready(sidecar)
    until("both lines", lambda: len(sidecar.logged("left alone in the ledger")) == 2, story=scene.story)
    time.sleep(2)
    lines = sidecar.logged("left alone in the ledger")
    assert sorted(it["name"] for it in lines) == sorted(("notes.txt", torn.name))
    assert {it["level"] for it in lines} == {"warning"}
    torn.unlink()
