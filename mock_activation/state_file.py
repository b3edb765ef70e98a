"""The state on disk (``serve --state FILE``): keys by digest, seats, switches and the clock's offset, in SQLite.

It opens, reads, writes and complains; when to write is ``commits``' affair. No key is ever in the file: the SHA-256 of
a key is enough to know it again. A file that is not whole, not ours, newer or in use is left as it is.
"""

from __future__ import annotations

import json
import math
import os
import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Final

from mock_activation.pool import KeySpec, KeyState, Seat
from mock_activation.switches import POSITIONS, Switches

APPLICATION_ID: Final = 0x4D6F634B  # "MocK" in SQLite's header says whose file it is
FORMAT: Final = 1
_BUSY_SECONDS: Final = 1.0  # a predecessor that is just about to end

_SCHEMA: Final = f"""
BEGIN IMMEDIATE;
CREATE TABLE keys (
    id INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE CHECK (length(digest) = 64), spec TEXT NOT NULL
) STRICT;
CREATE TABLE seats (
    key INTEGER NOT NULL, deployment TEXT NOT NULL, taken_at REAL NOT NULL, last_contact REAL NOT NULL,
    units INTEGER NOT NULL CHECK (units > 0), PRIMARY KEY (key, deployment)
) STRICT;
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {FORMAT};
COMMIT;
"""


class StateError(Exception):
    """The state file cannot be used, or not be written; the text says which file, why, and what to do."""


@dataclass(frozen=True, slots=True)
class KeptKey:
    """One key of the file."""

    digest: str
    spec: KeySpec
    seats: tuple[Seat, ...]


@dataclass(frozen=True, slots=True)
class Kept:
    """All that a file holds; no ``switches``: nothing was ever written."""

    keys: tuple[KeptKey, ...]
    switches: Switches | None
    clock_offset: float


@dataclass(frozen=True, slots=True)
class Difference:
    """What shall be written together; None stands for what is no more. ``settings`` None: they are the same."""

    keys: Mapping[str, KeySpec | None] = field(default_factory=dict)
    seats: Mapping[tuple[str, str], Seat | None] = field(default_factory=dict)
    """By key digest and deployment ID."""
    settings: tuple[Switches, float] | None = None


