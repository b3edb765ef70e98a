"""The processes of the demo: started in groups of their own, ended by their ids whatever happens.

Their output goes to files in the demo's folder. A process that we started is never looked for by its name.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from mock_activation.secrecy import mask

_PATIENCE: Final = 6.0
"""Seconds from SIGTERM to SIGKILL, when everything is ended."""
_FOREIGN: Final = ("LICENSE_SIDECAR_", "POD_")
_FOREIGN_NAMES: Final = frozenset({"LICENSE_KEY", "NODE_NAME", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"})


class Process:
    """One started process and its output."""

    def __init__(self, name: str, command: Sequence[str], folder: Path, *, wave: int) -> None:
        """Start it; ``wave``: with whom it is ended."""
        self.name = name
        self.wave = wave
        self._output = folder / f"{_file_name(name)}.out"
        self.log = folder / f"{_file_name(name)}.log"
        self._read = 0
        with self._output.open("wb") as output, self.log.open("wb") as log:
            # In a group of its own: Ctrl-C in the terminal is for the demo, which then ends everything in order.
            self._popen = subprocess.Popen(  # noqa: S603 - our own commands
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=log,
                env=_environment(),
                process_group=0,
            )

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._popen.poll()

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        if self._popen.poll() is None:
            self._popen.send_signal(number)

    def wait(self, seconds: float) -> int | None:
        """Wait for the end; return the exit code, or None if it still runs."""
        with suppress(subprocess.TimeoutExpired):
            return self._popen.wait(seconds)
        return None

    def announced(self) -> dict[str, Any] | None:
        """Return the line of JSON that the mock and the app print when they are there."""
        return next(_objects(self._output.read_text(errors="replace")), None)

    def logged(self, event: str) -> dict[str, Any] | None:
        """Return the first line of the log that tells this event."""
        lines = _objects(self.log.read_text(errors="replace"))
        return next((line for line in lines if line.get("event") == event), None)

    def news(self) -> list[str]:
        """Return the lines of the log since the last call, as a person reads them."""
        with self.log.open("rb") as log:
            log.seek(self._read)
            whole, _, _rest = log.read().rpartition(b"\n")
        if not whole:
            return []
        self._read += len(whole) + 1
        return _readable(whole.decode(errors="replace"))

    def tail(self, count: int) -> list[str]:
        """Return the last lines of the log."""
        return _readable(self.log.read_text(errors="replace"))[-count:]


class Troupe:
    """All processes that were started; leaving it ends them all."""

    def __init__(self, folder: Path) -> None:
        """Keep the output of all of them in this folder."""
        self._folder = folder
        self._started: list[Process] = []

    def start(self, name: str, command: Sequence[str], *, wave: int) -> Process:
        """Start one process; its name is for people and may come again after its end. Lower waves are ended first."""
        process = Process(name, command, self._folder_for(name), wave=wave)
        self._started.append(process)
        return process

    def news(self) -> Iterable[tuple[str, list[str]]]:
        """Return what the logs have said since the last call, by the name of the process."""
        return [(process.name, lines) for process in self._started if (lines := process.news())]

    def end(self) -> None:
        """End all processes, wave by wave: SIGTERM, and SIGKILL for what is still there after some seconds."""
        for wave in sorted({process.wave for process in self._started}):
            end([process for process in self._started if process.wave == wave])

    def _folder_for(self, name: str) -> Path:
        count = sum(1 for process in self._started if process.name == name)
        folder = self._folder / f"{_file_name(name)}-{count + 1}"
        folder.mkdir()
        return folder


def python(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module with our interpreter, whatever lies in the folder we were started in."""
    return [sys.executable, "-P", "-m", module, *arguments]


def end(processes: Iterable[Process]) -> None:
    """End these processes together."""
    alive = [process for process in processes if process.exit_code is None]
    for process in alive:
        process.send(signal.SIGTERM)
    deadline = time.monotonic() + _PATIENCE
    for process in alive:
        if process.wait(max(0.0, deadline - time.monotonic())) is None:
            process.send(signal.SIGKILL)
            process.wait(_PATIENCE)


def _file_name(name: str) -> str:
    return name.replace(" ", "-")


def _environment() -> dict[str, str]:
    """Return our environment without what would change the story: settings, keys, proxies."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_FOREIGN) and name.upper() not in _FOREIGN_NAMES
    }
    # The modules that lie beside ours, also in a checkout that is not installed.
    path = [kept.get("PYTHONPATH", ""), str(Path(__file__).parents[2])]
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, path))}


def _objects(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        with suppress(ValueError):
            content = json.loads(line)
            if isinstance(content, dict):
                yield content


def _readable(text: str) -> list[str]:
    return [mask(_as_sentence(line)) for line in text.splitlines()]


def _as_sentence(line: str) -> str:
    """Return a line of a JSON log as `level event name=value`; other lines as they are."""
    content = next(_objects(line), None)
    if content is None or "event" not in content:
        return line
    fields = [
        f"{name}={value}" for name, value in content.items() if name not in ("timestamp", "level", "event", "logger")
    ]
    return " ".join([f"{content.get('level', '')}:", str(content["event"]), *fields])
