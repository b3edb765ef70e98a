"""Service accounts with exactly the rights that a test gives them, and the folder in which a pod finds its token."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.cluster.control_plane.api import Api, Object

HOUR: Final = 3600
_RBAC: Final = "rbac.authorization.k8s.io"
_VERSION: Final = f"{_RBAC}/v1"


class Accounts(Api):
    """What an administrator does for service accounts; no rights are given that were not asked for."""

    def create_service_account(
        self, namespace: str, name: str, rules: Sequence[Object] = (), *, cluster_rules: Sequence[Object] = ()
    ) -> str:
        """Create an account, with a Role of these RBAC rules and a ClusterRole of those; return its user name."""
        self.create("serviceaccounts", {"metadata": {"name": name}}, namespace)
        self.grant(namespace, name, rules, cluster_rules=cluster_rules)
        return f"system:serviceaccount:{namespace}:{name}"

    def grant(
        self, namespace: str, name: str, rules: Sequence[Object] = (), *, cluster_rules: Sequence[Object] = ()
    ) -> None:
        """Give an account these rights and take away those given here before; it takes effect within a moment."""
        subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
        places = (("Role", name, namespace, rules), ("ClusterRole", f"{namespace}-{name}", None, cluster_rules))
        for kind, called, place, wanted in places:
            if not wanted:
                self._revoke(kind, called, place)
                continue
            metadata = {"name": called, **({"namespace": place} if place else {})}
            self.apply({"apiVersion": _VERSION, "kind": kind, "metadata": metadata, "rules": list(wanted)})
            self.apply(
                {
                    "apiVersion": _VERSION,
                    "kind": f"{kind}Binding",
                    "metadata": metadata,
                    "roleRef": {"apiGroup": _RBAC, "kind": kind, "name": called},
                    "subjects": [subject],
                }
            )

    def token(self, namespace: str, name: str, seconds: int = HOUR, pod: str | None = None) -> str:
        """Request a token (600 s at least); one for a pod is refused within 10 s of the end of that pod."""
        spec: Object = {"expirationSeconds": seconds}
        if pod is not None:
            uid = self.get("pods", pod, namespace)["metadata"]["uid"]
            spec["boundObjectRef"] = {"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": uid}
        target = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        token: str = self.request("POST", target, asked)["status"]["token"]
        return token

    def mount(
        self, folder: Path, namespace: str, name: str, *, pod: str | None = None, seconds: int = HOUR
    ) -> ServiceAccountFolder:
        """Fill a folder as the kubelet fills ``/var/run/secrets/kubernetes.io/serviceaccount``."""
        authority = self.get("configmaps", "kube-root-ca.crt", namespace)["data"]["ca.crt"]
        made = ServiceAccountFolder(folder, authority, namespace)
        made.write(self.token(namespace, name, seconds, pod))
        return made

    def _revoke(self, kind: str, name: str, namespace: str | None) -> None:
        for resource in (f"{kind.lower()}bindings", f"{kind.lower()}s"):
            if self.find(resource, name, namespace) is not None:
                self.delete(resource, name, namespace)


class ServiceAccountFolder:
    """``token``, ``ca.crt`` and ``namespace`` behind ``..data``, replaced as one by the exchange of a link."""

    def __init__(self, folder: Path, authority: str, namespace: str) -> None:
        """Take the folder; it need not exist."""
        self.folder = folder
        self._steady = {"ca.crt": authority, "namespace": namespace}
        self._turn = 0

    def write(self, token: str) -> None:
        """Put a token there: rotation, or whatever a test wants the sidecar to find."""
        self._turn += 1
        turn = f"..turn-{self._turn}"
        (self.folder / turn).mkdir(parents=True)
        for file, text in {**self._steady, "token": token}.items():
            (self.folder / turn / file).write_text(text)
            if not (self.folder / file).is_symlink():
                (self.folder / file).symlink_to(f"..data/{file}")
        (self.folder / "..data_tmp").symlink_to(turn)
        (self.folder / "..data_tmp").replace(self.folder / "..data")
        before = self.folder / f"..turn-{self._turn - 1}"
        if before.is_dir():
            shutil.rmtree(before)

    @property
    def token(self) -> str:
        """Return the token that lies there now."""
        return (self.folder / "token").read_text()


def claims(token: str) -> Object:
    """Return what a token says, without asking anybody whether it is true."""
    middle = token.split(".")[1]
    told: Object = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    return told
