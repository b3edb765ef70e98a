"""What a test may ask of any cluster, and a cluster that was there before.

A cluster of somebody's own is used only when two variables say so (``fixtures``), and nothing but objects in namespaces
of the test's own is made there: it cannot be stopped, and its audit log cannot be read.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from tests.cluster.control_plane import credentials
from tests.cluster.control_plane.admin import Admin


class Cluster:
    """An API server that answers, and its administrator."""

    url: str
    ca_file: Path
    admin: Admin

    @property
    def version(self) -> str:
        """Return what the API server calls itself, such as ``v1.34.4``."""
        version: str = self.admin.request("GET", "/version")["gitVersion"]
        return version

    def environment(self) -> dict[str, str]:
        """Return the variables by which a process in a pod finds the API server."""
        parts = urlsplit(self.url)
        return {"KUBERNETES_SERVICE_HOST": parts.hostname or "", "KUBERNETES_SERVICE_PORT": str(parts.port or 443)}

    def kubeconfig(self, path: Path, token: str, namespace: str = "default") -> Path:
        """Write a kubeconfig for whoever the token says, for Helm and the like."""
        return credentials.write_private(path, credentials.kubeconfig(self.url, self.ca_file, token, namespace))


class ExistingCluster(Cluster):
    """The current context of somebody's kubeconfig."""

    def __init__(self, config: Path, folder: Path) -> None:
        """Connect; raises if nobody answers."""
        self.admin = Admin.from_kubeconfig(config)
        self.url = self.admin.url
        self._config = config
        self.ca_file = folder / "ca.crt"
        self.ca_file.write_text(self.admin.authority or "")

    def kubeconfig(self, path: Path, token: str | None = None, namespace: str = "default") -> Path:
        """Write a kubeconfig; without a token it is a copy of the given one, for its administrator."""
        if token is not None:
            return super().kubeconfig(path, token, namespace)
        path.touch(mode=0o600)
        path.write_bytes(self._config.read_bytes())
        return path

    def stop(self) -> None:
        """Close the connections; the cluster is somebody else's."""
        self.admin.close()
