"""A life in which sidecars and an operator do everything that they ever ask of Kubernetes, on a real API server.

Pods, ledger and foreign owners live in three namespaces, so that each right shows where it is used. Every step waits
for what it is about: whoever lacks a right does not get to the end.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from sidecar.adapters.lease_record import PHASE, PREFIX, encode
from sidecar.core.records import Identity, Owner, Phase, SeatRecord
from sidecar.core.servers import normalise
from tests.cluster.control_plane.plane import ControlPlane
from tests.cluster.control_plane.pods import APP, terminated
from tests.process.processes import until
from tests.process.scene import App, Scene, Sidecar

ACCOUNT: Final = "license-sidecar"
_CROWD: Final = 9
"""Owners in one namespace: one more than are looked at one by one."""


def made_up_id(name: str) -> str:
    """Return a deployment ID in the vendor's form that belongs to this name alone."""
    return f"MSIC{sha256(name.encode()).hexdigest()[:32]}"


@dataclass
class Pod:
    """An object in the cluster, and the two processes that stand for its containers."""

    name: str
    app: App
    sidecar: Sidecar
    config: str
    environ: dict[str, str]


@dataclass
class Life:
    """One scene with one seat, one account, three namespaces."""

    plane: ControlPlane
    scene: Scene
    home: str
    ledger: str
    abroad: str

    @property
    def user(self) -> str:
        """Return what the API server calls the account."""
        return f"system:serviceaccount:{self.home}:{ACCOUNT}"

    def live(self) -> None:
        """Live through everything; at the end our one seat is free."""
        one = self.starts("one")
        two = self.waits_for_the_seat_of(one, "two")
        self.crashes(two)
        three = self.dies_and_is_reclaimed_by(two, "three")
        self.loses_its_record(three)
        self.sidecar_restarts_alone(three)
        self.owners_abroad_come_and_go()
        self.operator_looks_and_acts(three)
        self.ends(three)
        until("the free seat", lambda: not self.scene.taken(), story=self.scene.story)

    # --- what happens -------------------------------------------------------------------------------------------------

    def starts(self, name: str) -> Pod:
        """Start a pod: it takes the seat, renews its record, and tells so on its pod."""
        pod = self._pod(name)
        self.scene.until_ready(pod.sidecar)
        self._until_phase(pod, "active")
        renewed = self._lease(pod)["spec"]["renewTime"]
        self._until("a renewal", lambda: self._lease(pod)["spec"]["renewTime"] != renewed)
        self._until_told("Activated")
        return pod

    def waits_for_the_seat_of(self, holder: Pod, name: str) -> Pod:
        """Start another pod: it finds no seat, watches the ledger, and takes the seat of the one that is deleted."""
        pod = self._pod(name)
        self._until("no seat", lambda: pod.sidecar.stage() == "refused")
        self._until_told("ActivationRefused")
        self.ends(holder)
        self.scene.until_ready(pod.sidecar)
        return pod

    def crashes(self, pod: Pod) -> None:
        """End the app's container: its seat is given back; then let it run again, under another ID."""
        admin = self.plane.admin
        pod.app.tell("restart", down=2, abrupt=True)
        ended = {"state": terminated(137, "OOMKilled"), "ready": False}
        admin.set_pod_status(self.home, pod.name, containers={APP: ended})
        self.scene.until_taken()
        self._until_told("SeatReleased")
        admin.restart_container(self.home, pod.name)
        self.scene.until_ready(pod.sidecar)
        self.scene.until_taken(pod.app.deployment_id)

    def dies_and_is_reclaimed_by(self, victim: Pod, name: str) -> Pod:
        """Let a pod vanish without a word: the next one looks for it for a lease, and gives its seat back."""
        victim.sidecar.process.end()
        victim.app.process.end()
        self.plane.admin.force_delete_pod(self.home, victim.name)
        pod = self._pod(name)
        self.scene.until_ready(pod.sidecar)
        self.scene.until_taken(pod.app.deployment_id)
        self._until_told("OrphanReclaimed")
        return pod

    def loses_its_record(self, pod: Pod) -> None:
        """Delete the record of a living pod: it looks for it, and writes it again."""
        before = self._lease(pod)["metadata"]
        self.plane.admin.delete("leases", before["name"], self.ledger)
        self._until("the record again", lambda: pod.name in self._owners())
        assert self._lease(pod)["metadata"]["uid"] != before["uid"]
        self._until_phase(pod, "active")

    def sidecar_restarts_alone(self, pod: Pod) -> None:
        """Send SIGTERM to the sidecar alone: the seat stays, and the successor adopts it."""
        pod.sidecar.process.signal(signal.SIGTERM)
        assert pod.sidecar.process.wait() == 0
        assert self.scene.taken() == {pod.app.deployment_id}
        self._run(pod)
        self.scene.until_ready(pod.sidecar)

    def owners_abroad_come_and_go(self) -> None:
        """Let owners live in another namespace and keep their records, and one vanish: its record is erased."""
        admin = self.plane.admin
        for number in range(_CROWD):
            uid = admin.create_pod(self.abroad, f"far-{number}")["metadata"]["uid"]
            self._plant(Owner(f"far-{number}", uid, self.abroad))
        admin.force_delete_pod(self.abroad, "far-0")
        far = {f"far-{number}" for number in range(1, _CROWD)}
        self._until("the record of the one", lambda: self._owners() & {"far-0", *far} == far)

    def operator_looks_and_acts(self, pod: Pod) -> None:
        """Call the commands in the pod: the living are kept, an orphan's record goes."""
        assert self.operate(pod, "list", "--output", "json") == 0
        assert self.operate(pod, "release", pod.app.deployment_id) == 77
        pod.sidecar.process.signal(signal.SIGTERM)  # it would reclaim sooner than the command
        assert pod.sidecar.process.wait() == 0
        self._plant(Owner("lost", "no-such-uid", self.home))
        assert self.operate(pod, "reclaim", "--dry-run") == 0
        assert "lost" in self._owners()
        assert self.operate(pod, "reclaim", "--once") == 0
        assert "lost" not in self._owners()
        self._plant(Owner("lost", "no-such-uid", self.home))
        # It never had a seat: the server says 404, and a second look is due later.
        assert self.operate(pod, "release", made_up_id("lost")) == 69
        assert self.scene.taken() == {pod.app.deployment_id}
        self._run(pod)
        self.scene.until_ready(pod.sidecar)

    def ends(self, pod: Pod) -> None:
        """Delete a pod: its app ends, its sidecar is told to, and its seat is free."""
        admin = self.plane.admin
        admin.delete_pod(self.home, pod.name)
        pod.app.process.end()
        pod.sidecar.process.signal(signal.SIGTERM)
        assert pod.sidecar.process.wait() == 0, self.scene.story()
        assert pod.name not in self._owners()
        admin.force_delete_pod(self.home, pod.name)

    # --- how it is done -----------------------------------------------------------------------------------------------

    def operate(self, pod: Pod, *arguments: str) -> int:
        """Run a command as ``kubectl exec`` would in this pod; return its exit code."""
        process = self.scene.command(*arguments, "--config", pod.config, name=arguments[0], environ=pod.environ).process
        return process.wait()

    def _pod(self, name: str) -> Pod:
        admin = self.plane.admin
        uid = admin.create_pod(self.home, name, service_account=ACCOUNT)["metadata"]["uid"]
        admin.set_pod_status(self.home, name)
        account = admin.mount(self.scene.folder / f"account-{name}", self.home, ACCOUNT).folder
        app = self.scene.app(name=f"app-{name}")
        more: dict[str, Any] = {
            "ledger.kind": "kubernetes",
            "ledger.namespace": self.ledger,
            "ledger.account_dir": str(account),
            "pod.uid": uid,
            "pod.namespace": self.home,
        }
        config = str(self.scene.config(self.scene.settings(app, more, name=name), name))
        pod = Pod(name, app, None, config, self.plane.environment())  # type: ignore[arg-type]  # it runs next
        self._run(pod)
        return pod

    def _run(self, pod: Pod) -> None:
        pod.sidecar = self.scene.command("run", "--config", pod.config, name=pod.name, environ=pod.environ)

    def _plant(self, owner: Owner) -> None:
        server = normalise(self.scene.mock.url)
        identity = Identity(server, self.scene.fingerprint, made_up_id(owner.pod))
        record = SeatRecord(identity, owner, Phase.ACTIVE, open=False)
        self.plane.admin.create("leases", encode(record, self.ledger, lease=1.5, over=None))

    def _leases(self) -> list[dict[str, Any]]:
        return self.plane.admin.list("leases", self.ledger)

    def _owners(self) -> set[str]:
        return {it["metadata"]["annotations"][f"{PREFIX}pod"] for it in self._leases()}

    def _lease(self, pod: Pod) -> dict[str, Any]:
        return next(it for it in self._leases() if it["metadata"]["annotations"][f"{PREFIX}pod"] == pod.name)

    def _until_phase(self, pod: Pod, phase: str) -> None:
        self._until(f"phase {phase}", lambda: self._lease(pod)["metadata"]["labels"][PHASE] == phase)

    def _until_told(self, reason: str) -> None:
        def told() -> bool:
            return any(it["reason"] == reason for it in self.plane.admin.list("events", self.home))

        self._until(f"the event {reason}", told)

    def _until(self, what: str, look: Callable[[], bool]) -> None:
        until(what, look, story=self.scene.story)
