"""The vendor's activation server (protocol.md section 1; design.md section 4, rules 5 and 6).

The only credential is the key in the query, so a URL is a secret here and stands in no text. The body decides what an
answer means; reason phrases are hints that proxies drop. One call is one attempt. Must not retry, follow redirects, or
take anything for an answer that is not certainly one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Final

from sidecar.adapters.answer_body import (
    BodyError,
    Outline,
    complains,
    decode,
    has_element,
    has_tag,
    is_json,
    is_markup_type,
    is_page,
    outline,
    plain_error,
    sentence,
)
from sidecar.adapters.expiry_date import expiry
from sidecar.adapters.http_exchange import Answer, Exchange, ExchangeError, Fault
from sidecar.adapters.proxies import proxy_for
from sidecar.adapters.refusal_words import classify
from sidecar.adapters.trust import server_trust
from sidecar.core.facts import Licence
from sidecar.core.reasons import Failure
from sidecar.core.servers import normalise
from sidecar.errors import ActivationOutage, ActivationRefused, Misconfigured
from sidecar.ports import Deactivation
from sidecar.secrets import MASKER, Secret

_REASONS: Final = {
    Fault.TIMEOUT: Failure.TIMEOUT,
    Fault.TLS: Failure.TLS,
    Fault.UNTRUSTED: Failure.TLS,
    Fault.AUTHORITIES: Failure.TLS,
    Fault.GARBAGE: Failure.PROTOCOL,
    Fault.CODED: Failure.PROTOCOL,
    Fault.OVERSIZED: Failure.PROTOCOL,
}
"""Every other fault is one of the network."""

_WEB_PAGE: Final = "it is a web page"

LONGEST_WISH: Final = 86_400.0
"""Seconds of a ``Retry-After`` that are passed on at most; what is made of them is the core's affair."""


class HttpActivationServer:
    """``ActivationServer`` over HTTP/1.1, through the proxies of the environment."""

    def __init__(
        self,
        url: str,
        *,
        quantity: int = 1,
        timeout: float = 10.0,
        ca_file: Path | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Remember the server; ``timeout`` is seconds in all for one call, ``now`` the wall clock.

        Raises ``Misconfigured`` for an unusable address or proxy.
        """
        try:
            self.identity = normalise(url)
        except ValueError as error:
            raise Misconfigured("activation.url is not an absolute http:// or https:// address") from error
        self._quantity = str(quantity)
        self._timeout = timeout
        self._now = now
        self._exchange = Exchange(self.identity, trust=partial(server_trust, ca_file), proxy=proxy_for(self.identity))

    async def activate(self, key: Secret, deployment_id: str) -> Licence:
        """Take a seat, or the same one again. Raises ``ActivationRefused`` or ``ActivationOutage``."""
        answer = await self._ask("/activation", key, deployment_id, ("quantity", self._quantity))
        self._insist_on_200(answer)
        text, tree = _read(answer)
        if tree is None or tree.keys is None:
            if said := plain_error(text):
                raise ActivationRefused(classify(said), sentence(said))
            raise _odd("it is no licence file" if text.strip() else "it is empty")
        if "error" in tree.keys:
            said = tree.under("error")
            if not said:
                raise _odd("it is an error without a sentence")
            raise ActivationRefused(classify(said), sentence(said))
        if tree.complains():
            raise _odd("it is neither a licence nor a refusal")
        if is_markup_type(answer.header("content-type")) and has_element(text):
            raise _odd(_WEB_PAGE)
        return Licence(
            answer.body, product=sentence(tree.first("product_name")), expires_at=expiry(tree.first("expiration"))
        )

    async def deactivate(self, key: Secret, deployment_id: str) -> Deactivation:
        """Give a seat back. Raises ``ActivationOutage`` for everything that is not definite."""
        answer = await self._ask("/deactivation", key, deployment_id)
        if answer.status == 404:  # noqa: PLR2004 - rule 6
            return Deactivation.UNKNOWN
        self._insist_on_200(answer)
        text, tree = _read(answer)
        if is_markup_type(answer.header("content-type")):
            page = has_tag(text)
        else:  # in the sentences of well-formed JSON a tag may stand
            page = has_element(text) and not is_json(text, tree)
        if page:
            raise _odd(_WEB_PAGE)
        if complains(text, tree):
            said = plain_error(text) if tree is None else tree.under("error")
            raise _odd(f"it says: {sentence(said or text)}")
        return Deactivation.RELEASED

    async def aclose(self) -> None:
        """Close what is open."""
        await self._exchange.aclose()

    async def _ask(self, path: str, key: Secret, deployment_id: str, *more: tuple[str, str]) -> Answer:
        MASKER.register(key)
        try:
            return await self._exchange.ask(
                "GET",
                path,
                deadline=asyncio.get_running_loop().time() + self._timeout,
                query=(("key", key.reveal()), ("deployment", deployment_id), *more),
            )
        except ExchangeError as error:
            # The cause is the library's own error: nobody needs the one in between.
            raise ActivationOutage(
                _REASONS.get(error.fault, Failure.NETWORK), f"activation server: {error}", sent=error.sent
            ) from error.__cause__

    def _insist_on_200(self, answer: Answer) -> None:
        if answer.status == 200:  # noqa: PLR2004 - every documented answer but one is 200
            return
        if answer.status == 429:  # noqa: PLR2004 - too many requests
            reason = Failure.RATE_LIMITED
        else:
            reason = Failure.HTTP_5XX if answer.status >= 500 else Failure.PROTOCOL  # noqa: PLR2004 - a class of HTTP
        raise ActivationOutage(
            reason,
            f"activation server: HTTP status {answer.status}",
            sent=True,
            retry_after=self._wish(answer),
        )

    def _wish(self, answer: Answer) -> float | None:
        """Return ``Retry-After`` in seconds; a date is compared with the server's own clock if it tells it."""
        wish = answer.header("retry-after").strip()
        if wish.isdecimal():
            return min(float(wish), LONGEST_WISH)
        at = _date(wish)
        if at is None:
            return None
        said = _date(answer.header("date"))
        return min(max(at - (self._now() if said is None else said), 0.0), LONGEST_WISH)


def _date(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None


def _read(answer: Answer) -> tuple[str, Outline | None]:
    """Return the body as text and its outline, None where it is not YAML. Raises ``ActivationOutage`` for pages."""
    try:
        text = decode(answer.body, answer.header("content-type"))
    except BodyError as error:
        raise _odd(str(error)) from error
    if is_page(text):
        raise _odd(_WEB_PAGE)
    try:
        tree = outline(text)
    except BodyError:
        return text, None
    if tree.has_page():
        raise _odd(_WEB_PAGE)
    return text, tree


def _odd(what: str) -> ActivationOutage:
    return ActivationOutage(Failure.PROTOCOL, f"activation server: status 200, but {what}", sent=True)
