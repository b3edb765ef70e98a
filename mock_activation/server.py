"""One mock activation server with its two ports, for the command and for tests that want it in process.

    async with MockActivation({"ABCD-...": 2}) as mock:
        mock.url, mock.control_url, mock.pool, mock.faults, mock.journal

It has no settings file and installs no signal handlers: that is ``serve``'s affair.
"""

from __future__ import annotations

import logging
import re
import ssl
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Final, Self

from aiohttp import web

from mock_activation.activation_api import ActivationApi
from mock_activation.backend import CALM, Backend
from mock_activation.control_api import ControlApi
from mock_activation.faults import Faults
from mock_activation.fields import InputError
from mock_activation.journal import Journal
from mock_activation.keeping import keep, let_go
from mock_activation.pool import Change, KeySpec, Pool
from mock_activation.profiles import PROFILES
from mock_activation.switches import Switches

STOP_SECONDS: Final = 2.0
_BACKLOG: Final = 2048  # a thousand clients may knock within one turn of the loop
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)*")


class ListenError(OSError):
    """A port cannot be listened on; ``setting`` names what chose it."""

    def __init__(self, setting: str, address: str, error: OSError) -> None:
        """Keep what a message needs."""
        super().__init__(error.errno, f"cannot listen on {address}: {error.strerror or error}")
        self.setting = setting


class _NoDetails(logging.Filter):
    """aiohttp logs a malformed request with the exception, whose text quotes the request line: the key is in it."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.exc_info = record.exc_text = None
        return True


_HTTP_LOG: Final = logging.getLogger("mock_activation.http")
_HTTP_LOG.addFilter(_NoDetails())


class MockActivation:
    """A running mock activation server, as an asynchronous context manager."""

    def __init__(
        self,
        keys: Mapping[str, KeySpec | int] | None = None,
        *,
        switches: Switches | Mapping[str, StrEnum] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        control_host: str | None = None,
        control_port: int = 0,
        prefix: str = "",
        tls: bool = False,
        tls_names: tuple[str, ...] = (),
        now: Callable[[], float] = time.time,
        state: Path | None = None,
        tls_client_ca: Path | None = None,
        control_token: str | None = None,
        profile: str = CALM,
        seed: int = 0,
    ) -> None:
        """Prepare; nothing listens yet. A port of 0 is a free one; ``tls_names`` join localhost in the certificate.

        ``switches`` may name only some. ``state`` is the file that keeps keys and seats; without one they end with us.
        ``tls_client_ca`` is a PEM file: who brings no certificate of these authorities is refused (it implies TLS).
        ``control_token`` is what the control port wants as a bearer token. Raises ``InputError`` for an impossible
        prefix, an unknown profile, or a file of authorities that cannot be used.
        """
        if profile not in PROFILES:
            raise InputError(f"the profile must be one of {', '.join(PROFILES)}")
        named = asdict(switches) if isinstance(switches, Switches) else dict(switches or {})
        self._keep = None if state is None else partial(keep, path=state, named_switches=named)
        self.backend = Backend(keys or {}, replace(Switches(), **named), now=now, profile=profile, seed=seed)
        self.url = ""
        """Where the sidecar shall be pointed to, prefix included; known once it listens."""
        self.control_url = ""
        self.ca_pem: bytes | None = None
        """The certificate authority to be trusted, if TLS is on and it listens."""
        self._host, self._port = host, port
        self._control_host, self._control_port = control_host or host, control_port
        self._prefix = prefix.rstrip("/")
        if _PREFIX.fullmatch(self._prefix) is None:
            raise InputError("the prefix must look like /some/path")
        self._tls, self._tls_names = tls or tls_client_ca is not None, tls_names
        self._tls_client_ca = tls_client_ca
        self._control_token = control_token
        if tls_client_ca is not None:
            _trust_clients(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), tls_client_ca)  # a bad file is told before we start
        self._stack = AsyncExitStack()

    @property
    def pool(self) -> Pool:
        """Return the keys and seats."""
        return self.backend.pool

    @property
    def faults(self) -> Faults:
        """Return the scripted misbehaviour."""
        return self.backend.faults

    @property
    def journal(self) -> Journal:
        """Return what was asked."""
        return self.backend.journal

    @property
    def history(self) -> deque[Change]:
        """Return the last seats that were taken and became free, oldest first."""
        return self.backend.history

    async def __aenter__(self) -> Self:
        """Open the state file, listen on both ports. Raises ``StateError`` and ``ListenError``."""
        async with AsyncExitStack() as stack:
            if self._keep is not None:
                self._keep(self.backend)
                stack.callback(let_go, self.backend)
            context = self._make_tls() if self._tls else None
            api = ActivationApi(self.backend, self._prefix)
            activation = web.ServerRunner(
                web.Server(api.handle, access_log=None, logger=_HTTP_LOG), shutdown_timeout=STOP_SECONDS
            )
            port = await _listen(stack, activation, self._host, self._port, context, setting="--port")
            stack.callback(api.stop)
            control = web.AppRunner(
                ControlApi(self.backend, self.ca_pem, self._control_token).application(),
                access_log=None,
                logger=_HTTP_LOG,
                shutdown_timeout=STOP_SECONDS,
            )
            control_port = await _listen(
                stack, control, self._control_host, self._control_port, None, setting="--control-port"
            )
            scheme = "https" if self._tls else "http"
            self.url = f"{scheme}://{_reachable(self._host)}:{port}{self._prefix}"
            self.control_url = f"http://{_reachable(self._control_host)}:{control_port}"
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_exc_info: object) -> None:
        """Stop both ports; what is delayed or hangs is cut."""
        await self._stack.aclose()

    def _make_tls(self) -> ssl.SSLContext:
        import trustme  # noqa: PLC0415 - cryptography is heavy, and most tests speak plain HTTP

        authority = trustme.CA(organization_name="mock-activation (not OPSWAT)")
        names = dict.fromkeys(["localhost", "127.0.0.1", "::1", *self._tls_names])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*names).configure_cert(context)
        self.ca_pem = authority.cert_pem.bytes()
        if self._tls_client_ca is not None:
            _trust_clients(context, self._tls_client_ca)
        context.sni_callback = self._greet
        return context

    def _greet(self, _socket: object, _name: str | None, _context: object) -> int | None:
        """Begin a TLS handshake, or end it with an alert if a fault says so."""
        return ssl.ALERT_DESCRIPTION_HANDSHAKE_FAILURE if self.faults and self.faults.pick_handshake() else None


def _trust_clients(context: ssl.SSLContext, authorities: Path) -> None:
    """Let only clients in that have a certificate of these authorities. Raises ``InputError``."""
    try:
        context.load_verify_locations(cafile=authorities)
    except ssl.SSLError:
        raise InputError(f"{authorities}: holds no certificate in PEM form") from None
    except OSError as error:
        raise InputError(f"{authorities}: {error.strerror}") from None
    context.verify_mode = ssl.CERT_REQUIRED


async def _listen(
    stack: AsyncExitStack, runner: web.BaseRunner, host: str, port: int, context: ssl.SSLContext | None, *, setting: str
) -> int:
    """Listen, leave the stop on the stack, and return the port."""
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    try:
        await web.TCPSite(runner, host, port, ssl_context=context, backlog=_BACKLOG).start()
    except OSError as error:
        raise ListenError(setting, f"{host}:{port}", error) from error
    return int(runner.addresses[0][1])


def _reachable(host: str) -> str:
    """Return the host part of a URL under which a client on this machine reaches it."""
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{host}]" if ":" in host else host
