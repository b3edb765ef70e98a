"""What may change from one life of the app to the next: the wishes of ``POST /life``, checked.

Ports, credentials and files stay what they were at the start of the stand-in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from mock_activation.icap_app.identity import id_fault
from mock_activation.icap_app.settings import Settings

LONGEST: Final = 86_400.0


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("a number of seconds is expected")
    if not 0 <= value <= LONGEST or math.isnan(value):
        raise ValueError(f"seconds from 0 to {LONGEST:.0f} are expected")
    return float(value)


def _seconds_or_never(value: Any) -> float | None:
    return None if value is None else _seconds(value)


def _deployment_id(value: Any) -> str:
    if not isinstance(value, str) or value == "environment":
        raise TypeError("fresh, keep, or an ID is expected (the environment is read at the start only)")
    if fault := id_fault(value):
        raise ValueError(fault)
    return value


LIFE: Final[Mapping[str, Callable[[Any], Any]]] = {
    "start_delay": _seconds,
    "forbidden_for": _seconds,
    "tls_after": _seconds_or_never,
    "deployment_id": _deployment_id,
}
"""What can be changed, and how it is checked; the names are those of ``Settings``."""


def lives_changed(settings: Settings, wishes: Mapping[str, Any]) -> Settings:
    """Return settings with which the next life begins. Raises ``ValueError`` with a sentence for people."""
    checked: dict[str, Any] = {}
    for name, value in wishes.items():
        if name not in LIFE:
            raise ValueError(f"there is no such field; there are: {', '.join(LIFE)}")
        try:
            checked[name] = LIFE[name](value)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name}: {error}") from error
    if checked.get("deployment_id") == "keep" and settings.data is None:
        raise ValueError("deployment_id: to keep it a data folder is needed (--data)")
    return replace(settings, **checked)


def life_of(settings: Settings) -> dict[str, Any]:
    """Return what the next life will be like."""
    return {name: getattr(settings, name) for name in LIFE}
