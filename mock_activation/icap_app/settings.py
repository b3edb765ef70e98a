"""How the stand-in behaves: what is fixed at its start, and the manners that can be changed while it runs.

Everything that protocol.md section 2 marks as assumed or as varying between releases is a switch here. Values only:
where they come from (command line, test, control route) is somebody else's affair.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import groupby
from pathlib import Path
from typing import Any, Final, Self

PLACEHOLDERS: Final = frozenset({"", "SET_LICENSE_KEY_HERE", "<SET_LICENSE_KEY_HERE>"})
"""Values of ``LICENSE_KEY`` that are no key (protocol.md section 1)."""

LICENCE_FIELDS: Final = (
    "deployment",
    "days_left",
    "expiration",
    "licensed_engines",
    "licensed_to",
    "max_node_count",
    "online_activated",
    "product_id",
    "product_name",
)
"""The fields of ``GET /admin/license`` (protocol.md section 2)."""


class Unlicensed(StrEnum):
    """What ``GET /admin/license`` shows before there is a licence (assumed)."""

    BARE = "bare"
    """The deployment ID only."""
    EMPTY = "empty"
    """Every field, with an empty or zero value."""


class Readyz(StrEnum):
    """The shape of the verbose ``/readyz``, which depends on the release."""

    NEW = "new"
    """``server_profiles`` (since 5.2.1) and ``engines`` (since 5.10.0)."""
    OLD = "old"
    """``core_rules``, as 5.1.1 had it."""
    ABSENT = "absent"
    """404: before 5.1.1."""


@dataclass(frozen=True, slots=True)
class Manners:
    """How the REST API answers; every field can be changed over the control port.

    ``deployment`` is shown instead of the deployment ID (``""`` and ``"null"`` are not IDs, protocol.md section 1).
    ``readyz_code`` 0 follows the readiness, any other is sent whatever the body says. ``failure`` is the status of an
    activation that did not succeed; 200 then says ``"success": false``.
    """

    numbers_as_strings: bool = False
    missing: tuple[str, ...] = ()
    deployment: str | None = None
    unlicensed: Unlicensed = Unlicensed.BARE
    readyz: Readyz = Readyz.NEW
    readyz_code: int = 0
    upload: bool = True
    failure: int = 500
    user: bool = True

    def changed(self, wishes: dict[str, Any]) -> Self:
        """Return these manners with some of them changed. Raises ``ValueError`` with a sentence for people."""
        checked: dict[str, Any] = {}
        for name, value in wishes.items():
            if name not in _CHECKS:
                raise ValueError(f"there is no such manner; there are: {', '.join(_CHECKS)}")
            try:
                checked[name] = _CHECKS[name](value)
            except (TypeError, ValueError) as error:
                raise ValueError(f"{name}: {error}") from error
        return replace(self, **checked)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("true or false is expected")
    return value


def _fields(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not set(value) <= set(LICENCE_FIELDS):
        raise ValueError(f"a list out of {', '.join(LICENCE_FIELDS)} is expected")
    return tuple(value)


def _text_or_nothing(value: Any) -> str | None:
    if not (value is None or isinstance(value, str)):
        raise TypeError("a text or null is expected")
    return value


def _one_of(*codes: int) -> Any:
    def check(value: Any) -> int:
        if isinstance(value, bool) or value not in codes:
            raise ValueError(f"one of {', '.join(map(str, codes))} is expected")
        return int(value)

    return check


def _choice(choices: type[StrEnum]) -> Any:
    def check(value: Any) -> StrEnum:
        if value not in list(choices):
            raise ValueError(f"one of {', '.join(choices)} is expected")
        return choices(value)

    return check


FAILURES: Final = (200, 403, 500)
READYZ_CODES: Final = (0, 200, 503)

_CHECKS: Final[dict[str, Any]] = {
    "numbers_as_strings": _flag,
    "missing": _fields,
    "deployment": _text_or_nothing,
    "unlicensed": _choice(Unlicensed),
    "readyz": _choice(Readyz),
    "readyz_code": _one_of(*READYZ_CODES),
    "upload": _flag,
    "failure": _one_of(*FAILURES),
    "user": _flag,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is fixed when the stand-in starts; durations are seconds, ports 0 are chosen free.

    ``deployment_id``: ``fresh`` (a new one at each start of the app), ``keep`` (one, kept in the folder ``data``), or
    the ID itself (also where it came from the environment). ``seed`` is for what the rules of faults leave to chance;
    None: any. ``license_key`` switches the vendor's own container automation on (protocol.md section 3).
    ``tls_after`` None stays with HTTP. ``licensed``: comes up with a licence of its own, as with an on-premises licence
    server. ``id_prefix`` is assumed: the one of ICAP Server is not published.
    """

    host: str = "127.0.0.1"
    port: int = 0
    icap_port: int = 0
    control_host: str = "127.0.0.1"
    control_port: int = 0
    api_key: str | None = field(default=None, repr=False)
    user: str = "admin"
    password: str | None = field(default=None, repr=False)
    activation_url: str | None = None
    activation_ca: Path | None = None
    activation_timeout: float = 10.0
    license_key: str | None = field(default=None, repr=False)
    deployment_id: str = "fresh"
    id_prefix: str = "MSIC"
    data: Path | None = None
    licensed: bool = False
    start_delay: float = 0.0
    forbidden_for: float = 0.0
    tls_after: float | None = None
    restart_file: Path | None = None
    probe_period: float = 2.0
    probe_down: float = 1.0
    seed: int | None = None
    manners: Manners = Manners()


API_KEY_LENGTH: Final = 36
_AT_LEAST: Final = 10
_IN_A_ROW: Final = 3


def api_key_fault(key: str) -> str | None:
    """Return what is wrong with an API key, in a sentence without the key, or None (protocol.md section 2)."""
    if len(key) != API_KEY_LENGTH or not re.fullmatch(r"[0-9a-f]*", key):
        return f"the API key must be exactly {API_KEY_LENGTH} characters of 0-9 and a-f"
    digits = sum(character.isdigit() for character in key)
    if digits < _AT_LEAST or len(key) - digits < _AT_LEAST:
        return f"the API key must hold at least {_AT_LEAST} letters and at least {_AT_LEAST} digits"
    if any(len(list(run)) > _IN_A_ROW for _, run in groupby(key, str.isdigit)):
        return f"the API key must not hold more than {_IN_A_ROW} letters or {_IN_A_ROW} digits in a row"
    return None
