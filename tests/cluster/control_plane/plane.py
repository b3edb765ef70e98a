"""A real control plane on this machine: etcd, API server, controller manager, scheduler, with RBAC and admission on.

There is no kubelet: pods are objects, and the test says what becomes of them (``pods``). Everything is on loopback
ports that were free, keeps its state in one folder, and is ended by its id.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Self

import httpx

from tests.cluster.binaries import DEFAULT_VERSION, Binaries
from tests.cluster.control_plane import credentials, programs
from tests.cluster.control_plane.admin import Admin
from tests.cluster.control_plane.api import wait_for
from tests.cluster.control_plane.children import Child, end_all
from tests.cluster.control_plane.cluster import Cluster
from tests.cluster.control_plane.ports import free_ports, listens

READY_LIMIT: Final = 60.0
ATTEMPTS: Final = 3
_CLIENTS: Final = ("kube-controller-manager", "kube-scheduler")


class ControlPlaneError(Exception):
    """It did not come up; the text has the last words of the programs."""


class _PortTakenError(ControlPlaneError):
    """Somebody else took a port between our look and our start: others are tried."""


class ControlPlane(Cluster):
    """One cluster without nodes, from ``start`` to ``stop`` or as a context manager."""

    def __init__(
        self,
        folder: Path,
        version: str = DEFAULT_VERSION,
        *,
        scheduler: bool = False,
        api_server_flags: tuple[str, ...] = (),
        controllers: tuple[str, ...] = (),
    ) -> None:
        """Choose where its state lies and which version it is; nothing is started.

        A flag that is given twice counts as it is given last; ``controllers`` are those that only nodes need.

        Raises:
            binaries.Missing: a program is not there; the text says what brings it.

        """
        self.folder = folder
        self.audit_log = folder / "audit.jsonl"
        self.started_in = 0.0
        """Seconds from ``start`` to the first pod that could be made."""
        found = Binaries(version)
        self._etcd_program = found.etcd()
        names = ("kube-apiserver", "kube-controller-manager", *(("kube-scheduler",) if scheduler else ()))
        self._programs = {name: found.find(name) for name in names}
        self._extra = api_server_flags
        self._controllers = controllers
        self._children: dict[str, Child] = {}
        self._api_port = self._etcd_port = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start everything and wait until pods can be made; nothing is left running if that fails."""
        since = time.monotonic()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._secrets = credentials.issue(self.folder / "credentials")
        self.ca_file = self._secrets.ca_file
        self.admin_token = self._secrets.tokens[credentials.ADMIN]
        self._audit_policy = credentials.write_private(self.folder / "audit-policy.json", programs.AUDIT_POLICY)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._start()
                break
            except _PortTakenError:
                self._end()
                if attempt == ATTEMPTS:
                    raise
            except BaseException:
                self._end()
                raise
        self.started_in = time.monotonic() - since

    def stop(self) -> None:
        """End everything, and wait for it."""
        if hasattr(self, "admin"):
            self.admin.close()
        self._end()

    @property
    def pids(self) -> dict[str, int]:
        """Return the id of each process that was started and not stopped."""
        return {name: child.pid for name, child in self._children.items()}

    def stop_api_server(self) -> None:
        """End the API server as an upgrade of the control plane does; its port refuses from then on.

        The controllers end with it: left alone they would wait for up to a minute before they try it again.
        """
        end_all([child for name, child in self._children.items() if name in _CLIENTS])
        # While watches are open it would wait a minute for them; who upgrades one does not.
        self._children["kube-apiserver"].end(polite=1)
        self._children = {"etcd": self._children["etcd"]}

    def start_api_server(self) -> None:
        """Start it again on the same port and the same etcd, and wait until it is ready."""
        self._launch_api_server()
        self._await_ready()
        self._launch_controllers()

    def pause_api_server(self) -> None:
        """Let it hang: connections are taken by the kernel, nobody answers."""
        self._children["kube-apiserver"].pause()

    def resume_api_server(self) -> None:
        """Let it go on."""
        self._children["kube-apiserver"].resume()

    def recover(self) -> None:
        """Bring the API server back from wherever a test left it."""
        if "kube-apiserver" in self._children:
            self.resume_api_server()
        else:
            self.start_api_server()

    def compact_etcd(self) -> int:
        """Make etcd forget all former versions of all objects, and return its present revision.

        The API server's own cache still knows them: only after its restart (``forget_versions``) it answers 410 to a
        watch that asks for one; since 1.33 also to the rest of a LIST in pages, which 1.29 refuses at once.
        """
        revision = int(self._etcd("range", {"key": "AA=="})["header"]["revision"])
        self._etcd("compaction", {"revision": str(revision), "physical": True})
        return revision

    def forget_versions(self, *, away: float = 0.0) -> int:
        """Compact etcd and restart the API server: every older resourceVersion is answered with 410 from now on.

        ``away``: seconds for which there is no API server meanwhile.
        """
        self.stop_api_server()
        time.sleep(away)
        # The new cache begins with the revision of its start: one write makes every version seen so far older than it.
        self._etcd("put", {"key": "dGVzdA==", "value": ""})
        revision = self.compact_etcd()
        self.start_api_server()
        return revision

    def audit(self, user: str) -> Iterator[dict[str, Any]]:
        """Yield what the API server logged about a user such as ``system:serviceaccount:ns:name``, oldest first."""
        whole, _, _ = self.audit_log.read_text().rpartition("\n")  # the last line may still be being written
        for line in whole.splitlines():
            event = json.loads(line)
            if event["user"]["username"] == user:
                yield event

    def used(self, user: str) -> set[tuple[str, str, str]]:
        """Return (API group, resource, verb) of everything a user asked for, as the rules of a Role name them."""
        return {
            (
                asked.get("apiGroup", ""),
                "/".join(filter(None, (asked["resource"], asked.get("subresource")))),
                event["verb"],
            )
            for event in self.audit(user)
            if "resource" in (asked := event.get("objectRef", {}))
        }

    def kubeconfig(self, path: Path, token: str | None = None, namespace: str = "default") -> Path:
        """Write a kubeconfig, for the administrator or for whoever the token says."""
        return super().kubeconfig(path, token or self.admin_token, namespace)

    def client_certificate(self, user: str, group: str) -> tuple[bytes, bytes]:
        """Return a certificate that makes its owner this user of this group, and its key."""
        return credentials.identity(self._secrets.authority, user, group)

    def _start(self) -> None:
        self._api_port, self._etcd_port, peer_port = free_ports(3)
        self.url = f"https://127.0.0.1:{self._api_port}"
        if hasattr(self, "admin"):
            self.admin.close()
        self.admin = Admin(self.url, authority=self.ca_file.read_text(), token=self.admin_token)
        data = self.folder / "etcd"
        shutil.rmtree(data, ignore_errors=True)
        self._launch("etcd", programs.etcd(self._etcd_program, data, self._etcd_port, peer_port))
        # An API server that finds no etcd tries again only after a second.
        self._await("etcd", lambda: listens(self._etcd_port))
        self._launch_api_server()
        self._await_ready()
        self._launch_controllers()
        self._await("the default namespace", lambda: self.admin.namespace_is_ready("default"))

    def _launch_api_server(self) -> None:
        command = programs.api_server(
            self._programs["kube-apiserver"],
            self._api_port,
            self._etcd_port,
            self._secrets,
            audit_policy=self._audit_policy,
            audit_log=self.audit_log,
        )
        self._launch("kube-apiserver", [*command, *self._extra])

    def _launch_controllers(self) -> None:
        manager, scheduler = "kube-controller-manager", "kube-scheduler"
        config = self._config(manager, credentials.MANAGER)
        command = programs.controller_manager(self._programs[manager], config, self._secrets, self._controllers)
        self._launch(manager, command)
        if scheduler in self._programs:
            config = self._config(scheduler, credentials.SCHEDULER)
            self._launch(scheduler, programs.scheduler(self._programs[scheduler], config))

    def _config(self, name: str, user: str) -> Path:
        content = credentials.kubeconfig(self.url, self.ca_file, self._secrets.tokens[user])
        return credentials.write_private(self.folder / "credentials" / f"{name}.json", content)

    def _launch(self, name: str, command: Sequence[str]) -> None:
        self._children[name] = Child(name, command, self.folder)

    def _await_ready(self) -> None:
        def ready() -> bool:
            try:
                return self.admin.client.get("/readyz").is_success
            except httpx.TransportError:
                return False

        self._await("the API server", ready)

    def _await(self, what: str, look: Callable[[], bool]) -> None:
        def seen() -> bool:
            for child in self._children.values():
                if child.code is not None:
                    words = child.last_words()
                    raise (_PortTakenError if "address already in use" in words else ControlPlaneError)(words)
            return look()

        try:
            wait_for(what, seen, limit=READY_LIMIT)
        except TimeoutError as error:
            words = "\n".join(child.last_words() for child in self._children.values())
            raise ControlPlaneError(f"{error}\n{words}") from error

    def _etcd(self, verb: str, body: dict[str, Any]) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self._etcd_port}/v3/kv/{verb}"
        answer: dict[str, Any] = httpx.post(url, json=body, trust_env=False, timeout=10).raise_for_status().json()
        return answer

    def _end(self) -> None:
        # etcd last: an API server without one waits for it.
        for names in ((*_CLIENTS, "kube-apiserver"), ("etcd",)):
            end_all([self._children.pop(name) for name in names if name in self._children])
