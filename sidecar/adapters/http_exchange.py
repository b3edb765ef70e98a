"""One request and its answer over httpx: bounded in time and size, and exact about what may have been sent.

Both HTTP adapters share it, so library errors are translated at one place. It knows neither seats nor apps: what an
answer means, and which of our exceptions a fault becomes, is the adapters' affair.

It speaks to httpx's transport instead of its client. The client's redirects, cookies, authentication and environment
are unwanted here, and it logs whole URLs, which contain the activation key. Connections are not kept: requests are
seconds apart, and a request that dies on a stale connection would count as "perhaps sent".
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final
from urllib.parse import quote, urlencode

from sidecar import __version__
from sidecar.adapters.lean_imports import lean, remember_absent
from sidecar.adapters.trust import no_trust
from sidecar.errors import Misconfigured
from sidecar.secrets import MASKER

with lean():
    import httpx
remember_absent("sniffio")

# A defence in depth: httpx logs URLs at INFO, httpcore logs headers (Location!) at DEBUG.
for _library in ("httpx", "httpcore"):
    logging.getLogger(_library).setLevel(max(logging.WARNING, logging.getLogger(_library).level))

SIZE_LIMIT: Final = 1 << 20
"""Bytes of a body that are read at most; licence files are a few KiB."""

_HEADERS: Final = {
    "User-Agent": f"license-sidecar/{__version__}",
    "Accept": "*/*",
    "Accept-Encoding": "identity",  # a compressed answer could be a bomb, and is a few KiB anyway
    "Connection": "close",
}


class Fault(StrEnum):
    """Why there is no answer."""

    NAME = "the host name cannot be resolved"
    REFUSED = "the connection was refused"
    TIMEOUT = "no answer in time"
    TLS = "no TLS session could be established"
    UNTRUSTED = "the certificate is not trusted"
    AUTHORITIES = "the file of trusted authorities cannot be used"
    PROXY = "the proxy did not let the request through"
    NETWORK = "no connection"
    CUT = "the connection ended before the answer was complete"
    GARBAGE = "the answer is not HTTP"
    CODED = "the answer is compressed although that was not asked for"
    OVERSIZED = "the answer is too large"


class ExchangeError(Exception):
    """No complete answer. ``sent`` is False only if it is certain that the request never left.

    ``in_handshake``: a connection was there, and TLS was being agreed on. ``answered``: somebody said something, if
    only an alert of TLS; without that a connection that was closed proves no life behind whoever took it.
    """

    def __init__(
        self, fault: Fault, *, sent: bool, detail: str = "", in_handshake: bool = False, answered: bool = False
    ) -> None:
        """Keep what the adapters translate; the text holds no URL, no header and no body."""
        super().__init__(f"{fault} ({detail})" if detail else fault.value)
        self.fault = fault
        self.sent = sent
        self.in_handshake = in_handshake
        self.answered = answered


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer; ``header`` looks names up in any case."""

    status: int
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)

    def header(self, name: str) -> str:
        """Return the header's value, or an empty text."""
        return self.headers.get(name, "")


class Exchange:
    """Asks one server, each time over a connection of its own."""

    def __init__(
        self, base_url: str, *, trust: Callable[[], ssl.SSLContext] | None = None, proxy: str | None = None
    ) -> None:
        """Remember whom to ask; ``trust`` is called once, when TLS is first needed.

        Raises ``Misconfigured`` for addresses that cannot be used.
        """
        try:
            self._base = httpx.URL(base_url)
            self._proxy = httpx.URL(proxy) if proxy else None
        except httpx.InvalidURL as error:
            raise Misconfigured("the address of a server or of its proxy is malformed") from error
        self._prefix = self._base.raw_path.decode().rstrip("/")
        self._trust = trust
        self._transport: httpx.AsyncHTTPTransport | None = None

    async def ask(
        self,
        method: str,
        path: str,
        *,
        deadline: float,
        query: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        content: bytes = b"",
        connect_within: float | None = None,
    ) -> Answer:
        """Return the complete answer, whatever its status; ``deadline`` is in the loop's time, for everything.

        ``connect_within``: seconds for each of connection and TLS handshake, where half an attempt must be left over.

        Redirects are answers like any other. Raises ``ExchangeError``, and nothing else of any library.
        """
        target = f"{self._prefix}{path}" + (f"?{urlencode(query, quote_via=quote)}" if query else "")
        progress = _Progress()
        request = httpx.Request(
            method,
            self._base.copy_with(raw_path=target.encode()),
            headers=_HEADERS | dict(headers or {}),
            content=content or None,
            extensions={"trace": progress, "timeout": {"connect": connect_within}},
        )
        transport = self._open()
        try:
            async with asyncio.timeout_at(deadline):
                response = await transport.handle_async_request(request)
                try:
                    return await _read(response)
                finally:
                    await response.aclose()
        except ExchangeError:
            raise
        except TimeoutError as error:
            raise ExchangeError(Fault.TIMEOUT, sent=progress.sent) from error
        # ssl.SSLError is an OSError and passes through httpcore untranslated when it comes after the handshake.
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            chain = tuple(_chain(error))
            _mask(chain)
            fault, detail = _judge(error, chain, progress)
            raise ExchangeError(
                fault,
                sent=progress.perhaps_sent(error),
                detail=detail,
                in_handshake=progress.step == "start_tls",
                answered=progress.answered or fault is Fault.GARBAGE or _said_something(chain),
            ) from error
        finally:
            await progress.hang_up()

    async def aclose(self) -> None:
        """Close whatever is still open; the exchange can be used again afterwards."""
        if self._transport is not None:
            await self._transport.aclose()
            self._transport = None

    def _open(self) -> httpx.AsyncHTTPTransport:
        if self._transport is None:
            schemes = {self._base.scheme, self._proxy.scheme if self._proxy else ""}
            try:
                context = self._trust() if self._trust is not None and "https" in schemes else no_trust()
            except OSError as error:
                raise ExchangeError(Fault.AUTHORITIES, sent=False) from error
            self._transport = httpx.AsyncHTTPTransport(
                verify=context,
                trust_env=False,
                limits=httpx.Limits(max_connections=4, max_keepalive_connections=0),
                proxy=httpx.Proxy(self._proxy, ssl_context=context if self._proxy.scheme == "https" else None)
                if self._proxy
                else None,
            )
        return self._transport


