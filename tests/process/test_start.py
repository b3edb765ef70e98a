"""Bad input and bad surroundings at the start: one clear sentence each, then exit 78, or patience where it is right."""

from __future__ import annotations

import shutil
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sidecar.process_age import process_age
from tests.process.processes import Process, until
from tests.process.scene import App, Mock, Scene, Settings, Sidecar, made_up_api_key

CONFIGURATION, USAGE = 78, 64


@contextmanager
def taken_port() -> Iterator[int]:
    """Listen on a port that somebody else wants."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def free_port() -> int:
    """Return a port on which nobody listens, for somebody who comes later."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def expect_refusal(sidecar: Sidecar, *words: str) -> None:
    """Wait for exit code 78; what was printed is a few lines for people that hold these words."""
    assert sidecar.process.wait() == CONFIGURATION
    printed = sidecar.process.printed()
    assert [word for word in words if word not in printed] == []
    told = [line for line in printed.splitlines() if not line.startswith("{")]
    assert told[0].startswith("license-sidecar: the settings have ")
    assert all(line.startswith("  - ") for line in told[1:])
    assert "Traceback" not in printed


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        pytest.param({"activation.url": "nonsense"}, ["activation.url", "https://"], id="url_that_is_none"),
        pytest.param({"activation.url": "https://x/?key=1"}, ["activation.url", "query"], id="url_with_a_query"),
        pytest.param({"activation.uri": "http://x"}, ["activation.uri", "did you mean activation.url?"], id="unknown"),
        pytest.param(
            {"lease.renew": 30, "lease.duration": 60},
            ["lease.renew", "lease.duration", "less than 20s"],
            id="contradictory_times",
        ),
        pytest.param({"ledger.dir": "/proc/ledger"}, ["ledger.dir", "/proc/ledger", "folder"], id="ledger_folder"),
        pytest.param({"app.api_key_file": "/absent/key"}, ["app.api_key_file", "mount it"], id="api_key_file"),
        pytest.param({"app.api_key_file": "/dev/null"}, ["app.api_key_file", "no regular file"], id="api_key_device"),
        pytest.param({"deployment_id.source": "fixed"}, ["deployment_id.value", "missing"], id="no_fixed_id"),
        pytest.param(
            {"http.port": "http", "log.level": "loud", "mode": "onlein"},
            ["http.port", "log.level", "mode", "did you mean online?", "3 faults"],
            id="every_fault_at_once",
        ),
    ],
)
def test_a_fault_of_the_settings(scene: Scene, settings: Settings, words: list[str]) -> None:
    """One sentence for each fault names the setting and says what to do; exit code 78."""
    expect_refusal(scene.sidecar(None, settings), *words)
    assert scene.records() == {}


def test_everything_within_two_seconds(scene: Scene) -> None:
    """Whoever tries it out shortens every time there is: warned of what is odd, and it works."""
    app = scene.app()
    short = {
        "activation.late": 0,
        "activation.timeout": 1,
        "activation.retry_base": 0,
        "activation.retry_cap": 0.2,
        "activation.refused_retry": 0,
        "lease.duration": 1,
        "lease.renew": 0.2,
        "heartbeat.app": 0.1,
        "heartbeat.revalidate": 0.5,
        "heartbeat.grace": 1,
        "app.failure_grace": 0,
        "app.unreachable_after": 0,
        "refused.restart_app_after": 1,
        "reclaim.rate": 6000,
        "shutdown.budget": 1,
        "log.level": "INFO",
        "mode": "ONLINE",
    }
    sidecar = scene.sidecar(app, short)
    scene.expect_one_seat(sidecar, app)
    assert any("activation.late" in line["warning"] for line in sidecar.logged("setting"))
    sidecar.process.signal(signal.SIGTERM)
    assert sidecar.process.wait() == 0
    assert (scene.taken(), scene.records()) == (set(), {})


def test_the_uptime_counts_from_the_birth_of_the_process(scene: Scene) -> None:
    """And not from when half a second of imports was over."""
    sidecar = scene.sidecar(None, {"mode": "off"})
    until("the status", lambda: sidecar.stage() != "", story=scene.story)
    before = process_age(Path(f"/proc/{sidecar.process.child.pid}/stat"))
    assert before - 0.05 <= sidecar.status()["uptime_seconds"] <= before + 1.0


def test_a_flag_that_is_unknown(scene: Scene) -> None:
    """A wrong command line is another mistake than a wrong setting: exit code 64, with the flag that was meant."""
    sidecar = scene.command("run", "--activation-ulr", "http://x")
    assert sidecar.process.wait() == USAGE
    assert "did you mean --activation-url?" in sidecar.process.printed()


def test_a_port_that_is_taken(scene: Scene) -> None:
    """Nobody could see this sidecar, so it does not start."""
    with taken_port() as port:
        expect_refusal(scene.sidecar(None, {"http.port": port}), "http.port", str(port), "Choose another")


