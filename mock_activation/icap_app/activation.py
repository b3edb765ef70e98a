"""The product's own calls to the activation server: one attempt each, as the vendor's product makes them.

No retry and no judgement beyond "licence or not" (protocol.md sections 1 and 3). The key stands in the query, so no
error of the HTTP library, whose texts hold the URL, leaves this module.
"""

from __future__ import annotations

import ssl
from typing import Self

import aiohttp
from yarl import URL

from mock_activation.icap_app.settings import Settings


class ActivationFailed(Exception):  # noqa: N818 - a refusal is no error of this program
    """The activation server did not do it; the text is for the log and holds no URL."""


class ActivationClient:
    """Asks the activation server in the name of the product."""

    def __init__(self, session: aiohttp.ClientSession, url: URL | None, trust: ssl.SSLContext | bool) -> None:
        """Keep the session, which this object closes."""
        self._session = session
        self._url = url
        self._trust = trust

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Make a client; must be called inside of a running loop. Raises ``OSError`` for an unusable CA file."""
        trust: ssl.SSLContext | bool = True
        if settings.activation_ca is not None:
            trust = ssl.create_default_context(cafile=settings.activation_ca)
        session = aiohttp.ClientSession(
            # On a kept connection that turns out to be dead aiohttp tries again by itself; the product asks once.
            connector=aiohttp.TCPConnector(force_close=True),
            timeout=aiohttp.ClientTimeout(total=settings.activation_timeout),
        )
        return cls(session, URL(settings.activation_url) if settings.activation_url else None, trust)

    async def activate(self, key: str, deployment_id: str, quantity: int) -> bytes:
        """Ask for a seat and return the body of the answer. Raises ``ActivationFailed``."""
        return await self._ask("activation", {"key": key, "deployment": deployment_id, "quantity": str(quantity)})

    async def deactivate(self, key: str, deployment_id: str) -> None:
        """Give the seat back. Raises ``ActivationFailed``."""
        await self._ask("deactivation", {"key": key, "deployment": deployment_id})

    async def _ask(self, call: str, query: dict[str, str]) -> bytes:
        if self._url is None:
            raise ActivationFailed("no activation server is configured (--activation-url)")
        url = (self._url / call).with_query(query)
        try:
            async with self._session.get(url, ssl=self._trust, allow_redirects=False) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # "from None": the chained exception names the URL, and with it the key.
            raise ActivationFailed(f"{call}: {type(error).__name__}") from None
        if answer.status != 200:  # noqa: PLR2004 - the status that means success
            raise ActivationFailed(f"{call}: HTTP {answer.status}")
        return body

    async def close(self) -> None:
        """Close the session."""
        await self._session.close()
