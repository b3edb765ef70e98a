"""What lets one process hold a thousand connections: open files, and small buffers for TLS.

For our own commands only: it changes what holds for the whole process.
"""

from __future__ import annotations

import resource
from asyncio import sslproto
from contextlib import suppress
from typing import Final

_TLS_BUFFER: Final = 16 * 1024  # as much as one TLS record can carry


def allow_many_connections() -> None:
    """Raise the soft limit of open files to the hard one, and let a TLS connection take 16 KiB instead of 256."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # asyncio has no setting for it; with its own size a thousand connections take 250 MiB more.
    sslproto.SSLProtocol.max_size = _TLS_BUFFER
