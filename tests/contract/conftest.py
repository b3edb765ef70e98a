"""The suites are modules of their own, whose assertions pytest explains only if it is told about them in time."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.contract.ledger_contract")
