"""A Deployment whose pods really run: its controller makes and deletes the pods, and a test is their kubelet.

The kubelet has turns: in each it starts what shall run in new pods, and ends what runs in those that are to end, in the
order of a native sidecar (kubernetes.md): the app, then the sidecar, then the object.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.cluster.control_plane.api import Object
from tests.cluster.control_plane.pods import APP, NODE, SIDECAR
from tests.cluster.stories.scene import ACCOUNT, Pod, PodScene
from tests.process.processes import until
from tests.process.scene import Settings

IMAGE = "registry.invalid/test:1"
WORKLOAD = "md-icapsrv"
LABELS = {"app": WORKLOAD}


def deployment(replicas: int) -> Object:
    """Return the Deployment, as small as it can be."""
    spec = {
        "containers": [{"name": APP, "image": IMAGE}],
        "initContainers": [{"name": SIDECAR, "image": IMAGE, "restartPolicy": "Always"}],
        "serviceAccountName": ACCOUNT,
        "nodeName": NODE,
    }
    template = {"metadata": {"labels": LABELS}, "spec": spec}
    return {
        "metadata": {"name": WORKLOAD},
        "spec": {"replicas": replicas, "selector": {"matchLabels": LABELS}, "template": template},
    }


@dataclass
class Kubelet:
    """The pods of one scene's Deployment, by name, with these settings. ``dead`` nodes do nothing any more."""

    scene: PodScene
    settings: Settings = field(default_factory=dict)
    pods: dict[str, Pod] = field(default_factory=dict)
    ending: set[str] = field(default_factory=set)
    dead: set[str] = field(default_factory=set)

    def deploy(self, replicas: int) -> list[Pod]:
        """Make the Deployment and wait until every pod has its seat."""
        scene = self.scene
        scene.mock.put_key(scene.key, seats=replicas)
        scene.admin.create("deployments", deployment(replicas), scene.namespace)

        def started() -> bool:
            self.turn()
            return len(self.pods) == replicas

        until("the pods of the Deployment", started, story=scene.story)
        for pod in self.pods.values():
            until(
                f"the seat of {pod.name}",
                lambda pod=pod: scene.phase(pod.id) == "active",
                story=scene.story,
            )
        return list(self.pods.values())

    def turn(self) -> None:
        """Do what is to be done now, and wait for nothing."""
        for found in self.scene.admin.list("pods", self.scene.namespace, labelSelector=f"app={WORKLOAD}"):
            meta = found["metadata"]
            name = meta["name"]
            if name in self.dead:
                continue
            if "deletionTimestamp" in meta:
                self._end(name)
            elif name not in self.pods:
                self._start(name, meta["uid"])

    def until(self, what: str, condition: Callable[[], object]) -> None:
        """Have turns until something is true."""

        def seen() -> object:
            self.turn()
            return condition()

        until(what, seen, limit=60, story=self.scene.story)

    def lose(self, pod: Pod) -> None:
        """Let a pod's node die: nothing runs, nobody says a word, and the object stays."""
        self.dead.add(pod.name)
        pod.kill()

    def _start(self, name: str, uid: str) -> None:
        scene = self.scene
        scene.admin.set_pod_status(scene.namespace, name)
        mounted = scene.admin.mount(scene.accounts / name, scene.namespace, ACCOUNT)
        scene.mounted[name] = mounted
        scene.secrets.append(mounted.token)
        self.pods[name] = Pod(scene, name, uid, mounted.folder, scene.app(name=f"app-{name}"))
        self.pods[name].start(self.settings)

    def _end(self, name: str) -> None:
        """Take the next step of a pod's end: its app is told to stop first, its object goes last."""
        pod = self.pods.get(name)
        if pod is None or pod.app is None or pod.sidecar is None:
            self.scene.admin.force_delete_pod(self.scene.namespace, name)
        elif pod.app.process.code is None:
            pod.app.process.signal(signal.SIGTERM)
        elif pod.sidecar.process.code is None:
            if name not in self.ending:
                self.ending.add(name)
                pod.sidecar.process.signal(signal.SIGTERM)
        else:
            self.scene.admin.force_delete_pod(self.scene.namespace, name)
