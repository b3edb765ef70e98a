"""Does to a request of the REST API what a rule says, with the means of the activation server's ``carrying_out``.

Nothing here decides which request suffers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from mock_activation.answers import Answer, Outcome
from mock_activation.carrying_out import Pauses, altered, instead
from mock_activation.effects import (
    BreakHandshake,
    Cut,
    Delay,
    Drip,
    Garbage,
    Hang,
    Redate,
    Refuse,
    Reply,
    Reset,
    Retype,
    Truncate,
)
from mock_activation.faults import Fault

Serve = Callable[[], Awaitable[web.Response]]


async def carry_out(request: web.Request, fault: Fault, serve: Serve) -> tuple[web.StreamResponse, int | None]:
    """Let a fault happen to a request; ``serve`` gives the right answer.

    Returns what is for the library, and the status that the client saw (None: it was left without a full answer).
    """
    await asyncio.sleep(fault.wait)
    pauses = Pauses()  # never stopped: the end of the app cancels what it is answering
    effect = fault.effect
    match effect:
        case Delay(seconds):
            answer = await serve() if fault.processed else None
            await asyncio.sleep(seconds)
            answer = answer or await serve()
            return answer, answer.status
        case Cut() | Reset() | Hang() | Garbage() | Reply():
            if fault.processed:
                await serve()
            else:
                await request.read()  # what is left in the socket would turn a good end of it into a reset
            sent = await instead(request, effect, pauses, time.time())
            return sent, sent.status if isinstance(effect, Reply) else None
        case Truncate() | Drip() | Retype() | Redate():
            right = await serve()
            body = right.body if isinstance(right.body, bytes) else b""
            # The outcome is nobody's affair here: it is for the activation server's journal.
            same = Answer(right.status, right.reason or "", body, Outcome.ACTIVATED, right.content_type)
            sent = await altered(request, effect, same, pauses, time.time())
            return sent, None if isinstance(effect, Truncate) else right.status
        case Refuse() | BreakHandshake():
            raise AssertionError("no rule of the REST API is made of this")
