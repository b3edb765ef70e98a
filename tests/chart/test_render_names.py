"""Names that look like something else: text stays text in every field that takes text, however long or odd it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from sidecar.cli.plan_file import read
from tests.chart import rules
from tests.chart.conftest import obtain
from tests.chart.helm import VERSIONS
from tests.chart.manifests import Manifest, name
from tests.chart.test_render import FOREIGN_KINDS, TESTED, UNKNOWN, fault_of

EXISTING: Final = """
acceptEula: true
commonLabels: {number: NAME}
commonAnnotations: {number: NAME}
podLabels: {pod: NAME}
podAnnotations: {pod: NAME}
hooks: {podLabels: {pod: NAME}, podAnnotations: {pod: NAME}}
global: {imagePullSecrets: [NAME]}
license: {existingSecret: NAME, seats: 9}
activation: {ca: {existingConfigMap: NAME, key: NAME}}
app:
  image: {registry: "", repository: NAME, tag: NAME}
  apiKey: {existingSecret: NAME}
  credentials: {existingSecret: NAME}
  auditDataRetention: NAME
  confJson: NAME
  ignition: {existingSecret: NAME, key: NAME}
  importPackage: {existingSecret: "7654321", mountPath: "/a b: c", env: {EXAMPLE: NAME}, secretEnv: {FURTHER: NAME}}
  trustCertificates: {files: {NAME: NAME}, existingConfigMap: NAME, mountPath: "/d e: f"}
sidecar: {extraEnv: [{name: EXAMPLE, value: NAME}]}
replicas: 0
adoption: {fromVendor: true}
database: {host: NAME, name: NAME, mode: NAME, type: NAME, existingSecret: NAME, userKey: NAME, passwordKey: NAME}
tls:
  https: {enabled: true, existingSecret: NAME, protocols: NAME}
  icaps: {enabled: true, certSecret: NAME, certSecretKey: NAME, certKeySecret: NAME, certKeySecretKey: NAME}
service:
  type: LoadBalancer
  loadBalancerClass: NAME
  labels: {number: NAME}
  annotations: {number: NAME}
ingress: {enabled: true, className: NAME, hosts: [NAME], path: "/a b: c", tls: [{secretName: NAME, hosts: [NAME]}]}
httpRoute: {enabled: true, parentRefs: [{name: NAME}], hostnames: [NAME], path: "/a b: c"}
persistence: {enabled: true, claimName: NAME, storageClass: NAME, size: NAME}
ledger: {namespace: NAME, readPodsIn: [NAME, "7654321"]}
serviceAccount: {name: NAME}
networkPolicy:
  enabled: true
  cilium: {enabled: true, fqdns: [NAME]}
  egress: {database: {cidrs: ["::1/128"]}, proxy: {cidrs: ["::1/128"]}}
monitoring: {enabled: true, interval: NAME, labels: {number: NAME}, rules: {labels: {number: NAME}}}
proxy: {existingSecret: NAME, noProxy: [NAME]}
nodeSelector: {number: NAME}
priorityClassName: NAME
runtimeClassName: NAME
dnsPolicy: None
"""
NEW: Final = """
acceptEula: true
naming: release
commonLabels: {number: NAME}
license: {key: NAME, previous: [NAME]}
app: {credentials: {user: NAME, password: NAME}}
activation: {ca: {existingSecret: NAME}}
autoscaling: {enabled: true, maxReplicas: 2}
database:
  user: NAME
  password: NAME
  name: NAME
  embedded: {enabled: true, persistence: {size: NAME, storageClass: NAME}}
persistence: {enabled: true, existingClaim: NAME}
mockActivation: {enabled: true}
networkPolicy: {enabled: true}
monitoring: {enabled: true, type: service, dashboard: {enabled: true, namespace: NAME}}
ingress: {enabled: true}
"""
ODD: Final = ("8452910", "12345e7", "1e3", "0x1f", "on", "null", "2026-11-27")
"""Valid names of releases, namespaces, Secrets: to YAML without quotes numbers, a switch, nothing, a day."""


def made(major: int, values: str, odd: str, *, release: str = "rel", namespace: str = "ns") -> Manifest:
    """Return a render in which everything that can be named has this name."""
    text = json.dumps(yaml.safe_load(values)).replace("NAME", odd)
    return Manifest(obtain(major).template(values=text, release=release, namespace=namespace))


def types(it: Any) -> Any:
    """Return the kinds of everything within an object: all but the texts and numbers themselves."""
    match it:
        case dict():
            return {key: types(value) for key, value in it.items()}
        case list():
            return [types(value) for value in it]
        case _:
            return type(it).__name__


@pytest.mark.parametrize("major", VERSIONS, ids=lambda it: f"helm-{it}")
@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("values", [EXISTING, NEW], ids=["existing", "new"])
def test_text_stays_text(values: str, odd: str, major: int) -> None:
    """By the API's own schema, and for custom resources as with names that nobody could take for a number."""
    manifest = made(major, values, odd, release=odd, namespace="1234567")
    faults = {name(it): fault_of(json.dumps(it), TESTED) for it in manifest.objects}
    assert {it: fault for it, fault in faults.items() if fault not in ("", UNKNOWN)} == {}
    plain = made(major, values, "plain")
    for kind in FOREIGN_KINDS:
        assert types(manifest.of(kind)) == types(plain.of(kind))


def test_everything_odd_is_seen() -> None:
    """The test above looks at every kind of object that the chart can make but the one for the other monitor."""
    kinds = {it["kind"] for values in (EXISTING, NEW) for it in made(4, values, "plain").objects}
    assert kinds >= FOREIGN_KINDS
    assert kinds >= {"Deployment", "StatefulSet", "Job", "CronJob", "Pod", "Secret", "ConfigMap", "Ingress", "Service"}


def test_what_is_named_arrives() -> None:
    """Quotes change no name: the odd one is where the value for it says."""
    manifest = made(4, EXISTING, "123456", release="8452910", namespace="1234567")
    assert manifest.app.spec["priorityClassName"] == "123456"
    assert manifest.app.labels["app.kubernetes.io/instance"] == "8452910"
    assert manifest.app.owner["metadata"]["namespace"] == "1234567"
    (path,) = manifest.one("Ingress")["spec"]["rules"][0]["http"]["paths"]
    assert path["path"] == "/a b: c"
    assert manifest.one("PodMonitor")["spec"]["namespaceSelector"] == {"matchNames": ["1234567"]}


def test_init_secrets_knows_an_odd_release(tmp_path: Path) -> None:
    """Its plan is text within text, and read by the command itself."""
    manifest = made(4, NEW, "123456", release="8452910", namespace="1234567")
    file = tmp_path / "plan.yaml"
    file.write_text(manifest.one("ConfigMap", "8452910-init-secrets")["data"]["plan.yaml"], encoding="utf-8")
    plan = read(file, None)
    assert plan.release == "8452910"
    assert {it.labels["app.kubernetes.io/instance"] for it in plan.secrets} == {"8452910"}


@pytest.mark.parametrize("length", [36, 37, 43, 44, 47, 53])
@pytest.mark.parametrize("values", [EXISTING, NEW], ids=["existing", "new"])
def test_the_longest_name_of_a_release_fits(values: str, length: int) -> None:
    """Helm takes 53 characters; no name or label, or what controllers make of it, becomes too long."""
    manifest = made(4, values, "plain", release="r" * length, namespace="n" * 63)
    assert [fault for rule in rules.PLAIN for fault in rule(manifest)] == []
