"""The mock's faults on the virtual network: what each of them is to a client that gives up after ten seconds.

The translation from bytes to exceptions is ``HttpActivationServer``'s; that the two agree is shown, fault by fault and
over real sockets, by ``tests/contract/test_faults_and_sidecar.py``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from mock_activation.answers import Answer, Outcome
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
from sidecar.core.reasons import Failure
from sidecar.errors import ActivationOutage

PATIENCE: Final = 10.0
"""Virtual seconds after which a client gives up (``activation.timeout``)."""

Ask = Callable[[Outcome | None], Answer]
"""Let the pool handle the request; the argument is ``as_if`` of ``Pool.activate``."""


def outage(reason: Failure, *, sent: bool = True, retry_after: float | None = None) -> ActivationOutage:
    """Return what the adapter would raise."""
    return ActivationOutage(reason, f"virtual {reason}", sent=sent, retry_after=retry_after)


async def suffer(fault: Fault, ask: Ask, later: Callable[[float], None]) -> Answer:
    """Do to a request what the fault says; ``later`` lets the pool handle it so many seconds from now."""
    effect = fault.effect
    answer = ask(None) if fault.processed else None
    if fault.wait:
        await asyncio.sleep(fault.wait)
    match effect:
        case Cut() | Reset():
            raise outage(Failure.NETWORK)
        case Garbage():
            raise outage(Failure.PROTOCOL)
        case Hang():
            await asyncio.sleep(PATIENCE)
            raise outage(Failure.TIMEOUT)
        case Reply(status=200):
            raise outage(Failure.PROTOCOL)
        case Reply(status=429):
            raise outage(Failure.RATE_LIMITED, retry_after=_wish(effect))
        case Reply():
            raise outage(Failure.HTTP_5XX, retry_after=_wish(effect))
        case Truncate():
            ask(None)
            raise outage(Failure.NETWORK)
        case Delay(seconds) if seconds >= PATIENCE:
            if answer is None:
                later(seconds)
            await asyncio.sleep(PATIENCE)
            raise outage(Failure.TIMEOUT)
        case Delay(seconds):
            await asyncio.sleep(seconds)
        case Drip(seconds, size):
            answer = answer or ask(None)
            took = seconds * (len(answer.body) // size + 1)
            await asyncio.sleep(min(took, PATIENCE))
            if took >= PATIENCE:
                raise outage(Failure.TIMEOUT)
        case Refuse(outcome):
            return ask(outcome)
        case Retype() | Redate() | BreakHandshake():
            pass
    return answer or ask(None)


def _wish(reply: Reply) -> float | None:
    return float(reply.retry_after) if reply.retry_after else reply.retry_after_date
