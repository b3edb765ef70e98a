"""Reads what the app says about itself, tolerantly: every field may be missing, numbers and truths may be texts.

Pure: JSON values in, an ``AppReport`` out (protocol.md section 2). Must not raise for anything that JSON can hold.

Whether the app is licensed, the first row that says something decides (D documented, O seen, A assumed):

== =============================================== ============= ====
1  ``/readyz`` ``license.status`` ``ok``           licensed      D
1  ``expired``, ``invalid``                        not licensed  D
2  ``days_left`` greater than 0 / not              yes / no      O, A
3  ``expiration`` in the future / past             yes / no      O, A
4  ``online_activated`` true / false               yes / no      O, A
5  ``product_id`` is there                         licensed      A: the product derives it from a licence
6  nothing of all this                             not told
== =============================================== ============= ====

``online_activated`` stands below the dates: a licence that was uploaded is none of the online ones.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

from sidecar.adapters.answer_body import sentence
from sidecar.adapters.expiry_date import expiry
from sidecar.core.facts import AppReport

PARTS: Final = {
    "database": ("database",),
    "engines": ("engines",),
    "server_profiles": ("server_profiles", "core_rules"),
}
"""The parts of the verbose ``/readyz`` under the names that settings use, with their older names."""

_TRUE: Final = frozenset({"true", "ok", "yes", "1", "up", "ready", "pass", "healthy"})
_FALSE: Final = frozenset({"false", "no", "0"})
_NO_ID: Final = frozenset({"", "null", "none"})

Object = Mapping[str, Any]


def json_object(body: bytes) -> Object | None:
    """Return the JSON object that the body is, or None."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):  # not JSON, not text, nested beyond reason
        return None
    return value if isinstance(value, dict) else None


def is_readyz(answer: Object | None) -> bool:
    """Tell whether this is the verbose ``/readyz`` of a version that has it: the body decides, never the status."""
    names = {"license", *(name for names in PARTS.values() for name in names)}
    return answer is not None and any(isinstance(answer.get(name), dict) for name in names)


def read_report(licence: Object, readyz: Object, now: float) -> AppReport:
    """Put both answers together (an empty object: not there); ``now`` is the wall clock."""
    expires_at = expiry(_text(licence.get("expiration")))
    return AppReport(
        deployment_id=_deployment_id(licence.get("deployment")),
        licensed=_licensed(licence, _status(readyz, "license"), expires_at, now),
        parts=tuple(_parts(readyz)),
        product=sentence(_text(licence.get("product_name")) or _text(licence.get("product_id"))),
        expires_at=expires_at,
    )


def _licensed(licence: Object, status: Any, expires_at: float, now: float) -> bool | None:
    said = _text(status).lower()
    if said in _TRUE:
        return True
    if said in _FALSE | {"expired", "invalid"}:
        return False
    days_left = _number(licence.get("days_left"))
    if days_left is not None:
        return days_left > 0
    if expires_at:
        return expires_at > now
    online = _text(licence.get("online_activated")).lower()
    if online in _TRUE | _FALSE:
        return online in _TRUE
    return True if _text(licence.get("product_id")).lower() not in _NO_ID else None


def _parts(readyz: Object) -> list[tuple[str, bool]]:
    """Return the parts that are reported; an unknown word means that something is wrong."""
    found = []
    for part, names in PARTS.items():
        said = next((text for text in (_text(_status(readyz, name)).lower() for name in names) if text), "")
        if said:
            found.append((part, said in _TRUE))
    return found


def _status(readyz: Object, part: str) -> Any:
    section = readyz.get(part)
    return section.get("status") if isinstance(section, dict) else None


def _deployment_id(value: Any) -> str | None:
    """Return the ID; ``null``, an empty text and the word are none (protocol.md section 1)."""
    text = _text(value)
    return None if text.lower() in _NO_ID else text


def _text(value: Any) -> str:
    """Return a plain value as text; truths as JSON spells them; anything else as nothing."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return value.strip()
        case int() | float():
            return str(value)
        case _:
            return ""


def _number(value: Any) -> float | None:
    try:
        number = float(_text(value))
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
