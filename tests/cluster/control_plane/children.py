"""The processes of a control plane: each has a log, is ended by its id, and does not outlive the test that started it.

It knows nothing of Kubernetes and never looks for processes by name: two runs at once must not end each other's.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

POLITE: Final = 10.0
"""Seconds between SIGTERM and SIGKILL."""
_TAIL: Final = 2000

# A pytest that is killed runs no finalizer, so the kernel has to end its children. A tiny interpreter in between asks
# for that and becomes the program, under the same pid. What lost: preexec_fn, which may deadlock where threads run; a
# process group, which somebody would have to be alive to end.
_TIED: Final = """
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    os._exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


class Child:
    """One process. Linux ends it when the *thread* that started it ends, so start it in one that lasts."""

    def __init__(self, name: str, command: Sequence[str], folder: Path) -> None:
        """Start the program with an environment of nothing but PATH and HOME; append its output to ``<name>.log``."""
        self.name = name
        self.log = folder / f"{name}.log"
        self._paused = False
        tied = [sys.executable, "-I", "-S", "-c", _TIED, str(os.getpid())] if sys.platform == "linux" else []
        with self.log.open("ab") as log:
            self._since = log.tell()
            self._popen = subprocess.Popen(
                [*tied, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder)},
                start_new_session=True,  # Ctrl-C is for pytest, which then ends its children in order
            )

    @property
    def pid(self) -> int:
        """Return the process's id."""
        return self._popen.pid

    @property
    def code(self) -> int | None:
        """Return the exit code, negative for a signal, None while it runs."""
        return self._popen.poll()

    def pause(self) -> None:
        """Stop it where it is: it holds its port and answers nobody."""
        self._popen.send_signal(signal.SIGSTOP)
        self._paused = True
        limit = time.monotonic() + POLITE
        while not self._stands() and time.monotonic() < limit:  # on a busy machine a thread may go on for a moment
            time.sleep(0.005)

    def resume(self) -> None:
        """Let it go on."""
        if self._paused:
            self._popen.send_signal(signal.SIGCONT)
        self._paused = False

    def end(self, *, polite: float = POLITE) -> None:
        """End it, with SIGKILL if SIGTERM does not within so many seconds, and wait for it."""
        self.ask_to_end()
        try:
            self._popen.wait(polite)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()

    def ask_to_end(self) -> None:
        """Send SIGTERM without waiting."""
        self.resume()
        if self.code is None:
            self._popen.terminate()

    def last_words(self) -> str:
        """Return the end of its log, without what a predecessor of this name wrote."""
        text = self.log.read_bytes()[self._since :].decode("utf-8", "replace")
        return f"the last that {self.name} wrote (exit code {self.code}):\n{text[-_TAIL:]}"

    def _stands(self) -> bool:
        """Tell whether every thread is stopped."""
        try:
            said = [thread.read_text() for thread in Path(f"/proc/{self.pid}/task").glob("*/stat")]
        except OSError:  # one ended just now
            return False
        return all(text.rpartition(")")[2].split()[0] == "T" for text in said)


def end_all(children: Sequence[Child], *, polite: float = POLITE) -> None:
    """End them together: all are asked first, so that nobody's patience adds up."""
    for child in children:
        child.ask_to_end()
    limit = time.monotonic() + polite
    for child in children:
        child.end(polite=max(0.1, limit - time.monotonic()))
