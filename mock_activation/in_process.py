"""``mock-activation serve`` as a child process, for tests that want a real one: to kill it, or to spare their own.

Its keys go through a file that only its owner may read, never through the command line.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

STOP_SECONDS: Final = 5.0


class StartError(Exception):
    """The process ended instead of listening; the text is what it printed."""


class MockProcess:
    """A running process, as a plain context manager."""

    def __init__(self, keys: Mapping[str, int] | None = None, *options: str, folder: Path) -> None:
        """Prepare; ``options`` are those of ``serve``, and what it needs on disk goes to ``folder``."""
        self.url = ""
        self.control_url = ""
        self.pid = 0
        self._keys, self._options, self._folder = dict(keys or {}), options, folder
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        """Start it on free ports and wait until it is ready. Raises ``StartError``."""
        keys = self._folder / "mock-keys.yaml"
        with os.fdopen(os.open(keys, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump({"keys": [{"key": key, "seats": seats} for key, seats in self._keys.items()]}, file)
        errors = self._folder / "mock-errors.txt"
        with errors.open("wb") as sink:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                [
                    *(sys.executable, "-m", "mock_activation", "serve", "--port", "0", "--control-port", "0"),
                    *("--keys", str(keys), *self._options),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=sink,
                text=True,
            )
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        line = self._process.stdout.readline()
        if not line:
            self.kill()
            raise StartError(errors.read_text().strip())
        told = json.loads(line)
        self.url, self.control_url, self.pid = told["url"], told["control_url"], told["pid"]
        return self

    def __exit__(self, *_exc_info: object) -> None:
        """End it in good order, or else by force."""
        if self._process is not None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
            self.kill()

    def kill(self) -> None:
        """End it without a word (SIGKILL), as a crash would; the block may still be left as usual."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
