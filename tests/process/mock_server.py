"""``mock-activation serve`` as a process that is started often: forked from one that has loaded everything.

It runs the command as it is, on the same ports after each start, and ends it by SIGKILL only.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

from mock_activation.cli import run
from tests.process.processes import until

_CONTEXT: Final = get_context("forkserver")
_CONTEXT.set_forkserver_preload(["mock_activation.serve", "mock_activation.cli"])


def _serve(arguments: Sequence[str], output: str) -> None:
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for number in (1, 2):
        os.dup2(file, number)
    raise SystemExit(run(["serve", *arguments]))


class MortalMock:
    """A mock that is killed and comes back."""

    def __init__(self, folder: Path, *options: str) -> None:
        """Start it for the first time."""
        self._folder, self._options = folder, options
        self._ports = ("0", "0")
        self.told: dict[str, Any] = {}
        self.start()

    def start(self) -> None:
        """Start it and wait until it is ready."""
        ready, output = self._folder / "ready.json", self._folder / "output"
        ready.unlink(missing_ok=True)
        port, control_port = self._ports
        options = (*self._options, "--port", port, "--control-port", control_port, "--ready-file", str(ready))
        self._process = _CONTEXT.Process(target=_serve, args=(options, str(output)))
        self._process.start()
        until(
            "the start of the mock",
            lambda: ready.exists() or not self._process.is_alive(),
            story=lambda: output.read_text() if output.exists() else "",
        )
        self.told = json.loads(ready.read_text())
        self._ports = (self.told["url"].rsplit(":", 1)[1], self.told["control_url"].rsplit(":", 1)[1])

    def kill(self) -> None:
        """End it without a word."""
        self._process.kill()
        self._process.join()
        self._process.close()