class StateFile:
    """An open state file, locked against every other process until it is closed or this process is dead."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make a new one. Raises ``StateError``."""
        self.path = path
        self._ids: dict[str, int] = {}
        try:
            self._create()
            self._connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise self._explained(error) from None
        try:
            self._prepare()
        except BaseException as error:
            self._connection.close()
            if isinstance(error, sqlite3.Error):
                raise self._explained(error) from None
            raise

    def read(self) -> Kept:
        """Return all that is in the file. Raises ``StateError``."""
        try:
            fault = self._connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if fault != "ok":
                raise self._broken()
            return self._read()
        except sqlite3.Error as error:
            raise self._explained(error) from None
        except (ValueError, TypeError, KeyError, AttributeError):
            raise self._broken() from None

    def write(self, difference: Difference) -> None:
        """Write all of it or nothing; it is on the disk when this returns. Raises ``StateError``."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._write(difference)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise self._explained(error) from None

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    # -- inside ------------------------------------------------------------------------------------------------------

    def _create(self) -> None:
        # Made here and not by SQLite, so that nobody else may read which deployments there are. A file that exists is
        # not opened: to close it again would take away the locks that this process may hold on it.
        try:
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            # SQLite takes a single byte for an empty file.
            if not self.path.is_file() or self.path.stat().st_size == 1:
                raise self._foreign() from None

    def _prepare(self) -> None:
        run = self._connection.execute
        # Exclusive: two servers over one file would both be wrong. The lock dies with the process.
        run("PRAGMA locking_mode = EXCLUSIVE")
        run("BEGIN EXCLUSIVE")
        try:
            owner = run("PRAGMA application_id").fetchone()[0]
            version = run("PRAGMA user_version").fetchone()[0]
            empty = run("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        finally:
            run("ROLLBACK")
        if owner != APPLICATION_ID and not (owner == version == 0 and empty):
            raise self._foreign()
        if version > FORMAT:
            raise StateError(
                f"{self.path}: written by a newer mock-activation (format {version}, this one knows {FORMAT}); "
                "use that version, or name another file"
            )
        run("PRAGMA journal_mode = WAL")
        # FULL: each commit is on the disk, so not even a power cut takes back an answer. Group commit pays for it.
        run("PRAGMA synchronous = FULL")
        if owner != APPLICATION_ID:
            self._connection.executescript(_SCHEMA)

    def _read(self) -> Kept:
        run = self._connection.execute
        seats: dict[int, list[Seat]] = {}
        for key, *values in run(
            "SELECT key, deployment, taken_at, last_contact, units FROM seats ORDER BY taken_at, rowid"
        ):
            seats.setdefault(key, []).append(Seat(*values))
        keys = []
        for number, key_digest, spec in run("SELECT id, digest, spec FROM keys ORDER BY id"):
            self._ids[key_digest] = number
            keys.append(KeptKey(key_digest, _parse_spec(spec), tuple(seats.pop(number, ()))))
        if seats:
            raise self._broken()
        settings = dict(run("SELECT name, value FROM settings"))
        switches = _parse_switches(settings["switches"]) if "switches" in settings else None
        offset = float(settings.get("clock_offset", "0"))
        if not math.isfinite(offset):
            raise self._broken()
        return Kept(tuple(keys), switches, offset)

    def _write(self, difference: Difference) -> None:
        run = self._connection.execute
        for key_digest, spec in difference.keys.items():
            if spec is not None:
                number = self._ids.setdefault(key_digest, max(self._ids.values(), default=0) + 1)
                run(
                    "INSERT INTO keys VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET spec = excluded.spec",
                    (number, key_digest, json.dumps(asdict(spec))),
                )
        taken = []
        freed = []
        for (key_digest, deployment), seat in difference.seats.items():
            key = self._ids.get(key_digest)
            if seat is not None:
                taken.append((key, deployment, seat.taken_at, seat.last_contact, seat.units))
            elif key is not None:
                freed.append((key, deployment))
        if freed:
            self._connection.executemany("DELETE FROM seats WHERE key = ? AND deployment = ?", freed)
        if taken:
            self._connection.executemany(
                "INSERT INTO seats VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET taken_at = excluded.taken_at,"
                " last_contact = excluded.last_contact, units = excluded.units",
                taken,
            )
        for key_digest, spec in difference.keys.items():
            # The number stays taken until the end of the process: a rolled back removal must find its row again.
            if spec is None and key_digest in self._ids:
                run("DELETE FROM keys WHERE id = ?", (self._ids[key_digest],))
        if difference.settings is not None:
            switches, offset = difference.settings
            values = {"switches": json.dumps(asdict(switches)), "clock_offset": repr(offset)}
            self._connection.executemany(
                "INSERT INTO settings VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", values.items()
            )

    def _foreign(self) -> StateError:
        return StateError(
            f"{self.path}: not a state file of mock-activation, so it is left alone; name another file with --state"
        )

    def _broken(self) -> StateError:
        return StateError(
            f"{self.path}: the state file is damaged; bring back a copy, or move it away to begin without seats"
        )

    def _explained(self, error: OSError | sqlite3.Error) -> StateError:
        if isinstance(error, OSError):
            return StateError(f"{self.path}: {error.strerror}; name a file in a folder that can be written to")
        name = getattr(error, "sqlite_errorname", "")
        for start, reason in _REASONS.items():
            if name.startswith(start):
                return StateError(f"{self.path}: {reason}")
        if name.startswith("SQLITE_NOTADB"):
            return self._foreign()
        if name.startswith(("SQLITE_CORRUPT", "SQLITE_ERROR")):
            return self._broken()
        return StateError(f"{self.path}: {error} ({name}); look at the disk, or name another file with --state")


_REASONS: Final = {
    "SQLITE_BUSY": "in use by another process; end that one, or name another file with --state",
    "SQLITE_CANTOPEN": "cannot be opened; name a file in a folder that can be written to",
    "SQLITE_READONLY": "cannot be written to; change its permissions, or name another file with --state",
    "SQLITE_FULL": "the disk is full; make room, and ask again",
    "SQLITE_IOERR": "the disk failed to read or write; look at the system's log, or name another file with --state",
}


def _parse_spec(text: str) -> KeySpec:
    """Read what a key allows. Raises ``ValueError``, ``TypeError``, ``KeyError`` or ``AttributeError``."""
    data = json.loads(text)
    engines = tuple(data.pop("licensed_engines"))
    return KeySpec(**data | {"state": KeyState(data["state"]), "licensed_engines": engines})


def _parse_switches(text: str) -> Switches:
    data = json.loads(text)
    if not set(data) <= {one.name for one in fields(Switches)}:
        raise ValueError("a switch of another version")
    return Switches(**{name: POSITIONS[name](value) for name, value in data.items()})  # type: ignore[arg-type] # each is a position of its own switch
