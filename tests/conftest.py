"""What every test keeps to."""

from __future__ import annotations

import re

import pytest

# The forms of .ci/scan_output.py, which reads all that the tests print; here it is told before an hour has gone by.
KEY = re.compile(
    r"(?<![A-Za-z0-9-])[A-Za-z0-9]{4}(?:-[A-Za-z0-9]{4}){5,7}(?![A-Za-z0-9-])"
    r"|(?<![0-9A-Za-z])[0-9a-f]{36}(?![0-9A-Za-z])"
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a test whose name shows a key, as a parameter without an id does: names go into every report."""
    shown = sorted({item.nodeid.partition("[")[0] for item in items if KEY.search(item.nodeid)})
    if shown:
        message = f"a key in the name of a case; give ids= to parametrize: {', '.join(shown)}"
        raise pytest.UsageError(message)
