"""The documented Roles against the API server's audit log: what they give is what a whole life uses (docs/rbac.md)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.control_plane.plane import ControlPlane
from tests.cluster.roles import EVERYTHING, documented, grant, refused, rights, used
from tests.cluster.whole_life import ACCOUNT, Life
from tests.process.processes import Nursery
from tests.process.scene import Mock, Scene, made_up_key


@pytest.fixture
def life(
    request: pytest.FixtureRequest, own_control_plane: ControlPlane, namespace: str, tmp_path: Path
) -> Iterator[Life]:
    """Set the scene for one life: a mock with one seat, and two namespaces more."""
    admin, name = own_control_plane.admin, request.node.nodeid
    others = [admin.create_namespace() for _ in range(2)]
    mock = Mock.start(tmp_path)
    stand_ins = Nursery("tests.process.stand_in", tmp_path)
    folder = tmp_path / "scene"
    folder.mkdir()
    scene = Scene(
        name=name, folder=folder, mock=mock, nursery=stand_ins, stand_ins=stand_ins, key=made_up_key(name), seats=1
    )
    try:
        yield Life(own_control_plane, scene, namespace, *others)
        scene.expect_no_secret()
    finally:
        scene.close()
        stand_ins.close()
        mock.process.end()
        for other in others:
            admin.delete_namespace(other)


@pytest.mark.parametrize("given", ["everything", "documented"])
def test_the_documented_roles_are_what_a_life_uses(life: Life, given: str) -> None:
    """Whether it may do everything or only that: nothing that is used is missing, nothing is there that is not used."""
    admin, roles = life.plane.admin, documented()
    places = {
        life.home: roles["license-sidecar"],
        life.ledger: roles["license-sidecar-ledger"],
        life.abroad: roles["license-sidecar-look"],
    }
    admin.create_service_account(life.home, ACCOUNT)
    for place, rules in places.items():
        grant(admin, place, (life.home, ACCOUNT), EVERYTHING if given == "everything" else rules)
    life.live()
    assert used(life.plane, life.user) == {place: rights(rules) for place, rules in places.items()}
    assert refused(life.plane, life.user) == []
