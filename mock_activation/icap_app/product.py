"""What the app knows about itself: its deployment ID, its licence, its health.

Pure: no HTTP, no clock (``today`` is passed). The key is kept because the product needs it for its own deactivation;
nothing here shows it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Final

import yaml

from mock_activation.icap_app.settings import Manners, Readyz, Unlicensed

_SHOWN_DAY: Final = "%m/%d/%Y"
_NUMBERS: Final = ("days_left", "max_node_count")


class InvalidLicence(ValueError):  # noqa: N818 - says what the file is
    """The file is no licence for this deployment; the text says why, for the log only."""


@dataclass(frozen=True, slots=True)
class Licence:
    """What the product reads out of a licence file; ``expires`` None: it does not say."""

    expires: date | None
    engines: tuple[str, ...] | str
    licensed_to: str
    max_node_count: str
    product_id: str
    product_name: str
    online: bool

    def expired(self, today: date) -> bool:
        """Tell whether the last day has passed."""
        return self.expires is not None and self.expires < today


def read_licence(body: bytes, deployment_id: str, *, online: bool) -> Licence:
    """Read a licence file (protocol.md section 1). Raises ``InvalidLicence``."""
    try:
        # Deep nesting ends in a RecursionError, impossible dates and bytes that are no text in a ValueError.
        content = yaml.safe_load(body)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidLicence(f"not YAML ({type(error).__name__})") from None
    if not isinstance(content, dict):
        raise InvalidLicence("not a YAML mapping")
    if "error" in content:
        raise InvalidLicence("a refusal, not a licence")
    if content.get("deployment") != deployment_id:
        raise InvalidLicence("for another deployment ID")
    engines = content.get("licensed_engines", "*")
    return Licence(
        expires=_day(content.get("expiration")),
        engines=tuple(map(str, engines)) if isinstance(engines, list) else str(engines),
        licensed_to=str(content.get("licensed_to", "")),
        max_node_count=str(content.get("max_node_count", "1")),
        product_id=str(content.get("product_id", "")),
        product_name=str(content.get("product_name", "")),
        online=online,
    )


def _day(value: Any) -> date | None:
    """Read the last day in any form that a YAML file may hold; None where it says nothing."""
    match value:
        case None | "":
            return None
        case datetime():
            return value.date()
        case date():
            return value
        case bool():
            pass
        case int() | float():
            try:
                return datetime.fromtimestamp(value, UTC).date()
            except (ValueError, OverflowError, OSError):
                pass
        case str():
            for read in (lambda text: datetime.strptime(text, _SHOWN_DAY).replace(tzinfo=UTC), datetime.fromisoformat):
                try:
                    return read(value).date()
                except ValueError:
                    continue
    raise InvalidLicence("its expiration is no date")


@dataclass(slots=True)
class Product:
    """One life of the app, from the start of its container to its end."""

    deployment_id: str
    manners: Manners
    licence: Licence | None = None
    key: str | None = field(default=None, repr=False)
    database: bool = True
    sessions: set[str] = field(default_factory=set, repr=False)

    def licensed(self, today: date) -> bool:
        """Tell whether there is a licence that has not expired."""
        return self.licence is not None and not self.licence.expired(today)

    def lose_licence(self) -> None:
        """Forget the licence and the key that it came with."""
        self.licence = self.key = None

    def licence_fields(self, today: date) -> dict[str, Any]:
        """Return the body of ``GET /admin/license`` (protocol.md section 2)."""
        shown = self.deployment_id if self.manners.deployment is None else self.manners.deployment
        fields: dict[str, Any] = {"deployment": shown}
        if self.licence is not None:
            fields |= self._of(self.licence, today)
        elif self.manners.unlicensed is Unlicensed.EMPTY:
            nothing = Licence(None, (), "", "0", "", "", online=False)
            fields |= self._of(nothing, today)
        if self.manners.numbers_as_strings:
            fields |= {name: str(fields[name]) for name in _NUMBERS if name in fields}
        return {name: value for name, value in fields.items() if name not in self.manners.missing}

    @staticmethod
    def _of(licence: Licence, today: date) -> dict[str, Any]:
        expires = licence.expires
        return {
            "days_left": 0 if expires is None else max(0, (expires - today).days),
            "expiration": "" if expires is None else expires.strftime(_SHOWN_DAY),
            "licensed_engines": list(licence.engines) if isinstance(licence.engines, tuple) else licence.engines,
            "licensed_to": licence.licensed_to,
            "max_node_count": licence.max_node_count,
            "online_activated": licence.online,
            "product_id": licence.product_id,
            "product_name": licence.product_name,
        }

    def readiness(self, today: date) -> tuple[int, dict[str, Any]]:
        """Return status and verbose body of ``/readyz``; the status follows a policy, so it may contradict the body."""
        match self.licence:
            case None:
                licence = "invalid"
            case present:
                licence = "expired" if present.expired(today) else "ok"
        body: dict[str, Any] = {"database": {"status": self.database}, "license": {"status": licence}}
        if self.manners.readyz is Readyz.OLD:
            body["core_rules"] = {"required": False, "status": False}
        else:
            body["server_profiles"] = {"required": False, "status": True}
            body["engines"] = {"filetype": {"required": False, "status": True}}
        healthy = self.database and licence == "ok"
        return self.manners.readyz_code or (200 if healthy else 503), body
