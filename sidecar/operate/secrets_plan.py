"""What ``init-secrets`` wants of a Secret, and what that makes of what it holds now (rule 1 of the chart).

Given values win, missing ones are generated, everything else is left alone. A licence key is never generated, and a
former one is never lost: the seats that were taken with it are released with it. Nothing is read or written in here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Final, assert_never

from sidecar.operate.generated import api_key, api_key_fault, password
from sidecar.secrets import Secret

VALUE: Final = "value"
PREVIOUS: Final = "previous"
USER: Final = "user"
PASSWORD: Final = "password"  # noqa: S105 - a field's name
_PLACEHOLDER: Final = re.compile(r"<?SET_LICENSE_KEY_HERE>?", re.IGNORECASE)
_ADMINISTRATOR: Final = "admin"
_DATABASE_USER: Final = "mdicapsrv"


class Kind(StrEnum):
    """What a Secret is for; it decides which fields are generated."""

    API_KEY = "api-key"
    CREDENTIALS = "credentials"
    DATABASE = "database-credentials"
    LICENSE = "license-key"
    OPAQUE = "opaque"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One Secret of the plan with the values that were given for it, by field."""

    name: str
    kind: Kind
    labels: Mapping[str, str] = field(default_factory=dict)
    given: Mapping[str, bytes] = field(default_factory=dict, repr=False)


class Doing(StrEnum):
    """What happens to a field."""

    SET = "set"
    GENERATED = "generated"
    KEPT = "kept"
    EXTENDED = "extended"


@dataclass(frozen=True, slots=True)
class Revision:
    """What a Secret shall hold, and what becomes of each field that its kind knows or that was given.

    ``key``: fingerprint of the licence key that it holds then, ``former`` of those that it held before and that are
    kept for releases. ``warnings`` are sentences about values, without them.
    """

    data: Mapping[str, bytes] = field(repr=False)
    doings: Mapping[str, Doing]
    key: str = ""
    former: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Tell whether there is nothing to write into a Secret that is not there yet."""
        return not self.data


def revise(wanted: Wanted, held: Mapping[str, bytes], random: Random) -> Revision:
    """Return what becomes of a Secret that holds this now (nothing: it is absent)."""
    match wanted.kind:
        case Kind.API_KEY:
            return _api_key(wanted, held, random)
        case Kind.CREDENTIALS:
            return _filled(wanted, held, {USER: _ADMINISTRATOR, PASSWORD: password(random)})
        case Kind.DATABASE:
            return _filled(wanted, held, {USER: _DATABASE_USER, PASSWORD: password(random)})
        case Kind.LICENSE:
            return _license(wanted, held)
        case Kind.OPAQUE:
            return _filled(wanted, held, {})
        case other:
            assert_never(other)


def given_value(kind: Kind, name: str, content: bytes) -> bytes:
    """Return a value as it is meant: what an editor adds to a text is no part of it. Raises ``ValueError``."""
    if kind is Kind.OPAQUE:
        return content
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = None
    if text is None:  # raised out here, because the decoder's error holds the content and would be the context
        raise ValueError("it is no UTF-8 text")
    if kind is Kind.LICENSE and name == PREVIOUS:
        return "\n".join(keys_in(text)).encode()
    whole = text.strip() if kind in (Kind.API_KEY, Kind.LICENSE) else text.removesuffix("\n").removesuffix("\r")
    if "\n" in whole:
        hint = f"; former keys go into {PREVIOUS}" if kind is Kind.LICENSE else ""
        raise ValueError(f"it has several lines, and one is wanted{hint}")
    if kind is Kind.LICENSE and _PLACEHOLDER.fullmatch(whole):
        return b""
    return whole.encode()


def keys_in(text: str) -> list[str]:
    """Return the licence keys of a text, one a line, without blanks, comments and placeholders."""
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#") and not _PLACEHOLDER.fullmatch(line)]


def hidden(wanted: Wanted, data: Mapping[str, bytes]) -> Iterable[str]:
    """Yield every text of these values that nobody may see: user names are none, and would mask half of a sentence."""
    for name, value in data.items():
        if name == USER and wanted.kind in (Kind.CREDENTIALS, Kind.DATABASE):
            continue
        text = _text(value)
        yield from keys_in(text) if wanted.kind is Kind.LICENSE else (text.strip(), text)


def _api_key(wanted: Wanted, held: Mapping[str, bytes], random: Random) -> Revision:
    revision = _filled(wanted, held, {VALUE: api_key(random)})
    warnings = []
    fault = api_key_fault(_text(revision.data[VALUE]).strip())
    if fault:
        warnings.append(f"{VALUE}: {fault}")
    if held.get(VALUE) and revision.doings[VALUE] is Doing.SET:
        warnings.append(
            f"{VALUE}: the API key was replaced, but the app's database learned it once, at its first start: a lasting "
            "403 of the app means that it still wants the former one"
        )
    return Revision(revision.data, revision.doings, warnings=tuple(warnings))


def _filled(wanted: Wanted, held: Mapping[str, bytes], made: Mapping[str, str]) -> Revision:
    """Set what is given, fill in what is missing."""
    data, doings = dict(held), dict[str, Doing]()
    for name in dict.fromkeys((*made, *wanted.given)):
        value, before = wanted.given.get(name, b""), held.get(name, b"")
        if value and value != before:
            data[name], doings[name] = value, Doing.SET
        elif before or name not in made:
            if name in held:
                doings[name] = Doing.KEPT
        else:
            data[name], doings[name] = made[name].encode(), Doing.GENERATED
    return Revision(data, doings)


def _license(wanted: Wanted, held: Mapping[str, bytes]) -> Revision:
    """Set the key that is given; a former one goes to the front of ``previous``, and none is ever taken away."""
    data, doings = dict(held), dict[str, Doing]()
    given = keys_in(_text(wanted.given.get(VALUE, b"")))
    stored = keys_in(_text(held.get(VALUE, b"")))
    current, moved = given or stored, [key for key in stored if given and key not in given]
    if given and stored != given:
        data[VALUE], doings[VALUE] = given[0].encode(), Doing.SET
    elif stored:
        doings[VALUE] = Doing.KEPT
    lines = _text(held.get(PREVIOUS, b"")).splitlines()
    former = _former(lines, (*moved, *keys_in(_text(wanted.given.get(PREVIOUS, b"")))), current)
    if former != lines:
        data[PREVIOUS] = "\n".join(former).encode(errors="surrogateescape")
        doings[PREVIOUS] = Doing.EXTENDED if lines else Doing.SET
    elif lines:
        doings[PREVIOUS] = Doing.KEPT
    fingerprints = [Secret(key).fingerprint for key in current]
    return Revision(
        data,
        doings,
        key=fingerprints[0] if len(fingerprints) == 1 else "",
        former=tuple(Secret(key).fingerprint for key in moved),
    )


def _former(lines: Sequence[str], more: Iterable[str], current: Sequence[str]) -> list[str]:
    """Return the lines of ``previous``: new keys first, then what stands there, without the key that is current."""
    present = {line.strip() for line in lines}
    added = [key for key in dict.fromkeys(more) if key not in present and key not in current]
    seen: set[str] = set()
    kept = []
    for line in lines:
        key = line.strip()
        if key in current or (key and not key.startswith("#") and key in seen):
            continue
        seen.add(key)
        kept.append(line)
    return [*added, *kept]


def _text(value: bytes) -> str:
    """Return a value as text; what is none comes out of it as it was when it is encoded again."""
    return value.decode("utf-8-sig", errors="surrogateescape")
