"""The pod's service account: where the API server is, the token as it is now, and what is said where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.adapters.service_account import ServiceAccount
from sidecar.errors import Misconfigured
from tests.unit.adapters.api_server import TOKEN, fingerprint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a mounted service account."""
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    (tmp_path / "ca.crt").write_text("a certificate")
    return tmp_path


@pytest.mark.parametrize(("host", "url"), [("10.0.0.1", "https://10.0.0.1:443"), ("fd00::1", "https://[fd00::1]:443")])
def test_the_address_comes_from_the_pods_environment(host: str, url: str, folder: Path) -> None:
    """IPv4 and IPv6."""
    environ = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": "443"}
    account = ServiceAccount.of_pod(environ, folder)
    assert account.url == url
    assert account.token().fingerprint == fingerprint()


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"KUBERNETES_SERVICE_HOST": "10.0.0.1"},
        {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "tcp://"},
    ],
)
def test_no_pod_is_said(environ: dict[str, str], folder: Path) -> None:
    """With the setting that brought us here."""
    with pytest.raises(Misconfigured, match=r"ledger\.kind is kubernetes"):
        ServiceAccount.of_pod(environ, folder)


@pytest.mark.parametrize("missing", ["token", "ca.crt"])
def test_no_account_is_said(missing: str, folder: Path) -> None:
    """``automountServiceAccountToken: false``: what to do, and no path but the one that is missing."""
    (folder / missing).unlink()
    with pytest.raises(Misconfigured) as caught:
        ServiceAccount("https://10.0.0.1:443", folder)
    assert str(folder) in str(caught.value)


def test_a_token_is_kept_when_it_cannot_be_read(folder: Path) -> None:
    """In a pod's last seconds nothing is guaranteed to be refreshed."""
    account = ServiceAccount("https://10.0.0.1:443", folder)
    kept = account.token()
    for content in (b"", b"\xff\xfe"):
        (folder / "token").write_bytes(content)
        assert account.token() is kept
    (folder / "token").unlink()
    assert account.token() is kept
    (folder / "token").write_text("another-token-of-the-tests")
    assert account.token().fingerprint == fingerprint("another-token-of-the-tests")


def test_a_token_is_not_shown(folder: Path) -> None:
    """NO_SECRET: neither by repr nor by str."""
    account = ServiceAccount("https://10.0.0.1:443", folder)
    assert TOKEN not in f"{account!r} {account.token()!r} {account.token()}"
