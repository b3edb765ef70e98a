"""Rights as sets: what the documented Roles give, what an account asked for, and what it was refused.

A right is (API group, resource, verb), as the rules of a Role name it. It knows nothing of seats.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

from tests.cluster.control_plane.admin import Admin
from tests.cluster.control_plane.plane import ControlPlane

FILE: Final = Path(__file__).resolve().parents[2] / "docs" / "kubernetes-roles.yaml"
EVERYTHING: Final = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
_GROUP: Final = "rbac.authorization.k8s.io"
_VERSION: Final = f"{_GROUP}/v1"
Right = tuple[str, str, str]
Rules = list[dict[str, Any]]


def documented() -> dict[str, Rules]:
    """Return the rules of each documented Role by its name."""
    return {role["metadata"]["name"]: role["rules"] for role in yaml.safe_load_all(FILE.read_text())}


def grant(admin: Admin, place: str, account: tuple[str, str], rules: Rules) -> None:
    """Give an account (its namespace and name) these rights in a namespace, its own or another."""
    namespace, name = account
    subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    metadata = {"name": name, "namespace": place}
    admin.apply({"apiVersion": _VERSION, "kind": "Role", "metadata": metadata, "rules": rules})
    reference = {"apiGroup": _GROUP, "kind": "Role", "name": name}
    binding = {"roleRef": reference, "subjects": [subject]}
    admin.apply({"apiVersion": _VERSION, "kind": "RoleBinding", "metadata": metadata, **binding})


def rights(rules: Rules) -> set[Right]:
    """Return every single right that these rules give; whatever narrows them to names is left out."""
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def used(plane: ControlPlane, user: str) -> dict[str, set[Right]]:
    """Return what an account asked for in each namespace, according to the API server's audit log."""
    found: dict[str, set[Right]] = {}
    for event in plane.audit(user):
        asked = event.get("objectRef", {})
        if "resource" in asked:
            resource = "/".join(filter(None, (asked["resource"], asked.get("subresource"))))
            right = (asked.get("apiGroup", ""), resource, event["verb"])
            found.setdefault(asked.get("namespace", ""), set()).add(right)
    return found


def refused(plane: ControlPlane, user: str) -> list[str]:
    """Return each request of an account that the API server forbade."""
    return [
        f"{event['verb']} {event['requestURI']}"
        for event in plane.audit(user)
        if event.get("responseStatus", {}).get("code") in (401, 403)
    ]
