"""Wait until the running sidecar is ready, saying meanwhile what it waits for.

Exit codes: 0 ready, 64 wrong usage, 69 not in time, 78 --config cannot be read.
"""

from __future__ import annotations

import json
import sys
import time
from argparse import ArgumentParser, Namespace
from typing import Any, Final

from sidecar.cli.local import Unreachable, add_port, duration, duration_or_none, get, port_of
from sidecar.cli.probe import PATHS
from sidecar.cli.table import plain
from sidecar.exit_codes import DONE, UNREACHABLE

# What people need of a verbose answer (design.md section 8): what it waits for, and why.
_TOLD: Final = ("awaits", "reasons")
_WIDEST: Final = 110


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--for", dest="question", choices=("ready", "startup"), default="ready", help="what to wait for (default ready)"
    )
    parser.add_argument(
        "--timeout",
        type=duration_or_none,
        default=60.0,
        metavar="DURATION",
        help="how long to wait in all (default 60s; 0 = ask once)",
    )
    parser.add_argument(
        "--every", type=duration, default=0.5, metavar="DURATION", help="pause between two questions (default 500ms)"
    )
    add_port(parser)


def run(arguments: Namespace) -> int:
    """Ask until the answer is yes or the time is up."""
    port = port_of(arguments)
    began = time.monotonic()
    progress = _Progress()
    while True:
        left = (began + arguments.timeout - time.monotonic()) if arguments.timeout else arguments.within
        try:
            answer = get(port, f"{PATHS[arguments.question]}?verbose", max(min(arguments.within, left), 0.05))
        except Unreachable as error:
            reason = str(error)
        else:
            if answer.ok:
                progress.end()
                sys.stdout.write(f"{arguments.question} after {time.monotonic() - began:.1f} s\n")
                return DONE
            reason = explain(answer.text)
        left = began + arguments.timeout - time.monotonic()
        if left <= 0:
            progress.end()
            sys.stderr.write(f"not {arguments.question} within {arguments.timeout:g} s: {reason}\n")
            return UNREACHABLE
        progress.tell(reason, time.monotonic() - began)
        time.sleep(min(arguments.every, left))


def explain(body: str) -> str:
    """Return the reason that a verbose answer gives, in one line; the answer itself where it gives none."""
    try:
        answer: Any = json.loads(body)
    except ValueError:
        answer = body
    if isinstance(answer, dict):
        awaits, reasons = (_in_words(answer[name]) if answer.get(name) else "" for name in _TOLD)
        # Where the reasons repeat it ("waits for the app"), once is enough.
        answer = ": ".join(it for it in (awaits if awaits not in reasons else "", reasons) if it) or body
    return plain(_in_words(answer)).strip() or "no reason given"


def _in_words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_in_words(each)}" for name, each in value.items())
    if isinstance(value, list):
        return "; ".join(_in_words(each) for each in value)
    return str(value)


class _Progress:
    """One line that is written over on a terminal; elsewhere one line for each new reason."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._last = ""

    def tell(self, reason: str, seconds: float) -> None:
        if self._terminal:
            line = f"waiting for {seconds:.0f} s: {reason}"[:_WIDEST]
            sys.stderr.write(f"\r{line.ljust(len(self._last))}")
            self._last = line
        elif reason != self._last:
            sys.stderr.write(f"waiting: {reason}\n")
            self._last = reason
        sys.stderr.flush()

    def end(self) -> None:
        if self._terminal and self._last:
            sys.stderr.write("\r" + " " * len(self._last) + "\r")
