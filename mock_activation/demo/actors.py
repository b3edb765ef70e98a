"""Who plays in the demo: the activation server, and pods of an app and a sidecar. How each is started and asked.

Nothing here waits or judges: that is the story's affair. Keys are in files and in ``Key``, and shown by fingerprint.
"""

from __future__ import annotations

import json
import secrets
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from mock_activation.demo.asking import Answer, NoAnswerError, ask, ask_json, ask_metric
from mock_activation.demo.processes import Process, Troupe, python
from mock_activation.secrecy import fingerprint

LEASE: Final = 1.5
"""Seconds; the default of the sidecar is 60."""
LATE: Final = 1.5
"""Seconds; the default is 120."""
_SETTINGS: Final = {
    "lease.renew": "0.4s",
    "lease.duration": f"{LEASE:g}s",
    "heartbeat.app": "0.5s",
    "app.failure_grace": "0.5s",
    "activation.timeout": "1.5s",
    "activation.late": f"{LATE:g}s",
    "activation.retry_base": "0.3s",
    "activation.retry_cap": "1s",
    "refused.restart_app_after": "0",
    "shutdown.budget": "10s",
    "http.port": "0",
    "log.format": "json",
}
_ALPHABET: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_SIDECARS, _APPS, _SERVERS = range(3)


@dataclass(frozen=True, slots=True)
class Key:
    """A key that is made for this run."""

    seats: int
    text: str = field(repr=False)

    @classmethod
    def make(cls, seats: int) -> Key:
        """Make one in the vendor's form."""
        groups = ("".join(secrets.choice(_ALPHABET) for _ in range(4)) for _ in range(7))
        return cls(seats, "-".join(groups))

    @property
    def fingerprint(self) -> str:
        """The only thing that is shown of it."""
        return fingerprint(self.text)


def _one_line(process: Process, what: str) -> Any:
    announced = process.announced()
    if announced is None:
        raise NoAnswerError(f"{process.name} has not told its {what} yet")
    return announced[what]


class Server:
    """The mock activation server, looked at over its control port."""

    def __init__(self, troupe: Troupe, folder: Path, *keys: Key) -> None:
        """Start it with these keys."""
        file = folder / "keys.yaml"
        file.touch(mode=0o600)
        file.write_text("keys:\n" + "".join(f"  - {{key: {key.text}, seats: {key.seats}}}\n" for key in keys))
        command = python("mock_activation", "serve", "--port=0", "--control-port=0", f"--keys={file}")
        self.process = troupe.start("activation server", command, wave=_SERVERS)

    @property
    def url(self) -> str:
        """Address of the activation port."""
        return str(_one_line(self.process, "url"))

    @property
    def control(self) -> str:
        """Address of the control port."""
        return str(_one_line(self.process, "control_url"))

    def taken(self, key: Key) -> list[str]:
        """Return the deployment IDs that have a seat of this key."""
        keys = ask_json(f"{self.control}/state")["keys"]
        return [seat["deployment"] for it in keys if it["fingerprint"] == key.fingerprint for seat in it["taken"]]

    def journal(self, operation: str = "", deployment: str = "") -> list[dict[str, Any]]:
        """Return the requests that were sent to the activation port, oldest first."""
        wanted = {"operation": operation, "deployment": deployment}
        query = "&".join(f"{name}={value}" for name, value in wanted.items() if value)
        entries: list[dict[str, Any]] = ask_json(f"{self.control}/journal?{query}")["entries"]
        return entries

    def released_at(self, deployment: str, since: float) -> float:
        """Return when the seat became free, both in seconds since the epoch. Raises ``NoAnswerError``."""
        for entry in self.journal("deactivation", deployment):
            if entry["outcome"] == "released" and (entry["done_at"] or 0.0) >= since:
                return float(entry["done_at"])
        raise NoAnswerError("the server's journal has no release of this seat")

    def misbehave(self, **fault: object) -> int:
        """Add a fault and return its number (docs/mock.md)."""
        return int(ask_json(f"{self.control}/faults", "POST", fault)["number"])

    def behave(self) -> None:
        """Remove all faults."""
        ask_json(f"{self.control}/faults", "DELETE")


class App:
    """The stand-in for ICAP Server."""

    def __init__(self, troupe: Troupe, name: str, url: str, api_key_file: Path, port: int = 0) -> None:
        """Start it; its licence goes with the process, as with a container."""
        command = python("mock_activation", "icap-app", f"--port={port}")
        command += [f"--api-key-file={api_key_file}", f"--activation-url={url}"]
        self.process = troupe.start(f"{name} app", command, wave=_APPS)

    @property
    def url(self) -> str:
        """Address of the REST port."""
        return str(_one_line(self.process, "url"))

    @property
    def control(self) -> str:
        """Address of the control port."""
        return str(_one_line(self.process, "control_url"))

    @property
    def deployment_id(self) -> str:
        """The deployment ID that it runs under now."""
        return str(ask_json(f"{self.control}/state")["deployment_id"])

    @property
    def licensed(self) -> bool:
        """Whether it has a licence now."""
        return bool(ask_json(f"{self.control}/state")["licensed"])

    def tell(self, what: str, **body: object) -> None:
        """Tell it to do something (docs/icap-app.md)."""
        ask_json(f"{self.control}/{what}", "POST", body)


