"""A scene in a namespace of a real API server: pods as objects, and processes that stand for their containers.

The test is the kubelet: it says what becomes of a pod, and it starts, signals and kills what would run in it.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from sidecar.adapters.lease_record import PHASE, PREFIX, encode
from sidecar.core.records import Identity, Owner, Phase, SeatRecord
from sidecar.core.servers import normalise
from tests.cluster.control_plane.accounts import ServiceAccountFolder
from tests.cluster.control_plane.admin import Admin
from tests.cluster.control_plane.api import Object
from tests.cluster.control_plane.cluster import Cluster
from tests.cluster.control_plane.pods import APP
from tests.cluster.roles import Right, Rules, documented, rights
from tests.process.processes import Process, ask, until
from tests.process.scene import App, Scene, Settings, Sidecar, spellings

ACCOUNT: Final = "license-sidecar"
_REVIEWS: Final = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


def rules(*, without: Iterable[Right] = ()) -> Rules:
    """Return the documented rights in the pods' own namespace, which has the ledger too, but for these."""
    roles, lost = documented(), frozenset(without)
    given = rights([*roles["license-sidecar"], *roles["license-sidecar-ledger"]]) - lost
    return [{"apiGroups": [group], "resources": [kind], "verbs": [verb]} for group, kind, verb in sorted(given)]


@dataclass
class Pod:
    """An object in the cluster, and what runs in it; ``app`` and ``sidecar`` are its newest containers."""

    scene: PodScene
    name: str
    uid: str
    account: Path
    app: App | None = None
    sidecar: Sidecar | None = None
    last_id: str = ""

    @property
    def id(self) -> str:
        """Return the app's deployment ID, the last one if it has ended."""
        assert self.app is not None
        if self.app.process.code is None:
            self.last_id = self.app.deployment_id
        return self.last_id

    @property
    def runs(self) -> Sidecar:
        """Return the sidecar, which was started."""
        assert self.sidecar is not None
        return self.sidecar

    def settings(self, more: Settings | None = None) -> Settings:
        """Return the settings of a sidecar in here."""
        mine = {"ledger.account_dir": str(self.account), "pod.uid": self.uid}
        return self.scene.settings(self.app, {**mine, **(more or {})}, name=self.name)

    def start(self, more: Settings | None = None, *, point: Mapping[str, object] | None = None) -> Sidecar:
        """Start the sidecar's container, also again."""
        self.sidecar = self.scene.fork(None, self.settings(more), name=self.name, point=point)
        return self.sidecar

    def report(self, **status: Any) -> Object:
        """Write the pod's status as its kubelet would (``Pods.set_pod_status``)."""
        return self.scene.admin.set_pod_status(self.scene.namespace, self.name, **status)

    def container(self, **fields: Any) -> Object:
        """Write how the app's container is."""
        return self.report(containers={APP: fields})

    def restart_container(self) -> Object:
        """Write that the app's container ended and runs again."""
        return self.scene.admin.restart_container(self.scene.namespace, self.name)

    def delete(self, grace: int | None = None) -> Object:
        """Delete the pod: it gets a deletionTimestamp and stays."""
        return self.scene.admin.delete_pod(self.scene.namespace, self.name, grace)

    def vanish(self) -> None:
        """Remove the object at once, whatever still runs."""
        self.scene.admin.force_delete_pod(self.scene.namespace, self.name)

    def kill(self) -> None:
        """End everything that runs in it, without a word."""
        for one in (self.sidecar, self.app):
            if one is not None:
                one.process.end()

    def term(self) -> None:
        """Send SIGTERM to the sidecar."""
        self.runs.process.signal(signal.SIGTERM)


