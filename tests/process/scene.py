"""What the process tests play with: the mock, stand-ins of the app, sidecars; each a real process.

A scene has a key of its own, so that many tests can share one mock: seats, faults and the journal are asked for by the
key's fingerprint. Nothing that a scene shows may hold the key; ``expect_no_secret`` looks everywhere.
"""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pytest

from tests.process.processes import Nursery, Process, ask, until

Settings = Mapping[str, object]

FAST: Final[Settings] = {
    "activation.timeout": 1,
    "activation.late": 2,
    "activation.retry_base": 0.05,
    "activation.retry_cap": 0.5,
    "activation.refused_retry": 1,
    "lease.renew": 0.3,
    "lease.duration": 1.5,
    "heartbeat.app": 0.2,
    "app.failure_grace": 0.3,
    "app.unreachable_after": 2,
    "refused.restart_app_after": 0,
    "shutdown.budget": 8,
    "http.port": 0,
    "log.format": "json",
    "log.level": "debug",
}
"""As fast as a loaded machine can follow; ``late`` is twice the time-out of a request."""


def made_up_key(name: str) -> str:
    """Return a key in the vendor's form that belongs to this name alone."""
    digest = sha256(name.encode()).hexdigest().upper()
    return "-".join(digest[at : at + 4] for at in range(0, 28, 4))


def made_up_api_key(name: str) -> str:
    """Return an API key that the product accepts (protocol.md section 1), different for each name."""
    digest = sha256(name.encode()).hexdigest()
    letters = re.sub(r"[0-9]", lambda it: "abcdefabcd"[int(it[0])], digest)
    digits = re.sub(r"[a-f]", lambda it: str(ord(it[0]) % 10), digest)
    return "".join(f"{letters[at : at + 2]}{digits[at : at + 2]}" for at in range(0, 36, 2))[:36]


class Mock:
    """``mock-activation serve``."""

    def __init__(self, process: Process) -> None:
        """Wait until it answers."""
        self.process = process
        told = process.line()
        self.url: str = told["url"]
        self._control: str = told["control_url"]

    @classmethod
    def start(cls, folder: Path, name: str = "mock", *options: str) -> Mock:
        """Start one on free ports."""
        ports = () if "--port" in options else ("--port", "0")
        command = (sys.executable, "-m", "mock_activation", "serve", *ports, "--control-port", "0", *options)
        return cls(Process.start(name, folder, *command))

    def control(self, path: str, body: Mapping[str, Any] | None = None, *, method: str | None = None) -> dict[str, Any]:
        """Call the control port."""
        status, text = ask(f"{self._control}{path}", body, method=method)
        if status not in (200, 201):
            pytest.fail(f"control port of the mock, {path}: {status}", pytrace=False)
        told: dict[str, Any] = json.loads(text)
        return told

    def put_key(self, key: str, *, seats: int = 1, state: str = "ok") -> str:
        """Add a key or change it; return its fingerprint."""
        fingerprint: str = self.control("/keys", {"key": key, "seats": seats, "state": state})["fingerprint"]
        return fingerprint

    def seats(self, fingerprint: str) -> dict[str, float]:
        """Return the deployment IDs that have a seat under this key, and when (the mock's clock) they took it."""
        for key in self.control("/state")["keys"]:
            if key["fingerprint"] == fingerprint:
                return {seat["deployment"]: seat["taken_at"] for seat in key["taken"]}
        return {}

    def journal(self, fingerprint: str, operation: str = "activation") -> list[dict[str, Any]]:
        """Return the requests with this key, oldest first."""
        entries = self.control(f"/journal?operation={operation}")["entries"]
        return [entry for entry in entries if entry["key_fingerprint"] == fingerprint]


class App:
    """``mock-activation icap-app``."""

    def __init__(self, process: Process) -> None:
        """Wait until it answers."""
        self.process = process
        told = process.line()
        self.url: str = told["url"]
        self._control: str = told["control_url"]

    def state(self) -> dict[str, Any]:
        """Return everything that the stand-in knows about itself."""
        status, text = ask(f"{self._control}/state")
        if status != 200:
            pytest.fail(f"control port of {self.process.name}: {status}", pytrace=False)
        told: dict[str, Any] = json.loads(text)
        return told

    @property
    def deployment_id(self) -> str:
        """Return its present ID."""
        return str(self.state()["deployment_id"])

    @property
    def licensed(self) -> bool:
        """Tell whether it has a licence."""
        return bool(self.state()["licensed"])

    def tell(self, path: str, **body: Any) -> None:
        """Disturb it: ``crash``, ``hang``, ``restart``, ``lose-license``... (docs/icap-app.md)."""
        status, text = ask(f"{self._control}/{path}", body, method="POST")
        if status not in (200, 202):
            pytest.fail(f"control port of {self.process.name}, {path}: {status} {text}", pytrace=False)


