"""Rules of scripted misbehaviour of the REST API, as people write and read them over the control port.

They are written as those of the activation server (``mock_activation.fault_input``), with a ``route`` in the place of
what only an activation server is asked; what they mean (order, counting, chance, windows of time) is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from mock_activation.fault_input import parse_fault, written
from mock_activation.faults import Fault, Rule
from mock_activation.fields import InputError
from mock_activation.icap_app.calls import Route

_BODIES: Final[Mapping[str, str]] = {
    "torn-json": '{"success": tr',
    "not-json": "this is no JSON at all\n",
}
"""Names of our own: 200 with the content type of JSON, and this body."""
NAMES: Final = (
    "status",
    "html",
    *_BODIES,
    "delay",
    "hang",
    "cut",
    "reset",
    "garbage",
    "truncate",
    "drip",
    "content-type",
)
"""What a fault of the REST API can be called."""
_ELSEWHERE: Final = ("operation", "deployment", "key_fingerprint", "count_by")
"""Fields that make sense for an activation server only."""


def parse_rule(data: Mapping[str, Any]) -> Fault:
    """Read one rule (docs/icap-app.md has the fields). Raises ``InputError``, which names every fault."""
    left = dict(data)
    name, route = left.get("fault"), left.pop("route", None)
    if not isinstance(name, str) or name not in NAMES:
        raise InputError(f"fault must be one of {', '.join(NAMES)}")
    faults = [f"there is no field {field}" for field in _ELSEWHERE if field in left]
    if route is not None and route not in list(Route):
        faults.append(f"route must be one of {', '.join(Route)}")
    if name in _BODIES:
        faults += [f"there is no field {field}" for field in ("status", "content_type", "body") if field in left]
        left |= {"fault": "status", "status": 200, "content_type": "application/json", "body": _BODIES[name]}
    try:
        fault = parse_fault({field: value for field, value in left.items() if field not in _ELSEWHERE})
    except InputError as error:
        raise InputError(*faults, *error.faults) from None
    if faults:
        raise InputError(*faults)
    return replace(fault, name=name, operation=None if route is None else Route(route))


def shown(rule: Rule) -> dict[str, Any]:
    """Return a rule as the control port shows it: as it was written, and where it stands."""
    told = {field: value for field, value in written(rule.fault).items() if field not in _ELSEWHERE}
    if rule.fault.name in _BODIES:
        told = {field: value for field, value in told.items() if field not in ("status", "content_type", "body")}
        told.pop("retry_after", None)
    return {"number": rule.number, "route": rule.fault.operation, **told, "seen": rule.seen, "fired": rule.fired}