@dataclass(kw_only=True)
class PodScene(Scene):
    """One test's namespace, key and account."""

    cluster: Cluster
    namespace: str
    accounts: Path
    """Where service accounts are mounted: outside of the folder in which nobody may find a token."""
    environ: dict[str, str] = field(default_factory=dict)
    mounted: dict[str, ServiceAccountFolder] = field(default_factory=dict)
    """The account's folder of each pod, by the pod's name."""

    def __post_init__(self) -> None:
        """Make the account, with the documented rights."""
        super().__post_init__()
        self.environ = self.cluster.environment()
        self.user = self.admin.create_service_account(self.namespace, ACCOUNT)
        self.allow()

    @property
    def admin(self) -> Admin:
        """Return the administrator."""
        return self.cluster.admin

    # --- rights -------------------------------------------------------------------------------------------------------

    def allow(self, *, without: Iterable[Right] = ()) -> None:
        """Give the account the documented rights but for these, and wait until that is so."""
        given = rules(without=without)
        self.admin.grant(self.namespace, ACCOUNT, given)
        allowed = rights(given)
        for right in sorted(rights(rules())):
            until(f"{right} to be {right in allowed}", lambda right=right: self.may(right) is (right in allowed))

    def may(self, right: Right) -> bool:
        """Tell whether the API server allows the account this."""
        group, kind, verb = right
        asked = {"namespace": self.namespace, "group": group, "resource": kind, "verb": verb}
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview"}
        review |= {"spec": {"user": self.user, "resourceAttributes": asked}}  # type: ignore[dict-item]
        return bool(self.admin.request("POST", _REVIEWS, review)["status"]["allowed"])

    # --- pods ---------------------------------------------------------------------------------------------------------

    def pod(self, name: str = "icap-0", more: Settings | None = None, *, app: bool = True, start: bool = True) -> Pod:
        """Make a pod whose containers run: an app, and a sidecar with these settings."""
        uid = self.admin.create_pod(self.namespace, name, service_account=ACCOUNT)["metadata"]["uid"]
        self.admin.set_pod_status(self.namespace, name)
        shutil.rmtree(self.accounts / name, ignore_errors=True)
        account = self.admin.mount(self.accounts / name, self.namespace, ACCOUNT)
        self.mounted[name] = account
        self.secrets.append(account.token)
        pod = Pod(self, name, uid, account.folder, self.app(name=f"app-{name}") if app else None)
        if start:
            pod.start(more)
        return pod

    def ready_pod(self, name: str = "icap-0", more: Settings | None = None) -> Pod:
        """Make a pod and wait until it has its seat, its record, and is ready."""
        pod = self.pod(name, more)
        assert pod.app is not None
        self.until_ready(pod.runs)
        until("its record", lambda: self.phase(pod.id) == "active", story=self.story)
        return pod

    def settings(self, app: App | None = None, more: Settings | None = None, *, name: str = "one") -> dict[str, object]:
        """Return the settings of a sidecar in this namespace."""
        own = super().settings(app, None, name=name)
        del own["ledger.dir"]
        if app is None:
            del own["app.url"]
        if name in self.mounted:
            own["ledger.account_dir"] = str(self.mounted[name].folder)
        return {
            **own,
            "ledger.kind": "kubernetes",
            "pod.namespace": self.namespace,
            "pod.node": "node-1",
            "pod.release": "rel",
            **(more or {}),
        }

    def fork(
        self,
        app: App | None = None,
        more: Settings | None = None,
        *,
        name: str = "one",
        point: Mapping[str, object] | None = None,
    ) -> Sidecar:
        """Fork a sidecar; ``point`` (see ``mortal.Point``) says where it dies."""
        config = self.config(self.settings(app, more, name=name), name)
        order = {"config": str(config), "point": point, "environ": self.environ}
        return self._born(name, order)

    def operate(self, pod: Pod, *arguments: str, more: Settings | None = None) -> Sidecar:
        """Fork an operator's command in a pod, as ``kubectl exec`` does."""
        # A file for each: the one that another is just reading must not be written.
        config = self.config(pod.settings(more), self._free(f"{pod.name}-{arguments[0]}"))
        order = {"arguments": [*arguments, "--config", str(config)], "environ": self.environ}
        return self._born(f"{pod.name}-{arguments[0]}", order)

    def operated(self, pod: Pod, *arguments: str, more: Settings | None = None) -> tuple[int, str, str]:
        """Let a command run to its end; return exit code, output and error output."""
        process = self.operate(pod, *arguments, more=more).process
        code = process.wait(limit=90)
        return code, process.out.read_text(), process.err.read_text()

    def _born(self, name: str, order: Mapping[str, Any]) -> Sidecar:
        process: Process = self.nursery.fork(self.folder, self._free(name), order)
        self.processes.append(process)
        return Sidecar(process)

    # --- the ledger ---------------------------------------------------------------------------------------------------

    def leases(self) -> list[Object]:
        """Return all Leases of the namespace."""
        return self.admin.list("leases", self.namespace)

    def records(self) -> dict[str, dict[str, Any]]:
        """Return the seat records, by deployment ID, each with its phase and its notes."""
        found: dict[str, dict[str, Any]] = {}
        for lease in self.leases():
            meta = lease["metadata"]
            notes = {name.removeprefix(PREFIX): value for name, value in meta["annotations"].items()}
            found[notes.get("deployment-id", "")] = {
                **notes,
                "phase": meta["labels"][PHASE],
                "holder": lease["spec"].get("holderIdentity", ""),
                "renewed": datetime.fromisoformat(lease["spec"].get("renewTime", "1970-01-01T00:00:00Z")).timestamp(),
                "version": meta["resourceVersion"],
                "name": meta["name"],
            }
        return found

    def phase(self, deployment_id: str) -> str:
        """Return the phase of a record, empty if there is none."""
        return str(self.records().get(deployment_id, {}).get("phase", ""))

    def plant(self, owner: Owner, phase: Phase = Phase.ACTIVE) -> str:
        """Write a record that nobody renews, take its seat on the server, and return its deployment ID."""
        deployment = f"MSCL{sha256(owner.pod.encode()).hexdigest()[:32].upper()}"
        identity = Identity(normalise(self.mock.url), self.fingerprint, deployment)
        record = SeatRecord(identity, owner, phase, open=False)
        self.admin.create("leases", encode(record, self.namespace, lease=1.5, over=None))
        self.take(deployment)
        return deployment

    def gone(self, name: str) -> Owner:
        """Return the owner that a pod was which is gone now."""
        uid = self.admin.create_pod(self.namespace, name)["metadata"]["uid"]
        self.admin.force_delete_pod(self.namespace, name)
        return Owner(name, uid, self.namespace)

    def take(self, deployment_id: str) -> None:
        """Take a seat on the server as anybody may."""
        query = urlencode({"key": self.key, "deployment": deployment_id, "quantity": 1})
        status, text = ask(f"{self.mock.url}/activation?{query}")
        assert (status, "error" in text) == (200, False)

    def released_at(self, deployment_id: str) -> float:
        """Return when the server answered the first release of this seat (the mock's clock, which is ours)."""
        answers = self.mock.journal(self.fingerprint, "deactivation")
        return float(next(it["done_at"] for it in answers if it["deployment"] == deployment_id))

    def events(self, pod: Pod) -> list[tuple[str, str]]:
        """Return reason and message of each event on a pod."""
        found = self.admin.list("events", self.namespace, fieldSelector=f"involvedObject.uid={pod.uid}")
        return [(it["reason"], it["message"]) for it in found]

    def until_nothing_is_left(self, *fingerprints: str) -> None:
        """Let a sidecar of another pod finish what others left, until there is no record and no seat any more."""
        self.pod("peer", {"deployment_id.source": "app"}, app=False)
        until("an empty ledger", lambda: not self.leases(), limit=60, story=self.story)
        for fingerprint in (self.fingerprint, *fingerprints):
            assert self.mock.seats(fingerprint) == {}

    def expect_no_secret(self) -> None:
        """Look also into everything that stands in the namespace for others to read."""
        super().expect_no_secret()
        spoken = [form for secret in self.secrets for form in spellings(secret)]
        found: Sequence[Object] = [*self.leases(), *self.admin.list("events", self.namespace)]
        assert [it["metadata"]["name"] for it in found if any(form in str(it).upper() for form in spoken)] == []
