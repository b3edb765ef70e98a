"""This pod's service account: where the API server is, and the token that it accepts (kubernetes.md, Tokens).

The token rotates (1 h), so it is read again for each call; when that fails, the last one goes on: in a pod's last
seconds nothing is guaranteed to be refreshed. It must not be shown to anybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sidecar.errors import Misconfigured
from sidecar.secrets import Secret

FOLDER: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_HOST, _PORT = "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"


class ServiceAccount:
    """The account whose files lie in one folder: ``token``, ``ca.crt``."""

    def __init__(self, url: str, folder: Path) -> None:
        """Read the token once. Raises ``Misconfigured`` where there is none."""
        self.url = url
        self.ca_file = folder / "ca.crt"
        self._file = folder / "token"
        self._token = Secret("")
        self._text = ""
        if not self.ca_file.is_file():
            raise Misconfigured(f"{self.ca_file} is missing: without it nobody knows whether the API server is genuine")
        if not self.token().reveal():
            raise Misconfigured(
                f"there is no service account token in {folder}: mount one into the sidecar (a projected volume; the "
                "chart does), or keep the seat records in a folder with ledger.kind: file"
            )

    @classmethod
    def of_pod(cls, environ: Mapping[str, str], folder: Path) -> ServiceAccount:
        """Return the account of the pod that we run in. Raises ``Misconfigured``."""
        host, port = environ.get(_HOST, ""), environ.get(_PORT, "")
        if not host or not port.isdecimal():
            raise Misconfigured(
                f"ledger.kind is kubernetes, but {_HOST} and {_PORT}, which every pod has, are not set: is this a pod?"
            )
        return cls(f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}", folder)

    def token(self) -> Secret:
        """Return the token as it is now."""
        try:
            text = self._file.read_text("ascii").strip()
        except (OSError, ValueError):
            text = ""
        if text and text != self._text:
            self._text, self._token = text, Secret(text)
        return self._token
