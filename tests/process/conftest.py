"""Fixtures of the process tests: one mock and one nursery for all, one scene for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.processes import Nursery
from tests.process.scene import Mock, Scene, made_up_key


@pytest.fixture(scope="session")
def mock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mock]:
    """Start the activation server that all tests share, each with its own key."""
    started = Mock.start(tmp_path_factory.mktemp("mock"))
    yield started
    started.process.end()


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """Start the process that forks sidecars."""
    started = Nursery("tests.process.mortal", tmp_path_factory.mktemp("nursery"))
    yield started
    started.close()


@pytest.fixture(scope="session")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """Start the process that forks stand-ins of the app."""
    started = Nursery("tests.process.stand_in", tmp_path_factory.mktemp("stand_ins"))
    yield started
    started.close()


@pytest.fixture
def scene(
    request: pytest.FixtureRequest, tmp_path: Path, mock: Mock, nursery: Nursery, stand_ins: Nursery
) -> Iterator[Scene]:
    """Set the scene with a key of one seat; at the end nothing runs any more, and no key stood anywhere."""
    name = request.node.nodeid
    made = Scene(name=name, folder=tmp_path, mock=mock, nursery=nursery, stand_ins=stand_ins, key=made_up_key(name))
    try:
        yield made
    finally:
        made.close()
    made.expect_no_secret()
