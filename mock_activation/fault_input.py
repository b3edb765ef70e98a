"""Faults as people write them for the control API, and back (docs/mock.md has the fields).

``written`` is the inverse of ``parse_fault``: what a snapshot holds can be read again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final

from mock_activation.answers import Outcome
from mock_activation.effects import REFUSALS
from mock_activation.faults import (
    CAPTIVE_PORTAL,
    LOST_ANSWER,
    NAMES,
    TLS_HANDSHAKE,
    BreakHandshake,
    CountBy,
    Cut,
    Delay,
    Distribution,
    Drip,
    Effect,
    Fault,
    Garbage,
    Hang,
    Operation,
    Redate,
    Refuse,
    Reply,
    Reset,
    Retype,
    Truncate,
    Window,
)
from mock_activation.fields import LONGEST_DELAY, Fields, InputError
from mock_activation.secrecy import mask

MOST_TIMES: Final = 1_000_000_000
MOST_STARS: Final = 4  # a pattern is matched by a regular expression, and each star multiplies its effort
MOST_GARBAGE: Final = 65_536
_NOT_AFTER: Final = ("truncate", "drip", "content-type", "stale-date", "refuse", TLS_HANDSHAKE)
"""Names that ``processed`` makes no sense with: the pool handles those requests anyway, or never sees them."""


def parse_fault(data: object) -> Fault:
    """Read one fault, as the control API takes it (docs/mock.md has the fields). Raises ``InputError``."""
    fields = Fields(data, "")
    name = fields.take("fault")
    if not isinstance(name, str) or name not in NAMES:
        fields.wrong(f"fault must be one of {', '.join(NAMES)}")
        raise InputError(*fields.faults)
    processed = fields.flag("processed")
    if processed and name in _NOT_AFTER:
        fields.wrong(f"processed makes no sense with {name}")
    fault = Fault(
        name,
        _EFFECTS[name](fields),
        processed=processed or name in (LOST_ANSWER, "reset-after"),
        times=fields.integer("times", None, least=1, most=MOST_TIMES),
        nth=fields.integer("nth", None, least=1, most=MOST_TIMES),
        every=fields.integer("every", None, least=1, most=MOST_TIMES),
        count_by=fields.choice("count_by", CountBy, CountBy.RULE),
        probability=fields.number("probability", 1.0, least=0.0, most=1.0),
        window=_read_window(fields),
    )
    if name == TLS_HANDSHAKE:
        named = [fields.take(other) for other in ("operation", "deployment", "key_fingerprint", "wait")]
        if any(value is not None for value in named):
            fields.wrong("a TLS handshake comes before the request: operation, deployment, key and wait mean nothing")
    else:
        operation = fields.take("operation")
        if operation is not None and operation not in list(Operation):
            fields.wrong(f"operation must be one of {', '.join(Operation)}")
            operation = None
        fault = replace(
            fault,
            operation=None if operation is None else Operation(operation),
            deployment=_read_pattern(fields),
            key_fingerprint=fields.fingerprint("key_fingerprint"),
            wait=fields.number("wait", 0.0, least=0.0, most=LONGEST_DELAY),
        )
    fields.finish()
    return fault


def _read_pattern(fields: Fields) -> str | None:
    pattern = fields.text("deployment", "") or None
    if pattern is not None and pattern.count("*") > MOST_STARS:
        fields.wrong(f"deployment may have {MOST_STARS} stars at most")
        return None
    return pattern


def _read_window(fields: Fields) -> Window | None:
    data = fields.take("window")
    if data is None:
        return None
    inner = Fields(data, "window")
    begin = inner.number("from", 0.0, least=0.0, most=LONGEST_DELAY)
    end = inner.number("to", None, least=0.0, most=LONGEST_DELAY)
    period = inner.number("every", None, least=0.001, most=LONGEST_DELAY)
    if (end is not None and end <= begin) or (period is not None and begin >= period):
        inner.wrong("from must be less than to, and than every")
    try:
        inner.finish()
    except InputError as error:
        for sentence in error.faults:
            fields.wrong(sentence)
        return None
    return Window(begin, end, period)


def _read_delay(fields: Fields) -> Effect:
    delay = Delay(
        fields.seconds("seconds"),
        fields.choice("distribution", Distribution, Distribution.FIXED),
        fields.number("most", None, least=0.0, most=LONGEST_DELAY),
        fields.number("sigma", 0.5, least=0.0, most=10.0),
    )
    if delay.distribution is Distribution.UNIFORM and (delay.most is None or delay.most < delay.seconds):
        fields.wrong("most must be there, and not less than seconds, if the distribution is uniform")
    return delay


def _read_status(fields: Fields) -> Effect:
    status = fields.integer("status", 503, least=200, most=599) or 503
    return _read_reply(fields, status, f"{status}\n".encode(), fields.text("content_type", "text/plain"))


def _read_html(fields: Fields) -> Effect:
    status = fields.integer("status", HTTPStatus.OK, least=200, most=599) or HTTPStatus.OK
    return _read_reply(fields, int(status), CAPTIVE_PORTAL, fields.text("content_type", "text/html"))


def _read_reply(fields: Fields, status: int, body: bytes, content_type: str) -> Reply:
    reply = Reply(
        status,
        _read_body(fields, body),
        _header(fields, "content_type", content_type),
        _read_retry_after(fields),
        fields.number("retry_after_date", None, least=-LONGEST_DELAY, most=LONGEST_DELAY),
        fields.number("date_offset", 0.0, least=-LONGEST_DELAY * 3650, most=LONGEST_DELAY * 3650),
    )
    if reply.retry_after and reply.retry_after_date is not None:
        fields.wrong("retry_after and retry_after_date are two ways to say one thing: choose one")
    return reply


def _read_body(fields: Fields, default: bytes) -> bytes:
    value = fields.take("body")
    if value is None:
        return default
    if isinstance(value, str):
        return value.encode(errors="replace")
    fields.wrong("body must be a text")
    return default


def _read_retry_after(fields: Fields) -> str:
    value = fields.take("retry_after")
    if value is None or value == "":
        return ""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return str(value)
    if isinstance(value, str) and value.isascii() and value.isprintable():
        return value
    fields.wrong("retry_after must be a number of seconds or the text of an HTTP date")
    return ""


def _header(fields: Fields, name: str, text: str) -> str:
    if text.isascii():
        return text
    fields.wrong(f"{name} must be ASCII")
    return "text/plain"


def _read_garbage(fields: Fields) -> Effect:
    size = fields.integer("size", 64, least=1, most=MOST_GARBAGE) or 64
    return Garbage(_read_body(fields, b""), size)


def _read_refuse(fields: Fields) -> Effect:
    reason = fields.take("reason")
    if reason is None:
        return Refuse()
    if reason not in list(REFUSALS):
        fields.wrong(f"reason must be one of {', '.join(REFUSALS)}")
        return Refuse()
    return Refuse(Outcome(reason))


_EFFECTS: Final[dict[str, Callable[[Fields], Effect]]] = {
    LOST_ANSWER: lambda _fields: Cut(),
    "cut": lambda _fields: Cut(),
    "reset": lambda _fields: Reset(),
    "reset-after": lambda _fields: Reset(),
    "delay": _read_delay,
    "status": _read_status,
    "html": _read_html,
    "hang": lambda _fields: Hang(),
    "truncate": lambda fields: Truncate(fields.number("keep", 0.5, least=0.0, most=0.999)),
    "garbage": _read_garbage,
    "drip": lambda fields: Drip(
        fields.number("seconds", 0.2, least=0.0, most=LONGEST_DELAY),
        fields.integer("size", 16, least=1, most=MOST_GARBAGE) or 16,
    ),
    "content-type": lambda fields: Retype(_header(fields, "content_type", fields.text("content_type", "text/html"))),
    "stale-date": lambda fields: Redate(
        fields.number("seconds", -86_400.0, least=-LONGEST_DELAY * 3650, most=LONGEST_DELAY * 3650)
    ),
    "refuse": _read_refuse,
    TLS_HANDSHAKE: lambda _fields: BreakHandshake(),
}


def written(fault: Fault) -> dict[str, Any]:
    """Return the fault as it is written; what stands at its default is left out, but for a few that people look for."""
    told: dict[str, Any] = {
        "fault": fault.name,
        "operation": fault.operation,
        "deployment": None if fault.deployment is None else mask(fault.deployment),
        "key_fingerprint": fault.key_fingerprint,
        "times": fault.times,
        "processed": fault.processed,
        **_written_effect(fault.name, fault.effect),
    }
    rare: Mapping[str, Any] = {
        "nth": fault.nth,
        "every": fault.every,
        "count_by": None if fault.count_by is CountBy.RULE else fault.count_by,
        "probability": None if fault.probability == 1.0 else fault.probability,
        "wait": fault.wait or None,
    }
    told |= {name: value for name, value in rare.items() if value is not None}
    if fault.window is not None:
        window = {"from": fault.window.begin, "to": fault.window.end, "every": fault.window.period}
        told["window"] = {name: value for name, value in window.items() if value is not None}
    return told


def _written_effect(name: str, effect: Effect) -> dict[str, Any]:
    match effect:
        case Delay(seconds, Distribution.FIXED, None, _):
            return {"seconds": seconds}
        case Delay(seconds, distribution, most, sigma):
            told = {"seconds": seconds, "distribution": distribution, "sigma": sigma}
            return told if most is None else {**told, "most": most}
        case Reply():
            return _written_reply(name, effect)
        case Truncate(keep):
            return {"keep": keep}
        case Garbage(b"", size):
            return {"size": size}
        case Garbage(content, _):
            return {"body": mask(content.decode(errors="replace"))}
        case Drip(seconds, size):
            return {"seconds": seconds, "size": size}
        case Retype(content_type):
            return {"content_type": mask(content_type)}
        case Redate(seconds):
            return {"seconds": seconds}
        case Refuse(outcome):
            return {"reason": outcome}
        case Cut() | Reset() | Hang() | BreakHandshake():
            return {}


def _written_reply(name: str, reply: Reply) -> dict[str, Any]:
    page = name == "html"
    told: dict[str, Any] = {"status": reply.status, "retry_after": reply.retry_after}
    if reply.body != (CAPTIVE_PORTAL if page else f"{reply.status}\n".encode()):
        told["body"] = mask(reply.body.decode(errors="replace"))
    if reply.content_type != ("text/html" if page else "text/plain"):
        told["content_type"] = mask(reply.content_type)
    if reply.retry_after_date is not None:
        told["retry_after_date"] = reply.retry_after_date
    if reply.date_offset:
        told["date_offset"] = reply.date_offset
    return told
