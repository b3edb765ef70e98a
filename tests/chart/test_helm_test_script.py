"""What `helm test` runs in its pod, here as a process, against a stand-in app and a sidecar's port that is made up."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mock_activation.icap_app import IcapApp, Settings
from tests.chart.helm import CHART
from tests.chart.test_render_vendor_pains import good

SCRIPT = (CHART / "files" / "helm_test.py").read_text(encoding="utf-8")


@contextmanager
def sidecar(status: int, text: str) -> Iterator[int]:
    """Answer /readyz on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/readyz"
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, name="sidecar")
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def run(sidecar_port: int, icap_port: int) -> subprocess.CompletedProcess[str]:
    """Run it as the pod does: as an argument of python."""
    arguments = ["127.0.0.1", str(sidecar_port), "127.0.0.1", str(icap_port), "options"]
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, timeout=30, check=False
    )


async def icap_port_of(app: IcapApp) -> int:
    """Return the port of the stand-in's ICAP."""
    return int(app.icap_url.split(":")[2].split("/")[0])


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
async def test_ready_sidecars_and_icap_are_a_pass(status: int, code: int) -> None:
    """Every sidecar's own words are printed; one that is not ready is a failure."""
    import asyncio  # noqa: PLC0415 - only here

    async with IcapApp(Settings(activation_url="http://127.0.0.1:1")) as app:
        with sidecar(status, "ready: the seat is ours") as port:
            done = await asyncio.to_thread(run, port, await icap_port_of(app))
    assert "127.0.0.1: ready: the seat is ours" in done.stdout
    assert f"{1 if status == 200 else 0} of 1 sidecars are ready" in done.stdout
    assert "ICAP OPTIONS: ICAP/1.0 200 OK" in done.stdout
    assert done.returncode == code, done.stderr


def test_what_speaks_no_icap_is_a_failure() -> None:
    """A web server behind the ICAP port is found out."""
    with sidecar(200, "ready") as port:
        done = run(port, port)
    assert "1 of 1 sidecars are ready" in done.stdout
    assert done.returncode == 1


def test_the_pod_runs_this_script_with_the_charts_addresses() -> None:
    """The render hands it the Services and ports that are there."""
    manifest = good("app: {ports: {icap: 1345}}")
    pod = manifest.one("Pod")
    container = pod["spec"]["containers"][0]
    assert container["command"] == ["python3", "-c", SCRIPT]
    assert container["args"] == ["rel-license-sidecar.ns.svc", "9480", "md-icapsrv.ns.svc", "1345", "options"]
    services = {it["metadata"]["name"]: [port["port"] for port in it["spec"]["ports"]] for it in manifest.of("Service")}
    assert services["rel-license-sidecar"] == [9480]
    assert 1345 in services["md-icapsrv"]
