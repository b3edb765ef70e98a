"""The kubelet and the activation server of a run, for tests that want pods which run."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.chart.activation import Activation
from tests.chart.helm import Helm
from tests.chart.kubelet.container import possible
from tests.chart.kubelet.kubelet import Kubelet
from tests.chart.release import Release, forbidden, told_keys
from tests.cluster.control_plane.cluster import Cluster
from tests.cluster.control_plane.plane import ControlPlane


@pytest.fixture(scope="session")
def kubelet(control_plane: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubelet]:
    """Serve a node of the run's own cluster; a fault of the kubelet itself fails the run's last test."""
    if not isinstance(control_plane, ControlPlane):
        pytest.skip("these tests bring a node of their own, and the cluster is somebody else's")
    missing = possible()
    if missing:
        pytest.fail(missing, pytrace=False) if os.environ.get("CI") else pytest.skip(missing)
    with Kubelet(control_plane, tmp_path_factory.mktemp("kubelet")) as made:
        yield made
    assert made.errors == []


@pytest.fixture(scope="session")
def activation(kubelet: Kubelet) -> Activation:
    """Return the activation server of the run."""
    return Activation(kubelet)


@pytest.fixture
def restricted(kubelet: Kubelet) -> Iterator[str]:
    """Make a namespace that enforces the restricted level; it is deleted afterwards."""
    name = kubelet.admin.create_namespace(pod_security="restricted")
    yield name
    kubelet.admin.delete_namespace(name)


@pytest.fixture
def release(
    helm3: Helm, own_control_plane: ControlPlane, kubelet: Kubelet, activation: Activation, restricted: str
) -> Iterator[Release]:
    """Hold a release that is not installed yet; in all its life nobody lacked a right, and nobody told a key."""
    made = Release(helm3, own_control_plane, kubelet, restricted)
    yield made
    assert not made.keeps_its_rights or forbidden(own_control_plane, restricted) == []
    assert told_keys(kubelet, restricted, activation) == []
