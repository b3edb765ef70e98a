"""The cluster as pytest fixtures, for every folder of tests that wants one: its ``conftest.py`` registers this module.

Nothing is built here, for that takes minutes and pytest shows no progress: what is absent is told, with the command
that brings it. Nobody's own cluster is used by surprise: KUBECONFIG alone is not enough.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NoReturn

import pytest

from tests.cluster.binaries import DEFAULT_VERSION, Missing
from tests.cluster.control_plane.admin import Admin
from tests.cluster.control_plane.cluster import Cluster, ExistingCluster
from tests.cluster.control_plane.plane import ControlPlane

VERSION: Final = "LICENSE_SIDECAR_TEST_KUBERNETES"
CHOICE: Final = "LICENSE_SIDECAR_TEST_CLUSTER"


def absent(missing: Missing) -> NoReturn:
    """Skip with the command that brings what is missing; in CI fail, since there everything must run."""
    if os.environ.get("CI"):
        pytest.fail(str(missing), pytrace=False)
    pytest.skip(str(missing))


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Start a control plane for all tests, or take the existing cluster that two variables name."""
    folder = tmp_path_factory.mktemp("control-plane")
    if os.environ.get(CHOICE) == "existing":
        config = os.environ.get("KUBECONFIG")
        if not config:
            pytest.fail(f"{CHOICE}=existing needs KUBECONFIG, the file of that cluster", pytrace=False)
        existing = ExistingCluster(Path(config), folder)
        yield existing
        existing.stop()
        return
    try:
        made = ControlPlane(folder, os.environ.get(VERSION) or DEFAULT_VERSION, scheduler=True)
    except Missing as missing:
        absent(missing)
    with made:
        yield made


@pytest.fixture
def own_control_plane(control_plane: Cluster) -> Iterator[ControlPlane]:
    """Return the control plane to tests that stop it, pause it or read its audit log; it runs again after them."""
    if not isinstance(control_plane, ControlPlane):
        pytest.skip("this test stops the API server or reads its audit log, and the cluster is somebody else's")
    yield control_plane
    control_plane.recover()


@pytest.fixture
def admin(control_plane: Cluster) -> Admin:
    """Return the administrator of the cluster."""
    return control_plane.admin


@pytest.fixture
def namespace(control_plane: Cluster, admin: Admin) -> Iterator[str]:
    """Make a namespace of the test's own, in which pods can be made; it is deleted afterwards."""
    name = admin.create_namespace()
    yield name
    if isinstance(control_plane, ControlPlane):
        control_plane.recover()  # a test that failed half-way may have left the API server stopped
    admin.delete_namespace(name)
