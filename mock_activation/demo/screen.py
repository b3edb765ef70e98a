"""What the demo says, and how it looks: coloured on a terminal, plain in a pipe or where NO_COLOR is set.

Every text passes the masking, although none should need it. It decides nothing about the story.
"""

from __future__ import annotations

import os
import shutil
import textwrap
import time
from collections.abc import Iterable, Sequence
from typing import Final, TextIO

from mock_activation.secrecy import mask

_BOLD: Final = "1"
_DIM: Final = "2"
_RED: Final = "1;31"
_GREEN: Final = "32"
_YELLOW: Final = "33"
_CYAN: Final = "1;36"

_WIDEST: Final = 110
_NARROWEST: Final = 50
_TIME_WIDTH: Final = 11


class Screen:
    """Writes the story to a stream, line by line, each flushed."""

    def __init__(self, stream: TextIO) -> None:
        """Find out what the stream can show."""
        self._stream = stream
        self._coloured = stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self._unicode = _can_show(stream, "✓✗■□·")
        columns = shutil.get_terminal_size((100, 24)).columns if stream.isatty() else 100
        self._width = max(_NARROWEST, min(_WIDEST, columns - 1))
        self._began = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    def title(self, title: str, text: str) -> None:
        """Begin."""
        self._line(self._paint(title, _BOLD))
        self._wrapped(text, "")

    def scene(self, number: int, title: str, why: str) -> None:
        """Begin a scene: what is shown, and why it matters."""
        self._line("")
        self._line(f"{self._paint(f'{number}. {title}', _CYAN)}")
        self._wrapped(why, "   ", _DIM)

    def seen(self, text: str) -> None:
        """Tell a step that was checked."""
        self._entry("✓" if self._unicode else "ok", _GREEN, text)

    def doing(self, text: str) -> None:
        """Tell what is done to the actors now."""
        self._entry("·" if self._unicode else "-", _DIM, text)

    def failed(self, text: str) -> None:
        """Tell a step that failed."""
        self._entry("✗" if self._unicode else "FAILED", _RED, text)

    def seats(self, key: str, taken: Sequence[str], limit: int) -> None:
        """Draw the seats of a key as the server counts them."""
        full, free = ("■", "□") if self._unicode else ("#", ".")
        drawn = full * len(taken) + free * max(0, limit - len(taken))
        who = ", ".join(taken) if taken else "nobody"
        colour = _YELLOW if taken else _GREEN
        text = f"server: key {key} {self._paint(drawn, colour)} {len(taken)} of {limit} taken: {who}"
        self._line(" " * (_TIME_WIDTH + 3) + text)

    def text(self, *lines: str) -> None:
        """Write lines as they are."""
        for line in lines:
            self._line(line)

    def heading(self, text: str) -> None:
        """Write a heading."""
        self._line("")
        self._line(self._paint(text, _BOLD))

    def log(self, name: str, lines: Iterable[str]) -> None:
        """Show lines of a process's log."""
        for line in lines:
            self._line(self._paint(f"{'':{_TIME_WIDTH}} | {name}: {line}", _DIM))

    def summary(self, rows: Sequence[tuple[str, bool | None, str]], *, good: bool, end: str) -> None:
        """Write the table of scenes (title, went well, figure), and the last line."""
        self.heading("Summary")
        width = max(len(title) for title, _good, _figure in rows)
        words = {True: ("shown", _GREEN), False: ("FAILED", _RED), None: ("not shown", _YELLOW)}
        for number, (title, well, figure) in enumerate(rows, 1):
            word, colour = words[well]
            self._line(f"   {number}. {title:<{width}}  {self._paint(f'{word:<9}', colour)}  {figure}".rstrip())
        self._line("")
        self._line(self._paint(end, _GREEN if good else _RED))

    # -- inside ------------------------------------------------------------------------------------------------------

    def _entry(self, sign: str, colour: str, text: str) -> None:
        stamp = f"{self.elapsed:{_TIME_WIDTH - 2}.2f} s"
        indent = " " * (_TIME_WIDTH + len(sign) + 2)
        first, *rest = textwrap.wrap(mask(text), self._width - len(indent), break_on_hyphens=False) or [""]
        self._line(f"{self._paint(stamp, _DIM)} {self._paint(sign, colour)} {first}")
        for line in rest:
            self._line(indent + line)

    def _wrapped(self, text: str, indent: str, colour: str = "") -> None:
        for line in textwrap.wrap(text, self._width - len(indent), break_on_hyphens=False):
            self._line(indent + self._paint(line, colour))

    def _paint(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._coloured and colour else text

    def _line(self, text: str) -> None:
        self._stream.write(f"{mask(text)}\n")
        self._stream.flush()


def _can_show(stream: TextIO, text: str) -> bool:
    try:
        text.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
