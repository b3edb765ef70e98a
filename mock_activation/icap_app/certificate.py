"""The certificate with which the app speaks HTTPS: made on demand, by an authority that nobody knows."""

from __future__ import annotations

import ssl
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import trustme


class Certificate:
    """One certificate authority and one certificate for this machine, both made when first asked for."""

    @cached_property
    def _authority(self) -> trustme.CA:
        import trustme  # noqa: PLC0415 - 0.1 s of start-up, needed for HTTPS only

        return trustme.CA(organization_name="mock-activation icap-app (not trusted by anybody)")

    @cached_property
    def _context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert("localhost", "127.0.0.1", "::1").configure_cert(context)
        return context

    def context(self) -> ssl.SSLContext:
        """Return the server's side."""
        return self._context

    @property
    def ca_pem(self) -> bytes:
        """Return the authority's certificate, for a client that wants to verify."""
        return self._authority.cert_pem.bytes()
