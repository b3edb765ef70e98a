"""The rules of ``rules.py`` can fail: each is shown a render that breaks it, made from a sound one by one change."""

# ruff: noqa: D103 - each change is named after what it does
from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any, Final

import pytest

from tests.chart import pod_security, rules
from tests.chart.conftest import obtain
from tests.chart.helm import CHART
from tests.chart.manifests import Manifest, load

Rule = Callable[[Manifest], Iterator[str]]
SOUND: Final = CHART / "ci" / "stand-in-values.yaml"


def references(manifest: Manifest) -> Iterator[str]:
    """Judge references with nothing declared as somebody else's."""
    return rules.references_resolve(manifest, frozenset())


def restricted(manifest: Manifest) -> Iterator[str]:
    """Judge every container."""
    return rules.own_containers_are_restricted(manifest, frozenset())


def twice(manifest: Manifest) -> None:
    manifest.objects.append(deepcopy(manifest.one("Service", "md-icapsrv")))


def nameless(manifest: Manifest) -> None:
    del manifest.one("Service", "md-icapsrv")["metadata"]["namespace"]


def long_label(manifest: Manifest) -> None:
    manifest.app.owner["metadata"]["labels"]["x"] = "y" * 64


def long_name(manifest: Manifest) -> None:
    manifest.app.owner["metadata"]["name"] = "y" * 64


def long_name_of_a_database(manifest: Manifest) -> None:
    manifest.app.owner["metadata"]["name"] = "y" * 53
    manifest.app.owner["kind"] = "StatefulSet"


def lost_volume(manifest: Manifest) -> None:
    manifest.app.spec["volumes"].pop(0)


def idle_volume(manifest: Manifest) -> None:
    manifest.app.spec["volumes"].append({"name": "idle", "emptyDir": {}})


def same_place(manifest: Manifest) -> None:
    mounts = manifest.app.container("license-sidecar")["volumeMounts"]
    mounts[1]["mountPath"] = mounts[0]["mountPath"]


def sub_path(manifest: Manifest) -> None:
    manifest.app.container("license-sidecar")["volumeMounts"][1]["subPath"] = "value"


def variable_twice(manifest: Manifest) -> None:
    variables = manifest.app.container("md-icapsrv")["env"]
    variables.append(variables[0])


def number_as_variable(manifest: Manifest) -> None:
    manifest.app.container("md-icapsrv")["env"].append({"name": "X", "value": 1})


def port_twice(manifest: Manifest) -> None:
    manifest.app.container("license-sidecar")["ports"][0]["containerPort"] = 8048


def image_without_version(manifest: Manifest) -> None:
    manifest.app.container("license-sidecar")["image"] = "license-sidecar"


def foreign_pods(manifest: Manifest) -> None:
    manifest.one("Service", "md-icapsrv")["spec"]["selector"] = {"app": "other"}


def too_many_pods(manifest: Manifest) -> None:
    manifest.one("Service", "md-icapsrv")["spec"]["selector"] = {"app.kubernetes.io/instance": "rel"}


def unselected(manifest: Manifest) -> None:
    manifest.app.metadata["labels"]["app"] = "other"


def port_of_service(manifest: Manifest) -> None:
    manifest.one("Service", "md-icapsrv")["spec"]["ports"][0]["targetPort"] = "rest2"


def port_of_probe(manifest: Manifest) -> None:
    manifest.app.container("license-sidecar")["livenessProbe"]["httpGet"]["port"] = "other"


def lost_secret(manifest: Manifest) -> None:
    volumes = manifest.app.spec["volumes"]
    next(it for it in volumes if it["name"] == "app-api-key")["secret"]["secretName"] = "other"


def lost_entry(manifest: Manifest) -> None:
    volumes = manifest.app.spec["volumes"]
    next(it for it in volumes if it["name"] == "app-api-key")["secret"]["items"][0]["key"] = "other"


def lost_account(manifest: Manifest) -> None:
    manifest.app.spec["serviceAccountName"] = "other"


def hook_before_its_config(manifest: Manifest) -> None:
    manifest.one("ConfigMap", "rel-init-secrets")["metadata"]["annotations"]["helm.sh/hook-weight"] = "0"


def hook_needs_the_release(manifest: Manifest) -> None:
    del manifest.one("ServiceAccount", "rel-init-secrets")["metadata"]["annotations"]["helm.sh/hook"]


def token_for_all(manifest: Manifest) -> None:
    manifest.app.spec["automountServiceAccountToken"] = True


def token_for_the_app(manifest: Manifest) -> None:
    mount = manifest.app.container("license-sidecar")["volumeMounts"][0]
    manifest.app.container("md-icapsrv")["volumeMounts"].append(mount)


