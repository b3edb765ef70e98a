"""The app's liveness probe, as it is rendered, in a real bash against real ports; it must never ask for a licence."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trustme

from tests.chart.test_render_vendor_pains import good

Answer = Callable[[socket.socket], None]


def http(connection: socket.socket) -> None:
    """Answer as a REST port does."""
    connection.recv(1000)
    connection.sendall(b"HTTP/1.1 404 Not Found\r\n\r\n")


def hang_up(connection: socket.socket) -> None:
    """End without a byte, as some TLS ports do at a plain request."""
    connection.recv(1000)


def hurry(connection: socket.socket) -> None:
    """End at the first bytes of the request, while more of it is on the way."""
    connection.recv(1)


def reset(connection: socket.socket) -> None:
    """End by RST."""
    connection.recv(1000)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")


def tls(connection: socket.socket) -> None:
    """Be a TLS port, which says in an alert that this was no TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    with suppress(ssl.SSLError):
        context.wrap_socket(connection, server_side=True)


def silence(connection: socket.socket) -> None:
    """Take the connection and say nothing, longer than the probe waits."""
    deadline = time.monotonic() + 3
    connection.settimeout(0.1)
    while time.monotonic() < deadline:
        with suppress(TimeoutError):
            if not connection.recv(1000):
                return


@contextmanager
def port(answer: Answer) -> Iterator[int]:
    """Serve one connection on a free port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                connection, _ = server.accept()
                with connection:
                    answer(connection)

        thread = threading.Thread(target=serve, name="port", daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            with suppress(OSError), socket.create_connection(server.getsockname(), 1):
                """Nobody may have come: let the thread end."""
            thread.join(5)


def probe(number: int, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the script of the render against a port and a folder; it waits a second where it would wait five."""
    command = good(f"app: {{ports: {{rest: {number}}}}}").app.container("md-icapsrv")["livenessProbe"]["exec"][
        "command"
    ]
    assert command[:2] == ["bash", "-c"]
    script = command[2].replace("/run/license-sidecar", str(folder)).replace("-t 5", "-t 1")
    assert str(folder) in script
    # An empty search path but for find: nothing else of the image is needed, or trusted.
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    if not (tools / "find").exists():
        (tools / "find").symlink_to("/usr/bin/find")
    return subprocess.run(
        ["/bin/bash", "-c", script],
        env={"PATH": str(tools)},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


@pytest.mark.parametrize("attempt", range(5))
@pytest.mark.parametrize("answer", [http, hang_up, hurry, reset, tls], ids=lambda it: it.__name__)
def test_a_port_that_answers_lives(answer: Answer, attempt: int, tmp_path: Path) -> None:
    """Any byte and any end is a sign of life, plain or TLS, licensed or not; however the two interleave."""
    with port(answer) as number:
        done = probe(number, tmp_path)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_a_port_that_is_silent_does_not_live(tmp_path: Path) -> None:
    """A process that hangs takes connections and answers nothing."""
    with port(silence) as number:
        done = probe(number, tmp_path)
    assert done.returncode == 1
    assert "does not answer" in done.stdout


def test_a_closed_port_does_not_live(tmp_path: Path) -> None:
    """Nobody listens: the app is gone."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1]
    assert probe(number, tmp_path).returncode == 1


@pytest.mark.parametrize(("age", "lives"), [(0, False), (110, False), (130, True), (3600, True)])
def test_the_sidecars_wish_counts_for_two_minutes(age: int, lives: bool, tmp_path: Path) -> None:
    """A wish that is not renewed lapses: a dead sidecar cannot restart a healthy app."""
    wish = tmp_path / "restart-app"
    wish.touch()
    os.utime(wish, (time.time() - age, time.time() - age))
    with port(http) as number:
        done = probe(number, tmp_path)
    assert (done.returncode == 0) is lives
    assert ("asks for a restart" in done.stdout) is not lives
