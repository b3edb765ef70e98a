"""The file ``restart-app``: how the sidecar asks the app's own liveness probe to fail (design.md section 5).

Only its existence and its age mean something, and a file that nobody touches grows old: a dead sidecar cannot restart a
healthy app. It must not decide when to ask; that is the core's affair.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

NAME: Final = "restart-app"


class FolderRestartFile:
    """The port ``RestartFile`` over the folder that is shared with the app."""

    def __init__(self, folder: Path) -> None:
        """Take the folder; nothing is touched yet."""
        self._path = folder / NAME

    def touch(self) -> None:
        """Make the file, or make it young again. Raises ``OSError``.

        A link is not followed: the app can write to this folder and must not choose what we touch.
        """
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o644)
        try:
            os.utime(file)
        finally:
            os.close(file)

    def remove(self) -> None:
        """Remove the file if it is there (no folder is no file). Raises ``OSError``."""
        self._path.unlink(missing_ok=True)
