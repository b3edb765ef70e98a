"""What users of the vendor's chart 5.14.1 suffer (each was reproduced with it): this chart does none of it.

One test for each complaint, named after it.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any, Final

import pytest
import yaml

from tests.chart.conftest import obtain
from tests.chart.helm import CHART
from tests.chart.manifests import Manifest, environment, events, name
from tests.chart.rules import plan
from tests.chart.test_render_messages import GOOD, Case, refusal

NEW: Final = """
acceptEula: true
license: {key: FAKE-PAIN-ONLY-NOT0-REAL-0001-KEY0}
database: {host: postgres.example.com, user: icap, password: fake-database-password}
"""
"""Secrets given by value, as at a first installation."""
PARTS: Final = ("https", "icaps", "nginxs")


@cache
def rendered(values: str, *more: str, apis: tuple[str, ...] = ()) -> Manifest:
    """Return a render of these values alone."""
    return Manifest(obtain(4).template(values=values, more=more, apis=apis))


def good(values: str) -> Manifest:
    """Return a render of the good values with others over them."""
    merged = yaml.safe_load(GOOD)
    for key, value in yaml.safe_load(values).items():
        merged[key] = {**merged[key], **value} if isinstance(value, dict) and key in merged else value
    return rendered(yaml.safe_dump(merged))


def templates() -> str:
    """Return all templates as one text."""
    return "\n".join(it.read_text(encoding="utf-8") for it in sorted((CHART / "templates").iterdir()))


def app(manifest: Manifest) -> dict[str, Any]:
    """Return the app's container."""
    return manifest.app.container("md-icapsrv")


def test_an_upgrade_without_the_key_overwrites_the_kept_secret_with_a_placeholder() -> None:
    """Without the key nothing about it is rendered; the one writer gets no value, and a placeholder is refused."""
    upgrade = rendered("acceptEula: true\ndatabase: {host: postgres.example.com}", "--is-upgrade")
    assert upgrade.of("Secret") == []
    assert {it["name"]: it["kind"] for it in plan(upgrade)}["mdicapsrv-license-key"] == "license-key"
    first = rendered(NEW)
    assert "mdicapsrv-license-key.value" in first.one("Secret")["stringData"]
    assert "SET_LICENSE_KEY_HERE" not in upgrade.text + first.text


def test_api_key_and_passwords_change_on_each_render() -> None:
    """No template draws lots or asks a cluster: what is generated is generated once, by the Job."""
    assert not re.search(r"\b(rand[A-Z]\w*|uuidv4|genPrivateKey|genCA|genSelfSigned\w*|lookup|now|date)\b", templates())
    generated = {it["name"] for it in plan(rendered(NEW))}
    assert {"mdicapsrv-api-key", "mdicapsrv-cred"} <= generated
    assert "mdicapsrv-api-key.value" not in rendered(NEW).one("Secret")["stringData"]


def test_the_generated_api_key_breaks_the_products_own_rule() -> None:
    """Keys of our generator pass the chart's own check of the rule, which others do not."""
    generated = pytest.importorskip("sidecar.operate.generated")
    from random import Random  # noqa: PLC0415 - only here

    for seed in range(5):
        key = generated.api_key(Random(seed))
        assert obtain(4).refusal(f"{NEW}\napp: {{apiKey: {{value: '{key}'}}}}") == ""
    worse = "0" + generated.api_key(Random(1))
    assert "breaks the product's rule" in obtain(4).refusal(f"{NEW}\napp: {{apiKey: {{value: '{worse}'}}}}")


