"""Everything in a render that names another object."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.chart.manifests import Manifest, Object, PodTemplate, name


@dataclass(frozen=True, slots=True)
class Reference:
    """One object, and an entry of it perhaps, named by another."""

    owner: Object
    kind: str
    name: str
    entry: str | None = None
    optional: bool = False

    def __str__(self) -> str:
        return f"{name(self.owner)} -> {self.kind}/{self.name}{f'[{self.entry}]' if self.entry else ''}"


def references(manifest: Manifest) -> Iterator[Reference]:
    """Yield all references to Secrets, ConfigMaps, claims, service accounts, Roles and Services."""
    for pods in manifest.pods():
        account = pods.spec.get("serviceAccountName")
        if account:
            yield Reference(pods.owner, "ServiceAccount", account)
        yield from _of_volumes(pods)
        for container in pods.containers:
            yield from _of_environment(pods.owner, container)
    for binding in manifest.of("RoleBinding"):
        yield Reference(binding, binding["roleRef"]["kind"], binding["roleRef"]["name"])
        for subject in binding["subjects"]:
            yield Reference(binding, subject["kind"], subject["name"])
    for ingress in manifest.of("Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                yield Reference(ingress, "Service", path["backend"]["service"]["name"])
    for route in manifest.of("HTTPRoute"):
        for rule in route["spec"]["rules"]:
            for backend in rule["backendRefs"]:
                yield Reference(route, "Service", backend["name"])


def _of_volumes(pods: PodTemplate) -> Iterator[Reference]:
    for volume in pods.spec.get("volumes") or []:
        if "persistentVolumeClaim" in volume:
            yield Reference(pods.owner, "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"])
        sources = [volume, *volume.get("projected", {}).get("sources", [])]
        for source in sources:
            if "secret" in source:
                it = source["secret"]
                yield from _items(pods.owner, "Secret", it.get("secretName") or it.get("name"), it)
            if "configMap" in source:
                yield from _items(pods.owner, "ConfigMap", source["configMap"]["name"], source["configMap"])


def _items(owner: Object, kind: str, wanted: str, source: dict[str, Any]) -> Iterator[Reference]:
    optional = bool(source.get("optional"))
    yield Reference(owner, kind, wanted, optional=optional)
    for item in source.get("items") or []:
        yield Reference(owner, kind, wanted, item["key"], optional)


def _of_environment(owner: Object, container: dict[str, Any]) -> Iterator[Reference]:
    for variable in container.get("env") or []:
        for field, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
            it = (variable.get("valueFrom") or {}).get(field)
            if it:
                yield Reference(owner, kind, it["name"], it["key"], bool(it.get("optional")))
    for source in container.get("envFrom") or []:
        for field, kind in (("secretRef", "Secret"), ("configMapRef", "ConfigMap")):
            if field in source:
                yield Reference(owner, kind, source[field]["name"], optional=bool(source[field].get("optional")))
