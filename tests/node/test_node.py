"""The node itself: what the other tests believe of it is true."""

from __future__ import annotations

from tests.cluster.control_plane.plane import ControlPlane
from tests.node.node import Node, is_ready


def test_a_node_joins_the_cluster(plane: ControlPlane, node: Node) -> None:
    """The kubelet registers it, and the controllers call it ready."""
    (found,) = plane.admin.list("nodes")
    assert is_ready(found)
    assert found["status"]["nodeInfo"]["kubeletVersion"] == plane.version
    assert found["status"]["nodeInfo"]["containerRuntimeVersion"].startswith("containerd://")
