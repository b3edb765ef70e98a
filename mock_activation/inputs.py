"""What people write (the key file, bodies of the control API), turned into values, with every fault named at once.

A message names the field and what is allowed, and never repeats what was written: it may be a key.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml

from mock_activation.faults import CAPTIVE_PORTAL, LOST_ANSWER, NAMES, Cut, Delay, Effect, Fault, Hang, Operation, Reply
from mock_activation.pool import KeySpec, KeyState
from mock_activation.switches import POSITIONS, Switches

MOST_SEATS: Final = 10_000_000
LONGEST_DELAY: Final = 86_400.0
MOST_TIMES: Final = 1_000_000_000
_NAME = re.compile(r"[a-z_]{1,32}")
_FINGERPRINT = re.compile(r"[0-9a-f]{12}")

_Choice = TypeVar("_Choice", bound=StrEnum)


class InputError(ValueError):
    """What was written cannot be used; ``faults`` lists every reason as a sentence."""

    def __init__(self, *faults: str) -> None:
        """Keep every fault."""
        super().__init__("; ".join(faults))
        self.faults = faults


class _Fields:
    """Takes the fields of one mapping out, collects what is wrong, and complains about what is left."""

    def __init__(self, data: object, place: str) -> None:
        self._place = f"{place}: " if place else ""
        self.faults: list[str] = []
        self._left: dict[object, Any] = {}
        if isinstance(data, Mapping):
            self._left = dict(data)
        else:
            self.wrong("must be a mapping of fields")

    def wrong(self, sentence: str) -> None:
        self.faults.append(f"{self._place}{sentence}")

    def take(self, name: str) -> Any:
        return self._left.pop(name, None)

    def text(self, name: str, default: str, *, longest: int = 200) -> str:
        value = self.take(name)
        if value is None:
            return default
        if not isinstance(value, str) or not 0 < len(value) <= longest or not value.isprintable():
            self.wrong(f"{name} must be a printable text of 1 to {longest} characters")
            return default
        return value

    def integer(self, name: str, default: int | None, *, least: int, most: int) -> int | None:
        value = self.take(name)
        if value is None:
            return default
        # The key file is read with all scalars as texts, a JSON body brings numbers.
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(most)):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            self.wrong(f"{name} must be a whole number from {least} to {most}")
            return default
        return value

    def seconds(self, name: str) -> float:
        value = self.take(name)
        if (
            not isinstance(value, int | float)
            or isinstance(value, bool)
            or not math.isfinite(value)
            or not 0 <= value <= LONGEST_DELAY
        ):
            self.wrong(f"{name} must be a number of seconds from 0 to {LONGEST_DELAY:.0f}")
            return 0.0
        return float(value)

    def flag(self, name: str) -> bool:
        value = self.take(name)
        if value is None or isinstance(value, bool):
            return bool(value)
        self.wrong(f"{name} must be true or false")
        return False

    def choice(self, name: str, kind: type[_Choice], default: _Choice) -> _Choice:
        value = self.take(name)
        if value is None:
            return default
        if isinstance(value, str) and value in list(kind):
            return kind(value)
        self.wrong(f"{name} must be one of {', '.join(kind)}")
        return default

    def finish(self) -> None:
        for name in self._left:
            known_shape = isinstance(name, str) and _NAME.fullmatch(name)
            self.wrong(f"there is no field {name}" if known_shape else "there is a field with an impossible name")


def parse_keys(data: object) -> dict[str, KeySpec]:
    """Read ``{"keys": [{"key": ..., "seats": N, ...}]}`` or the list alone. Raises ``InputError``."""
    if isinstance(data, Mapping):
        if set(data) != {"keys"}:
            raise InputError('there must be exactly one field, "keys", with a list')
        data = data["keys"]
    if not isinstance(data, list):
        raise InputError('"keys" must be a list')
    keys: dict[str, KeySpec] = {}
    faults: list[str] = []
    for index, entry in enumerate(data, 1):
        try:
            key, spec = parse_key(entry, place=f"entry {index}")
        except InputError as error:
            faults += error.faults
            continue
        if key in keys:
            faults.append(f"entry {index}: this key was named before")
        keys[key] = spec
    if faults:
        raise InputError(*faults)
    return keys


def parse_key(data: object, *, place: str = "") -> tuple[str, KeySpec]:
    """Read one key with what it allows. Raises ``InputError``."""
    fields = _Fields(data, place)
    key = fields.text("key", "")
    if not key and not fields.faults:
        fields.wrong("key is missing")
    if key.strip() != key or not key.isascii():
        fields.wrong("key must be ASCII without white space around it")
    spec = _read_spec(fields, None)
    if fields.faults:
        raise InputError(*fields.faults)
    return key, spec


def parse_key_change(data: object, spec: KeySpec) -> KeySpec:
    """Read what shall be different about a key. Raises ``InputError``."""
    fields = _Fields(data, "")
    changed = _read_spec(fields, spec)
    if fields.faults:
        raise InputError(*fields.faults)
    return changed


def _read_spec(fields: _Fields, base: KeySpec | None) -> KeySpec:
    seats = fields.integer("seats", None if base is None else base.seats, least=0, most=MOST_SEATS)
    if seats is None and not fields.faults:
        fields.wrong("seats is missing")
    base = base or KeySpec(0)
    spec = replace(
        base,
        seats=seats or 0,
        state=fields.choice("state", KeyState, base.state),
        expires_at=_read_expiry(fields, base.expires_at),
        product_id=fields.text("product_id", base.product_id),
        product_name=fields.text("product_name", base.product_name),
        licensed_to=fields.text("licensed_to", base.licensed_to),
        licensed_engines=_read_engines(fields, base.licensed_engines),
    )
    fields.finish()
    return spec


def _read_expiry(fields: _Fields, default: float | None) -> float | None:
    value = fields.take("expires")
    if value is None:
        return default
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC).timestamp()
    except (ValueError, OverflowError, OSError):
        pass
    fields.wrong("expires must be a date such as 2027-01-31, or seconds since the epoch")
    return default


def _read_engines(fields: _Fields, default: tuple[str, ...]) -> tuple[str, ...]:
    value = fields.take("licensed_engines")
    if value is None:
        return default
    if value == "*":
        return ()
    if isinstance(value, list) and all(isinstance(name, str) and name and name.isprintable() for name in value):
        return tuple(value)
    fields.wrong('licensed_engines must be "*" or a list of names')
    return default


def read_key_file(path: Path) -> dict[str, KeySpec]:
    """Read the keys of a YAML file. Raises ``InputError`` with the file's name, and the line where there is one."""
    try:
        text = path.read_text(encoding="utf-8")
        # All scalars as texts: YAML would read a key such as 1e10 or 2027-01-01 as something else.
        data = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - BaseLoader builds nothing but texts and containers
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text") from None
    except yaml.MarkedYAMLError as error:
        # The library's message quotes the line, and the line may hold a key.
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark is not None else ""
        raise InputError(f"{path}: not valid YAML{line}") from None
    except (yaml.YAMLError, RecursionError):
        raise InputError(f"{path}: not valid YAML") from None
    try:
        return parse_keys(data)
    except InputError as error:
        raise InputError(*(f"{path}: {fault}" for fault in error.faults)) from None


