"""Fixtures for the tests of others.

In a ``conftest.py``::

    pytest_plugins = ["mock_activation.pytest_plugin"]

They need no other plugin, and serve tests that block and tests that are asynchronous alike. Every server that a test
asked for has ended when the test has. Not imported by anything else here: pytest need not be installed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any, Protocol

import pytest

from mock_activation.in_process import MockProcess
from mock_activation.in_thread import MockInThread
from mock_activation.pool import KeySpec


class StartMock(Protocol):
    """Starts a server in a thread of the test's process."""

    def __call__(self, keys: Mapping[str, KeySpec | int] | None = None, **options: Any) -> MockInThread:
        """Start one with these keys (number of seats, or a ``KeySpec``) and options of ``MockActivation``."""


class StartMockProcess(Protocol):
    """Starts a server as a process."""

    def __call__(self, keys: Mapping[str, int] | None = None, *options: str) -> MockProcess:
        """Start one with these keys and options of ``mock-activation serve``."""


@pytest.fixture
def mock_activation() -> Iterator[StartMock]:
    """Return what starts mock activation servers: ``mock_activation({"ABCD-...": 2}).url``."""
    with ExitStack() as stack:

        def start(keys: Mapping[str, KeySpec | int] | None = None, **options: Any) -> MockInThread:
            return stack.enter_context(MockInThread(keys, **options))

        yield start


@pytest.fixture
def mock_activation_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartMockProcess]:
    """Return what starts ``mock-activation serve``: ``mock_activation_process({"ABCD-...": 2}, "--tls").url``."""
    with ExitStack() as stack:

        def start(keys: Mapping[str, int] | None = None, *options: str) -> MockProcess:
            return stack.enter_context(MockProcess(keys, *options, folder=tmp_path_factory.mktemp("mock-activation")))

        yield start
