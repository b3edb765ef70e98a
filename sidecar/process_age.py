"""How long this process has lived, the imports included: "from the start of the process" means what it says.

The kernel knows it; a clock read by our first statement would miss the interpreter's own start. Must not fail: this is
only told to people.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

_START: Final = 19
"""Place of ``starttime`` (field 22 in proc(5)) behind the command's name, which may hold blanks and parentheses."""
_ODD: Final = 3600.0
"""Seconds. Nobody asks an hour after the start: such an age is that of a sandbox whose kernel tells another clock's."""


def process_age(stat: Path = Path("/proc/self/stat")) -> float:
    """Return the seconds since this process was made, to a hundredth; 0 where that is not known."""
    try:
        fields = stat.read_bytes().rpartition(b")")[2].split()
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[_START]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return 0.0
    return age if 0.0 <= age < _ODD else 0.0
