"""Certificates of a throw-away authority, and an environment without proxies."""

from __future__ import annotations

import ssl

import pytest
import trustme

from tests.unit.adapters.raw_server import Tls


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the machine's proxies: a test sets those that it wants."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """Make a certificate for 127.0.0.1 and localhost."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    ca_file = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    return Tls(context, ca_file)


@pytest.fixture(scope="session")
def foreign_tls() -> ssl.SSLContext:
    """Make a server's context whose certificate carries another name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("md-icapsrv.example").configure_cert(context)
    return context
