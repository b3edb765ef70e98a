"""Faults as people write them for the control API (docs/mock.md has the fields)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from mock_activation.faults import CAPTIVE_PORTAL, LOST_ANSWER, NAMES, Cut, Delay, Effect, Fault, Hang, Operation, Reply
from mock_activation.fields import Fields, InputError

MOST_TIMES: Final = 1_000_000_000


def parse_fault(data: object) -> Fault:
    """Read one fault, as the control API takes it (docs/mock.md has the fields). Raises ``InputError``."""
    fields = Fields(data, "")
    name = fields.take("fault")
    if not isinstance(name, str) or name not in NAMES:
        fields.wrong(f"fault must be one of {', '.join(NAMES)}")
        raise InputError(*fields.faults)
    operation = fields.take("operation")
    if operation is not None and operation not in list(Operation):
        fields.wrong(f"operation must be one of {', '.join(Operation)}")
        operation = None
    fault = Fault(
        name,
        _read_effect(name, fields),
        processed=name == LOST_ANSWER or fields.flag("processed"),
        operation=None if operation is None else Operation(operation),
        deployment=fields.text("deployment", "") or None,
        key_fingerprint=fields.fingerprint("key_fingerprint"),
        times=fields.integer("times", None, least=1, most=MOST_TIMES),
    )
    fields.finish()
    return fault


def _read_effect(name: str, fields: Fields) -> Effect:
    match name:
        case "delay":
            return Delay(fields.seconds("seconds"))
        case "hang":
            return Hang()
        case "status":
            status = fields.integer("status", 503, least=200, most=599) or 503
            return Reply(
                status,
                _read_body(fields, f"{status}\n".encode()),
                fields.text("content_type", "text/plain"),
                _read_retry_after(fields),
            )
        case "html":
            status = fields.integer("status", HTTPStatus.OK, least=200, most=599) or HTTPStatus.OK
            return Reply(int(status), _read_body(fields, CAPTIVE_PORTAL), "text/html", _read_retry_after(fields))
        case _:
            return Cut()


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
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return str(value)
    if isinstance(value, str) and value.isascii() and value.isprintable():
        return value
    fields.wrong("retry_after must be a number of seconds or the text of an HTTP date")
    return ""
