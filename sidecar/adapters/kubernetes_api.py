"""One call to the Kubernetes API server and its answer: bounded in time and size, with the trouble told apart.

It knows paths, JSON and the service account, and nothing of seats and pods: what an answer means is the affair of the
adapters above it. One call is one attempt.

Of kubernetes_asyncio only its transport is used, with paths and JSON of our own: the typed API costs 8 MiB even where
every module is resolved on first use, and its ``Configuration`` 2 MiB for urllib3, of a budget of 50 (docs/decisions).
Its ``watch`` reconnects without a pause and its own clients trust the environment's proxies, which are for the
activation server only. aiohttp is loaded anyway, by the web server.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final, cast
from urllib.parse import quote

from sidecar import __version__
from sidecar.adapters.lean_imports import bare_packages, light_aiohttp
from sidecar.adapters.service_account import ServiceAccount
from sidecar.adapters.trust import cluster_trust
from sidecar.errors import LedgerOutage, Misconfigured
from sidecar.secrets import MASKER

with light_aiohttp():
    import aiohttp

    with bare_packages("kubernetes_asyncio", "kubernetes_asyncio.client"):
        from kubernetes_asyncio.client.rest import RESTClientObject

MANAGER: Final = "license-sidecar"
"""The field manager of everything that we write."""
TIMEOUT: Final = 4.0
"""Seconds for one call in all; a healthy API server takes milliseconds."""
SIZE_LIMIT: Final = 32 << 20
"""Bytes of an answer that are read at most: a page of 500 objects at their largest is far below."""
_CONNECTIONS: Final = 8
_KEPT: Final = 50.0
"""Seconds that an idle connection is kept: a renewal every 15 s should not pay for a TLS handshake each time."""
_LONGEST_TEXT: Final = 300
_JSON: Final = "application/json"

Json = dict[str, Any]


class Trouble(StrEnum):
    """How a call did not succeed."""

    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    GONE = "gone"
    INVALID = "invalid"
    BUSY = "busy"
    FAILED = "failed"
    NETWORK = "network"
    TIMEOUT = "timeout"
    UNTRUSTED = "untrusted"
    PROTOCOL = "protocol"


_BY_STATUS: Final = {
    HTTPStatus.UNAUTHORIZED: Trouble.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN: Trouble.FORBIDDEN,
    HTTPStatus.NOT_FOUND: Trouble.NOT_FOUND,
    HTTPStatus.CONFLICT: Trouble.CONFLICT,
    HTTPStatus.GONE: Trouble.GONE,
    HTTPStatus.BAD_REQUEST: Trouble.INVALID,
    HTTPStatus.METHOD_NOT_ALLOWED: Trouble.INVALID,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: Trouble.INVALID,
    HTTPStatus.UNPROCESSABLE_ENTITY: Trouble.INVALID,
    HTTPStatus.TOO_MANY_REQUESTS: Trouble.BUSY,
}
_LASTING: Final = frozenset({Trouble.FORBIDDEN, Trouble.INVALID, Trouble.UNTRUSTED, Trouble.PROTOCOL})
"""Troubles that pass only when somebody changes something; a token is read anew for each call, so 401 is none."""


class ApiError(Exception):
    """No success, as a sentence for people without a secret; ``retry_after``: the server's wish in seconds."""

    def __init__(self, trouble: Trouble, message: str, *, retry_after: float | None = None) -> None:
        """Keep what the adapters above decide by."""
        super().__init__(message)
        self.trouble = trouble
        self.retry_after = retry_after

    def outage(self) -> LedgerOutage:
        """Return this as the outage that it is for everybody who did not expect it."""
        return LedgerOutage(str(self), retry_after=self.retry_after, lasting=self.trouble in _LASTING)


@dataclass(frozen=True, slots=True)
class Reply:
    """A successful answer; ``date``: the API server's clock, seconds since the epoch, None if it did not tell."""

    body: Json = field(repr=False)
    date: float | None = None