class Sidecar:
    """The sidecar, looked at as Kubernetes, Prometheus and a person would."""

    def __init__(self, troupe: Troupe, name: str, settings: Path) -> None:
        """Start it."""
        command = python("sidecar", "run", f"--config={settings}")
        self.process = troupe.start(f"{name} sidecar", command, wave=_SIDECARS)

    @property
    def url(self) -> str:
        """Address of its probes."""
        started = self.process.logged("started")
        if started is None:
            raise NoAnswerError(f"{self.process.name} does not listen yet")
        return f"http://127.0.0.1:{started['port']}"

    def ready(self) -> Answer:
        """Ask the probe that lets traffic in."""
        return ask(f"{self.url}/readyz")

    def status(self) -> dict[str, Any]:
        """Return what it says about itself."""
        status: dict[str, Any] = ask_json(f"{self.url}/status")
        return status

    def record(self) -> dict[str, Any]:
        """Return its seat record as /status shows it; empty if there is none."""
        record: dict[str, Any] = (self.status()["seat"] or {}).get("record") or {}
        return record

    def metric(self, name: str, **labels: str) -> float:
        """Return one value of its metrics."""
        return ask_metric(f"{self.url}/metrics", f"mdlicense_{name}", **labels)


class Pod:
    """An app and its sidecar, with a key folder of their own and the ledger that all share."""

    def __init__(self, troupe: Troupe, folder: Path, name: str, server: Server, key: Key, *, other: Key) -> None:
        """Prepare its files; nothing is started. ``other``: a key under which it may release seats, no more."""
        self.name = name
        self._troupe = troupe
        self._server = server
        self._ledger = folder / "ledger"
        self._folder = folder / name
        for each in (self._folder, self.key_folder, self._folder / "shared"):
            each.mkdir()
        self._api_key_file = self._folder / "api-key"
        self._api_key_file.touch(mode=0o600)
        self._api_key_file.write_text(
            "".join(secrets.choice("abcdef") + secrets.choice("0123456789") for _ in range(18))
        )
        self._write("previous", other)
        self.put_key(key)
        self._app: App | None = None
        self._sidecar: Sidecar | None = None

    @property
    def app(self) -> App:
        """The app that was started last."""
        if self._app is None:
            raise AssertionError("the app was not started")
        return self._app

    @property
    def sidecar(self) -> Sidecar:
        """The sidecar that was started last."""
        if self._sidecar is None:
            raise AssertionError("the sidecar was not started")
        return self._sidecar

    @property
    def processes(self) -> Iterator[Process]:
        """Its processes."""
        for actor in (self._sidecar, self._app):
            if actor is not None:
                yield actor.process

    @property
    def has_app(self) -> bool:
        """Whether its app runs."""
        return self._app is not None and self._app.process.exit_code is None

    @property
    def runs(self) -> bool:
        """Whether its sidecar runs."""
        return self._sidecar is not None and self._sidecar.process.exit_code is None

    @property
    def settings(self) -> Path:
        """The sidecar's settings, also for a person who calls its other commands."""
        return self._folder / "sidecar.yaml"

    @property
    def key_folder(self) -> Path:
        """The folder from which the sidecar reads its key."""
        return self._folder / "key"

    def put_key(self, key: Key) -> None:
        """Write the key, or replace it at one stroke."""
        self._write("value", key)

    def _write(self, name: str, key: Key) -> None:
        draft = self._folder / ".draft"
        draft.touch(mode=0o600)
        draft.write_text(f"{key.text}\n")
        draft.replace(self.key_folder / name)

    def start_app(self) -> None:
        """Start the app: under the same port as before, as a container that is restarted."""
        port = 0 if self._app is None else int(self._app.url.rpartition(":")[2])
        self._app = App(self._troupe, self.name, self._server.url, self._api_key_file, port)

    def start_sidecar(self) -> None:
        """Start the sidecar."""
        settings = {
            **_SETTINGS,
            "pod.name": self.name,
            "activation.url": self._server.url,
            "app.url": self.app.url,
            "app.api_key_file": self._api_key_file,
            "key.dir": self.key_folder,
            "ledger.dir": self._ledger,
            "refused.dir": self._folder / "shared",
        }
        self.settings.write_text("".join(f"{name}: {json.dumps(str(value))}\n" for name, value in settings.items()))
        self._sidecar = Sidecar(self._troupe, self.name, self.settings)

    def kill(self) -> None:
        """Kill both without a word, as a node that loses its power."""
        for process in self.processes:
            process.send(signal.SIGKILL)
        for process in self.processes:
            process.wait(5.0)
