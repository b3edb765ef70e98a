"""A stand-in for the running sidecar's web server, which answers what the test says; and an operator's desk."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.unit.cli.operators_desk import Desk, MockThread


class Sidecar:
    """``answers`` maps a path to the answers that are given in turn; the last one is repeated."""

    def __init__(self, family: socket.AddressFamily, host: str) -> None:
        self.answers: dict[str, list[tuple[int, str]]] = {}
        self.asked: list[str] = []
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                stand_in.asked.append(self.path)
                answers = stand_in.answers.get(self.path, [(404, "not found")])
                status, text = answers.pop(0) if len(answers) > 1 else answers[0]
                self.send_response(status)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
                """Be quiet."""

        class Server(HTTPServer):
            address_family = family

        self._server = Server((host, 0), Handler)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def sidecar() -> Iterator[Sidecar]:
    """Yield a stand-in on 127.0.0.1."""
    stand_in = Sidecar(socket.AF_INET, "127.0.0.1")
    yield stand_in
    stand_in.close()


@pytest.fixture
def sidecar_on_ipv6() -> Iterator[Sidecar]:
    """Yield a stand-in on ::1 only."""
    try:
        stand_in = Sidecar(socket.AF_INET6, "::1")
    except OSError:
        pytest.skip("this machine has no IPv6 loopback: enable it with sysctl net.ipv6.conf.lo.disable_ipv6=0")
    yield stand_in
    stand_in.close()


@pytest.fixture
def closed_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture(scope="module")
def mock_thread() -> Iterator[MockThread]:
    """Serve the mock activation server to a module's tests."""
    thread = MockThread()
    yield thread
    thread.close()


@pytest.fixture
def desk(
    tmp_path: Path,
    mock_thread: MockThread,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Desk]:
    """Lay out an operator's desk: no seat is taken, and the environment says nothing about settings or proxies."""
    for name in [name for name in os.environ if name.startswith("LICENSE_SIDECAR_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    laid_out = Desk(tmp_path, mock_thread.mock, capsys)
    yield laid_out
    laid_out.close()