def parse_switches(data: object, base: Switches) -> Switches:
    """Read the switches that shall stand otherwise. Raises ``InputError``."""
    fields = _Fields(data, "")
    changes = {name: fields.choice(name, kind, getattr(base, name)) for name, kind in POSITIONS.items()}
    fields.finish()
    if fields.faults:
        raise InputError(*fields.faults)
    return replace(base, **changes)


def parse_fault(data: object) -> Fault:
    """Read one fault, as the control API takes it (docs/mock.md has the fields). Raises ``InputError``."""
    fields = _Fields(data, "")
    name = fields.take("fault")
    if not isinstance(name, str) or name not in NAMES:
        fields.wrong(f"fault must be one of {', '.join(NAMES)}")
        raise InputError(*fields.faults)
    operation = fields.take("operation")
    if operation is not None and operation not in list(Operation):
        fields.wrong(f"operation must be one of {', '.join(Operation)}")
        operation = None
    key_fingerprint = fields.take("key_fingerprint")
    if key_fingerprint is not None and not (
        isinstance(key_fingerprint, str) and _FINGERPRINT.fullmatch(key_fingerprint)
    ):
        fields.wrong("key_fingerprint must be 12 hexadecimal digits")
    fault = Fault(
        name,
        _read_effect(name, fields),
        processed=name == LOST_ANSWER or fields.flag("processed"),
        operation=None if operation is None else Operation(operation),
        deployment=fields.text("deployment", "") or None,
        key_fingerprint=key_fingerprint,
        times=fields.integer("times", None, least=1, most=MOST_TIMES),
    )
    fields.finish()
    if fields.faults:
        raise InputError(*fields.faults)
    return fault


def _read_effect(name: str, fields: _Fields) -> Effect:
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


def _read_body(fields: _Fields, default: bytes) -> bytes:
    value = fields.take("body")
    if value is None:
        return default
    if isinstance(value, str):
        return value.encode(errors="replace")
    fields.wrong("body must be a text")
    return default


def _read_retry_after(fields: _Fields) -> str:
    value = fields.take("retry_after")
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return str(value)
    if isinstance(value, str) and value.isascii() and value.isprintable():
        return value
    fields.wrong("retry_after must be a number of seconds or the text of an HTTP date")
    return ""
