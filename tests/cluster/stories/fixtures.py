"""Fixtures of the stories: one mock and one nursery for all, one namespace for each test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster.control_plane.cluster import Cluster
from tests.cluster.stories.front import Front
from tests.cluster.stories.scene import PodScene
from tests.process.processes import Nursery
from tests.process.scene import Mock, made_up_key


@dataclass(frozen=True)
class Cast:
    """What all stories share: the activation server, and those who fork sidecars, commands and stand-ins."""

    mock: Mock
    births: Nursery
    apps: Nursery


@pytest.fixture(scope="session")
def cast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cast]:
    """Start them once; each story has a key of its own."""
    folder = tmp_path_factory.mktemp("cast")
    mock = Mock.start(folder)
    nurseries = [
        Nursery(module, tmp_path_factory.mktemp("nursery"))
        for module in ("tests.cluster.stories.births", "tests.process.stand_in")
    ]
    yield Cast(mock, *nurseries)
    for nursery in nurseries:
        nursery.close()
    mock.process.end()


@pytest.fixture
def story(
    request: pytest.FixtureRequest, control_plane: Cluster, namespace: str, tmp_path: Path, cast: Cast
) -> Iterator[PodScene]:
    """Set the scene with a key of one seat; at the end nothing runs any more, and no secret stood anywhere."""
    name = request.node.nodeid
    folder = tmp_path / "scene"
    folder.mkdir()
    made = PodScene(
        name=name,
        folder=folder,
        mock=cast.mock,
        nursery=cast.births,
        stand_ins=cast.apps,
        key=made_up_key(name),
        cluster=control_plane,
        namespace=namespace,
        accounts=tmp_path / "accounts",
    )
    try:
        yield made
        made.expect_no_secret()
    finally:
        made.close()


@pytest.fixture
def front(story: PodScene) -> Iterator[Front]:
    """Put something with an authority of its own between the pods of a story and the API server."""
    with Front(story.cluster) as made:
        story.environ = made.environ
        yield made
