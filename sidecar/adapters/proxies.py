"""Which proxy the environment wants for an address: the usual variables, decided once, for the activation server only.

httpx can read them too, but fails on ``NO_PROXY`` entries such as ``[::1]``, takes ``10.0.0.0/8`` for a name, and keeps
one connection pool per variable. Must not print a proxy's address: it may contain a password.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit
from urllib.request import getproxies

from sidecar.errors import Misconfigured


def proxy_for(url: str) -> str | None:
    """Return the proxy's address for this URL, or None. Raises ``Misconfigured`` for a proxy that cannot be used."""
    parts = urlsplit(url)
    variables = getproxies()
    proxy = variables.get(parts.scheme) or variables.get("all")
    if not proxy or _bypassed(parts.hostname or "", parts.port, variables.get("no", "")):
        return None
    address = proxy if "://" in proxy else f"http://{proxy}"
    try:
        proxy_parts = urlsplit(address)
        usable = proxy_parts.scheme in {"http", "https"} and proxy_parts.hostname and proxy_parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise Misconfigured(
            f"the environment names a proxy for {parts.scheme} that cannot be used: only http:// and https:// can"
        )
    return address


def _bypassed(host: str, port: int | None, exceptions: str) -> bool:
    """Tell whether ``NO_PROXY`` exempts the host: ``*``, names and their subdomains, addresses, networks, ports."""
    for entry in (raw.strip().lower() for raw in exceptions.split(",")):
        name, colon, entry_port = entry.rpartition(":")
        if colon and entry_port.isdecimal() and (name.startswith("[") or ":" not in name):
            if port is not None and entry_port != str(port):
                continue
            entry = name  # noqa: PLW2901 - the rest of the rule is the same without the port
        entry = entry.strip("[]").removeprefix("*.").removeprefix(".")  # noqa: PLW2901 - one spelling for all forms
        if entry and (entry in {"*", host} or host.endswith(f".{entry}") or _within(host, entry)):
            return True
    return False


def _within(host: str, network: str) -> bool:
    try:
        return ip_address(host) in ip_network(network, strict=False)
    except ValueError:
        return False
