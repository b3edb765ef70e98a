"""The port at which the app speaks HTTP now and HTTPS later, or the other way round (protocol.md section 2).

It begins as HTTP and switches to HTTPS on the same port while it runs, so the scheme is found out, and again whenever
it stops fitting: the other one is tried once within the same attempt. Never through a proxy. Must not fall back to
plain text where that would give the API key away.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from sidecar.adapters.http_exchange import Answer, Exchange, ExchangeError, Fault
from sidecar.adapters.icap_report import json_object
from sidecar.adapters.trust import app_trust, is_loopback
from sidecar.core.servers import DEFAULT_PORTS, normalise

CONNECT_WITHIN: Final = 3.0
"""Seconds at most for a connection or a TLS handshake, and never more than a third of what is left: a plain port may
take our greeting for half a request and wait for the rest."""

_WRONG_SCHEME: Final = frozenset({Fault.TLS, Fault.GARBAGE, Fault.CUT})
"""What a client meets that speaks TLS to a plain port, or the other way round."""


class AppPort:
    """Asks in the scheme that fitted last, then in the other one."""

    def __init__(self, url: str, ca_file: Path | None) -> None:
        """Remember the address; nothing is opened. Raises ``ValueError`` for an unusable one."""
        parts = urlsplit(normalise(url))
        self._host = parts.hostname or ""
        self._port = parts.port or DEFAULT_PORTS[parts.scheme]
        self.scheme = parts.scheme
        """The scheme that was spoken last, or will be tried first."""
        shown = f"[{self._host}]" if ":" in self._host else self._host
        # The API key travels in a header: plain text only on this machine, or where the settings themselves say http.
        plain = parts.scheme == "http" or (is_loopback(self._host) and ca_file is None)
        self._exchanges = {
            scheme: Exchange(
                f"{scheme}://{shown}:{self._port}{parts.path}", trust=partial(app_trust, self._host, ca_file)
            )
            for scheme in ("http", "https")
            if plain or scheme == "https"
        }

    async def ask(
        self,
        method: str,
        path: str,
        *,
        deadline: float,
        headers: Mapping[str, str],
        query: Sequence[tuple[str, str]] = (),
        content: bytes = b"",
    ) -> Answer:
        """Return the complete answer, whatever its status. Raises ``ExchangeError``.

        Repeating a POST is safe: a port that speaks the other scheme did not understand the first one.
        """
        connect_within = min(CONNECT_WITHIN, (deadline - asyncio.get_running_loop().time()) / 3)

        async def once(scheme: str) -> Answer | ExchangeError:
            try:
                return await self._exchanges[scheme].ask(
                    method,
                    path,
                    deadline=deadline,
                    query=query,
                    headers=headers,
                    content=content,
                    connect_within=connect_within,
                )
            except ExchangeError as error:
                return error

        first = await once(self.scheme)
        other = "http" if self.scheme == "https" else "https"
        if other not in self._exchanges or not _doubtful(first):
            return _settle(first)
        second = await once(other)
        if isinstance(second, ExchangeError):
            if isinstance(first, ExchangeError):
                # A word in either scheme is a sign of life; and what either sent may have been understood.
                first.answered = second.answered = first.answered or second.answered
                first.sent = second.sent = first.sent or second.sent
            # If TLS is spoken but not trusted, that is the trouble; otherwise the first try says more.
            return _settle(second if second.fault in {Fault.UNTRUSTED, Fault.AUTHORITIES} else first)
        if _doubtful(second):
            return _settle(first)
        self.scheme = other
        return second

    async def knock(self, within: float) -> None:
        """Open and close a connection, in ``within`` seconds. Raises ``ExchangeError``."""
        loop = asyncio.get_running_loop()
        refused: OSError | None = None
        try:
            async with asyncio.timeout(within):
                # By hand: before Python 3.12 asyncio.open_connection hides that one of several addresses refused.
                for family, address in await self._addresses():
                    with socket.socket(family, socket.SOCK_STREAM) as knocker:
                        knocker.setblocking(False)  # noqa: FBT003 - the standard library's signature
                        try:
                            await loop.sock_connect(knocker, address)
                        except ConnectionRefusedError as error:
                            refused = error
                        else:
                            return
        except TimeoutError as error:
            raise ExchangeError(Fault.TIMEOUT, sent=False) from error
        except OSError as error:
            raise ExchangeError(Fault.NETWORK, sent=False) from error
        raise ExchangeError(Fault.REFUSED, sent=False) from refused

    async def _addresses(self) -> list[tuple[int, Any]]:
        """Return all addresses of the host; one that is an address already costs no look-up in a thread."""
        try:
            version = ip_address(self._host).version
        except ValueError:
            loop = asyncio.get_running_loop()
            found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
            return [(family, address) for family, _, _, _, address in found]
        return [(socket.AF_INET if version == 4 else socket.AF_INET6, (self._host, self._port))]  # noqa: PLR2004 - IPv4

    async def aclose(self) -> None:
        """Close what is open."""
        for exchange in self._exchanges.values():
            await exchange.aclose()


def _settle(outcome: Answer | ExchangeError) -> Answer:
    if isinstance(outcome, ExchangeError):
        raise outcome
    return outcome


def _doubtful(outcome: Answer | ExchangeError) -> bool:
    """Tell whether the port may speak the other scheme.

    Web servers answer plain requests on their TLS port with 400 and a page, or with a redirect; the app's own 400 is
    JSON.
    """
    if isinstance(outcome, ExchangeError):
        return outcome.fault in _WRONG_SCHEME or (outcome.in_handshake and outcome.fault is Fault.TIMEOUT)
    if 300 <= outcome.status < 400:  # noqa: PLR2004 - redirects
        return outcome.header("location").lower().startswith("https:")
    return outcome.status == 400 and json_object(outcome.body) is None  # noqa: PLR2004 - "bad request"
