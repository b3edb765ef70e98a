"""The ledgers' contract, run against the file ledger and against the simulation's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.adapters.file_ledger import FileLedger
from sidecar.core.records import Listing
from sidecar.ports import Ledger
from tests.contract.ledger_contract import LedgerContract
from tests.contract.seats import seat
from tests.simulation.memory_ledger import MemoryLedger


class TestFileLedger(LedgerContract):
    """Two processes' handles on one folder."""

    @pytest.fixture
    def ledgers(self, tmp_path: Path) -> Iterator[tuple[Ledger, Ledger]]:
        """Return two ledgers with a thread each, as two processes would have."""
        one, two = FileLedger(tmp_path, poll=0.005), FileLedger(tmp_path, poll=0.005)
        yield one, two
        one.close()
        two.close()


class TestMemoryLedger(LedgerContract):
    """Two sidecars' views in a simulation."""

    @pytest.fixture
    def ledgers(self) -> tuple[Ledger, Ledger]:
        """Return a ledger and another view of it."""
        one = MemoryLedger()
        return one, one.seen_by()

    async def test_a_hook_can_lose_the_request_or_the_answer(self) -> None:
        """A fault before leaves nothing; one after leaves the record, and its caller in doubt."""
        calls: list[tuple[str, str]] = []

        async def fail(operation: str, name: str) -> None:
            calls.append((operation, name))
            raise TimeoutError

        ledger = MemoryLedger()
        with pytest.raises(TimeoutError):
            await ledger.seen_by(before=fail).create(seat())
        assert ledger.content == Listing(())
        with pytest.raises(TimeoutError):
            await ledger.seen_by(after=fail).create(seat())
        assert [stored.record for stored in ledger.content.records] == [seat()]
        assert calls == [("create", seat().identity.name)] * 2
