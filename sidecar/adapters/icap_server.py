"""ICAP Server's REST API (protocol.md section 2), usually on the loopback address of the same pod.

One call is one attempt with a total time-out. Must not read more out of an answer than it says: a report without an ID
is "not yet", and an activation that the app may have begun is told as ``sent``.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from sidecar.adapters.answer_body import sentence
from sidecar.adapters.app_port import AppPort
from sidecar.adapters.http_exchange import Answer, ExchangeError, Fault
from sidecar.adapters.icap_report import Object, is_readyz, json_object, read_report
from sidecar.core.facts import AppReport, Licence
from sidecar.core.reasons import AppTrouble
from sidecar.errors import AppOutage, Misconfigured, UploadRefused
from sidecar.secrets import MASKER, Secret

ApiKey = Secret | Callable[[], Secret | None] | None

_TROUBLES: Final = {
    Fault.REFUSED: AppTrouble.REFUSED,
    Fault.TIMEOUT: AppTrouble.SILENT,
    Fault.NAME: AppTrouble.SILENT,
    Fault.NETWORK: AppTrouble.SILENT,
}
"""Every other fault is an answer that makes no sense."""
_HUNG_UP: Final = frozenset({Fault.CUT, Fault.TLS})
"""Faults that are silence where nothing was answered: a forwarder (docker-proxy) takes connections for a dead app."""

_AT_THE_DOOR: Final = frozenset({401, 403, 404, 405})
"""Statuses with which a request is turned away before anything is done."""
_LATER: Final = frozenset({401, 403, 408, 429})
"""Statuses of an upload that say nothing about whether uploads are taken; 5xx and redirects neither."""
_NOT_IMPLEMENTED: Final = 501

READYZ_ABSENT_FOR: Final = 300.0
"""Seconds for which a version without ``/readyz`` is not asked for it again: the app may be upgraded meanwhile."""


class IcapServer:
    """The port ``App`` over HTTP/1.1 or HTTPS, whichever is spoken."""

    def __init__(
        self,
        url: str,
        *,
        api_key: ApiKey = None,
        ca_file: Path | None = None,
        quantity: int = 1,
        comment: str = "",
        timeout: float = 10.0,
        delivery_timeout: float = 30.0,
        knock_timeout: float = 1.0,
        needs_deployment_id: bool = True,
        lingers: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Remember the app; all time-outs are seconds in all for one call.

        ``delivery_timeout`` is for ``upload`` and ``activate``, during which the app itself asks the activation server.
        ``needs_deployment_id`` False (``deployment_id.source`` is not ``app``) makes a report without an API key
        possible, from ``/readyz`` alone. ``lingers`` tells, where the REST port refuses, whether something of the app
        may still serve. Raises ``Misconfigured`` for an unusable address.
        """
        try:
            self._port = AppPort(url, ca_file)
        except ValueError as error:
            raise Misconfigured("app.url is not an absolute http:// or https:// address") from error
        self._api_key = api_key
        self._quantity = quantity
        self._comment = comment
        self._timeout = timeout
        self._delivery_timeout = delivery_timeout
        self._knock_timeout = knock_timeout
        self._needs_deployment_id = needs_deployment_id
        self._lingers = lingers
        self._clock = clock
        self._now = now
        self._readyz_of: tuple[str | None] | None = None  # the deployment ID of the app whose /readyz answered last
        self._readyz_absent_until = clock()

    async def report(self) -> AppReport:
        """Ask for deployment ID, licence and readiness. Raises ``AppOutage``.

        Once the licence is told, the app lives: whatever becomes of ``/readyz`` then is neither silence nor an end.
        """
        deadline = _deadline(self._timeout)
        key = self._headers()
        licence: Object = {}
        asked = bool(key or self._needs_deployment_id)
        if asked:
            answer = await self._get("/admin/license", deadline, key)
            found = json_object(answer.body) if answer.status == 200 else None  # noqa: PLR2004 - all else is an error
            if found is None:
                raise _outage(answer, key)
            licence = found
        told = read_report(licence, {}, self._now())
        try:
            readyz = await self._readyz(deadline, told.deployment_id)
        except AppOutage as outage:
            if not asked:
                raise
            # Nothing is read out of a /readyz that did not answer. Where it did before, a good licence alone would hide
            # what it may have to say: the last report stands. A "no", and another ID, are told at once.
            if told.licensed is False or self._readyz_of != (told.deployment_id,):
                return told
            raise AppOutage(AppTrouble.BROKEN, f"{outage} (/readyz; /admin/license answers)") from outage
        if not licence and not readyz and not key:
            raise AppOutage(AppTrouble.BROKEN, "app: without an API key, and without /readyz, it tells nothing")
        return read_report(licence, readyz, self._now())

    async def upload(self, licence: Licence) -> None:
        """Deliver the licence file as it is. Raises ``UploadRefused`` or ``AppOutage``.

        Documented for Core only: everything that looks like "I do not know this call" is a refusal, upon which the
        other route is taken; 403 and 5xx happen for a while at start, and are outages.
        """
        key = self._headers()
        answer = await self._post("/admin/license", key, "application/octet-stream", licence.body)
        if _succeeded(answer):
            return
        status = answer.status
        if status in _LATER or 300 <= status < 400 or (status >= 500 and status != _NOT_IMPLEMENTED):  # noqa: PLR2004 - classes of HTTP
            raise _outage(answer, key)
        raise UploadRefused(f"app: the licence file is not taken: {_described(answer)}")

    async def activate(self, key: Secret) -> None:
        """Tell the product to activate its own ID with this key. Raises ``AppOutage``.

        ``sent`` is False only where the app cannot have asked the activation server: it was not reached, or it turned
        the request away at its door.
        """
        MASKER.register(key)
        content = {"activationKey": key.reveal(), "comment": self._comment, "quantity": self._quantity}
        headers = self._headers()
        answer = await self._post(
            "/admin/license/activation", headers, "application/json", json.dumps(content).encode(), asks_server=True
        )
        if not _succeeded(answer):
            raise _outage(answer, headers, sent=answer.status not in _AT_THE_DOOR)

    async def knock(self) -> None:
        """Open and close a connection to the REST port. Raises ``AppOutage`` (``REFUSED`` or ``SILENT``)."""
        try:
            await self._port.knock(self._knock_timeout)
        except ExchangeError as error:
            raise _unreached(error) from error.__cause__

    async def aclose(self) -> None:
        """Close what is open."""
        await self._port.aclose()

    async def _readyz(self, deadline: float, deployment_id: str | None) -> Object:
        """Return the verbose ``/readyz``, or an empty object from a version that does not have it."""
        if self._clock() < self._readyz_absent_until:
            return {}
        answer = await self._get("/readyz", min(deadline, _deadline(self._timeout / 2)), {}, ("verbose", "true"))
        found = json_object(answer.body)
        if found is not None and is_readyz(found):
            self._readyz_of = (deployment_id,)
            return found
        if answer.status >= 500:  # noqa: PLR2004 - at start, or an old version's way to say 404
            if self._readyz_of is not None:
                raise _outage(answer, {})
            return {}
        self._readyz_of = None
        self._readyz_absent_until = self._clock() + READYZ_ABSENT_FOR
        return {}

    async def _get(self, path: str, deadline: float, headers: dict[str, str], *query: tuple[str, str]) -> Answer:
        try:
            return await self._port.ask("GET", path, deadline=deadline, headers=headers, query=query)
        except ExchangeError as error:
            outage = _unreached(error)
            outage.lingers = outage.trouble is AppTrouble.REFUSED and self._lingers()
            raise outage from error.__cause__

    async def _post(
        self, path: str, headers: dict[str, str], kind: str, content: bytes, *, asks_server: bool = False
    ) -> Answer:
        deadline = _deadline(self._delivery_timeout)
        headers = headers | {"Content-Type": kind}
        try:
            return await self._port.ask("POST", path, deadline=deadline, headers=headers, content=content)
        except ExchangeError as error:
            raise _unreached(error, sent=asks_server and error.sent) from error.__cause__

    def _headers(self) -> dict[str, str]:
        """Return the header with the API key, nothing where none is configured."""
        secret = self._api_key() if callable(self._api_key) else self._api_key
        if secret is None:
            return {}
        MASKER.register(secret)
        text = secret.reveal()
        if not text.isascii() or not text.isprintable() or not text.strip():
            raise AppOutage(AppTrouble.FORBIDDEN, "app: the API key has characters that no header can carry")
        return {"apikey": text}