HUMBLE = """
import ctypes, os, sys
for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP; without effect for those who have none
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
"""Runs Python as root may be run in a container: without the right to write wherever it likes."""


def test_a_ledger_that_cannot_be_written(scene: Scene) -> None:
    """Without a record no request may be sent, so this is told at once."""
    config = scene.config(scene.settings())
    scene.ledger.chmod(0o555)
    command = (sys.executable, "-c", HUMBLE, "-m", "sidecar", "run", "--config", str(config))
    process = Process.start("humble", scene.folder, *command)
    scene.processes.append(process)
    try:
        expect_refusal(Sidecar(process), "ledger.dir", "let the user that runs this write there")
    finally:
        scene.ledger.chmod(0o755)


def test_a_ledger_that_is_a_file(scene: Scene) -> None:
    """The same for a path that is no folder."""
    file = scene.folder / "file"
    file.touch()
    expect_refusal(scene.sidecar(None, {"ledger.dir": str(file)}), "ledger.dir", "name a folder, not a file")


def test_two_instances_of_one_name(scene: Scene) -> None:
    """The second would adopt the records of the first, which lives: it is refused, and the first notices nothing."""
    app = scene.app()
    first = scene.fork(app)
    scene.expect_one_seat(first, app)
    expect_refusal(scene.sidecar(app), "pod.name", "'one'", "its own name")
    scene.expect_one_seat(first, app)
    assert scene.asked("deactivation") == 0


def no_folder(scene: Scene) -> None:
    """Take the key's folder away."""
    shutil.rmtree(scene.key_dir)


def empty(scene: Scene) -> None:
    """Leave nothing but white space."""
    scene.write_key(" \n")


def placeholder(scene: Scene) -> None:
    """Leave what the vendor's chart holds before anybody has put a key there."""
    scene.write_key("<SET_LICENSE_KEY_HERE>\n")


@pytest.mark.parametrize(
    ("spoil", "words"), [(no_folder, "mount the key there"), (empty, "is empty"), (placeholder, "placeholder")]
)
def test_no_usable_key_is_waited_for(scene: Scene, spoil: Callable[[Scene], None], words: str) -> None:
    """A secret may be filled in later: the sidecar says what is missing, is not ready, and starts by itself then."""
    spoil(scene)
    app = scene.app()
    sidecar = scene.fork(app)
    until("the complaint", lambda: sidecar.logged("activation key unusable"), story=scene.story)
    (line,) = sidecar.logged("activation key unusable")
    assert "key.dir" in line["why"]
    assert words in line["why"]
    assert sidecar.get("/startupz")[0] == 200
    code, text = sidecar.get("/readyz")
    assert code == 503
    assert "waits for a usable activation key" in text
    assert (scene.asked(), scene.records()) == (0, {})
    scene.write_key(scene.key)
    scene.expect_one_seat(sidecar, app)


def test_a_wrong_api_key_is_told_and_waited_for(scene: Scene) -> None:
    """403 happens for a while at every start; one that stays means the wrong key, and the sentence says so."""
    right, wrong = (scene.folder / f"{name}.secret" for name in ("right", "wrong"))
    for path in (right, wrong):
        path.write_text(made_up_api_key(f"{scene.name} {path.name}"))
        scene.secrets.append(path.read_text())
    app = scene.app("--api-key-file", str(right))
    sidecar = scene.fork(app, {"app.api_key_file": str(wrong)})
    until("the complaint", lambda: sidecar.logged("the app does not answer"), story=scene.story)
    until("the status", lambda: "app.api_key_file" in sidecar.get("/readyz?verbose")[1], story=scene.story)
    assert (sidecar.ready, scene.asked()) == (False, 0)
    wrong.write_text(right.read_text())
    scene.expect_one_seat(sidecar, app)


@pytest.mark.parametrize(
    "order", [("key", "app", "server"), ("server", "key", "app"), ("app", "server", "key")], ids=" ".join
)
def test_everything_comes_later(scene: Scene, order: tuple[str, ...]) -> None:
    """Nothing is reachable at the start; whatever comes, and in whatever order, the end is a licensed app."""
    no_folder(scene)
    server_port, app_port = free_port(), free_port()
    url = f"http://127.0.0.1:{server_port}"
    settings = {"activation.url": url, "app.url": f"http://127.0.0.1:{app_port}"}
    sidecar = scene.fork(None, settings)
    apps: list[App] = []
    mocks: list[Mock] = []

    def appear(name: str) -> None:
        match name:
            case "key":
                scene.write_key(scene.key)
            case "app":
                apps.append(scene.app("--port", str(app_port), "--activation-url", url))
            case _:
                mocks.append(Mock.start(scene.folder, "late_mock", "--port", str(server_port)))
                scene.processes.append(mocks[0].process)
                mocks[0].put_key(scene.key)

    for name in order:
        assert not sidecar.ready
        appear(name)
    scene.until_ready(sidecar)
    assert set(mocks[0].seats(scene.fingerprint)) == {apps[0].deployment_id}
    sidecar.process.signal(signal.SIGTERM)
    assert sidecar.process.wait() == 0
    assert mocks[0].seats(scene.fingerprint) == {}
