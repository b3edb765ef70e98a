"""What an operator finds: the mock in a thread, a folder of seat records, a key folder, owners that live or not."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mock_activation.pool import KeySpec
from mock_activation.server import MockActivation
from sidecar.adapters.file_instances import FileInstances
from sidecar.adapters.file_ledger import FileLedger
from sidecar.cli import main
from sidecar.core.records import Identity, Owner, Phase, SeatRecord, Stored
from sidecar.secrets import Secret

KEY = Secret("DE11-DE12-DE13-DE14-DE15-DE16-DE17")
FORMER = Secret("DF21-DF22-DF23-DF24-DF25-DF26-DF27")
FOREIGN = Secret("DG31-DG32-DG33-DG34-DG35-DG36-DG37")
FAST = {
    "--ledger-kind": "file",
    "--lease-duration": "0.3s",
    "--lease-renew": "0.09s",
    "--activation-late": "0.5s",
    "--activation-timeout": "0.5s",
}


def seat_id(number: int) -> str:
    """Return a deployment ID in the vendor's form."""
    return f"MSCL{number:032X}"


A, B, C, D = map(seat_id, range(4))


class MockThread:
    """The mock activation server, on a loop of its own."""

    def __init__(self) -> None:
        self.mock = MockActivation({it.reveal(): KeySpec(9) for it in (KEY, FORMER, FOREIGN)})
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)
        self._thread.start()
        self._ready.wait(10)

    async def _serve(self) -> None:
        async with self.mock:
            self._ready.set()
            await self._stop.wait()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()


class Desk:
    """One test's folders; ``run`` is the command line."""

    def __init__(self, folder: Path, mock: MockActivation, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.mock = folder, mock
        self.ledger, self.keys = folder / "ledger", folder / "keys"
        self.ledger.mkdir()
        self.keys.mkdir()
        self.write_keys(KEY, FORMER)
        self._capsys = capsys
        self._owners: dict[str, FileInstances] = {}
        mock.pool.clear(0.0)
        mock.journal.clear()
        mock.faults.clear()

    def write_keys(self, current: Secret, *previous: Secret) -> None:
        (self.keys / "value").write_text(current.reveal())
        (self.keys / "previous").write_text("\n".join(it.reveal() for it in previous))

    def owner(self, name: str, *, lives: bool) -> Owner:
        """Return an owner who holds his lock, or who did."""
        if name not in self._owners:
            self._owners[name] = FileInstances.enter(self.ledger, name, timeout=1.0)
        owner = self._owners[name].owner
        if not lives:
            self._owners.pop(name).close()
        return owner

    def seat(
        self,
        deployment_id: str,
        name: str,
        *,
        lives: bool = False,
        key: Secret = KEY,
        taken: bool = True,
        **changes: Any,
    ) -> Stored:
        """Write a record and take its seat."""
        if taken:
            self.take(deployment_id, key)
        owner = replace(self.owner(name, lives=lives), **changes.pop("owner", {}))
        now = time.time()
        record = SeatRecord(Identity(self.mock.url, key.fingerprint, deployment_id), owner, Phase.ACTIVE, open=False)
        record = replace(record, **{"created_at": now - 7200, "renewed_at": now - 90, **changes})
        return asyncio.run(FileLedger(self.ledger).create(record))

    def take(self, deployment_id: str, key: Secret = KEY) -> None:
        """Take a seat on the server, as anybody may."""
        self.mock.pool.activate(key.reveal(), deployment_id, 1, 0.0)

    def taken(self) -> list[str]:
        """Return the IDs that have a seat, under whatever key."""
        return sorted(seat.deployment for key in self.mock.pool.view() for seat in key.taken)

    def asked(self) -> int:
        """Return how many requests the server got."""
        return len(self.mock.journal.entries())

    def records(self) -> int:
        """Return how many records there are."""
        return len(list(self.ledger.glob("seat-*.json")))

    def run(self, *arguments: str, **settings: str) -> tuple[int, str, str]:
        """Run a command; return exit code, output and error output, in which there is no key."""
        flags = {
            "--activation-url": self.mock.url,
            "--ledger-dir": str(self.ledger),
            "--key-dir": str(self.keys),
            "--pod-name": "operator",
            **FAST,
            **{f"--{name.replace('_', '-')}": value for name, value in settings.items()},
        }
        self._capsys.readouterr()
        try:
            code = main([*arguments, *(text for pair in flags.items() for text in pair)])
        except SystemExit as end:
            code = int(end.code or 0)
        written = self._capsys.readouterr()
        for secret in (KEY, FORMER, FOREIGN):
            groups = secret.reveal().split("-")
            shown = [group for group in groups if group in written.out + written.err]
            assert not shown, "a part of a key was shown"
        return code, written.out, written.err

    def json(self, *arguments: str, **settings: str) -> tuple[int, dict[str, Any]]:
        """Run a command with ``--output json``."""
        code, out, _ = self.run(*arguments, "--output", "json", **settings)
        told: dict[str, Any] = json.loads(out)
        return code, told

    def results(self, *arguments: str, **settings: str) -> tuple[int, list[tuple[str, str]]]:
        """Run a command and return its exit code and (ID, result) of each seat, by ID."""
        code, told = self.json(*arguments, **settings)
        return code, sorted((it["deployment_id"], it["result"]) for it in told["results"])

    def close(self) -> None:
        for owner in self._owners.values():
            owner.close()
