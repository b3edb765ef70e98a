"""A node that loses its power: nobody there can say anything any more, so the peers on other nodes have to."""

from __future__ import annotations

import time

from tests.cluster.control_plane.api import wait_for
from tests.node.conftest import Nodes
from tests.node.scene import LEASE, SEATS, Release, tell


def test_a_node_that_dies_leaks_no_seat(release: Release, nodes: Nodes) -> None:
    """While its pod's object is there the seat is nobody's to take; once an admin deletes it, peers give it back."""
    lost = nodes.make()
    kept = [node for node in nodes.made if node is not lost]
    for node in kept:
        release.cordon(node.name)
    release.admin.delete_pod(release.namespace, release.pods()[0].name)
    pods = release.settled(SEATS)
    (victim,) = [pod for pod in pods if pod.node == lost.name]
    seat = release.deployments()[victim.uid]
    release.cordon(lost.name)
    for node in kept:
        release.cordon(node.name, off=True)

    lost.die()
    died = time.monotonic()
    time.sleep(2 * LEASE)  # by now every peer has seen that nobody renews the record
    assert seat in release.seats()
    assert victim.uid in release.deployments()

    release.admin.force_delete_pod(release.namespace, victim.name)
    since = time.monotonic()
    free = release.until_free(seat)
    tell("node dead to its pod deleted by force", since - died)
    tell("deletion by force to seat free, by a peer", free - since)
    pods = release.settled(SEATS)
    tell("deletion by force to all pods ready", time.monotonic() - since)
    assert lost.name not in {pod.node for pod in pods}
    release.admin.delete("nodes", lost.name)
    wait_for("the end of the node", lambda: release.admin.find("nodes", lost.name) is None)
