"""The exit codes of ``mock-activation``, in the sense of sysexits.h."""

from typing import Final

DONE: Final = 0
USAGE: Final = 64
CONFIGURATION: Final = 78
