"""The exit codes of every command, as design.md section 7 promises them; no other number is returned on purpose."""

from __future__ import annotations

from typing import Final

DONE: Final = 0
USAGE: Final = 64
UNREACHABLE: Final = 69
"""Something could not be reached in time; also: something remains to be done."""
BUG: Final = 70
REFUSED: Final = 77
CONFIGURATION: Final = 78
