"""The administrator of the test cluster: everything that tests do to it goes through here."""

from __future__ import annotations

import base64
import secrets
import ssl
import tempfile
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.cluster.control_plane.accounts import Accounts
from tests.cluster.control_plane.api import TIMEOUT, ApiError, Object, wait_for
from tests.cluster.control_plane.pods import Pods


class Admin(Pods, Accounts):
    """Whoever the token or the certificate says: the administrator, or anybody whose rights are to be tried."""

    def __init__(
        self,
        url: str,
        *,
        authority: str | None,
        token: str | None = None,
        identity: bytes | None = None,
        verified: bool = True,
    ) -> None:
        """Take the address, the authority of its certificate (None: the system's), and who we are.

        Args:
            url: of the API server
            authority: PEM
            token: bearer token
            identity: PEM of a client certificate and its key
            verified: whether the server's certificate is checked

        """
        self.url = url
        self.authority = authority
        self._verified = verified
        context = ssl.create_default_context(cadata=authority)
        if not verified:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if identity is not None:
            with tempfile.NamedTemporaryFile() as file:  # the ssl module reads a key from files only
                file.write(identity)
                file.flush()
                context.load_cert_chain(file.name)
        headers = {"User-Agent": "license-sidecar-tests"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        super().__init__(httpx.Client(base_url=url, verify=context, headers=headers, timeout=TIMEOUT, trust_env=False))

    @classmethod
    def from_kubeconfig(cls, path: Path) -> Admin:
        """Talk to the cluster of a kubeconfig's current context.

        Raises:
            ValueError: the user is known by a plugin or a password, which this client does not know.

        """
        config = yaml.safe_load(path.read_text())
        context = _named(config["contexts"], config["current-context"])["context"]
        cluster = _named(config["clusters"], context["cluster"])["cluster"]
        user = _named(config["users"], context["user"])["user"]
        token = user.get("token")
        if "tokenFile" in user:
            token = (path.parent / user["tokenFile"]).read_text().strip()
        certificate, key = _content(path, user, "client-certificate"), _content(path, user, "client-key")
        if token is None and not (certificate and key):
            raise ValueError("the kubeconfig's user has neither a token nor a client certificate")
        authority = _content(path, cluster, "certificate-authority")
        return cls(
            cluster["server"],
            authority=authority.decode() if authority else None,
            token=token,
            identity=certificate + b"\n" + key if certificate and key else None,
            verified=not cluster.get("insecure-skip-tls-verify", False),
        )

    def as_user(self, token: str | None) -> Admin:
        """Return a client of the same API server that is only who the token says (None: nobody)."""
        return Admin(self.url, authority=self.authority, token=token, verified=self._verified)

    def create_namespace(
        self, name: str | None = None, pod_security: str | None = None, *, labels: dict[str, str] | None = None
    ) -> str:
        """Create a namespace and wait until pods can be made in it; return its name, a unique one by default.

        ``pod_security`` is the level that is enforced: privileged, baseline, restricted.
        """
        name = name or f"test-{secrets.token_hex(4)}"
        wanted = dict(labels or {})
        if pod_security is not None:
            wanted["pod-security.kubernetes.io/enforce"] = pod_security
        self.create("namespaces", {"metadata": {"name": name, "labels": wanted}})
        self.wait_for_namespace(name)
        return name

    def wait_for_namespace(self, name: str) -> None:
        """Wait until the controllers have put into a namespace what every pod needs."""
        wait_for(f"the controllers in {name}", lambda: self.namespace_is_ready(name))

    def namespace_is_ready(self, name: str) -> bool:
        """Tell whether every pod would find there what it needs: an account and the authority."""
        account = self.find("serviceaccounts", "default", name)
        return account is not None and self.find("configmaps", "kube-root-ca.crt", name) is not None

    def delete_namespace(self, name: str, *, wait: bool = False) -> None:
        """Delete a namespace with its pods, for which no kubelet would ever say that they have ended."""
        try:
            self.delete("namespaces", name)  # first: then no controller makes another pod
            self.delete_all("pods", name, grace=0)
        except ApiError as error:
            if error.code != httpx.codes.NOT_FOUND:
                raise
        if wait:
            wait_for(f"the end of the namespace {name}", lambda: self.find("namespaces", name) is None, limit=60)


def _named(entries: list[dict[str, Any]], name: str) -> Object:
    return next(entry for entry in entries if entry["name"] == name)


def _content(config: Path, entry: Object, field: str) -> bytes | None:
    """Return what a kubeconfig holds in itself (``…-data``) or names as a file."""
    if f"{field}-data" in entry:
        return base64.b64decode(entry[f"{field}-data"])
    return (config.parent / entry[field]).read_bytes() if field in entry else None
