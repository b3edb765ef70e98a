"""One process under measurement: started, signalled, awaited without polling, and looked at through /proc."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_CLOCK = time.time
"""The mock stamps its history with the same clock."""


class EndedError(Exception):
    """The process ended although it should live."""


class Process:
    """A child in a process group of its own, so that what it starts can be counted and ended with it."""

    def __init__(self, arguments: Sequence[str | Path], environ: Mapping[str, str], log: Path) -> None:
        """Start it now; ``started_at`` is the moment before."""
        self.log = log
        with log.open("ab") as sink:
            self.started_at = _CLOCK()
            self._child = subprocess.Popen(
                [str(each) for each in arguments],
                env={"PATH": os.environ["PATH"], **environ},
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                cwd=log.parent,
                start_new_session=True,
            )
        self.pid = self._child.pid
        self.ended_at: float | None = None
        self.cpu_seconds = 0.0
        """Processor time of its whole life, known when it has ended."""
        loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._watch = os.pidfd_open(self.pid)
        loop.add_reader(self._watch, self._reap)

    def _reap(self) -> None:
        self.ended_at = _CLOCK()
        asyncio.get_running_loop().remove_reader(self._watch)
        os.close(self._watch)
        _pid, status, usage = os.wait4(self.pid, 0)
        self._child.returncode = os.waitstatus_to_exitcode(status)
        self.cpu_seconds = usage.ru_utime + usage.ru_stime
        self._ended.set()

    @property
    def code(self) -> int | None:
        """Return the exit code, None while it lives."""
        return self._child.returncode

    def signal(self, number: int) -> float:
        """Send a signal and return the moment before."""
        at = _CLOCK()
        if self.code is None:
            os.kill(self.pid, number)
        return at

    async def end(self) -> float:
        """Wait for its end and return the moment of it."""
        await self._ended.wait()
        assert self.ended_at is not None
        return self.ended_at

    async def kill(self) -> None:
        """End the whole group without a word."""
        for pid in self.group():
            os.kill(pid, signal.SIGKILL)
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)
        await self.end()

    def insist(self) -> None:
        """Raise ``EndedError`` with the end of its log if it does not live any more."""
        if self.code is not None:
            tail = self.log.read_text(errors="replace")[-2000:]
            raise EndedError(f"exit code {self.code}\n{tail}")

    def group(self) -> list[int]:
        """Return the process and what it has started."""
        found = []
        for entry in os.scandir("/proc"):
            if entry.name.isdigit():
                pid = int(entry.name)
                try:
                    if os.getpgid(pid) == self.pid:
                        found.append(pid)
                except ProcessLookupError:
                    continue
        return found

    def rss_mib(self) -> float:
        """Return the resident memory of the whole group."""
        return sum(_resident_kib(pid) for pid in self.group()) / 1024

    def cpu(self) -> float:
        """Return the processor seconds so far of the whole group's threads, to the nanosecond."""
        total = 0
        for pid in self.group():
            for task in Path(f"/proc/{pid}/task").iterdir():
                total += int((task / "schedstat").read_text().split()[0])
        return total / 1e9


def _resident_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0
