"""What all routes of the control port share: JSON in, JSON out, and an answer for every failure.

A mistake is a 4xx that lists what was wrong and repeats nothing of it; a bug is a 500 that holds no value.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from mock_activation.activation_api import LOG
from mock_activation.fields import InputError
from mock_activation.secrecy import mask, where
from mock_activation.state_file import StateError

MOST_BODY: Final = 4 * 2**20
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def explain(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every failure into JSON that says what was wrong."""
    try:
        return await handler(request)
    except InputError as error:
        return problem(HTTPStatus.BAD_REQUEST, *error.faults)
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        response = problem(HTTPStatus.METHOD_NOT_ALLOWED, f"this route knows {allowed}")
        response.headers["Allow"] = allowed
        return response
    except web.HTTPNotFound:
        return problem(HTTPStatus.NOT_FOUND, "there is no such route; GET / lists all of them")
    except web.HTTPRequestEntityTooLarge:
        return problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body may have {MOST_BODY} bytes at most")
    except web.HTTPException as error:
        return problem(HTTPStatus(error.status), error.reason)
    except (ConnectionError, TimeoutError):
        raise  # the client has gone: there is nobody to explain anything to
    except StateError as error:
        LOG.error("%s", error)
        return problem(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
    except Exception as error:  # noqa: BLE001 - a bug must not reach aiohttp's log, which would print its message
        LOG.error("a bug in the mock: %s", where(error))
        return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "a bug in the mock, see its log")


async def read_body(request: web.Request) -> Any:
    """Return the body's JSON. Raises ``InputError``."""
    raw = await request.read()
    try:
        return json.loads(raw)
    except json.JSONDecodeError as error:
        raise InputError(f"the body is not JSON (line {error.lineno}, column {error.colno})") from None
    except (ValueError, RecursionError):  # bytes that are no text, numbers with thousands of digits, deep nesting
        raise InputError("the body is not JSON that can be used") from None


def answer(data: object, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    """Return JSON for people and programs."""
    return web.Response(status=status, text=json.dumps(data, indent=2) + "\n", content_type="application/json")


def problem(status: HTTPStatus, *faults: str) -> web.Response:
    """Return what was wrong."""
    return answer({"error": mask("; ".join(faults)), "faults": [mask(fault) for fault in faults]}, status)
