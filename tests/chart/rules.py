"""What must hold in every render, whatever the values: one function for each rule, which yields what breaks it.

They know Kubernetes, not this chart's templates; what is special about a component is in the tests of that component.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

import yaml

from tests.chart import pod_security
from tests.chart.manifests import CLUSTER_WIDE, Manifest, PodTemplate, events, name, selects, weight
from tests.chart.references import Reference, references

FOREIGN: Final = frozenset({"kube-root-ca.crt", "default"})
"""What every namespace has: a ConfigMap and a service account."""
_LABEL: Final = re.compile(r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$")
_NAME: Final = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
_IMAGE: Final = re.compile(r"^[a-z0-9./:_-]+(:[\w][\w.-]*|@sha256:[0-9a-f]{64})$")


def objects_are_unique(manifest: Manifest) -> Iterator[str]:
    """No object is there twice."""
    seen = Counter((it["apiVersion"], name(it), it["metadata"].get("namespace")) for it in manifest.objects)
    yield from (f"{key} is there {count} times" for key, count in seen.items() if count > 1)


def metadata_is_complete(manifest: Manifest) -> Iterator[str]:
    """Names and labels are valid, short enough, and everything says its namespace and which release it is of."""
    for it in manifest.objects:
        about = it["metadata"]
        longest = 52 if it["kind"] in {"CronJob", "StatefulSet"} else 63
        if not _NAME.match(about["name"]) or len(about["name"]) > longest:
            yield f"{name(it)}: bad name"
        if it["kind"] not in CLUSTER_WIDE and not about.get("namespace"):
            yield f"{name(it)}: no namespace"
        for label in ("app.kubernetes.io/name", "app.kubernetes.io/instance"):
            if label not in about.get("labels", {}):
                yield f"{name(it)}: no label {label}"
    labels = [(name(it), it["metadata"].get("labels") or {}) for it in manifest.objects]
    labels += [(pods.name, pods.labels) for pods in manifest.pods()]
    for where, pairs in labels:
        for key, value in pairs.items():
            if len(value) > 63 or not _LABEL.match(value):
                yield f"{where}: bad value of label {key}"


def mounts_resolve(manifest: Manifest) -> Iterator[str]:
    """Every mount has its volume, every volume a mount, and no two mounts of a container are at one place."""
    for pods in manifest.pods():
        volumes = [it["name"] for it in pods.spec.get("volumes") or []]
        claims = [it["metadata"]["name"] for it in pods.owner["spec"].get("volumeClaimTemplates") or []]
        yield from (f"{pods.name}: volume {it} twice" for it, count in Counter(volumes + claims).items() if count > 1)
        used: set[str] = set()
        for container in pods.containers:
            mounts = container.get("volumeMounts") or []
            used |= {it["name"] for it in mounts}
            yield from (
                f"{pods.name}/{container['name']}: no volume {it['name']}"
                for it in mounts
                if it["name"] not in {*volumes, *claims}
            )
            places = Counter(it["mountPath"] for it in mounts)
            yield from (f"{pods.name}/{container['name']}: {it} twice" for it, count in places.items() if count > 1)
            yield from (
                f"{pods.name}/{container['name']}: subPath is never renewed" for it in mounts if "subPath" in it
            )
        yield from (f"{pods.name}: nobody mounts {it}" for it in sorted({*volumes, *claims} - used))


def containers_are_sound(manifest: Manifest) -> Iterator[str]:
    """Names, ports and variables are unique, values are text, images have a version."""
    for pods in manifest.pods():
        names = Counter(it["name"] for it in pods.containers)
        yield from (f"{pods.name}: container {it} twice" for it, count in names.items() if count > 1)
        ports = [port for it in pods.containers for port in it.get("ports") or []]
        for field in ("name", "containerPort"):
            seen = Counter(it[field] for it in ports)
            yield from (f"{pods.name}: port {it} twice" for it, count in seen.items() if count > 1)
        for container in pods.containers:
            where = f"{pods.name}/{container['name']}"
            variables = container.get("env") or []
            seen = Counter(it["name"] for it in variables)
            yield from (f"{where}: {it} twice" for it, count in seen.items() if count > 1)
            yield from (
                f"{where}: {it['name']} is no text"
                for it in variables
                if "valueFrom" not in it and not isinstance(it.get("value"), str)
            )
            if not _IMAGE.match(container["image"]):
                yield f"{where}: image {container['image']}"


def selectors_match(manifest: Manifest) -> Iterator[str]:
    """Workloads select their own pods, and whatever selects pods selects those of exactly one workload."""
    templates = [it for it in manifest.pods() if it.owner["kind"] in {"Deployment", "StatefulSet"}]
    jobs = [it for it in manifest.pods() if it.owner["kind"] not in {"Deployment", "StatefulSet"}]
    for pods in templates:
        if not selects(pods.owner["spec"]["selector"], pods.labels):
            yield f"{pods.name} does not select its own pods"
    selectors = [(it, it["spec"]["selector"]) for it in manifest.of("Service", "PodDisruptionBudget", "PodMonitor")]
    selectors += [(pods.owner, pods.owner["spec"]["selector"]) for pods in templates]
    for owner, selector in selectors:
        found = [pods.name for pods in templates + jobs if selects(selector, pods.labels)]
        if len(found) != 1:
            yield f"{name(owner)} selects {found}"
    for policy in manifest.of("NetworkPolicy"):
        if not [pods for pods in templates + jobs if selects(policy["spec"]["podSelector"], pods.labels)]:
            yield f"{name(policy)} selects nothing"
        for rule in policy["spec"].get("egress") or []:
            for peer in rule.get("to") or []:
                if "podSelector" in peer and not [it for it in templates if selects(peer["podSelector"], it.labels)]:
                    yield f"{name(policy)} lets out to nothing"
    for scaler in manifest.of("HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        if f"{target['kind']}/{target['name']}" not in {pods.name for pods in templates}:
            yield f"{name(scaler)} scales nothing"
    for monitor in manifest.of("ServiceMonitor"):
        services = [
            it for it in manifest.of("Service") if selects(monitor["spec"]["selector"], it["metadata"]["labels"])
        ]
        if len(services) != 1:
            yield f"{name(monitor)} selects {[name(it) for it in services]}"


def ports_exist(manifest: Manifest) -> Iterator[str]:
    """Whoever names a port names one that is there."""
    yield from _ports_of_probes(manifest)
    for service in manifest.of("Service"):
        names = {name for pods in _selected(manifest, service["spec"]["selector"]) for name in _port_names(pods)}
        for port in service["spec"]["ports"]:
            if port["targetPort"] not in names:
                yield f"{name(service)}: no port {port['targetPort']}"
    services = {it["metadata"]["name"]: it for it in manifest.of("Service")}
    for ingress in manifest.of("Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                backend = path["backend"]["service"]
                ports = {it["name"] for it in services[backend["name"]]["spec"]["ports"]}
                if backend["port"]["name"] not in ports:
                    yield f"{name(ingress)}: no port {backend['port']}"
    for route in manifest.of("HTTPRoute"):
        for rule in route["spec"]["rules"]:
            for backend in rule["backendRefs"]:
                if backend["port"] not in {it["port"] for it in services[backend["name"]]["spec"]["ports"]}:
                    yield f"{name(route)}: no port {backend['port']}"
    for monitor in manifest.of("PodMonitor"):
        names = {it for pods in _selected(manifest, monitor["spec"]["selector"]) for it in _port_names(pods)}
        yield from (
            f"{name(monitor)}: no port {it['port']}"
            for it in monitor["spec"]["podMetricsEndpoints"]
            if it["port"] not in names
        )
    for policy in manifest.of("NetworkPolicy"):
        pods = _selected(manifest, policy["spec"]["podSelector"])
        known = {it for one in pods for it in _port_names(one)} | {it for one in pods for it in _port_numbers(one)}
        for rule in policy["spec"].get("ingress") or []:
            yield from (f"{name(policy)}: no port {it['port']}" for it in rule["ports"] if it["port"] not in known)


def _ports_of_probes(manifest: Manifest) -> Iterator[str]:
    for pods in manifest.pods():
        for container in pods.containers:
            own = {it["name"] for it in container.get("ports") or []}
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                for action in ("httpGet", "tcpSocket"):
                    port = container.get(probe, {}).get(action, {}).get("port")
                    if isinstance(port, str) and port not in own:
                        yield f"{pods.name}/{container['name']}: {probe} asks port {port}"


def _selected(manifest: Manifest, selector: dict[str, Any]) -> list[PodTemplate]:
    return [it for it in manifest.pods() if selects(selector, it.labels)]


def _port_names(pods: PodTemplate) -> set[str]:
    return {port["name"] for it in pods.containers for port in it.get("ports") or []}


def _port_numbers(pods: PodTemplate) -> set[int]:
    return {port["containerPort"] for it in pods.containers for port in it.get("ports") or []}


def references_resolve(manifest: Manifest, external: frozenset[str]) -> Iterator[str]:
    """Everything that is referred to is rendered, planned for init-secrets, optional, or named as somebody else's.

    A hook may refer only to what is there when it runs.
    """
    planned = {(it["name"], field) for it in plan(manifest) for field in FIELDS[it["kind"]]}
    for reference in references(manifest):
        if reference.optional or reference.name in FOREIGN or reference.name in external:
            continue
        if reference.kind == "Secret" and reference.name in {secret for secret, _ in planned}:
            if reference.entry and (reference.name, reference.entry) not in planned:
                yield f"{reference}: init-secrets writes no such entry"
            continue
        found = [it for it in manifest.of(reference.kind) if it["metadata"]["name"] == reference.name]
        if not [it for it in found if _is_there(it, reference)]:
            yield f"{reference}: is not there"
        elif reference.entry and not any(reference.entry in _entries(it) for it in found):
            yield f"{reference}: has no such entry"


FIELDS: Final = {
    "api-key": {"value"},
    "credentials": {"user", "password"},
    "license-key": {"value", "previous"},
    "database-credentials": {"user", "password"},
}
"""What init-secrets writes, by kind."""


def plan(manifest: Manifest) -> list[dict[str, Any]]:
    """Return the Secrets that init-secrets sees to."""
    found = [it for it in manifest.of("ConfigMap") if "plan.yaml" in it.get("data", {})]
    return [secret for it in found for secret in yaml.safe_load(it["data"]["plan.yaml"])["secrets"]]


def _entries(it: dict[str, Any]) -> set[str]:
    return {*(it.get("data") or {}), *(it.get("stringData") or {})}


def _is_there(it: dict[str, Any], reference: Reference) -> bool:
    """Return whether an object is there when whoever refers to it needs it."""
    first = {"pre-install", "pre-upgrade"}
    asking = events(reference.owner)
    if not events(it):
        return not asking & first
    return bool(asking & events(it)) and weight(it) <= weight(reference.owner)


def own_containers_are_restricted(
    manifest: Manifest, vendor: frozenset[str], *, numbered: bool = True
) -> Iterator[str]:
    """Everything but the containers named (the vendor's, the user's) satisfies the restricted level, and more.

    ``numbered``: users are numbers, unless the platform is to choose them.
    """
    for pods in manifest.pods():
        yield from (f"{pods.name}: {it}" for it in pod_security.pod(pods.spec))
        for container in pods.containers:
            if container["name"] not in vendor:
                judged = [
                    *pod_security.container(container, pods.spec),
                    *pod_security.stricter(container, pods.spec, numbered=numbered),
                ]
                yield from (f"{pods.name}: {it}" for it in judged)


def tokens_are_few(manifest: Manifest) -> Iterator[str]:
    """No token is mounted by itself; in the app's pod only the sidecar has it."""
    for pods in manifest.pods():
        if pods.spec.get("automountServiceAccountToken") is not False:
            yield f"{pods.name}: the token is mounted into every container"
        if pods.spec.get("enableServiceLinks") is not False:
            yield f"{pods.name}: service links"
        tokens = {
            it["name"]
            for it in pods.spec.get("volumes") or []
            if any("serviceAccountToken" in source for source in it.get("projected", {}).get("sources", []))
        }
        holders = {
            it["name"] for it in pods.containers for mount in it.get("volumeMounts") or [] if mount["name"] in tokens
        }
        if holders - {"license-sidecar", "init-secrets", "drain", "license-import"}:
            yield f"{pods.name}: {sorted(holders)} hold the token"


def hooks_clean_up(manifest: Manifest) -> Iterator[str]:
    """Hooks go away again, whatever comes out; only the test's pod stays to be read."""
    for it in manifest.objects:
        policy = (it["metadata"].get("annotations") or {}).get("helm.sh/hook-delete-policy", "")
        wanted = {"before-hook-creation"} if events(it) == {"test"} else set(POLICIES)
        if events(it) and set(policy.split(",")) != wanted:
            yield f"{name(it)}: {policy}"


POLICIES: Final = ("before-hook-creation", "hook-succeeded", "hook-failed")

PLAIN: Final[tuple[Callable[[Manifest], Iterator[str]], ...]] = (
    objects_are_unique,
    metadata_is_complete,
    mounts_resolve,
    containers_are_sound,
    selectors_match,
    ports_exist,
    tokens_are_few,
    hooks_clean_up,
)
"""The rules that need to know nothing but the render."""
