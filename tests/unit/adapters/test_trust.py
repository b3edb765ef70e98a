"""Whose certificates are believed."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from sidecar.adapters.trust import app_trust, is_loopback, server_trust
from tests.unit.adapters.raw_server import Tls


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("LOCALHOST", True),
        ("localhost.example", False),
        ("128.0.0.1", False),
        ("0.0.0.0", False),
        ("md-icapsrv", False),
    ],
)
def test_loopback(host: str, loopback: bool) -> None:
    """Only spellings that cannot lead elsewhere are this machine."""
    assert is_loopback(host) is loopback


def test_machine_without_authorities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image without any authorities falls back to those that come with the library."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert ssl.create_default_context().cert_store_stats()["x509_ca"] == 0
    assert server_trust(None).cert_store_stats()["x509_ca"] > 0


def test_own_authorities_replace_nothing(tls: Tls, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a list of one's own in the environment only that is believed, and ``ca_file`` besides."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.ca_file))
    assert server_trust(None).cert_store_stats()["x509_ca"] == 1


def test_app_is_verified_by_its_authority_alone(tls: Tls) -> None:
    """With an authority for the app, the system's are not asked; elsewhere the name must fit too."""
    for host, names in (("127.0.0.1", False), ("md-icapsrv", True)):
        context = app_trust(host, tls.ca_file)
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname is names
        assert context.cert_store_stats()["x509_ca"] == 1


def test_app_elsewhere_is_verified() -> None:
    """Only a loopback address may be unverified."""
    assert app_trust("127.0.0.1", None).verify_mode is ssl.CERT_NONE
    elsewhere = app_trust("md-icapsrv", None)
    assert (elsewhere.verify_mode, elsewhere.check_hostname) == (ssl.CERT_REQUIRED, True)