class _Straight:
    """A session that follows no redirect, for which the library has no word: our token must not travel."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def request(self, **arguments: Any) -> aiohttp.ClientResponse:
        return await self._session.request(**arguments, allow_redirects=False)

    async def close(self) -> None:
        await self._session.close()


class _Transport(RESTClientObject):
    """The library's transport with a session of ours: its own reads the CA for each client, and believes in proxies."""

    def __init__(self, context: ssl.SSLContext) -> None:
        """Open nothing yet."""
        self.server_hostname = self.proxy = None  # type: ignore[assignment]  # as its own constructor does
        self.proxy_headers = None  # type: ignore[assignment]  # the same
        connector = aiohttp.TCPConnector(limit=_CONNECTIONS, ssl=context, keepalive_timeout=_KEPT)
        session = aiohttp.ClientSession(
            connector=connector, trust_env=False, cookie_jar=aiohttp.DummyCookieJar(), read_bufsize=1 << 18
        )
        self.pool_manager = _Straight(session)  # type: ignore[assignment]  # of it the library uses these two methods


class KubernetesApi:
    """The API server, asked in the name of this pod's service account. All calls raise ``ApiError``."""

    def __init__(self, account: ServiceAccount, *, timeout: float = TIMEOUT) -> None:
        """Take the account; nothing is opened yet. ``timeout``: seconds for one call in all."""
        self.account = account
        self._timeout = timeout
        self._transport: _Transport | None = None

    async def get(
        self, path: str, query: Mapping[str, str] | None = None, *, accept: str = "application/json"
    ) -> Reply:
        """Read one object, or one page of a collection."""
        return await self._ask("GET", path, query=query, accept=accept)

    async def create(self, path: str, body: Json) -> Reply:
        """Create an object in a collection."""
        return await self._ask("POST", path, body, query={"fieldManager": MANAGER})

    async def replace(self, path: str, body: Json) -> Reply:
        """Write an object over the version that it names."""
        return await self._ask("PUT", path, body, query={"fieldManager": MANAGER})

    async def patch(self, path: str, body: Json) -> Reply:
        """Merge into an object (JSON merge patch, RFC 7386)."""
        kind = "application/merge-patch+json"
        return await self._ask("PATCH", path, body, query={"fieldManager": MANAGER}, kind=kind)

    async def delete(self, path: str, *, uid: str, version: str) -> Reply:
        """Delete exactly this version of an object."""
        preconditions = {"uid": uid, "resourceVersion": version}
        body = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": preconditions}
        return await self._ask("DELETE", path, body)

    async def open_stream(self, path: str, query: Mapping[str, str], *, silence: float) -> aiohttp.ClientResponse:
        """Begin a watch; the caller reads and closes it. ``silence``: seconds without a byte after which it fails."""
        limits = aiohttp.ClientTimeout(total=None, sock_connect=self._timeout, sock_read=silence)
        try:
            async with asyncio.timeout(self._timeout):
                response = await self._send("GET", path, body=None, query=query, kinds=(_JSON, _JSON), within=limits)
                if response.status != HTTPStatus.OK:
                    async with response:
                        raise self._refusal(response, await self._read(response))
        except TimeoutError as error:
            raise self._silent() from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise await self._failed(error) from error
        return response

    def translated(self, error: Exception) -> ApiError:
        """Return one of the transport's exceptions as ours."""
        where = self.account.url
        match error:
            case ApiError():
                return error
            case TimeoutError():
                return self._silent()
            case aiohttp.ClientConnectorCertificateError():
                return ApiError(Trouble.UNTRUSTED, f"the certificate of the API server at {where} is not trusted")
            case aiohttp.ClientSSLError():
                return ApiError(Trouble.NETWORK, f"no TLS session with the API server at {where}")
            case aiohttp.ClientConnectorError():
                reason = error.os_error.strerror or type(error.os_error).__name__
                return ApiError(Trouble.NETWORK, f"no connection to the API server at {where}: {reason}")
            case aiohttp.ClientConnectionError() | aiohttp.ClientPayloadError() | OSError():
                return ApiError(Trouble.NETWORK, f"the connection to the API server at {where} was cut")
            case aiohttp.ClientError() | ValueError():
                return ApiError(Trouble.PROTOCOL, f"what answers at {where} does not speak HTTP as an API server does")
            case _:
                raise error

    async def aclose(self) -> None:
        """Close every connection."""
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.close()

    async def _ask(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        query: Mapping[str, str] | None = None,
        accept: str = _JSON,
        kind: str = _JSON,
    ) -> Reply:
        total = aiohttp.ClientTimeout(total=self._timeout)
        try:
            async with asyncio.timeout(self._timeout):
                sending = self._send(method, path, body=body, query=query, kinds=(accept, kind), within=total)
                async with await sending as response:
                    data = await self._read(response)
        except TimeoutError as error:
            raise self._silent() from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise await self._failed(error) from error
        if not 200 <= response.status < 300:  # noqa: PLR2004 - the range is what HTTP calls success
            raise self._refusal(response, data)
        return Reply(self._object(response, data), _date(response.headers.get("Date", "")))

    async def _failed(self, error: Exception) -> ApiError:
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            await self.aclose()  # the cluster's authority may have been replaced: read it again next time
        return self.translated(error)

    async def _send(
        self,
        method: str,
        path: str,
        *,
        body: Json | None,
        query: Mapping[str, str] | None,
        kinds: tuple[str, str],
        within: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        """Send a request; ``kinds``: what is accepted and what is sent; ``within``: the transport's own limits."""
        headers = {
            "Accept": kinds[0],
            "Content-Type": kinds[1],
            "Authorization": f"Bearer {self.account.token().reveal()}",
            "User-Agent": f"license-sidecar/{__version__}",
        }
        # Unread: with `_preload_content` the library would log bodies, and read without a limit.
        response = await self._opened().request(
            method,
            self.account.url + path,
            query_params=dict(query) if query else None,
            headers=headers,
            body=body,
            _preload_content=False,
            _request_timeout=within,
        )
        return cast("aiohttp.ClientResponse", response)

    def _opened(self) -> _Transport:
        if self._transport is None:
            try:
                context = cluster_trust(self.account.ca_file)
            except OSError as error:
                # ssl.SSLError is an OSError too, and tells nothing about which file.
                text = f"{self.account.ca_file} is no usable CA certificate of the cluster"
                raise ApiError(Trouble.UNTRUSTED, text) from error
            self._transport = _Transport(context)
        return self._transport

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        parts, size = [], 0
        async for part in response.content.iter_any():
            size += len(part)
            if size > SIZE_LIMIT:
                raise ApiError(Trouble.PROTOCOL, f"an answer of the API server is larger than {SIZE_LIMIT >> 20} MiB")
            parts.append(part)
        return b"".join(parts)

    def _object(self, response: aiohttp.ClientResponse, data: bytes) -> Json:
        try:
            content = json.loads(data)
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict) or "kind" not in content:
            kind = response.headers.get("Content-Type", "an unknown type").partition(";")[0][:40]
            text = f"what answers at {self.account.url} is no Kubernetes API server: it sent {kind}"
            raise ApiError(Trouble.PROTOCOL, text)
        return content

    def _refusal(self, response: aiohttp.ClientResponse, data: bytes) -> ApiError:
        status, said = response.status, ""
        try:
            said = str(self._object(response, data).get("message", ""))
        except ApiError as fault:
            if status < HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.TOO_MANY_REQUESTS:
                return fault  # a page of a proxy or of a portal: its 404 says nothing about our objects
        trouble = Trouble.FAILED
        if status < HTTPStatus.INTERNAL_SERVER_ERROR:
            trouble = _BY_STATUS.get(HTTPStatus(status), Trouble.PROTOCOL) if status in _KNOWN else Trouble.PROTOCOL
        text = f"the API server answers {status}"
        if trouble is Trouble.UNAUTHORIZED:
            text = f"the API server does not accept the token of this service account ({status})"
        said = MASKER.mask(said)[:_LONGEST_TEXT]
        return ApiError(trouble, f"{text}: {said}" if said else text, retry_after=_seconds(response))

    def _silent(self) -> ApiError:
        text = f"no answer of the API server at {self.account.url} within {self._timeout:g} s"
        return ApiError(Trouble.TIMEOUT, text)


_KNOWN: Final = frozenset(int(it) for it in HTTPStatus)


def _date(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None


def _seconds(response: aiohttp.ClientResponse) -> float | None:
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdecimal() and len(text) < 6 else None  # noqa: PLR2004 - a day


def collection(group: str, namespace: str, plural: str) -> str:
    """Return the path of a namespace's objects of one kind; ``group`` is ``api/v1`` or ``apis/GROUP/VERSION``."""
    return f"/{group}/namespaces/{quote(namespace, safe='')}/{plural}"


def single(group: str, namespace: str, plural: str, name: str) -> str:
    """Return the path of one object. Raises ``Misconfigured`` for an empty name, which would be the collection's."""
    if not name or not namespace:
        raise Misconfigured("an object of Kubernetes has no name or no namespace")
    return f"{collection(group, namespace, plural)}/{quote(name, safe='')}"