class Sidecar:
    """``license-sidecar run``."""

    def __init__(self, process: Process) -> None:
        """Take the process; it may never get so far as to listen."""
        self.process = process
        self._port = 0

    def lines(self) -> list[dict[str, Any]]:
        """Return its log; a line that is no JSON is a mistake of whoever wrote it."""
        text, _, _ = self.process.err.read_text("utf-8").rpartition("\n")
        return [json.loads(line) for line in text.split("\n") if line.startswith("{")]

    @property
    def port(self) -> int:
        """Return the port of its probes; waits for it."""

        def started() -> int:
            if self.process.code is not None:
                pytest.fail(f"{self.process.name} ended with {self.process.code}\n{self.process.printed()}")
            return next((line["port"] for line in self.lines() if line["event"] == "started"), 0)

        if not self._port:
            self._port = until(f"{self.process.name} to listen", started, story=self.process.printed)
        return self._port

    def get(self, path: str, *, limit: float = 5) -> tuple[int, str]:
        """Ask its HTTP side; status 0: nobody answers."""
        return ask(f"http://127.0.0.1:{self.port}{path}", limit=limit)

    def status(self) -> dict[str, Any]:
        """Return what ``/status`` shows."""
        told: dict[str, Any] = json.loads(self.get("/status")[1])
        return told

    def stage(self) -> str:
        """Return its state in one word, empty if it does not answer."""
        code, text = self.get("/status")
        return str(json.loads(text)["state"]) if code == 200 else ""

    @property
    def ready(self) -> bool:
        """Tell what ``/readyz`` says."""
        return self.get("/readyz")[0] == 200

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return the lines with this event."""
        return [line for line in self.lines() if line["event"] == event]


@dataclass(kw_only=True)
class Scene:
    """One test's world."""

    name: str
    folder: Path
    mock: Mock
    nursery: Nursery
    stand_ins: Nursery
    key: str = field(repr=False)
    seats: int = 1
    processes: list[Process] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        """Lay out the folders and make the key known."""
        self.fingerprint = self.mock.put_key(self.key, seats=self.seats)
        self.secrets.append(self.key)
        self.ledger = self.folder / "ledger"
        self.ledger.mkdir()
        self.key_dir = self.folder / "key"
        self.write_key(self.key)

    # --- the things that are played with ------------------------------------------------------------------------------

    def write_key(self, value: str, *, previous: str = "", folder: Path | None = None) -> None:
        """Put a key where sidecars look for it, as a mounted Secret does: the link ``..data`` is swapped."""
        folder = folder or self.key_dir
        version = folder / f"..20{len(list(folder.glob('..20*'))):04}"
        version.mkdir(parents=True)
        (version / "value").write_text(value)
        if previous:
            (version / "previous").write_text(previous)
        (folder / "..next").symlink_to(version.name)
        (folder / "..next").rename(folder / "..data")
        for name in ("value", "previous"):
            if not (folder / name).is_symlink():
                (folder / name).symlink_to(f"..data/{name}")

    def other_key(self, name: str, *, seats: int = 1, state: str = "ok") -> str:
        """Make another key known; it is a secret too."""
        key = made_up_key(f"{self.name} {name}")
        self.secrets.append(key)
        self.mock.put_key(key, seats=seats, state=state)
        return key

    def app(self, *options: str, name: str = "app", environ: Mapping[str, str] | None = None) -> App:
        """Start a stand-in of the app; with ``LICENSE_KEY`` in ``environ`` it licenses itself."""
        order = {"options": ["--activation-url", self.mock.url, *options], "environ": dict(environ or {})}
        process = self.stand_ins.fork(self.folder, self._free(name), order)
        self.processes.append(process)
        return App(process)

    def settings(self, app: App | None = None, more: Settings | None = None, *, name: str = "one") -> dict[str, object]:
        """Return the settings of a sidecar."""
        return {
            **FAST,
            "activation.url": self.mock.url,
            "app.url": app.url if app is not None else "http://127.0.0.1:1",
            "key.dir": str(self.key_dir),
            "ledger.dir": str(self.ledger),
            "refused.dir": str(self.folder),
            "pod.name": name,
            **(more or {}),
        }

    def config(self, settings: Settings, name: str = "one") -> Path:
        """Write settings to a file."""
        path = self.folder / f"{name}.yaml"
        path.write_text(json.dumps(settings, indent=1))
        return path

    def sidecar(self, app: App | None = None, more: Settings | None = None, *, name: str = "one") -> Sidecar:
        """Start the installed command."""
        return self.command("run", "--config", str(self.config(self.settings(app, more, name=name), name)), name=name)

    def command(self, *arguments: str, name: str = "one", environ: Mapping[str, str] | None = None) -> Sidecar:
        """Start ``license-sidecar`` with these arguments."""
        command = (sys.executable, "-m", "sidecar", *arguments)
        process = Process.start(self._free(name), self.folder, *command, environ=environ)
        self.processes.append(process)
        return Sidecar(process)

    def fork(
        self,
        app: App | None = None,
        more: Settings | None = None,
        *,
        name: str = "one",
        point: Mapping[str, object] | None = None,
    ) -> Sidecar:
        """Fork a sidecar from the nursery; ``point`` (see ``mortal.Point``) says where it dies."""
        config = self.config(self.settings(app, more, name=name), name)
        order = {"config": str(config), "point": point}
        process = self.nursery.fork(self.folder, self._free(name), order)
        self.processes.append(process)
        return Sidecar(process)

    def _free(self, name: str) -> str:
        count = sum(process.name.split(".")[0] == name for process in self.processes)
        return f"{name}.{count}" if count else name

    # --- what is true -------------------------------------------------------------------------------------------------

    def taken(self) -> set[str]:
        """Return the deployment IDs that have a seat on the server under the scene's key."""
        return set(self.mock.seats(self.fingerprint))

    def asked(self, operation: str = "activation") -> int:
        """Return how many requests the server got with the scene's key."""
        return len(self.mock.journal(self.fingerprint, operation))

    def fault(self, name: str, operation: str = "activation", **more: object) -> None:
        """Let the server misbehave towards this scene's key (docs/mock.md)."""
        self.mock.control(
            "/faults", {"fault": name, "operation": operation, "key_fingerprint": self.fingerprint, **more}
        )

    def heal(self) -> None:
        """Take back this scene's faults."""
        for fault in self.mock.control("/faults")["faults"]:
            if fault["key_fingerprint"] == self.fingerprint:
                self.mock.control(f"/faults/{fault['number']}", method="DELETE")

    def records(self) -> dict[str, dict[str, Any]]:
        """Return the seat records in the ledger, by deployment ID, as they stand in their files."""
        found: dict[str, dict[str, Any]] = {}
        for path in sorted(self.ledger.glob("seat-*")):
            try:
                record = json.loads(path.read_text())["record"]
            except (OSError, ValueError):  # erased or replaced meanwhile
                continue
            found[record["identity"]["deployment_id"]] = record
        return found

    def story(self) -> str:
        """Return the last lines of everybody, for a test that failed."""

        def last(process: Process) -> str:
            lines = [line for line in process.printed().splitlines() if '"logger": "httpcore' not in line]
            return "\n".join([f"--- {process.name} ({process.code})", *lines[-20:]])

        return "\n".join(map(last, self.processes))

    def until_ready(self, sidecar: Sidecar) -> None:
        """Wait until the sidecar is ready."""
        until(f"{sidecar.process.name} to be ready", lambda: sidecar.ready, story=self.story)

    def until_taken(self, *deployments: str) -> None:
        """Wait until exactly these have seats."""
        until(f"seats of {deployments or 'nobody'}", lambda: self.taken() == set(deployments), story=self.story)

    def expect_one_seat(self, sidecar: Sidecar, app: App) -> None:
        """Wait until the sidecar is ready; then only the app's present ID has a seat, and a record that says active."""
        self.until_ready(sidecar)
        own = app.deployment_id
        self.until_taken(own)

        def written() -> bool:
            records = self.records()
            return set(records) == {own} and records[own]["phase"] == "active"

        until("one active record", written, story=self.story)

    def until_nothing_is_left(self, *fingerprints: str) -> None:
        """Let a sidecar without an app finish what others left, until there is no record and no seat any more."""
        peer = self.fork(name="peer")
        until("an empty ledger", lambda: not list(self.ledger.glob("seat-*")), limit=60, story=self.story)
        for fingerprint in (self.fingerprint, *fingerprints):
            assert self.mock.seats(fingerprint) == {}
        peer.process.signal(signal.SIGTERM)
        assert peer.process.wait() == 0

    # --- the end ------------------------------------------------------------------------------------------------------

    def expect_no_secret(self) -> None:
        """Look for the keys in everything that was printed or written, by anybody, in any spelling of theirs."""
        texts = {f"command line of {it.name}": it.arguments for it in self.processes}
        own = {path for path in self.key_dir.rglob("*") if path.is_file()}
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and path not in own and path.suffix != ".secret":
                texts[path.name] = path.read_text("utf-8", "replace")
        spoken = [form for secret in self.secrets for form in spellings(secret)]
        found = [place for place, text in texts.items() if any(form in text.upper() for form in spoken)]
        assert found == []

    def close(self) -> None:
        """End everything; every end is by its id."""
        for process in reversed(self.processes):
            process.end()
        self.heal()


def spellings(secret: str) -> set[str]:
    """Return the secret as it may be found in output, in upper case: as it is, glued, in a URL, and half of it."""
    text = secret.upper()
    return {text, text.replace("-", ""), text.replace("-", "%2D"), text[: len(text) // 2], text[len(text) // 2 :]}
