"""The limit of open files: a thousand clients at once are a purpose of this program, on either side."""

from __future__ import annotations

import resource
from contextlib import suppress


def allow_many_connections() -> None:
    """Raise the soft limit of open files to the hard one."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