def hook_that_stays(manifest: Manifest) -> None:
    manifest.one("Job", "rel-drain")["metadata"]["annotations"]["helm.sh/hook-delete-policy"] = "hook-succeeded"


CHANGES: Final[tuple[tuple[Rule, Callable[[Manifest], None]], ...]] = (
    (rules.objects_are_unique, twice),
    (rules.metadata_is_complete, nameless),
    (rules.metadata_is_complete, long_label),
    (rules.metadata_is_complete, long_name),
    (rules.metadata_is_complete, long_name_of_a_database),
    (rules.mounts_resolve, lost_volume),
    (rules.mounts_resolve, idle_volume),
    (rules.mounts_resolve, same_place),
    (rules.mounts_resolve, sub_path),
    (rules.containers_are_sound, variable_twice),
    (rules.containers_are_sound, number_as_variable),
    (rules.containers_are_sound, port_twice),
    (rules.containers_are_sound, image_without_version),
    (rules.selectors_match, foreign_pods),
    (rules.selectors_match, too_many_pods),
    (rules.selectors_match, unselected),
    (rules.ports_exist, port_of_service),
    (rules.ports_exist, port_of_probe),
    (references, lost_secret),
    (references, lost_entry),
    (references, lost_account),
    (references, hook_before_its_config),
    (references, hook_needs_the_release),
    (rules.tokens_are_few, token_for_all),
    (rules.tokens_are_few, token_for_the_app),
    (rules.hooks_clean_up, hook_that_stays),
)


@pytest.fixture
def manifest() -> Manifest:
    """Return a sound render of its own for each test."""
    return Manifest(obtain(4).template(SOUND))


@pytest.mark.parametrize(("rule", "change"), CHANGES, ids=lambda it: it.__name__)
def test_a_broken_render_is_noticed(manifest: Manifest, rule: Rule, change: Callable[[Manifest], None]) -> None:
    """A rule has nothing against the sound render, and something against the broken one."""
    assert list(rule(manifest)) == []
    change(manifest)
    assert list(rule(manifest)) != []


def test_every_rule_is_broken_once() -> None:
    """No rule is only believed."""
    assert set(rules.PLAIN) <= {rule for rule, _ in CHANGES}


UNSAFE: Final[tuple[dict[str, Any], ...]] = (
    {"allowPrivilegeEscalation": True},
    {"capabilities": {"drop": []}},
    {"capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}},
    {"runAsNonRoot": False},
    {"runAsUser": 0},
    {"seccompProfile": {"type": "Unconfined"}},
    {"privileged": True},
    {"procMount": "Unmasked"},
    {"readOnlyRootFilesystem": False},
)


@pytest.mark.parametrize("security", UNSAFE, ids=json.dumps)
def test_an_unsafe_container_is_noticed(manifest: Manifest, security: dict[str, Any]) -> None:
    """Each control of the restricted level counts by itself."""
    assert list(restricted(manifest)) == []
    manifest.app.container("license-sidecar")["securityContext"].update(security)
    assert len(list(restricted(manifest))) == 1


@pytest.mark.parametrize("where", ["requests", "limits"])
def test_a_container_without_a_size_is_noticed(manifest: Manifest, where: str) -> None:
    """Requests and limits are part of the promise."""
    del manifest.app.container("license-sidecar")["resources"][where]
    assert len(list(restricted(manifest))) == 2


@pytest.mark.parametrize(
    "spec",
    [
        {"hostNetwork": True},
        {"hostPID": True},
        {"volumes": [{"name": "x", "hostPath": {"path": "/"}}]},
        {"securityContext": {"sysctls": [{"name": "x", "value": "1"}]}},
        {"securityContext": {"runAsUser": 0}},
    ],
    ids=json.dumps,
)
def test_an_unsafe_pod_is_noticed(spec: dict[str, Any]) -> None:
    """So do those of the pod."""
    assert list(pod_security.pod({})) == []
    assert len(list(pod_security.pod(spec))) == 1


def test_a_key_that_stands_twice_is_noticed() -> None:
    """A mapping with one name twice is refused, where plain YAML would take the last."""
    assert load("a: 1\nb: 2") == [{"a": 1, "b": 2}]
    with pytest.raises(ValueError, match="a twice, at line 1"):
        load("a: 1\nb: 2\na: 3")


def test_numbers_are_read_as_helm_reads_them() -> None:
    """A name without quotes that is a number to Helm is one here, too."""
    assert load("a: 12345e7\nb: '12345e7'\nc: 480c796ce51d") == [{"a": 12345e7, "b": "12345e7", "c": "480c796ce51d"}]
