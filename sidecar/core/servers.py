"""The identity of an activation server as a text that can be compared.

Seat records name their server, and only records of one's own server are acted on (design.md section 4, rule 6), so two
spellings of one address must become the same text. Pure; must not resolve names or look at anything outside.
"""

from typing import Final
from urllib.parse import urlsplit

DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def normalise(url: str) -> str:
    """Return ``scheme://host[:port][/prefix]``: lower-case host, no default port, no slash at the end.

    User names, queries and fragments are dropped: they are not part of the identity, and may be secret.
    Raises ``ValueError`` for anything that is not an absolute http or https address.
    """
    parts = urlsplit(url.strip())
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        message = "not an absolute http:// or https:// address"
        raise ValueError(message)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = "" if parts.port in {None, DEFAULT_PORTS[parts.scheme]} else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}"
