"""BOUNDED_STOP: whatever hangs, the process ends within its budget, and what could be given back is given back."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.process.processes import environment, until
from tests.process.scene import Mock, Scene, Sidecar

BUDGET = 2.0
SHORT = {"shutdown.budget": BUDGET, "activation.timeout": 1}
SLACK = 0.7
"""Seconds that a loaded machine may take to end a process and to notice it."""
DONE, UNREACHED = 0, 69


def stopped(sidecar: Sidecar, number: signal.Signals = signal.SIGTERM, *, within: float = BUDGET) -> int:
    """Send the signal and return the exit code; the end comes within the budget."""
    begin = time.monotonic()
    sidecar.process.signal(number)
    code = sidecar.process.wait()
    assert time.monotonic() - begin < within + SLACK
    assert "Traceback" not in sidecar.process.printed()
    return code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_bounded_stop_a_healthy_stop_gives_the_seat_back_at_once(scene: Scene, number: signal.Signals) -> None:
    """Exit code 0, seat free, record erased, in a fraction of the budget."""
    app = scene.app()
    sidecar = scene.sidecar(app)
    scene.expect_one_seat(sidecar, app)
    assert stopped(sidecar, number, within=1.0) == DONE
    assert scene.taken() == set()
    assert scene.records() == {}
    assert [line["event"] for line in sidecar.logged("seat released")] == ["seat released"]


def test_bounded_stop_a_server_that_hangs(scene: Scene) -> None:
    """Nothing is confirmed: the record says that somebody else must finish it; the peers do."""
    app = scene.app()
    sidecar = scene.fork(app, SHORT)
    scene.expect_one_seat(sidecar, app)
    scene.fault("hang", "deactivation")
    assert stopped(sidecar) == UNREACHED
    assert scene.records()[app.deployment_id]["phase"] == "handover"
    assert scene.taken() == {app.deployment_id}
    scene.heal()
    scene.until_nothing_is_left()


def test_bounded_stop_a_server_that_is_down(scene: Scene) -> None:
    """A refused connection is asked again within the budget; then the record is handed over."""
    mock = Mock.start(scene.folder, "down")
    scene.processes.append(mock.process)
    mock.put_key(scene.key)
    app = scene.app()
    sidecar = scene.fork(app, {**SHORT, "activation.url": mock.url})
    scene.until_ready(sidecar)
    mock.process.end()
    assert stopped(sidecar) == UNREACHED
    assert scene.records()[app.deployment_id]["phase"] == "handover"


def test_bounded_stop_a_server_that_comes_back_within_the_budget(scene: Scene) -> None:
    """Two answers are lost, the third attempt is answered: exit code 0."""
    app = scene.app()
    sidecar = scene.fork(app, SHORT)
    scene.expect_one_seat(sidecar, app)
    scene.fault("cut", "deactivation", times=2)
    assert stopped(sidecar) == DONE
    assert (scene.taken(), scene.records(), scene.asked("deactivation")) == (set(), {}, 3)


@pytest.mark.slow
def test_bounded_stop_an_answer_of_404_is_handed_over_for_its_second_look(scene: Scene) -> None:
    """Rule 19: the seat is probably free, so this is no failure of ours, but one 404 proves nothing."""
    app = scene.app()
    sidecar = scene.fork(app, SHORT)
    scene.expect_one_seat(sidecar, app)
    scene.mock.control("/force-release", {"key_fingerprint": scene.fingerprint, "deployment": app.deployment_id})
    assert stopped(sidecar) == DONE
    record = scene.records()[app.deployment_id]
    assert (record["phase"], record["unknown"]) == ("handover", True)
    scene.until_nothing_is_left()


def ledger_gone(scene: Scene) -> None:
    """Remove the ledger's folder under the running sidecar."""
    shutil.rmtree(scene.ledger)


def ledger_unwritable(scene: Scene) -> None:
    """Put a file where the folder was."""
    scene.ledger.rename(scene.folder / "moved")
    scene.ledger.write_text("")


@pytest.mark.parametrize("disturb", [ledger_gone, ledger_unwritable])
def test_bounded_stop_a_ledger_that_is_gone(scene: Scene, disturb: Callable[[Scene], None]) -> None:
    """The release does not need the ledger: the seat is free, and the exit code tells that a record may be left."""
    app = scene.app()
    sidecar = scene.fork(app, SHORT)
    scene.expect_one_seat(sidecar, app)
    disturb(scene)
    assert stopped(sidecar) in (DONE, UNREACHED)
    assert scene.taken() == set()


