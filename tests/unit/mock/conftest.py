"""A running mock with one key of two seats."""

from collections.abc import AsyncIterator

import pytest

from mock_activation.server import MockActivation
from tests.unit.mock.vendor_client import KEY, Vendor


@pytest.fixture
async def vendor() -> AsyncIterator[Vendor]:
    """Start it, and hand out a client."""
    async with MockActivation({KEY: 2}) as mock:
        yield Vendor(mock)
