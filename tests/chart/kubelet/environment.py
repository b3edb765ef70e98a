"""What a container is told: its variables, and its command with ``$(NAME)`` in it replaced."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

Object = dict[str, Any]
Fetch = Callable[[str, str], Object | None]
"""(``secrets`` or ``configmaps``, name) to the object in the pod's namespace, if it is there."""

_REFERENCE: Final = re.compile(r"\$\$|\$\(([^)]*)\)")


class NotYetError(Exception):
    """The pod cannot start as things are; a kubelet tries again until it can. The text says why."""


def field(pod: Object, path: str) -> str:
    """Return what a ``fieldRef`` names."""
    found = re.fullmatch(r"(metadata\.(?:labels|annotations))\['([^']+)'\]", path)
    if found:
        return str(pod["metadata"].get(found[1].partition(".")[2], {}).get(found[2], ""))
    value: Any = pod
    for word in path.split("."):
        value = value[word]
    return str(value)


def entries(kind: str, it: Object) -> dict[str, bytes]:
    """Return the entries of a Secret or a ConfigMap."""
    data: Mapping[str, str] = it.get("data") or {}
    if kind == "secrets":
        return {name: base64.b64decode(value) for name, value in data.items()}
    binary: Mapping[str, str] = it.get("binaryData") or {}
    return {name: text.encode() for name, text in data.items()} | {
        name: base64.b64decode(value) for name, value in binary.items()
    }


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace ``$(NAME)`` where the name is known; ``$$`` is a dollar."""

    def one(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        return variables.get(found[1], found[0])

    return _REFERENCE.sub(one, text)


def variables(pod: Object, container: Object, fetch: Fetch, given: Mapping[str, str]) -> dict[str, str]:
    """Return a container's environment.

    Args:
        pod: with the address in its status
        container: its spec
        fetch: looks into the pod's namespace
        given: what every container is given, such as the address of the API server

    Raises:
        NotYetError: an object or an entry is not there.

    """
    made = dict(given)
    for source in container.get("envFrom", ()):
        kind = "secrets" if "secretRef" in source else "configmaps"
        ref = source.get("secretRef") or source["configMapRef"]
        found = fetch(kind, ref["name"])
        if found is None and not ref.get("optional"):
            raise NotYetError(f"{kind} {ref['name']} is not there")
        for name, value in entries(kind, found or {}).items():
            made[source.get("prefix", "") + name] = value.decode()
    for one in container.get("env", ()):
        value = _value(pod, one, fetch, made)
        if value is not None:
            made[one["name"]] = value
    return made


def _value(pod: Object, one: Object, fetch: Fetch, made: Mapping[str, str]) -> str | None:
    match one.get("valueFrom"):
        case None:
            return expand(one.get("value", ""), made)
        case {"fieldRef": ref}:
            return field(pod, ref["fieldPath"])
        case {"resourceFieldRef": _}:
            return None  # nobody measures anything here
        case {"secretKeyRef": ref}:
            kind = "secrets"
        case {"configMapKeyRef": ref}:
            kind = "configmaps"
        case other:
            raise NotYetError(f"the variable {one['name']} comes from {other}, which nobody knows here")
    found = fetch(kind, ref["name"])
    entry = entries(kind, found or {}).get(ref["key"])
    if entry is None:
        if ref.get("optional"):
            return None
        raise NotYetError(
            f"{kind} {ref['name']} has no {ref['key']}" if found else f"{kind} {ref['name']} is not there"
        )
    return entry.decode()
