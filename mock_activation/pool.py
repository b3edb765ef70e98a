"""Keys, seats and quotas: what the vendor's activation server knows and decides (protocol.md section 1).

Pure: no HTTP, no clock (``now`` is passed), no random. The wire format, the control API and simulations of whole fleets
all stand on this one class, so a simulation sees exactly the answers that the network would bring::

    history: list[Change] = []
    pool = Pool({"ABCD-...": 2}, on_change=history.append)
    pool.activate("ABCD-...", "MSCL0123...", "1", now=0.0)   # -> Answer(200, "Ok", b"...", Outcome.ACTIVATED)
    pool.deactivate("ABCD-...", "MSCL0123...", now=1.0)      # -> Answer(200, "Ok", b"...", Outcome.RELEASED)

A key is never in an answer, a change, a seat or a view: only its fingerprint is. The pool knows a key by the SHA-256 of
its text, so that a state file can bring it back without having held it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from mock_activation.answers import Answer, Outcome
from mock_activation.licence_file import YEAR, product_part, render
from mock_activation.seats import Change, Keeper, KeySpec, KeyState, KeyView, Move, Seat
from mock_activation.secrecy import FINGERPRINT_DIGITS, digest, fingerprint
from mock_activation.switches import (
    DeadKeyRelease,
    DeploymentIds,
    KeyStateCheck,
    MaxNodeCount,
    MissingQuantity,
    Quantity,
    SamePair,
    Switches,
    ValidationOrder,
)
from mock_activation.wording import Parameter, Wording

__all__ = ["Change", "Keeper", "KeySpec", "KeyState", "KeyView", "Move", "Pool", "Seat"]

_KEY = re.compile(r"[A-Za-z0-9]{4}(?:-[A-Za-z0-9]{4}){6,7}")
_STRICT_ID = re.compile(r"[A-Za-z][A-Za-z0-9]{0,15}[0-9A-Fa-f]{32}")
_ANY_ID = re.compile(r"[!-~]{1,128}")
_QUANTITY = re.compile(r"[1-9][0-9]{0,5}")
_ORDERS = {order: tuple(Parameter[word.upper()] for word in order.split("-")) for order in ValidationOrder}


_REFUSED_STATES = {
    KeyState.UNKNOWN: Outcome.UNKNOWN_KEY,
    KeyState.EXPIRED: Outcome.EXPIRED,
    KeyState.SUSPENDED: Outcome.SUSPENDED,
    KeyState.WRONG_PRODUCT: Outcome.WRONG_PRODUCT,
}


@dataclass(slots=True)
class _Key:
    digest: str
    fingerprint: str
    spec: KeySpec
    product: str
    used: int = 0
    seats: dict[str, Seat] = field(default_factory=dict)


class Pool:
    """All keys with their seats. Not thread-safe; every call is complete when it returns."""

    def __init__(
        self,
        keys: Mapping[str, KeySpec | int] | None = None,
        switches: Switches | None = None,
        *,
        on_change: Callable[[Change], None] | None = None,
    ) -> None:
        """Start with these keys (a number stands for that many seats) and no seat taken."""
        self._switches = switches or Switches()
        self._say = Wording(self._switches)
        self.keeper: Keeper | None = None
        self._on_change = on_change
        self._keys: dict[str, _Key] = {}
        """By digest, in the order in which they were added."""
        self._said: dict[str, _Key] = {}
        """By text, as soon as somebody has said it: a digest for each request would be a waste."""
        for text, spec in (keys or {}).items():
            self.put(text, spec)

    @property
    def switches(self) -> Switches:
        """Return the assumptions in force."""
        return self._switches

    @switches.setter
    def switches(self, switches: Switches) -> None:
        self._switches = switches
        self._say = Wording(switches)

    # -- what the vendor's clients may ask ---------------------------------------------------------------------------

    def activate(
        self,
        key: str | None,
        deployment: str | None,
        quantity: str | int | None,
        now: float,
        *,
        as_if: Outcome | None = None,
    ) -> Answer:
        """Take a seat, or say why not. None is a missing parameter.

        Validated in the order key, deployment, quantity, then the key's state, then the quota (protocol.md section 1).
        ``as_if`` lets a fault have the key refused as in ``effects.REFUSALS``, whatever its state.
        """
        known = self._find(key)
        if quantity is None and self._switches.missing_quantity is MissingQuantity.ONE:
            quantity = 1
        said = {Parameter.KEY: key, Parameter.DEPLOYMENT: deployment, Parameter.QUANTITY: quantity}
        early = self._switches.key_state_check is KeyStateCheck.WITH_KEY
        for parameter in _ORDERS[self._switches.validation_order]:
            if not self._is_well_formed(parameter, said[parameter], known):
                return self._say.invalid(parameter, missing=said[parameter] is None)
            if early and parameter is Parameter.KEY:
                refusal = self._refusal(known, now, as_if)
                if refusal is not None:
                    return self._say.refused(refusal)
        refusal = self._refusal(known, now, as_if)
        if refusal is not None or known is None or deployment is None or quantity is None:
            return self._say.refused(refusal or Outcome.UNKNOWN_KEY)
        count = int(quantity)
        seat = known.seats.get(deployment)
        wanted = self._units(seat, count)
        held = 0 if seat is None else seat.units
        if wanted > held and (as_if is Outcome.NO_SEATS or known.used + wanted - held > known.spec.seats):
            return self._say.refused(Outcome.NO_SEATS)
        known.seats[deployment] = Seat(deployment, now if seat is None else seat.taken_at, now, wanted)
        if self.keeper is not None:
            self.keeper.seat_changed(known.digest, deployment)
        if wanted > held:
            known.used += wanted - held
            self._tell(now, known, deployment, Move.TAKEN)
        ends = known.spec.expires_at
        nodes = count if self._switches.max_node_count is MaxNodeCount.QUANTITY else known.spec.seats
        licence = render(known.product, deployment, expires_at=now + YEAR if ends is None else ends, quantity=nodes)
        return self._say.activated(licence)

    def deactivate(self, key: str | None, deployment: str | None, now: float) -> Answer:
        """Give a seat back, whatever the key's state (a switch says otherwise); a pair that is not active is told."""
        known = self._find(key)
        said = {Parameter.KEY: key, Parameter.DEPLOYMENT: deployment}
        for parameter in _ORDERS[self._switches.validation_order]:
            if parameter in said and not self._is_well_formed(parameter, said[parameter], known):
                return self._say.invalid_release(parameter, missing=said[parameter] is None)
        if known is None or known.spec.state is KeyState.UNKNOWN or deployment is None:
            return self._say.not_active()
        if self._switches.dead_key_release is DeadKeyRelease.REFUSED:
            refusal = self._refusal(known, now, None)
            if refusal is not None:
                return self._say.not_released(refusal)
        if deployment not in known.seats:
            return self._say.not_active()
        self._free(known, deployment, Move.RELEASED, now)
        return self._say.released()

    # -- what only the owner of the mock may do ----------------------------------------------------------------------

    def put(self, key: str, spec: KeySpec | int) -> str:
        """Add a key, or change one and keep its seats (also those above a smaller number). Return its fingerprint.

        Raises ``ValueError`` for a negative number of seats or an empty key.
        """
        spec = KeySpec(spec) if isinstance(spec, int) else spec
        if not key or spec.seats < 0:
            raise ValueError("a key must not be empty, and the number of its seats not be negative")
        known = self._put(digest(key), spec)
        self._said[key] = known
        return known.fingerprint

    def replace(self, keys: Mapping[str, KeySpec], now: float) -> None:
        """Have exactly these keys; the seats of a key that stays are kept, those of one that goes are gone."""
        self.revert({digest(text): spec for text, spec in keys.items()}, now)

    def revert(self, specs: Mapping[str, KeySpec], now: float) -> None:
        """Do the same with keys by their digests: as ``specs`` told them."""
        for key_digest in [key_digest for key_digest in self._keys if key_digest not in specs]:
            self._remove(key_digest, now)
        for key_digest, spec in specs.items():
            self._put(key_digest, spec)

    def specs(self) -> dict[str, KeySpec]:
        """Return what each key allows, by the key's digest."""
        return {key_digest: known.spec for key_digest, known in self._keys.items()}

    def load(self, key_digest: str, spec: KeySpec, seats: Iterable[Seat]) -> None:
        """Bring back a key with exactly these seats, as they were kept; it is no change of hands."""
        known = self._put(key_digest, spec)
        before = known.seats
        known.seats = {seat.deployment: seat for seat in seats}
        if self.keeper is not None:
            for deployment in before | known.seats:
                self.keeper.seat_changed(key_digest, deployment)
        known.used = sum(seat.units for seat in known.seats.values())

    def retake(self, key_digest: str, seat: Seat, now: float) -> None:
        """Have a seat as a snapshot tells it, also above what the key allows; whoever hears of seats hears of it."""
        known = self._keys[key_digest]
        known.seats[seat.deployment] = seat
        known.used += seat.units
        if self.keeper is not None:
            self.keeper.seat_changed(key_digest, seat.deployment)
        self._tell(now, known, seat.deployment, Move.TAKEN)

    def drop(self, key_fingerprint: str, now: float) -> bool:
        """Remove a key and its seats; False if there is none."""
        for known in tuple(self._keys.values()):
            if known.fingerprint == key_fingerprint:
                self._remove(known.digest, now)
                return True
        return False

    def seat(self, key_digest: str, deployment: str) -> Seat | None:
        """Return a seat, None if it is not taken."""
        known = self._keys.get(key_digest)
        return None if known is None else known.seats.get(deployment)

    def change(self, key_fingerprint: str, spec: KeySpec) -> bool:
        """Change a key named by its fingerprint; False if there is none."""
        for known in self._keys.values():
            if known.fingerprint == key_fingerprint:
                self._put(known.digest, spec)
                return True
        return False

    def force_release(self, key_fingerprint: str, deployment: str, now: float) -> bool:
        """Free a seat as the vendor's support would; False if it is not taken."""
        for known in self._keys.values():
            if known.fingerprint == key_fingerprint and deployment in known.seats:
                self._free(known, deployment, Move.FORCED, now)
                return True
        return False

    def clear(self, now: float) -> None:
        """Free all seats."""
        for known in self._keys.values():
            self._empty(known, now)

    def view(self) -> tuple[KeyView, ...]:
        """Return all keys with their seats, as they may be shown."""
        return tuple(
            KeyView(known.fingerprint, known.spec, known.used, tuple(known.seats.values()))
            for known in self._keys.values()
        )

    def used(self) -> dict[str, tuple[int, int]]:
        """Return (seats taken, seats allowed) by key fingerprint: cheap, for metrics and invariants."""
        return {known.fingerprint: (known.used, known.spec.seats) for known in self._keys.values()}

    def holds(self, key_fingerprint: str, deployment: str) -> bool:
        """Tell whether this seat is taken."""
        return any(known.fingerprint == key_fingerprint and deployment in known.seats for known in self._keys.values())

    def fingerprint(self, key: str | None) -> str:
        """Return the fingerprint of what was sent as a key; empty if nothing was."""
        known = self._find(key)
        return known.fingerprint if known is not None else fingerprint(key) if key else ""

    def shown(self, deployment: str | None) -> str:
        """Return what may be shown of what was sent as a deployment ID: a malformed one may be a key."""
        if deployment is None:
            return ""
        return deployment if self._is_deployment_id(deployment) else "(malformed)"

    # -- inside ------------------------------------------------------------------------------------------------------

    def _find(self, key: str | None) -> _Key | None:
        if key is None:
            return None
        known = self._said.get(key)
        if known is None:
            known = self._keys.get(digest(key))
            if known is not None:
                self._said[key] = known
        return known

    def _put(self, key_digest: str, spec: KeySpec) -> _Key:
        product = product_part(spec.product_id, spec.product_name, spec.licensed_to, spec.licensed_engines)
        known = self._keys.get(key_digest)
        if known is None:
            known = self._keys[key_digest] = _Key(key_digest, key_digest[:FINGERPRINT_DIGITS], spec, product)
        else:
            known.spec, known.product = spec, product
        if self.keeper is not None:
            self.keeper.key_changed(key_digest)
        return known

    def _remove(self, key_digest: str, now: float) -> None:
        removed = self._keys[key_digest]
        self._empty(removed, now)
        del self._keys[key_digest]
        self._said = {text: known for text, known in self._said.items() if known is not removed}
        if self.keeper is not None:
            self.keeper.key_changed(key_digest)

    def _is_well_formed(self, parameter: Parameter, text: str | int | None, known: _Key | None) -> bool:
        if text is None:
            return False
        match parameter:
            case Parameter.KEY:
                # A key that was put here is well-formed whatever it looks like; the shape tells malformed from unknown.
                return known is not None or _KEY.fullmatch(str(text)) is not None
            case Parameter.DEPLOYMENT:
                return self._is_deployment_id(str(text))
            case Parameter.QUANTITY:
                return _QUANTITY.fullmatch(str(text)) is not None

    def _is_deployment_id(self, text: str) -> bool:
        # protocol.md section 1: `null` is what the vendor's scripts send when the product has no ID yet.
        if self._switches.deployment_ids is DeploymentIds.ANY:
            if text == "null" or self._find(text) is not None or _KEY.fullmatch(text) is not None:
                return False  # a key that somebody sent as the ID would be shown in the state
            return _ANY_ID.fullmatch(text) is not None
        return _STRICT_ID.fullmatch(text) is not None

    def _units(self, seat: Seat | None, quantity: int) -> int:
        asked = quantity if self._switches.quantity is Quantity.COUNTED else 1
        if seat is None:
            return asked
        # A smaller quantity gives nothing back: only a deactivation does.
        return seat.units + asked if self._switches.same_pair is SamePair.CONSUMES else max(seat.units, asked)

    def _refusal(self, known: _Key | None, now: float, as_if: Outcome | None) -> Outcome | None:
        """Return why a well-formed key is refused whatever is asked with it, or None."""
        if known is None or known.spec.state is KeyState.UNKNOWN:
            return Outcome.UNKNOWN_KEY
        if as_if is not None and as_if is not Outcome.NO_SEATS:
            return as_if
        if known.spec.state is KeyState.OK:
            ends = known.spec.expires_at
            return Outcome.EXPIRED if ends is not None and ends <= now else None
        return _REFUSED_STATES[known.spec.state]

    def _free(self, known: _Key, deployment: str, move: Move, now: float) -> None:
        known.used -= known.seats.pop(deployment).units
        if self.keeper is not None:
            self.keeper.seat_changed(known.digest, deployment)
        self._tell(now, known, deployment, move)

    def _empty(self, known: _Key, now: float) -> None:
        for deployment in list(known.seats):
            self._free(known, deployment, Move.FORCED, now)

    def _tell(self, now: float, known: _Key, deployment: str, move: Move) -> None:
        if self._on_change is not None:
            self._on_change(Change(now, known.fingerprint, deployment, move, known.used))
