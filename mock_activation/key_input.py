"""Keys, seats and switches as people write them: the key file and the control API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import yaml

from mock_activation.fields import Fields, InputError
from mock_activation.pool import KeySpec, KeyState
from mock_activation.switches import POSITIONS, Switches

MOST_SEATS: Final = 10_000_000


def parse_keys(data: object, *, texts: bool = False) -> dict[str, KeySpec]:
    """Read ``{"keys": [{"key": ..., "seats": N, ...}]}`` or the list alone. Raises ``InputError``.

    ``texts``: numbers are written as texts.
    """
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
            key, spec = parse_key(entry, place=f"entry {index}", texts=texts)
        except InputError as error:
            faults += error.faults
            continue
        if key in keys:
            faults.append(f"entry {index}: this key was named before")
        keys[key] = spec
    if faults:
        raise InputError(*faults)
    return keys


def parse_key(data: object, *, place: str = "", texts: bool = False) -> tuple[str, KeySpec]:
    """Read one key with what it allows. Raises ``InputError``."""
    fields = Fields(data, place, texts=texts)
    key = fields.text("key", "")
    if not key and not fields.faults:
        fields.wrong("key is missing")
    if key.strip() != key or not key.isascii():
        fields.wrong("key must be ASCII without white space around it")
    return key, _read_spec(fields, None)


def parse_key_change(data: object, spec: KeySpec) -> KeySpec:
    """Read what shall be different about a key. Raises ``InputError``."""
    return _read_spec(Fields(data, ""), spec)


def _read_spec(fields: Fields, base: KeySpec | None) -> KeySpec:
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


def _read_expiry(fields: Fields, default: float | None) -> float | None:
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


def _read_engines(fields: Fields, default: tuple[str, ...]) -> tuple[str, ...]:
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
        return parse_keys(data, texts=True)
    except InputError as error:
        raise InputError(*(f"{path}: {fault}" for fault in error.faults)) from None


def parse_switches(data: object, base: Switches) -> Switches:
    """Read the switches that shall stand otherwise. Raises ``InputError``."""
    fields = Fields(data, "")
    changes = {name: fields.choice(name, kind, getattr(base, name)) for name, kind in POSITIONS.items()}
    fields.finish()
    return replace(base, **changes)


def parse_force_release(data: object) -> tuple[str, str]:
    """Read which seat shall be freed: key fingerprint and deployment ID. Raises ``InputError``."""
    fields = Fields(data, "")
    key_fingerprint, deployment = fields.fingerprint("key_fingerprint"), fields.text("deployment", "")
    if not fields.faults and (key_fingerprint is None or not deployment):
        fields.wrong("key_fingerprint and deployment must both be there")
    fields.finish()
    return key_fingerprint or "", deployment
