"""What comes in over the control port, checked: bodies, queries, and an answer for everything that is wrong.

A message names the field and what is expected, and never repeats what was sent: it may be a secret.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from aiohttp import web

from mock_activation.fields import InputError
from mock_activation.icap_app.calls import KEPT, Fate, Route
from mock_activation.icap_app.rules import NAMES
from mock_activation.secrecy import where

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

NUMBER: Final = (int, float)
LONGEST_WAIT: Final = 300.0
_LONGEST: Final = 86400.0
_LOG: Final = logging.getLogger("mock_activation.icap_app")


def fault(status: int, text: str) -> web.Response:
    """Return what was wrong."""
    return web.json_response({"err": text}, status=status)


@web.middleware
async def explain(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every failure into JSON that says what was wrong; a bug is told by its place, without a value."""
    try:
        return await handler(request)
    except InputError as error:
        return fault(400, str(error))
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        answer = fault(error.status, f"this route knows {allowed}")
        answer.headers["Allow"] = allowed
        return answer
    except web.HTTPNotFound as error:
        return fault(error.status, "there is no such route; GET / lists all of them")
    except web.HTTPException as error:
        return fault(error.status, error.reason)
    except ConnectionError:
        raise  # the client has gone: there is nobody to explain anything to
    except Exception as error:  # noqa: BLE001 - the library would send a page, and log the request
        _LOG.error("a bug in the stand-in: %s", where(error))
        return fault(500, "a bug in the stand-in, see its log")


async def read_object(request: web.Request) -> dict[str, Any]:
    """Read the body as a JSON object; none is an empty one. Raises ``InputError``."""
    body = await request.read()
    try:
        content = json.loads(body) if body.strip() else {}
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise InputError("a JSON object is expected")
    return content


async def read_wishes(request: web.Request, known: Mapping[str, Any], *, negative: bool = False) -> dict[str, Any]:
    """Read the body and check it against names and their types. Raises ``InputError`` with what is wrong."""
    content = await read_object(request)
    for name, value in content.items():
        kind = known.get(name)
        if kind is None:
            raise InputError(f"unknown field; known here: {', '.join(known) or 'none'}")
        if isinstance(value, bool) is not (kind is bool) or not isinstance(value, kind):
            raise InputError(f"{name}: {'true or false' if kind is bool else 'a number'} is expected")
        if kind is NUMBER and not (-_LONGEST if negative else 0) <= value <= _LONGEST:
            raise InputError(f"{name}: too small or too large")
    return content


def read_search(request: web.Request) -> tuple[dict[str, Any], float]:
    """Read the query of ``GET /journal``: what is looked for, and for how many seconds. Raises ``InputError``."""
    wanted: dict[str, Any] = {}
    seconds = 0.0
    for name, text in request.query.items():
        if name in wanted:
            raise InputError(f"{name}: once is enough")
        match name:
            case "wait":
                seconds = _seconds(text)
            case "route" if text in list(Route):
                wanted[name] = Route(text)
            case "fate" if text in list(Fate):
                wanted[name] = Fate(text)
            case "fault" if text in NAMES:
                wanted[name] = text
            case "status" | "after":
                wanted[name] = _whole(name, text)
            case "route" | "fate" | "fault":
                known = {"route": tuple(Route), "fate": tuple(Fate), "fault": NAMES}[name]
                raise InputError(f"{name}: one of {', '.join(known)} is expected")
            case _:
                raise InputError("the journal can be asked for route, status, fate, fault, after, wait only")
    return wanted, seconds


def _whole(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(KEPT)) + 10):
        raise InputError(f"{name}: a whole number is expected")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= LONGEST_WAIT:  # NaN is in no range
        raise InputError(f"wait: seconds from 0 to {LONGEST_WAIT:.0f} are expected")
    return seconds