def test_bounded_stop_a_ledger_whose_lock_is_held(scene: Scene) -> None:
    """Another process hangs with the ledger's lock: the seat is given back all the same."""
    app = scene.app()
    sidecar = scene.fork(app, SHORT)
    scene.expect_one_seat(sidecar, app)
    lock = os.open(next(scene.ledger.glob(".lock*")), os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert stopped(sidecar) == UNREACHED
    finally:
        os.close(lock)
    assert scene.taken() == set()
    assert set(scene.records()) == {app.deployment_id}


@pytest.mark.parametrize("trouble", ["hang", "crash"])
def test_bounded_stop_an_app_that_does_not_answer(scene: Scene, trouble: str) -> None:
    """The app is not needed for a release."""
    app = scene.app()
    sidecar = scene.fork(app, {**SHORT, "app.failure_grace": 60, "app.unreachable_after": 60})
    scene.expect_one_seat(sidecar, app)
    app.tell(trouble)
    assert stopped(sidecar) == DONE
    assert (scene.taken(), scene.records()) == (set(), {})


@pytest.mark.parametrize(("method", "code"), [("deactivate", UNREACHED), ("activate", DONE)])
def test_bounded_stop_a_look_up_that_hangs_in_a_thread(scene: Scene, method: str, code: int) -> None:
    """Nobody can cancel a thread that waits for a name server; the end does not wait for it either.

    After an activation that hangs, the server says 404 to the release: rule 19 calls that done for now.
    """
    app = scene.app()
    sidecar = scene.fork(app, SHORT, point={"port": "server", "method": method, "deed": "thread"})
    if method == "deactivate":
        scene.expect_one_seat(sidecar, app)
    else:
        until("the request", lambda: sidecar.logged("asking for a seat"), story=scene.story)
    assert stopped(sidecar) == code
    assert [record["phase"] for record in scene.records().values()] == ["handover"]


@pytest.mark.parametrize(
    "point",
    [
        pytest.param({"port": "server", "method": "deactivate"}, id="during_the_stop"),
        pytest.param({"port": "app", "method": "knock", "nth": 3}, id="before_the_signal"),
    ],
)
def test_bounded_stop_a_loop_that_is_blocked(scene: Scene, point: dict[str, object]) -> None:
    """A bug that blocks the event loop: the watchdog ends the process, whether it came before the signal or after."""
    app = scene.app()
    sidecar = scene.fork(app, SHORT, point={**point, "deed": "block"})
    scene.until_taken(app.deployment_id)
    if point["method"] == "knock":
        until("the silence", lambda: sidecar.get("/livez", limit=0.5)[0] == 0, story=scene.story)
    else:
        scene.until_ready(sidecar)
    assert stopped(sidecar) == UNREACHED
    assert scene.taken() == {app.deployment_id}


@pytest.mark.parametrize("delay", [0, 0.2, 0.4])
def test_bounded_stop_a_signal_while_it_starts(scene: Scene, delay: float) -> None:
    """A signal that comes while libraries are loaded is not lost: the seat of the life before is given back."""
    app = scene.app()
    before = scene.fork(app)
    scene.expect_one_seat(before, app)
    before.process.end()
    sidecar = scene.sidecar(app)
    until("its handlers", lambda: catches(sidecar, signal.SIGTERM), story=scene.story)
    time.sleep(delay)
    assert stopped(sidecar, within=5) == DONE
    assert (scene.taken(), scene.records()) == (set(), {})


def catches(sidecar: Sidecar, number: signal.Signals) -> bool:
    """Tell whether a process handles a signal; one that comes before ends it, and nothing has happened by then."""
    status = Path(f"/proc/{sidecar.process.child.pid}/status").read_text()
    caught = int(re.findall(r"^SigCgt:\s*(\w+)$", status, re.MULTILINE)[0], 16)
    return bool(caught >> (number - 1) & 1)


def test_bounded_stop_signals_are_caught_before_anything_heavy_is_loaded() -> None:
    """Loading takes half a second, and the kubelet sends its signal once."""
    code = """
import signal, sys
from sidecar.cli import run
from sidecar.cli.parser import Parser
def first_setting(*_more, **_named):
    caught = [getattr(signal.getsignal(it), "__self__", None) is run._SIGNALS for it in (signal.SIGTERM, signal.SIGINT)]
    heavy = {"asyncio", "httpx", "aiohttp", "structlog", "yaml"} & set(sys.modules)
    sys.exit("%s %s" % (caught, heavy) if heavy or not all(caught) else 0)
parser = Parser(prog="run")
parser.add_argument_group = first_setting
run.configure(parser)
sys.exit("nothing was configured")
"""
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


HUNG = """
import signal, sys, time
from sidecar import stop_signals
stop_signals.EARLY_BUDGET = 0.5
from sidecar.cli import run
from sidecar.cli.parser import Parser
{patch}
parser = Parser(prog="run")
run.configure(parser)
signal.setitimer(signal.ITIMER_REAL, {after})
signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGTERM))
run.run(parser.parse_args(sys.argv[1:]))
"""
SETTINGS_HANG = "import sidecar.cli.options\nsidecar.cli.options.load = lambda *_: time.sleep(60)"
LEDGER_HANGS = "import sidecar.wiring\nsidecar.wiring.open_ledger = lambda *_, **__: time.sleep(60)"


@pytest.mark.parametrize("patch", [SETTINGS_HANG, LEDGER_HANGS], ids=["settings", "ledger"])
def test_bounded_stop_what_hangs_before_the_loop_stands(patch: str, tmp_path: Path) -> None:
    """Settings on a disk that hangs, or a ledger's volume: a signal still ends the process, with the default budget."""
    flags = ["--http-port=0", f"--ledger-dir={tmp_path}", f"--key-dir={tmp_path}", "--ledger-kind=file"]
    command = [sys.executable, "-c", HUNG.format(patch=patch, after=1.0), *flags]
    begin = time.monotonic()
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == UNREACHED, done.stderr
    assert time.monotonic() - begin < 10
    assert "the time to stop is over" in done.stderr
    assert "Traceback" not in done.stderr


def test_bounded_stop_the_budget_of_the_settings_replaces_the_early_one() -> None:
    """A signal during the start does not cut a longer budget short, nor does the time before it count twice."""
    patch = """
import asyncio, sidecar.lifecycle
from sidecar.watchdog import WATCHDOG
signals = run._SIGNALS.install()
signal.raise_signal(signal.SIGTERM)
time.sleep(0.3)
async def attach():
    told = []
    arrivals = signals.attach(asyncio.get_running_loop(), alarm=lambda early: (told.append(early), WATCHDOG.arm(30.0)))
    early = await arrivals.get()
    assert 0.3 <= told[0] <= early < 0.5, (told, early)
    await asyncio.sleep(0.6)
    print("alive", flush=True)
    WATCHDOG.arm(0.1)
    await asyncio.sleep(5)
asyncio.run(attach())
"""
    command = [sys.executable, "-c", HUNG.format(patch=patch, after=0)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False, timeout=20)
    assert (done.returncode, done.stdout) == (UNREACHED, "alive\n"), done.stderr


def test_bounded_stop_a_second_signal_cuts_short(scene: Scene) -> None:
    """Whoever sends two signals does not want to wait for a budget of a minute."""
    app = scene.app()
    sidecar = scene.fork(app, {"shutdown.budget": 60})
    scene.expect_one_seat(sidecar, app)
    scene.fault("hang", "deactivation")
    sidecar.process.signal(signal.SIGTERM)
    until("the request", lambda: scene.asked("deactivation") == 1, story=scene.story)
    assert stopped(sidecar) == UNREACHED
    assert scene.records()[app.deployment_id]["phase"] == "handover"


def test_bounded_stop_a_late_activation_is_awaited_and_given_back(scene: Scene) -> None:
    """SIGTERM while the server is asked (rules 4 and 19): the answer is awaited, and its seat released."""
    scene.fault("delay", seconds=0.6, times=1)
    app = scene.app()
    sidecar = scene.fork(app, SHORT)
    until("the request", lambda: scene.asked() == 1, story=scene.story)
    assert stopped(sidecar) == DONE
    assert (scene.taken(), scene.records()) == (set(), {})
    assert [it["outcome"] for it in scene.mock.journal(scene.fingerprint, "deactivation")] == ["released"]


@pytest.mark.slow
def test_bounded_stop_an_activation_that_outlasts_the_budget(scene: Scene) -> None:
    """Its seat may be taken after our end: the record stays open and is handed over, and a peer frees the late seat."""
    scene.fault("delay", seconds=2.5, times=1)
    app = scene.app()
    sidecar = scene.fork(app, {**SHORT, "activation.timeout": 10, "activation.late": 10})
    until("the request", lambda: scene.asked() == 1, story=scene.story)
    assert stopped(sidecar) == DONE, "the server said 404 to the release (rule 19)"
    record = scene.records()[app.deployment_id]
    assert (record["phase"], record["open"]) == ("handover", True)
    scene.until_taken(app.deployment_id)
    scene.until_nothing_is_left()


def test_bounded_stop_never_releases_when_told_so(scene: Scene) -> None:
    """``shutdown.release: never``: seat and record stay, and the next life adopts them without asking for a seat."""
    app = scene.app()
    # Slowly, for an adopted record is confirmed ``late`` later, and at once if nobody has renewed it for a while.
    never = {**SHORT, "shutdown.release": "never", "activation.late": 60, "lease.renew": 15, "lease.duration": 60}
    sidecar = scene.fork(app, never)
    scene.expect_one_seat(sidecar, app)
    assert stopped(sidecar) == DONE
    assert scene.records()[app.deployment_id]["phase"] == "active"
    scene.expect_one_seat(scene.fork(app, never), app)
    assert (scene.asked(), scene.asked("deactivation")) == (1, 0)


def test_bounded_stop_probes_during_the_stop(scene: Scene) -> None:
    """Not ready from the first moment, live to the end."""
    app = scene.app()
    sidecar = scene.fork(app, {"shutdown.budget": 3})
    scene.expect_one_seat(sidecar, app)
    scene.fault("hang", "deactivation")
    sidecar.process.signal(signal.SIGTERM)
    until("the request", lambda: scene.asked("deactivation") == 1, story=scene.story)
    seen = []
    while (live := sidecar.get("/livez")[0]) != 0:
        seen.append((sidecar.get("/readyz")[0], live))
        time.sleep(0.02)
    assert len(seen) > 5
    assert set(seen[:-1]) == {(503, 200)}
    assert sidecar.process.wait() == UNREACHED


def test_bounded_stop_a_drain_waits_for_the_app(scene: Scene) -> None:
    """``shutdown.drain``: the seat is kept while the app still serves, and given back as soon as it has ended."""
    app = scene.app()
    sidecar = scene.fork(app, {**SHORT, "shutdown.drain": 20})
    scene.expect_one_seat(sidecar, app)
    sidecar.process.signal(signal.SIGTERM)
    until("the stop", lambda: sidecar.stage() == "stopping", story=scene.story)
    time.sleep(0.3)
    assert scene.taken() == {app.deployment_id}
    app.process.signal(signal.SIGTERM)
    assert sidecar.process.wait(10) == DONE
    assert (scene.taken(), scene.records()) == (set(), {})


def test_bounded_stop_a_stop_before_anything_was_found(scene: Scene) -> None:
    """No key, no app, no server: there is nothing to give back, and nothing to wait for."""
    nowhere = {"key.dir": str(scene.folder / "absent"), "activation.url": "http://127.0.0.1:1"}
    sidecar = scene.fork(None, {**SHORT, **nowhere})
    until("the wait for a key", lambda: sidecar.stage() == "starting", story=scene.story)
    assert stopped(sidecar, within=0.5) == DONE


def test_bounded_stop_a_ledger_that_was_never_reached(scene: Scene) -> None:
    """Its own records could not be looked for: a seat of an earlier life may be left, and the exit code says so."""
    app = scene.app()
    sidecar = scene.fork(app, SHORT)
    scene.expect_one_seat(sidecar, app)
    sidecar.process.end()
    lock = os.open(next(scene.ledger.glob(".lock*")), os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        again = scene.fork(app, SHORT)
        until("the start", lambda: again.port > 0, story=scene.story)
        assert stopped(again) == UNREACHED
    finally:
        os.close(lock)
