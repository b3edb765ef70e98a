"""What Helm rendered, as objects that can be asked; a name that stands twice in a mapping is an error here."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import yaml

Object = dict[str, Any]

CLUSTER_WIDE: Final = frozenset({"ClusterRole", "ClusterRoleBinding", "Namespace", "PriorityClass"})
POD_OWNERS: Final = ("Pod", "Deployment", "StatefulSet", "Job", "CronJob")


class _Strict(yaml.CSafeLoader):
    """Refuses a mapping that names a key twice: the API server would take the last one and say nothing."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        names = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {str(name) for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"{', '.join(sorted(twice))} twice, at line {node.start_mark.line + 1}")
        return super().construct_mapping(node, deep=deep)


# To Helm and kubectl this is a number; PyYAML wants a dot in it and would hide that a name lacks its quotes.
_Strict.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def load(text: str) -> list[Object]:
    """Return the objects in a render."""
    return [it for it in yaml.load_all(text, Loader=_Strict) if it]


@dataclass(frozen=True, slots=True)
class PodTemplate:
    """The pods of one object: their labels, their spec, and the object that makes them."""

    owner: Object
    metadata: dict[str, Any]
    spec: dict[str, Any]

    @property
    def name(self) -> str:
        """Return kind and name of the object."""
        return name(self.owner)

    @property
    def labels(self) -> dict[str, str]:
        """Return the labels of the pods."""
        return dict(self.metadata.get("labels") or {})

    @property
    def containers(self) -> list[dict[str, Any]]:
        """Return all containers, those that only start too."""
        return [*(self.spec.get("initContainers") or []), *self.spec["containers"]]

    def container(self, wanted: str) -> dict[str, Any]:
        """Return one container by name."""
        return next(it for it in self.containers if it["name"] == wanted)


class Manifest:
    """All objects of one render."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.objects = load(text)

    def of(self, *kinds: str) -> list[Object]:
        """Return the objects of these kinds."""
        return [it for it in self.objects if it["kind"] in kinds]

    def one(self, kind: str, wanted: str | None = None) -> Object:
        """Return the object of a kind, by name if there may be several."""
        found = [it for it in self.of(kind) if wanted is None or it["metadata"]["name"] == wanted]
        assert len(found) == 1, f"{len(found)} objects {kind} {wanted or ''}"
        return found[0]

    def pods(self) -> Iterator[PodTemplate]:
        """Yield the pods of every object that makes some."""
        for owner in self.of(*POD_OWNERS):
            match owner["kind"]:
                case "Pod":
                    yield PodTemplate(owner, owner["metadata"], owner["spec"])
                case "CronJob":
                    template = owner["spec"]["jobTemplate"]["spec"]["template"]
                    yield PodTemplate(owner, template["metadata"], template["spec"])
                case _:
                    template = owner["spec"]["template"]
                    yield PodTemplate(owner, template["metadata"], template["spec"])

    @property
    def app(self) -> PodTemplate:
        """Return the pods of the workload: those with the app's container."""
        return next(it for it in self.pods() if any(c["name"] == "md-icapsrv" for c in it.containers))


def name(it: Object) -> str:
    """Return kind and name."""
    return f"{it['kind']}/{it['metadata']['name']}"


def events(it: Object) -> set[str]:
    """Return the events of Helm that an object is a hook of; empty for what is part of the release."""
    annotations = it["metadata"].get("annotations") or {}
    return set(filter(None, str(annotations.get("helm.sh/hook", "")).split(",")))


def weight(it: Object) -> int:
    """Return the weight of a hook."""
    return int((it["metadata"].get("annotations") or {}).get("helm.sh/hook-weight", "0"))


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Return whether a label selector, or a plain map of labels, matches."""
    if "matchLabels" not in selector and "matchExpressions" not in selector:
        selector = {"matchLabels": selector}
    wanted = selector.get("matchLabels") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    for expression in selector.get("matchExpressions") or []:
        assert expression["operator"] == "In", "the chart uses no other"
        if labels.get(expression["key"]) not in expression["values"]:
            return False
    return bool(wanted or selector.get("matchExpressions"))


def environment(container: dict[str, Any]) -> dict[str, Any]:
    """Return the variables of a container: the value, or the reference."""
    return {it["name"]: it.get("value", it.get("valueFrom")) for it in container.get("env") or []}
