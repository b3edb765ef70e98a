"""The identity of an activation server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.servers import normalise


@pytest.mark.parametrize(
    ("url", "identity"),
    [
        ("https://activation.dl.opswat.com", "https://activation.dl.opswat.com"),
        ("https://Activation.DL.opswat.com/", "https://activation.dl.opswat.com"),
        ("HTTPS://activation.dl.opswat.com:443", "https://activation.dl.opswat.com"),
        ("http://mock:80/a/b/", "http://mock/a/b"),
        ("http://mock:443", "http://mock:443"),
        ("http://mock:8080/Prefix", "http://mock:8080/Prefix"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
        (" https://mock/?key=1#part ", "https://mock"),
        ("https://user:pass@mock", "https://mock"),
    ],
)
def test_spellings_become_one_identity(url: str, identity: str) -> None:
    """Scheme, host, port and prefix count; case of the host, default port, slash, user, query do not."""
    assert normalise(url) == identity


@pytest.mark.parametrize(
    "url", ["", "mock", "ftp://mock", "https://", "http://mock:port", "http://mock:99999", "//mock"]
)
def test_no_address_is_refused(url: str) -> None:
    """What is no absolute http or https address has no identity."""
    with pytest.raises(ValueError, match=r"."):
        normalise(url)


@given(
    host=st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,8}(\.[A-Za-z]{2,4})?", fullmatch=True),
    port=st.none() | st.integers(1, 65535),
    path=st.from_regex(r"(/[a-z0-9]{1,4}){0,3}/?", fullmatch=True),
    scheme=st.sampled_from(["http", "https"]),
)
def test_an_identity_is_its_own_identity(host: str, port: int | None, path: str, scheme: str) -> None:
    """Normalising twice changes nothing, and the case of the host never makes a difference."""
    url = f"{scheme}://{host}{'' if port is None else f':{port}'}{path}"
    once = normalise(url)
    assert normalise(once) == once
    assert normalise(url.replace(host, host.swapcase(), 1)) == once
