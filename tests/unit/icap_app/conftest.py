"""Fixtures of the tests of the stand-in."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.unit.icap_app.conversation import Client, Vendor


@pytest.fixture
async def vendor() -> AsyncIterator[Vendor]:
    """Run an activation server on a free port, under a path prefix."""
    vendor = Vendor()
    application = web.Application()
    application.router.add_get("/some/prefix/{call}", vendor.answer)
    server = TestServer(application, host="127.0.0.1")
    await server.start_server(access_log=None)  # which would show the query, and with it the key
    vendor.url = str(server.make_url("/some/prefix"))
    yield vendor
    await server.close()


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """Make a client that opens a connection for each call, so that nothing stays open."""
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=5)) as session:
        yield Client(session)
