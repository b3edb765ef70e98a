"""Nodes that are drained, and nodes that lose their power: nobody there says anything, so that others have to."""

from __future__ import annotations

import time

from tests.cluster.control_plane.api import wait_for
from tests.node.conftest import Nodes
from tests.node.scene import LEASE, RENEW, SEATS, Release, tell


def test_a_drained_node_moves_its_seats(release: Release, nodes: Nodes) -> None:
    """Evictions, one at a time as the budget allows: each pod starts elsewhere with a seat, and nothing is left."""
    spare = nodes.spare()
    old = [node for node in nodes.alive() if node is not spare]
    seats = release.seats()
    for node in old:
        release.cordon(node.name)
    since = time.monotonic()
    for pod in release.pods():
        release.until(f"the eviction of {pod.name}", lambda pod=pod: release.evict(pod))  # type: ignore[misc]
    pods = release.settled(SEATS)
    tell("drain of three pods to three pods ready elsewhere", time.monotonic() - since)
    assert {pod.node for pod in pods} == {spare.name}
    assert not seats & release.seats()
    for node in old:
        release.cordon(node.name, off=True)


def test_a_node_that_dies_leaks_no_seat(release: Release, nodes: Nodes) -> None:
    """While its pod's object is there the seat is nobody's to take; once an admin deletes it, peers give it back."""
    lost = nodes.spare()
    kept = [node for node in nodes.alive() if node is not lost]
    victims = [pod for pod in release.pods() if pod.node == lost.name]
    if not victims:
        for node in kept:
            release.cordon(node.name)
        release.admin.delete_pod(release.namespace, release.sound().name)
        victims = [pod for pod in release.settled(SEATS) if pod.node == lost.name]
        for node in kept:
            release.cordon(node.name, off=True)
    release.cordon(lost.name)
    seats = {release.deployments()[pod.uid] for pod in victims}
    assert seats

    lost.die()
    died = time.monotonic()
    time.sleep(LEASE + RENEW)  # by now every peer has seen that nobody renews the records
    assert seats <= release.seats()
    assert {pod.uid for pod in victims} <= set(release.deployments())

    for pod in victims:
        release.admin.force_delete_pod(release.namespace, pod.name)
    since = time.monotonic()
    release.until("the seats of the dead to be free", lambda: not seats & release.seats())
    tell(f"node dead to its {len(victims)} pods deleted by force", since - died)
    tell("deletion by force to their seats free", time.monotonic() - since)
    pods = release.settled(SEATS)
    tell("deletion by force to all pods ready", time.monotonic() - since)
    assert lost.name not in {pod.node for pod in pods}
    release.admin.delete("nodes", lost.name)
    wait_for("the end of the node", lambda: release.admin.find("nodes", lost.name) is None)
