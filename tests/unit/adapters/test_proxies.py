"""Which proxy the environment names."""

from __future__ import annotations

import pytest

from sidecar.adapters.proxies import proxy_for
from sidecar.errors import Misconfigured


@pytest.mark.parametrize(
    ("url", "environment", "proxy"),
    [
        ("https://a.example", {}, None),
        ("https://a.example", {"HTTPS_PROXY": "http://p:3128"}, "http://p:3128"),
        ("https://a.example", {"https_proxy": "p:3128"}, "http://p:3128"),
        ("https://a.example", {"HTTP_PROXY": "http://p:3128"}, None),
        ("http://a.example", {"HTTP_PROXY": "http://p:3128"}, "http://p:3128"),
        ("http://a.example", {"ALL_PROXY": "https://p"}, "https://p"),
        ("http://a.example", {"HTTP_PROXY": "http://p", "ALL_PROXY": "http://q"}, "http://p"),
        ("http://a.example", {"HTTP_PROXY": ""}, None),
    ],
)
def test_variables(url: str, environment: dict[str, str], proxy: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable of the scheme comes first, then ALL_PROXY; an address without a scheme is an http proxy."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert proxy_for(url) == proxy


@pytest.mark.parametrize(
    ("host", "exceptions", "bypassed"),
    [
        ("a.example", "*", True),
        ("a.example", "a.example", True),
        ("a.example", " b.example , A.Example ", True),
        ("a.example", ".example", True),
        ("a.example", "*.example", True),
        ("a.example", "example", True),
        ("a.example", "ample", False),
        ("example", "a.example", False),
        ("a.example", "", False),
        ("a.example:8080", "a.example:8080", True),
        ("a.example:8081", "a.example:8080", False),
        ("a.example", "10.0.0.0/8", False),
        ("10.1.2.3", "10.0.0.0/8,.svc", True),
        ("11.1.2.3", "10.0.0.0/8,.svc", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("[::1]", "::1", True),
        ("[::1]:8080", "[::1]:8080", True),
        ("[::1]", "[::1]", True),
        ("[fd00::5]", "fd00::/8", True),
        ("[fe00::5]", "fd00::/8", False),
    ],
)
def test_exceptions(host: str, exceptions: str, bypassed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_PROXY exempts names with their subdomains, addresses, networks and ports."""
    monkeypatch.setenv("ALL_PROXY", "http://p")
    monkeypatch.setenv("NO_PROXY", exceptions)
    assert proxy_for(f"http://{host}") == (None if bypassed else "http://p")


@pytest.mark.parametrize("proxy", ["socks5://p", "http://", "http://p:port", "ftp://p"])
def test_unusable(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that cannot be used is a fault of the settings: going around it could be what must not happen."""
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(Misconfigured, match="proxy"):
        proxy_for("http://a.example")
