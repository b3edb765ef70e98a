"""Forks real processes on order, from one that has loaded everything: a second of imports is paid once.

Orders come on standard input, one line of JSON each; births and ends are told on standard output in the same way.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

Order = dict[str, Any]
"""``output``: the path of the files for standard output and error, without their endings; the rest is the child's."""


def serve(live: Callable[[Order], int]) -> None:
    """Fork on order until standard input ends; a child lives by ``live`` and ends with the code that it returns."""
    signal.signal(signal.SIGCHLD, _reap)
    for line in sys.stdin.buffer:
        order = json.loads(line)
        # The birth is told before the end can be: the handler has to wait meanwhile.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
            _redirect(order["output"])
            code = 1
            try:
                code = live(order)
            except BaseException as error:  # noqa: BLE001 - a child must never return into this loop
                sys.stderr.write(f"{type(error).__name__}: {error}\n")
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        _tell(born=pid)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})


def _redirect(output: str) -> None:
    for number, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, f"{output}.out", os.O_WRONLY | os.O_APPEND),
        (2, f"{output}.err", os.O_WRONLY | os.O_APPEND),
    ):
        file = os.open(path, flags)
        os.dup2(file, number)
        os.close(file)


def _tell(**told: int) -> None:
    os.write(1, f"{json.dumps(told)}\n".encode())


def _reap(_number: int, _frame: FrameType | None) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        _tell(ended=pid, code=os.waitstatus_to_exitcode(status))
