"""How far an operator's command is: a bar that is written over on a terminal, elsewhere a line for each step.

All of it goes to standard error: standard output is for the result.
"""

from __future__ import annotations

import math
import sys
from typing import Final

from sidecar.cli.table import plain
from sidecar.secrets import MASKER

_BAR: Final = 24
_WIDEST: Final = 110


class Progress:
    """Implements ``operate.results.Teller``."""

    def __init__(self) -> None:
        """Find out whether a person looks on."""
        self._terminal = sys.stderr.isatty()
        self._last = ""
        self.pause = 0.1 if self._terminal else math.inf

    def step(self, text: str) -> None:
        """Write a line that stays."""
        self.clear()
        sys.stderr.write(f"{plain(MASKER.mask(text))}\n")
        sys.stderr.flush()

    def waits(self, text: str, passed: float, whole: float) -> None:
        """Move the bar, or say once what is waited for."""
        if not self._terminal:
            self.step(f"{text} ({whole:.3g} s)")
            return
        done = int(_BAR * min(passed / whole, 1.0)) if whole > 0 else _BAR
        bar = "#" * done + "-" * (_BAR - done)
        line = plain(f"[{bar}] {passed:3.0f} of {whole:.0f} s  {text}")[:_WIDEST]
        sys.stderr.write(f"\r{line.ljust(len(self._last))}")
        sys.stderr.flush()
        self._last = line

    def clear(self) -> None:
        """Take the bar away."""
        if self._last:
            sys.stderr.write("\r" + " " * len(self._last) + "\r")
            sys.stderr.flush()
            self._last = ""
