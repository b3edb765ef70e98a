"""A Docker engine, the image and the Compose file as a user has them; every part cleans up after itself.

Nothing here is faked: without an engine the tests are skipped and say what installs one. In CI that is a failure.
The engine is the one that DOCKER_HOST (or Docker's own default) names; BASE_IMAGE, BUILD_IMAGE and BUILD_NETWORK reach
``make image`` for machines without an image registry.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD_LIMIT = 900
POLL = 0.2


def absent(what: str, install: str) -> NoReturn:
    """Skip the test with the command that brings what is missing; in CI fail, since there everything must run."""
    message = f"{what}; to get it: {install}"
    if os.environ.get("CI") == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def command(*words: str, limit: float = 120, check: bool = True, environ: dict[str, str] | None = None) -> str:
    """Run a command at the root of the repository and return what it printed on both channels."""
    done = subprocess.run(
        words,
        cwd=ROOT,
        env={**os.environ, **(environ or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=limit,
        check=False,
    )
    if check and done.returncode != 0:
        pytest.fail(f"{' '.join(words)}: exit code {done.returncode}\n{done.stdout}", pytrace=False)
    return done.stdout


class Engine:
    """The Docker command line against the engine under test."""

    def run(self, *words: str, limit: float = 120, check: bool = True) -> str:
        return command("docker", *words, limit=limit, check=check)

    def inspect(self, name: str) -> dict[str, Any]:
        inspected: dict[str, Any] = json.loads(self.run("inspect", name))[0]
        return inspected


@pytest.fixture(scope="session")
def engine() -> Engine:
    """Return a Docker engine that answers."""
    if shutil.which("docker") is None:
        absent("there is no docker command", "apt-get install docker.io")
    try:
        answer = subprocess.run(["docker", "version"], capture_output=True, text=True, timeout=30, check=False)
    except subprocess.TimeoutExpired:
        absent("the Docker engine does not answer", "systemctl restart docker")
    if answer.returncode != 0:
        absent("no Docker engine answers", "apt-get install docker.io && .ci/docker-engine start FOLDER")
    return Engine()


@pytest.fixture(scope="session")
def image(engine: Engine) -> Iterator[str]:
    """Build the image as a user builds it, under a name of its own."""
    name = f"license-sidecar:test-{os.getpid()}"
    command("make", "image", f"IMAGE={name}", limit=BUILD_LIMIT)
    yield name
    engine.run("rmi", "--force", name, check=False)


class Stack:
    """The Compose file under a project name of its own, on ports that the engine chooses."""

    def __init__(self, engine: Engine, compose: tuple[str, ...], image: str) -> None:
        """Nothing is started yet."""
        self.engine = engine
        self.project = f"license-sidecar-test-{os.getpid()}"
        self._compose = compose
        self._environ = {
            "COMPOSE_PROJECT_NAME": self.project,
            "IMAGE": image,
            **dict.fromkeys(("MOCK_CONTROL_PORT", "SIDECAR1_PORT", "SIDECAR2_PORT", "PROMETHEUS_PORT"), "0"),
        }

    @property
    def flavour(self) -> str:
        """Return which Compose this is."""
        return " ".join(self._compose)

    def compose(self, *words: str, limit: float = 180, check: bool = True) -> str:
        return command(*self._compose, *words, limit=limit, check=check, environ=self._environ)

    def container(self, service: str) -> str:
        """Return the container's id, also of one that has ended."""
        found = self.engine.run(
            *("ps", "--all", "--quiet", "--no-trunc"),
            *("--filter", f"label=com.docker.compose.project={self.project}"),
            *("--filter", f"label=com.docker.compose.service={service}"),
        ).split()
        assert len(found) == 1, f"{service}: {len(found)} containers"
        return found[0]

    def url(self, service: str, port: int) -> str:
        """Return the address under which a port of a service is published on this machine."""
        lines = self.engine.run("port", self.container(service), str(port)).split()
        return f"http://{lines[0]}"

    def healthy(self, service: str) -> bool:
        state = self.engine.inspect(self.container(service))["State"]
        return bool(state["Running"]) and state.get("Health", {}).get("Status") == "healthy"

    def seats(self) -> set[str]:
        """Return the deployment IDs that the activation server counts, its own truth."""
        keys = self.fetch(self.url("mock", 8081) + "/state")["keys"]
        return {seat["deployment"] for key in keys for seat in key["taken"]}

    def status(self, number: int) -> Any:
        return self.fetch(self.url(f"pod{number}", 9480) + "/status")

    def key_state(self, state: str) -> None:
        """Let the activation server think something else of its only key."""
        mock = self.url("mock", 8081)
        (key,) = self.fetch(mock + "/state")["keys"]
        body = json.dumps({"state": state}).encode()
        address = f"{mock}/keys/{key['fingerprint']}"
        self.fetch(urllib.request.Request(address, body, {"Content-Type": "application/json"}, method="PATCH"))

    @staticmethod
    def fetch(url: str | urllib.request.Request) -> Any:
        """Fetch a JSON answer."""
        with urllib.request.urlopen(url, timeout=5) as answer:
            return json.load(answer)

    def wait_until(self, what: str, look: Callable[[], object], limit: float, *, show: str = "") -> None:
        """Look again and again until it is true; fail with what was waited for, and what the service ``show`` said."""
        end = time.monotonic() + limit
        fault: object = "it is not so"
        while time.monotonic() < end:
            try:
                if look():
                    return
                fault = "it is not so"
            except OSError as error:
                fault = error
            time.sleep(POLL)
        said = self.engine.run("logs", "--tail", "30", self.container(show)) if show else ""
        pytest.fail(f"waited {limit:.0f} s in vain for: {what} ({fault})\n{said}", pytrace=False)


FLAVOURS = {
    "docker compose": "https://docs.docker.com/compose/install",
    "docker-compose": "apt-get install docker-compose",
}


@pytest.fixture(scope="module", params=FLAVOURS)
def stack(request: pytest.FixtureRequest, engine: Engine, image: str) -> Iterator[Stack]:
    """Return the Compose file, not yet started, once for Compose v2 and once for docker-compose 1.29.

    It is taken down with its volumes at the end, whatever happened.
    """
    compose = tuple(request.param.split())
    if (
        shutil.which(compose[0]) is None
        or subprocess.run([*compose, "version"], capture_output=True, check=False).returncode
    ):
        absent(f"there is no {request.param}", FLAVOURS[request.param])
    made = Stack(engine, compose, image)
    yield made
    made.compose("--profile", "monitoring", "down", "--volumes", "--timeout", "5", check=False)
