"""Real processes, as a test holds them: output in files, ended by their ids, waited for with a limit.

It knows how to talk to a process, not what the programs do: that is ``scene``.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import pytest

T = TypeVar("T")

ROOT: Final = Path(__file__).resolve().parents[2]
LIMIT: Final = 30.0
"""Seconds that a thing may take which takes a moment: only a test that fails waits for so long."""
POLL: Final = 0.01
_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def until(what: str, condition: Callable[[], T], *, limit: float = LIMIT, story: Callable[[], str] | None = None) -> T:
    """Wait until the condition is true and return what it returned; else fail and tell what was waited for."""
    end = time.monotonic() + limit
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            pytest.fail(f"waited {limit:g} s for: {what}\n{story() if story is not None else ''}", pytrace=False)
        time.sleep(POLL)


def ask(
    url: str, body: Mapping[str, Any] | None = None, *, method: str | None = None, limit: float = 5
) -> tuple[int, str]:
    """Make one HTTP request past every proxy; return status and text, 0 and the reason if nobody answers."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, method=method)
    try:
        with _OPENER.open(request, timeout=limit) as answer:
            return answer.status, answer.read().decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode("utf-8", "replace")
    except OSError as error:
        return 0, type(error).__name__


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this machine's environment without proxies and without settings of a sidecar."""
    dropped = ("LICENSE_SIDECAR_", "POD_", "NODE_NAME", "APIKEY", "LICENSE_KEY", "SSL_CERT", "COV_")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy") and not name.startswith(dropped)
    }
    return {**kept, "PYTHONPATH": str(ROOT), **(extra or {})}


class Child(Protocol):
    """What runs: our own child, or one that the nursery forked."""

    pid: int

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal, or None while it runs."""


class Process:
    """A process and the files that it writes to."""

    def __init__(self, name: str, child: Child, folder: Path) -> None:
        """Take a child whose output goes to ``<name>.out`` and ``<name>.err`` of the folder."""
        self.name = name
        self.child = child
        self.out = folder / f"{name}.out"
        self.err = folder / f"{name}.err"
        self.arguments = _arguments(child.pid)

    @classmethod
    def start(cls, name: str, folder: Path, *command: str, environ: Mapping[str, str] | None = None) -> Process:
        """Start a command."""
        with (folder / f"{name}.out").open("wb") as out, (folder / f"{name}.err").open("wb") as err:
            popen = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=folder, env=environment(environ)
            )
        return cls(name, popen, folder)

    @property
    def code(self) -> int | None:
        """Return the exit code, None while it runs."""
        return self.child.poll()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal if it still runs."""
        if self.code is None:
            os.kill(self.child.pid, number)

    def wait(self, limit: float = LIMIT) -> int:
        """Wait for the end and return the exit code."""
        until(f"the end of {self.name}", lambda: self.code is not None, limit=limit, story=self.printed)
        code = self.code
        assert code is not None
        return code

    def end(self) -> None:
        """End it whatever it does, and wait for it."""
        self.signal(signal.SIGKILL)
        self.wait()

    def printed(self) -> str:
        """Return all of its output."""
        return "".join(file.read_text("utf-8", "replace") for file in (self.out, self.err))

    def line(self) -> dict[str, Any]:
        """Wait for its one line of JSON on standard output (the mock's commands) and return it."""

        def first() -> str:
            if self.code is not None:
                pytest.fail(f"{self.name} ended with {self.code}\n{self.printed()}", pytrace=False)
            text, newline, _ = self.out.read_text().partition("\n")
            return text if newline else ""

        told: dict[str, Any] = json.loads(until(f"the line of {self.name}", first, story=self.printed))
        return told


def _arguments(pid: int) -> str:
    """Return the command line as everybody on the machine can see it."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text("utf-8", "replace")
    except OSError:
        return ""


class Nursery:
    """Orders processes from one that has loaded everything (``forks``): real ones, without a second of imports each."""

    def __init__(self, module: str, folder: Path) -> None:
        """Start the module that forks."""
        self._errors = (folder / "nursery.err").open("wb")
        self._popen = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=ROOT,
            env=environment(),
        )
        assert self._popen.stdout is not None
        os.set_blocking(self._popen.stdout.fileno(), False)
        self._unread = b""
        self._pids: list[int] = []
        self._codes: dict[int, int] = {}

    def fork(self, folder: Path, name: str, order: Mapping[str, Any]) -> Process:
        """Order a process of this name; what else it needs to know is the module's affair."""
        for ending in ("out", "err"):
            (folder / f"{name}.{ending}").touch()
        line = json.dumps({**order, "output": str(folder / name)})
        assert self._popen.stdin is not None
        self._popen.stdin.write(f"{line}\n".encode())
        self._popen.stdin.flush()
        before = len(self._pids)

        def born() -> bool:
            self._read()
            return len(self._pids) > before

        until(f"the birth of {name}", born)
        return Process(name, _Forked(self, self._pids[-1]), folder)

    def code(self, pid: int) -> int | None:
        """Return the exit code of one of its children, None while it runs."""
        self._read()
        return self._codes.get(pid)

    def close(self) -> None:
        """End it; its children were ended by those who asked for them."""
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        self._popen.stdin.close()
        self._popen.wait(LIMIT)
        self._popen.stdout.close()
        self._errors.close()

    def _read(self) -> None:
        assert self._popen.stdout is not None
        self._unread += self._popen.stdout.read() or b""
        *lines, self._unread = self._unread.split(b"\n")
        for line in lines:
            told = json.loads(line)
            if "born" in told:
                self._pids.append(told["born"])
            else:
                self._codes[told["ended"]] = told["code"]


class _Forked:
    def __init__(self, nursery: Nursery, pid: int) -> None:
        self.pid = pid
        self._nursery = nursery

    def poll(self) -> int | None:
        return self._nursery.code(self.pid)
