"""Everything that a mock knows at a moment, as JSON, and the way back: for scenes that a test begins with.

A snapshot is read as a whole before anything is changed. It holds no key: digests tell them apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from mock_activation.backend import Backend
from mock_activation.fault_input import parse_fault, written
from mock_activation.faults import Fault
from mock_activation.fields import Fields, InputError
from mock_activation.key_input import parse_key_change, parse_switches
from mock_activation.pool import KeySpec, Seat
from mock_activation.profiles import MOST_SEED, PROFILES
from mock_activation.secrecy import mask
from mock_activation.switches import Switches

VERSION: Final = 1
MOST_SNAPSHOT: Final = 256 * 2**20
MOST_TIME: Final = 1e11
FURTHEST: Final = 10 * 365 * 86_400.0
"""Seconds by which the clock can be advanced at most."""
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was exported; ``keys`` by digest."""

    switches: Switches
    keys: Mapping[str, tuple[KeySpec, tuple[Seat, ...]]]
    faults: tuple[Fault, ...]
    profile: str
    seed: int
    advanced: float


def export(backend: Backend) -> dict[str, Any]:
    """Return everything but the journal, the counters, and how often rules have happened."""
    pool = backend.pool
    return {
        "snapshot": VERSION,
        "now": backend.now(),
        "advanced": backend.advanced,
        "switches": asdict(pool.switches),
        "keys": [
            {
                "digest": digest,
                "seats": spec.seats,
                "state": spec.state,
                "expires": spec.expires_at,
                "product_id": spec.product_id,
                "product_name": spec.product_name,
                "licensed_to": spec.licensed_to,
                "licensed_engines": list(spec.licensed_engines) or "*",
                "taken": [asdict(seat) for seat in view.taken],
            }
            for (digest, spec), view in zip(pool.specs().items(), pool.view(), strict=True)
        ],
        "faults": [written(rule.fault) for rule in backend.faults.rules()],
        "profile": backend.profile,
        "seed": backend.faults.seed,
    }


def parse_snapshot(data: object) -> Snapshot:
    """Read what ``export`` returned. Raises ``InputError`` with everything that is wrong."""
    fields = Fields(data, "")
    fields.check()
    if fields.take("snapshot") != VERSION:
        fields.wrong(f"snapshot must be {VERSION}: another version cannot be read")
        fields.check()
    fields.take("now")
    profile = fields.take("profile")
    if not isinstance(profile, str) or profile not in PROFILES:
        fields.wrong(f"profile must be one of {', '.join(PROFILES)}")
    faults: list[str] = []
    keys: dict[str, tuple[KeySpec, tuple[Seat, ...]]] = {}
    rules: list[Fault] = []
    switches = Switches()
    for index, entry in enumerate(_list(fields, "keys"), 1):
        with _Collected(faults, f"keys, entry {index}"):
            digest, spec, seats = _parse_key(entry)
            if digest in keys:
                raise InputError("this digest was named before")
            keys[digest] = spec, seats
    for index, entry in enumerate(_list(fields, "faults"), 1):
        with _Collected(faults, f"faults, entry {index}"):
            rules.append(parse_fault(entry))
    with _Collected(faults, "switches"):
        switches = parse_switches(fields.take("switches") or {}, Switches())
    snapshot = Snapshot(
        switches,
        keys,
        tuple(rules),
        str(profile),
        fields.integer("seed", 0, least=0, most=MOST_SEED) or 0,
        fields.number("advanced", 0.0, least=0.0, most=FURTHEST),
    )
    for sentence in faults:
        fields.wrong(sentence)
    fields.finish()
    return snapshot


def restore(backend: Backend, snapshot: Snapshot) -> None:
    """Have exactly what the snapshot tells; the journal is cleared. Seats that go and come are told like any other."""
    pool, now = backend.pool, backend.now()
    pool.clear(now)
    pool.revert({digest: spec for digest, (spec, _seats) in snapshot.keys.items()}, now)
    pool.switches = snapshot.switches
    backend.advanced = snapshot.advanced
    for digest, (_spec, seats) in snapshot.keys.items():
        for seat in seats:
            pool.retake(digest, seat, backend.now())
    backend.faults.clear()
    backend.faults.reseed(snapshot.seed)
    for fault in snapshot.faults:
        backend.faults.add(fault)
    backend.profile = snapshot.profile
    backend.journal.clear()
    backend.tell_profile()
    backend.tell_state("snapshot")


class _Collected:
    """Collects what is wrong with one part, and goes on with the next."""

    def __init__(self, faults: list[str], place: str) -> None:
        self._faults, self._place = faults, place

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        """Keep an ``InputError``."""
        if not isinstance(error, InputError):
            return False
        self._faults += [f"{self._place}: {fault}" for fault in error.faults]
        return True


def _list(fields: Fields, name: str) -> list[Any]:
    value = fields.take(name)
    if isinstance(value, list):
        return value
    fields.wrong(f"{name} must be a list")
    return []


def _parse_key(data: object) -> tuple[str, KeySpec, tuple[Seat, ...]]:
    if not isinstance(data, Mapping):
        raise InputError("must be a mapping of fields")
    rest = dict(data)
    digest, taken = rest.pop("digest", None), rest.pop("taken", None)
    if not isinstance(digest, str) or _DIGEST.fullmatch(digest) is None:
        raise InputError("digest must be 64 hexadecimal digits")
    if not isinstance(taken, list):
        raise InputError("taken must be a list")
    seats: dict[str, Seat] = {}
    for entry in taken:
        fields = Fields(entry, "taken")
        seat = Seat(
            fields.text("deployment", "?"),
            fields.number("taken_at", 0.0, least=0.0, most=MOST_TIME),
            fields.number("last_contact", 0.0, least=0.0, most=MOST_TIME),
            fields.integer("units", 1, least=1, most=1_000_000) or 1,
        )
        if mask(seat.deployment) != seat.deployment:
            fields.wrong("a deployment looks like a key")
        if seat.deployment in seats:
            fields.wrong("a deployment is there twice")
        fields.finish()
        seats[seat.deployment] = seat
    return digest, parse_key_change(rest, KeySpec(0)), tuple(seats.values())
