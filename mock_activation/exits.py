"""The exit codes of ``mock-activation``, in the sense of sysexits.h."""

from typing import Final

DONE: Final = 0
MISCOUNTED: Final = 1
"""``load`` found a seat that was lost or counted twice."""
USAGE: Final = 64
UNAVAILABLE: Final = 69
CONFIGURATION: Final = 78