class _Progress:
    """Follows a request through httpx's documented ``trace`` extension, to know whether it was sent."""

    __slots__ = ("answered", "sent", "step", "stream", "traced")

    def __init__(self) -> None:
        self.answered = False
        self.sent = False
        self.stream: Any = None  # httpcore's AsyncNetworkStream; httpcore is httpx's affair, not a dependency of ours
        self.step = ""
        self.traced = False

    async def __call__(self, event: str, info: dict[str, Any]) -> None:
        """Take note of the step. Only steps that carry a request, other than CONNECT, give our query away."""
        self.traced = True
        _, _, name = event.partition(".")
        step, _, stage = name.partition(".")
        if stage == "started":
            self.step = step
            request = info.get("request")
            self.sent = self.sent or (request is not None and request.method != b"CONNECT")
        elif name == "connect_tcp.complete":
            self.stream = info.get("return_value")
        elif name in {"start_tls.complete", "receive_response_headers.complete"}:
            self.answered = True

    async def hang_up(self) -> None:
        """Close the connection if httpcore did not: it forgets one that is cancelled during the TLS handshake."""
        if self.stream is not None:
            await self.stream.aclose()

    def perhaps_sent(self, error: BaseException) -> bool:
        """Tell what counts: the trace, or, where a transport does not trace, the kind of the error."""
        if self.traced:
            return self.sent
        return not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.ProxyError)


async def _read(response: httpx.Response) -> Answer:
    if response.headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}:
        raise ExchangeError(Fault.CODED, sent=True, answered=True)
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > SIZE_LIMIT:
            raise ExchangeError(Fault.OVERSIZED, sent=True, answered=True)
    return Answer(response.status_code, bytes(body), response.headers)


_TELLING: Final[tuple[tuple[type[BaseException], Fault], ...]] = (
    (ssl.SSLCertVerificationError, Fault.UNTRUSTED),
    (httpx.ProxyError, Fault.PROXY),
    (socket.gaierror, Fault.NAME),
    (ConnectionRefusedError, Fault.REFUSED),
    (TimeoutError, Fault.TIMEOUT),
    (httpx.TimeoutException, Fault.TIMEOUT),
    (ssl.SSLError, Fault.TLS),
)
"""The most telling first: a chain holds several of these (one address refuses, another times out)."""


def _judge(error: Exception, chain: Sequence[BaseException], progress: _Progress) -> tuple[Fault, str]:
    """Return the fault, and a detail for people that cannot contain anything of the request."""
    for kind, fault in _TELLING:
        for link in chain:
            if isinstance(link, kind):
                return fault, _detail(link)
    if progress.step == "start_tls":
        return Fault.TLS, ""
    if isinstance(error, httpx.ProtocolError):
        # Neither library has a class for it: "Server disconnected ..." (httpcore), "peer closed ..." (h11).
        cut = str(error).startswith(("Server disconnected", "peer closed"))
        return (Fault.CUT if cut else Fault.GARBAGE), ""
    return (Fault.NETWORK if isinstance(error, httpx.ConnectError) else Fault.CUT), ""


def _said_something(chain: Iterable[BaseException]) -> bool:
    """Tell whether TLS failed by what came (an alert, plain text, a certificate), not because nothing came."""
    return any(isinstance(link, ssl.SSLError) and not isinstance(link, ssl.SSLEOFError) for link in chain)


def _detail(link: BaseException) -> str:
    match link:
        case ssl.SSLCertVerificationError():
            return link.verify_message
        case ssl.SSLError():
            return link.reason or ""
        case httpx.ProxyError():
            return str(link)[:80]
        case _:
            return ""


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and everything below it, members of groups too (anyio groups its connection attempts)."""
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        link = waiting.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        waiting += [link.__cause__, link.__context__]
        if isinstance(link, BaseExceptionGroup):
            waiting += link.exceptions


def _mask(chain: Iterable[BaseException]) -> None:
    """Take secrets out of the library's own texts: h11 quotes what a server sent, and servers echo requests."""
    for link in chain:
        masked = tuple(MASKER.mask(part) if isinstance(part, str) else part for part in link.args)
        if masked != link.args:
            link.args = masked
