"""A hook of the chart without Helm: a service account with exactly its Role, and the command as a process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.cluster.control_plane.admin import Admin
from tests.cluster.control_plane.api import Object
from tests.cluster.control_plane.cluster import Cluster
from tests.cluster.roles import Rules
from tests.process.processes import LIMIT, Nursery, Process, until

_REVIEWS: Final = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass
class HookScene:
    """One hook's account in one namespace; ``hidden`` are texts that must not appear in any output."""

    cluster: Cluster
    namespace: str
    folder: Path
    name: str
    nursery: Nursery
    hidden: list[str] = field(default_factory=list)
    _running: list[Process] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make the account, without any rights."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.user = self.admin.create_service_account(self.namespace, self.name)
        self.account = self.folder / "account"
        self.admin.mount(self.account, self.namespace, self.name)
        self.environ = {**self.cluster.environment(), "LICENSE_SIDECAR_LEDGER_ACCOUNT_DIR": str(self.account)}

    @property
    def admin(self) -> Admin:
        """Return the administrator."""
        return self.cluster.admin

    def allow(self, rules: Rules) -> None:
        """Give the account these rights and no others, and wait until the API server knows."""
        self.admin.grant(self.namespace, self.name, rules)
        for rule in rules:
            for resource in rule["resources"]:
                for verb in rule["verbs"]:
                    for name in rule.get("resourceNames", [""]):
                        until(
                            f"{verb} on {resource}",
                            lambda one=(rule["apiGroups"][0], resource, verb, name): self.may(*one),
                        )

    def may(self, group: str, resource: str, verb: str, name: str = "") -> bool:
        """Tell whether the API server allows the account this."""
        kind, _, part = resource.partition("/")
        asked = {"namespace": self.namespace, "group": group, "resource": kind, "verb": verb}
        asked |= {key: value for key, value in (("subresource", part), ("name", name)) if value}
        review: Object = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview"}
        review["spec"] = {"user": self.user, "resourceAttributes": asked}
        return bool(self.admin.request("POST", _REVIEWS, review)["status"]["allowed"])

    def start(self, *command: Any, environ: Mapping[str, str] | None = None) -> Process:
        """Fork the command from a process that has loaded everything."""
        order = {"arguments": [*map(str, command)], "environ": {**self.environ, **(environ or {})}}
        process = self.nursery.fork(self.folder, f"{self.name}.{len(self._running)}", order)
        self._running.append(process)
        return process

    def heard(self, process: Process, text: str) -> None:
        """Wait until the command has said something."""
        until(f"{text!r} of {process.name}", lambda: text in process.err.read_text(), story=process.printed)

    def end(self, process: Process, *, limit: float = LIMIT) -> Ended:
        """Wait for its end; nothing that must be hidden was written."""
        code = process.wait(limit)
        out, err = process.out.read_text(), process.err.read_text()
        assert not [text for text in self.hidden if text in out + err], "a secret was shown"
        return Ended(code, out, err)

    def run(self, *command: Any, environ: Mapping[str, str] | None = None, limit: float = LIMIT) -> Ended:
        """Run the command to its end."""
        return self.end(self.start(*command, environ=environ), limit=limit)

    def close(self) -> None:
        """End what still runs."""
        for process in self._running:
            process.end()
