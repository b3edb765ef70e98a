"""A real Prometheus with the rules as they are, and two sidecars' own registries with a history of half an hour.

One pod is licensed, the other has been refused a seat all the time. Their past is written into Prometheus' storage by
promtool, so that an alert which needs five minutes is seen firing within seconds; the present is scraped.

    python -m tests.chart.prometheus_scene

shows it to a person with a browser, until Ctrl-C.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from sidecar.core.commands import Notice, Occasion
from sidecar.core.reasons import AppTrouble, Cause, Failure
from sidecar.core.records import Phase
from sidecar.core.view import Stage
from sidecar.observe.metrics import Metrics
from sidecar.ports import Outcome, ReclaimResult, Target, WatchEnd
from tests.chart import promtool
from tests.unit.observe import states
from tests.unit.observe.states import Clock

PAST: Final = 1800
STEP: Final = 15
JOB: Final = "license-sidecar"


class Pod:
    """A sidecar's registry, whose clock is told."""

    def __init__(self, name: str, *, licensed: bool, clock: Clock) -> None:
        """Begin in the state that it keeps."""
        self.name = name
        self.licensed = licensed
        self.clock = clock
        self.metrics = Metrics("1.2.3", seats_configured=2, kubernetes=True, clock=Clock(), wall=clock)
        self.metrics.stepped(states.active() if licensed else states.refused())
        self.metrics.moved(Stage.ACTIVE if licensed else Stage.REFUSED)

    def live(self) -> None:
        """Let happen once whatever can happen, as in a quarter of a minute of a bad day."""
        tell = self.metrics
        if not self.licensed:
            tell.noticed(Notice(occasion=Occasion.ACTIVATION_ASKED))
            tell.noticed(Notice(occasion=Occasion.ACTIVATION_REFUSED, reason=Failure.NO_SEATS))
            tell.noticed(Notice(occasion=Occasion.RELEASE_ASKED, reason=Cause.DEPLOYMENT_CHANGED))
            tell.noticed(Notice(occasion=Occasion.RELEASE_FAILED, reason=Failure.TIMEOUT))
            tell.noticed(Notice(occasion=Occasion.APP_FAILED, reason="exit"))
            tell.noticed(Notice(occasion=Occasion.APP_UNANSWERED, reason=AppTrouble.SILENT))
            tell.noticed(Notice(occasion=Occasion.KEY_UNUSABLE))
            tell.reclaimed(ReclaimResult.FAILED)
            tell.scan_failed()
            tell.watch_restarted(WatchEnd.GONE)
        tell.noticed(Notice(occasion=Occasion.RECORD_RENEWED))
        tell.noticed(Notice(occasion=Occasion.APP_CHECKED))
        tell.requested(Target.LEDGER, "write", Outcome.OK, 0.02)
        tell.scanned({Phase.ACTIVE: 2}, {Phase.ACTIVE: 1})

    def scrape(self) -> str:
        """Let another moment pass and return what it shows."""
        self.clock.now = time.time()
        self.live()
        return self.metrics.render().decode()

    def past(self, now: float) -> list[str]:
        """Return half an hour of scrapes, in the format that promtool writes into a storage."""
        lines = []
        for at in range(int(now) - PAST, int(now), STEP):
            self.clock.now = at
            self.live()
            more = {"namespace": "icap", "job": JOB, "pod": self.name, "instance": self.name}
            for family in text_string_to_metric_families(self.metrics.render().decode()):
                for sample in family.samples:
                    labels = ",".join(f'{name}="{value}"' for name, value in (sample.labels | more).items())
                    lines.append(f"{sample.name}{{{labels}}} {sample.value} {at}")
        return lines


class _Pages(BaseHTTPRequestHandler):
    pages: dict[str, Callable[[], str]]

    def do_GET(self) -> None:
        body = self.pages[self.path]().encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def _serve(pages: dict[str, Callable[[], str]]) -> Iterator[int]:
    handler = type("Pages", (_Pages,), {"pages": pages})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


class Prometheus:
    """The API of the one that runs."""

    def __init__(self, port: int) -> None:
        """Take its port on loopback."""
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, path: str, **query: str) -> Any:
        """Return the data of an answer of its API."""
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}", timeout=5) as answer:
            return json.load(answer)["data"]

    def alerts(self) -> dict[str, dict[str, Any]]:
        """Return the alerts by name, each with its health and its state."""
        return {rule["name"]: rule for group in self.ask("rules")["groups"] for rule in group["rules"]}

    def value(self, query: str) -> list[dict[str, Any]]:
        """Return what a query finds now."""
        found: list[dict[str, Any]] = self.ask("query", query=query)["result"]
        return found

    def wait_until(self, what: str, look: Callable[[], object], limit: float = 30.0) -> None:
        """Look again and again until it is so."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                if look():
                    return
            time.sleep(0.1)
        pytest.fail(f"waited {limit:.0f} s in vain for: {what}", pytrace=False)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Prometheus]:
    """Write the past, start Prometheus, and end it whatever happens."""
    program = shutil.which("prometheus")
    if program is None:
        message = f"there is no prometheus: {promtool.INSTALL}"
        pytest.fail(message, pytrace=False) if os.environ.get("CI") else pytest.skip(message)
    now = time.time()
    pods = [Pod("served", licensed=True, clock=Clock()), Pod("refused", licensed=False, clock=Clock())]
    history = folder / "history.txt"
    lines = [line for pod in pods for line in pod.past(now)]
    history.write_text("\n".join([*sorted(lines, key=lambda line: line.split("{")[0]), "# EOF", ""]))
    storage = folder / "storage"
    promtool.run("tsdb", "create-blocks-from", "openmetrics", str(history), str(storage))
    pages = {f"/{pod.name}": pod.scrape for pod in pods} | {"/mock": lambda: "mock_activation_seats_used 2\n"}
    with _serve(pages) as port:
        jobs = [_job(JOB, pod.name, port) for pod in pods] + [_job("mock-activation", "mock", port)]
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(promtool.ALERTS)],
            "scrape_configs": [job | {"job_name": f"{job['job_name']}-{number}"} for number, job in enumerate(jobs)],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        own = _free_port()
        with (folder / "prometheus.log").open("wb") as log:
            process = subprocess.Popen(
                [
                    program,
                    f"--config.file={folder}/prometheus.yml",
                    f"--storage.tsdb.path={storage}",
                    f"--web.listen-address=127.0.0.1:{own}",
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            yield Prometheus(own)
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


def _job(name: str, path: str, port: int) -> dict[str, Any]:
    labels = {"job": name, "namespace": "icap", "pod": path, "instance": path}
    return {
        "job_name": name,
        "metrics_path": f"/{path}",
        "static_configs": [{"targets": [f"127.0.0.1:{port}"], "labels": labels}],
    }


def main() -> None:
    """Show the scene until somebody has seen enough."""
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as prometheus:
        prometheus.wait_until("both alerts fire", lambda: len(prometheus.value('ALERTS{alertstate="firing"}')) >= 2)
        print(f"two alerts are firing: {prometheus.url}/alerts (Ctrl-C ends it)", flush=True)  # noqa: T201 - its output
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
