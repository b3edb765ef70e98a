"""The API key of the app, read from its file each time it is needed: a rotated key is used without a restart.

The app is asked a few times a minute and secrets are mounted in memory, so nothing is kept or watched. Must not judge
the key: the app does.
"""

from __future__ import annotations

from pathlib import Path

from sidecar.core.reasons import AppTrouble
from sidecar.errors import AppOutage
from sidecar.secrets import MASKER, Secret


class ApiKeyFile:
    """Returns the file's content as a secret when it is called."""

    def __init__(self, path: Path) -> None:
        """Remember where the key is."""
        self._path = path

    def __call__(self) -> Secret:
        """Return the key without surrounding white space. Raises ``AppOutage`` (``FORBIDDEN``): not without a key."""
        try:
            text = self._path.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise AppOutage(AppTrouble.FORBIDDEN, f"the API key file {self._path} cannot be read") from error
        if not text:
            raise AppOutage(AppTrouble.FORBIDDEN, f"the API key file {self._path} is empty")
        secret = Secret(text)
        MASKER.register(secret)
        return secret
