"""A cluster with real nodes, for the tests of this folder: ``make test-node`` makes the room that they run in."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.chart.helm import Missing as NoHelm
from tests.chart.helm import helm
from tests.cluster.binaries import DEFAULT_VERSION, Missing
from tests.cluster.control_plane.fixtures import absent
from tests.cluster.control_plane.plane import ControlPlane
from tests.node.dns import Names
from tests.node.enclosure import FOLDER
from tests.node.images import pause_image
from tests.node.node import Node, Proxy, node_address
from tests.node.programs import IMAGE, node_binaries, require_machine
from tests.node.scene import SEATS, Release, fake_key, trial

DNS: Final = "10.250.0.53"
_API_SERVER: Final = (
    *("--bind-address=0.0.0.0", f"--advertise-address={node_address(100)}"),
    *("--endpoint-reconciler-type=lease", "--kubelet-preferred-address-types=InternalIP"),
    "--enable-admission-plugins=NodeRestriction",
)
_CONTROLLERS: Final = ("node-lifecycle-controller", "pod-garbage-collector-controller", "taint-eviction-controller")


class Nodes:
    """The nodes of the cluster; each is made when somebody wants it."""

    def __init__(self, plane: ControlPlane, room: Path, image: Path, *, kubelet: Path, proxy: Path) -> None:
        """Make no node yet."""
        self._plane, self._room, self._kubelet = plane, room, kubelet
        self._proxy = Proxy(plane, room, proxy)
        self._images = (pause_image(room), image)
        self.made: list[Node] = []

    def make(self) -> Node:
        """Bring another node, and wait until it is ready."""
        number = len(self.made) + 1
        _add_address(node_address(number))
        node = Node(self._plane, number, self._room, kubelet=self._kubelet, dns=DNS)
        self.made.append(node)
        node.start(*self._images)
        self._proxy.await_rules()
        return node

    def alive(self) -> list[Node]:
        """Return those that have not died."""
        return [node for node in self.made if node.lives]

    def spare(self) -> Node:
        """Return a node besides the first one, which lives."""
        return self.alive()[-1] if len(self.alive()) > 1 else self.make()

    def end(self) -> None:
        """End them all."""
        for node in self.made:
            node.die()
        self._proxy.stop()


@pytest.fixture(scope="session")
def room() -> Path:
    """Return the folder of the room that this run is in."""
    if FOLDER not in os.environ:
        absent(Missing("these tests need namespaces of their own", "make test-node"))
    try:
        require_machine()
    except Missing as missing:
        absent(missing)
    return Path(os.environ[FOLDER])


@pytest.fixture(scope="session")
def plane(room: Path) -> Iterator[ControlPlane]:
    """Start a control plane that nodes can join."""
    for address in (node_address(100), DNS):
        _add_address(address)
    folder = room / "plane"
    try:
        made = ControlPlane(
            folder, DEFAULT_VERSION, scheduler=True, api_server_flags=_API_SERVER, controllers=_CONTROLLERS
        )
    except Missing as missing:
        absent(missing)
    with made, Names(DNS, made.admin):
        yield made


@pytest.fixture(scope="session")
def nodes(room: Path, plane: ControlPlane) -> Iterator[Nodes]:
    """Return who makes nodes, each with our image; they die with the run."""
    image = Path(os.environ.get(IMAGE, ""))
    if not image.is_file():
        absent(Missing("our image is not built", "make test-node"))
    try:
        kubelet, proxy = (node_binaries().find(name) for name in ("kubelet", "kube-proxy"))
    except Missing as missing:
        absent(missing)
    made = Nodes(plane, room, image, kubelet=kubelet, proxy=proxy)
    try:
        yield made
    finally:
        made.end()


@pytest.fixture(scope="session")
def node(nodes: Nodes) -> Node:
    """Return the first node, ready."""
    return nodes.make()


@pytest.fixture(scope="session")
def make_release(nodes: Nodes, node: Node, plane: ControlPlane, room: Path) -> Callable[[], Release]:
    """Return who makes releases, each in a namespace of its own, none of them installed."""
    try:
        program = helm(3)
    except NoHelm as missing:
        absent(Missing(*str(missing).partition("; to get it: ")[::2]))
    return lambda: Release(program, plane, lambda: nodes.made, room)


@pytest.fixture(scope="session")
def installed(make_release: Callable[[], Release]) -> Release:
    """Install three pods on three seats, once for all stories that leave them as they were."""
    release = make_release()
    release.install(trial(fake_key(), SEATS))
    return release


@pytest.fixture
def release(installed: Release) -> Iterator[Release]:
    """Return that release, whole: each story begins and ends with a seat for each pod."""
    installed.settled(SEATS)
    yield installed
    installed.settled(SEATS)


def _add_address(address: str) -> None:
    subprocess.run(["ip", "address", "replace", f"{address}/32", "dev", "lo"], check=True)