def _deadline(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


def _unreached(error: ExchangeError, *, sent: bool = False) -> AppOutage:
    trouble = _TROUBLES.get(error.fault, AppTrouble.BROKEN)
    if error.fault in _HUNG_UP and not error.answered:
        trouble = AppTrouble.SILENT
    return AppOutage(trouble, f"app: {error}", sent=sent)


def _outage(answer: Answer, key: dict[str, str], *, sent: bool = False) -> AppOutage:
    """Make the outage of an answer; a wrong API key is told as plainly as a missing one."""
    if answer.status not in {401, 403}:
        return AppOutage(AppTrouble.BROKEN, f"app: {_described(answer)}", sent=sent)
    if key:
        why = "it does not accept the API key (normal for a while at start; if for ever, app.api_key_file is wrong)"
    else:
        why = "it asks for an API key and none is configured (app.api_key_file)"
    return AppOutage(AppTrouble.FORBIDDEN, f"app: {why}: {_described(answer)}", sent=sent)


def _succeeded(answer: Answer) -> bool:
    body = json_object(answer.body) if answer.status == 200 else None  # noqa: PLR2004 - the documented success
    return body is not None and str(body.get("success")).lower() == "true"


def _described(answer: Answer) -> str:
    """Return the status and, masked and trimmed, what the app says to it."""
    body = json_object(answer.body)
    if body is None:
        return f"HTTP status {answer.status} without a JSON object"
    said = body.get("err")
    return f"HTTP status {answer.status}" + (f", {sentence(said)}" if isinstance(said, str) and said else "")