def test_an_unlicensed_pod_an_expired_licence_or_a_database_hiccup_kills_the_container() -> None:
    """Liveness and startup look at the port alone; what is about the licence takes traffic away and no more."""
    container = app(rendered(NEW))
    script = container["livenessProbe"]["exec"]["command"][-1]
    assert "HEAD / HTTP" in script
    for probe in ("livenessProbe", "startupProbe"):
        assert not re.search(r"readyz|/admin|licen[cs]e(?!-sidecar| sidecar)", json.dumps(container[probe]))
    assert container["startupProbe"]["tcpSocket"] == {"port": "rest"}
    assert container["readinessProbe"]["tcpSocket"] == {"port": "icap"}
    sidecar = rendered(NEW).app.container("license-sidecar")
    assert sidecar["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert sidecar["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_each_start_may_burn_a_seat() -> None:
    """The app neither activates nor cleans up by itself: no key, no automation of its own."""
    variables = environment(app(rendered(NEW)))
    assert "LICENSE_KEY" not in variables
    assert variables["LICENSING_CLEANUP"] == "false"


def test_there_is_no_grace_period_and_no_pre_stop() -> None:
    """The grace period covers draining, the app's end and the release of the seat; endpoints drain before SIGTERM."""
    manifest = rendered(NEW)
    assert manifest.app.spec["terminationGracePeriodSeconds"] == 10 + 30 + 20 + 5
    assert app(manifest)["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", "10"]
    longer = good("{app: {preStopSeconds: 0, stopSeconds: 100}, sidecar: {shutdownBudgetSeconds: 30}}")
    assert longer.app.spec["terminationGracePeriodSeconds"] == 100 + 30 + 5
    assert "lifecycle" not in app(longer)


def test_configuration_changes_never_roll_the_pods() -> None:
    """A change of what the pods read changes their template; a change elsewhere does not."""
    one, other = (good(f"app: {{confJson: '{{\"a\": {it}}}'}}").app for it in (1, 2))
    assert one.metadata["annotations"]["checksum/config"] != other.metadata["annotations"]["checksum/config"]
    assert json.dumps(one.spec) == json.dumps(other.spec)
    assert good("commonLabels: {a: b}").app.metadata == good("commonLabels: {a: c}").app.metadata


def test_replicas_are_set_although_an_autoscaler_is_on() -> None:
    """With an autoscaler, ours or somebody else's, nobody resets the number of pods at each upgrade."""
    for values in ("autoscaling: {enabled: true}", "replicas: null"):
        assert "replicas" not in good(values).app.owner["spec"]
    assert good("replicas: 2").app.owner["spec"]["replicas"] == 2


def test_the_role_reaches_all_pods_and_secrets_of_the_namespace() -> None:
    """The sidecar may look at pods, write seat records and events; no Secret, no change of a pod, no cluster role."""
    manifest = rendered(NEW)
    assert manifest.of("ClusterRole", "ClusterRoleBinding") == []
    role = next(it for it in manifest.of("Role") if not events(it))
    assert {(tuple(it["resources"]), tuple(it["verbs"])) for it in role["rules"]} == {
        (("pods",), ("get", "list", "watch")),
        (("events",), ("create",)),
        (("leases",), ("get", "list", "watch", "create", "update", "delete")),
    }


def test_the_writer_of_secrets_reaches_every_secret() -> None:
    """The Job's own Role reads and changes the Secrets of the plan by name; only creating cannot be narrowed."""
    role = rendered(NEW).one("Role", "rel-init-secrets")
    named = {verb for rule in role["rules"] if rule.get("resourceNames") for verb in rule["verbs"]}
    free = {verb for rule in role["rules"] if not rule.get("resourceNames") for verb in rule["verbs"]}
    assert (named, free) == ({"get", "update"}, {"create"})
    names = next(rule["resourceNames"] for rule in role["rules"] if rule.get("resourceNames"))
    assert names == [it["name"] for it in plan(rendered(NEW))]


def test_the_token_is_mounted_into_the_container_that_parses_files() -> None:
    """Only the sidecar has it."""
    pods = rendered(NEW).app
    assert pods.spec["automountServiceAccountToken"] is False
    places = {it["name"]: [m["mountPath"] for m in it["volumeMounts"]] for it in pods.containers}
    token = "/var/run/secrets/kubernetes.io/serviceaccount"
    assert [container for container, paths in places.items() if token in paths] == ["license-sidecar"]


def test_secrets_stand_in_a_config_map() -> None:
    """What is given by value is in the hook Secret and nowhere else, neither in a ConfigMap nor in the pods."""
    values = (
        f"{NEW}\napp: {{apiKey: {{value: a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d6e7f8}}, credentials: {{password: fake-pw}}}}"
    )
    manifest = rendered(values)
    for secret in ("FAKE-PAIN", "fake-database-password", "a1b2c3d4e5f6", "fake-pw"):
        assert [name(it) for it in manifest.objects if secret in json.dumps(it)] == ["Secret/rel-init-secrets"]


def test_the_token_of_the_licence_server_stands_in_a_config_map() -> None:
    """The product's secrets come from Secrets; a variable that looks like one is refused."""
    manifest = good("{mode: observe, olms: {url: 'https://o', existingSecret: olms}}")
    assert {"secretRef": {"name": "olms"}} in app(manifest)["envFrom"]
    in_the_open = Case("", "{mode: observe, olms: {env: {OLMS_TOKEN: x}}}", ())
    assert "looks like a secret" in refusal(4, in_the_open)


def test_the_key_is_an_environment_variable() -> None:
    """It is a file, mounted in the sidecar alone; the app's container does not even have the volume."""
    pods = rendered(NEW).app
    volume = next(it for it in pods.spec["volumes"] if it["name"] == "license-key")
    assert volume["secret"] == {"secretName": "mdicapsrv-license-key", "defaultMode": 0o444, "optional": True}
    holders = [it["name"] for it in pods.containers if "license-key" in {m["name"] for m in it["volumeMounts"]}]
    assert holders == ["license-sidecar"]
    assert "mdicapsrv-license-key" not in json.dumps([it.get("env") for it in pods.containers])
    assert "LICENSE_KEY" in environment(app(good("activation: {route: app}")))


def test_typos_install() -> None:
    """A name that the chart does not know is an error, on every level."""
    for values in ("replica: 1", "license: {seat: 1}", "tls: {https: {enable: true}}", "service: {typ: NodePort}"):
        assert "not allowed" in refusal(4, Case("", values, ()))


def test_only_one_release_fits_into_a_namespace() -> None:
    """With naming: release no name is shared, and none selects the other's pods."""
    values = f"{NEW}\nnaming: release"
    one, other = (Manifest(obtain(4).template(values=values, release=it)) for it in ("one", "two"))
    assert {name(it) for it in one.objects} & {name(it) for it in other.objects} == set()
    assert one.app.labels["app"] != other.app.labels["app"]
    assert {it["name"] for it in plan(one)} & {it["name"] for it in plan(other)} == set()


def test_long_names_of_releases_are_cut_apart() -> None:
    """Two releases whose long names differ at their ends only do not share a name either."""
    values = f"{NEW}\nnaming: release"
    names = ["a" * 52 + it for it in "xy"]
    one, other = (Manifest(obtain(4).template(values=values, release=it)) for it in names)
    assert {name(it) for it in one.objects} & {name(it) for it in other.objects} == set()
    assert max(len(it["metadata"]["name"]) for it in one.objects) <= 63


def test_clean_up_db_cannot_start() -> None:
    """There is no such thing: every container that is rendered has an image, and something to run."""
    manifest = Manifest(obtain(4).template(CHART / "ci" / "new-secrets-values.yaml"))
    for pods in manifest.pods():
        for container in pods.containers:
            assert container["image"]
            ours = container["image"].startswith("license-sidecar")
            assert not ours or container.get("args") or container.get("command")


def test_extra_volumes_are_ignored_in_the_default_configuration() -> None:
    """They are there with nothing else switched on."""
    values = "{extraVolumes: [{name: x, emptyDir: {}}], extraVolumeMounts: [{name: x, mountPath: /x}]}"
    pods = good(values).app
    assert {"name": "x", "emptyDir": {}} in pods.spec["volumes"]
    assert {"name": "x", "mountPath": "/x"} in pods.container("md-icapsrv")["volumeMounts"]


def test_the_ingress_enables_tls_1_0_through_a_snippet() -> None:
    """No annotation is made by the chart; those of the user are passed on."""
    assert "annotations" not in good("ingress: {enabled: true}").one("Ingress")["metadata"]
    given = good("ingress: {enabled: true, annotations: {a: b}}").one("Ingress")
    assert given["metadata"]["annotations"] == {"a": "b"}
    assert "snippet" not in templates()


def test_the_ingress_names_a_secret_without_a_private_key() -> None:
    """It names the Secret that the user names for it, never one of the app's certificates."""
    values = (
        "{ingress: {enabled: true, tls: [{secretName: mine, hosts: [h]}], hosts: [h]},"
        " tls: {https: {enabled: true, certSecret: a, certKeySecret: b}}}"
    )
    assert good(values).one("Ingress")["spec"]["tls"] == [{"secretName": "mine", "hosts": ["h"]}]
    assert "tls" not in good("ingress: {enabled: true}").one("Ingress")["spec"]


def test_the_proxy_catches_the_api_server_too() -> None:
    """NO_PROXY of both containers has the API server, this machine and the database, whatever else is asked for."""
    pods = good("proxy: {https: 'http://proxy:3128', noProxy: [.example.org]}").app
    for container, variable in (("md-icapsrv", "https_proxy"), ("license-sidecar", "HTTPS_PROXY")):
        variables = environment(pods.container(container))
        assert variables[variable] == "http://proxy:3128"
        direct = variables["NO_PROXY"].split(",")
        wanted = {"$(KUBERNETES_SERVICE_HOST)", "kubernetes.default.svc", "127.0.0.1", "localhost", ".svc"}
        assert wanted | {"postgres.example.com", ".example.org"} <= set(direct)


@pytest.mark.parametrize("part", PARTS)
def test_two_secrets_for_a_certificate_are_mounted_with_sub_path(part: str) -> None:
    """One Secret of the usual type will do; exactly two files appear under the vendor's names, and they are renewed."""
    values = f"{{app: {{nginx: {{enabled: true}}}}, tls: {{{part}: {{enabled: true, existingSecret: s}}}}}}"
    pods = good(values).app
    mount = next(it for it in pods.container("md-icapsrv")["volumeMounts"] if it["mountPath"] == f"/{part}_cert")
    assert "subPath" not in mount
    volume = next(it for it in pods.spec["volumes"] if it["name"] == mount["name"])
    (source,) = volume["projected"]["sources"]
    assert source["secret"]["name"] == "s"
    assert {it["key"]: it["path"] for it in source["secret"]["items"]} == {
        "tls.crt": f"mdicapsrv-{part}.crt",
        "tls.key": f"mdicapsrv-{part}.key",
    }
