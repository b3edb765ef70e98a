"""What the chart makes of alerts and dashboard: the same stories, within one release, and nobody else's pods."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart import promtool
from tests.chart.helm import Helm
from tests.chart.manifests import load
from tests.chart.promtool import Case
from tests.chart.test_alerts import CASES

MINIMAL: dict[str, Any] = {
    "acceptEula": True,
    "license": {"existingSecret": "icap-license"},
    "database": {"host": "postgres.example.com", "existingSecret": "icap-database"},
}
APIS = tuple(f"monitoring.coreos.com/v1/{kind}" for kind in ("PodMonitor", "ServiceMonitor", "PrometheusRule"))
GROUP = "monitoring.coreos.com/v1"
"""What most people tell `helm template`; a cluster tells it too, but never without a kind of it."""
POD = "md-icapsrv-5d4b9c7f6c-"
"""How the pods of the Deployment are called, up to the last part."""


def render(helm: Helm, monitoring: dict[str, Any], apis: tuple[str, ...] = APIS, **more: Any) -> list[dict[str, Any]]:
    """Return the objects of release `rel` in namespace `icap`."""
    values = yaml.safe_dump(MINIMAL | {"monitoring": monitoring} | more)
    return load(helm.template(values=values, namespace="icap", apis=apis))


def of(objects: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """Return the objects of a kind."""
    return [it for it in objects if it["kind"] == kind]


def job_of(objects: list[dict[str, Any]]) -> str:
    """Return the job that the Prometheus operator gives to what the one monitor selects, by its documentation."""
    (monitor,) = [it for it in objects if it["kind"] in ("PodMonitor", "ServiceMonitor")]
    meta = monitor["metadata"]
    if monitor["kind"] == "PodMonitor":
        return f"{meta['namespace']}/{meta['name']}"
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    (service,) = [it for it in of(objects, "Service") if wanted <= it["metadata"]["labels"].items()]
    name: str = service["metadata"]["name"]
    return name


def story(case: Case, rules: dict[str, dict[str, Any]], job: str, pods: str) -> dict[str, Any]:
    """Return a case's story as it happens to pods of this job, whose names begin like that."""

    def renamed(text: str) -> str:
        text = re.sub(r'pod="([a-z]+)-?(\d*)"', rf'pod="{pods}\1\2"', text)
        return text.replace(f'job="{promtool.JOB}"', f'job="{job}"')

    made = case.test_file(rules[case.alert], "rules.yaml")
    for group in made["tests"]:
        group.pop("alert_rule_test", None)  # texts are the affair of test_alerts
        for series in group["input_series"]:
            series["series"] = renamed(series["series"])
        for sample in (it for look in group["promql_expr_test"] for it in look["exp_samples"]):
            sample["labels"] = renamed(sample["labels"])
    return made


def play(stories: list[dict[str, Any]], groups: list[dict[str, Any]], folder: Path) -> None:
    """Let promtool play all stories against the rules of one release."""
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": groups}))
    tests = [test for it in stories for test in it["tests"]]
    (folder / "stories.yaml").write_text(yaml.safe_dump(stories[0] | {"tests": tests}))
    promtool.run("check", "rules", "rules.yaml", folder=folder)
    promtool.run("test", "rules", "stories.yaml", folder=folder)


STORIES = [case for case in CASES if case.namespace]


@pytest.mark.parametrize("monitor", ["pod", "service"])
def test_the_release_s_own_pods_are_called_for(helm3: Helm, monitor: str, tmp_path: Path) -> None:
    """Every story ends alike with the rules of the release, told with the job that its own monitor brings about."""
    objects = render(helm3, {"type": monitor})
    (rule,) = of(objects, "PrometheusRule")
    rules = promtool.rules()
    play([story(case, rules, job_of(objects), POD) for case in STORIES], rule["spec"]["groups"], tmp_path)


def test_a_scrape_job_of_one_s_own_is_known_by_the_pods(helm3: Helm, tmp_path: Path) -> None:
    """With annotations nobody knows what the job is called: namespace and names of pods are asked for instead."""
    objects = render(helm3, {"type": "annotations", "rules": {"enabled": True}})
    assert not of(objects, "PodMonitor")
    (rule,) = of(objects, "PrometheusRule")
    absent = [case for case in STORIES if case.alert == "LicenseSidecarAbsent"]
    others = [case for case in STORIES if case not in absent]
    rules = promtool.rules()
    play([story(case, rules, "kubernetes-pods", POD) for case in others], rule["spec"]["groups"], tmp_path)


@pytest.mark.parametrize("pods", ["other-md-icapsrv-5d4b9c7f6c-", "md-icapsrv-init-secrets-5d4b9c7f6c-"])
def test_nobody_else_s_pods_are(helm3: Helm, pods: str, tmp_path: Path) -> None:
    """The same happening to another release in the namespace, or to a Job's pod, fires nothing here."""
    (rule,) = of(render(helm3, {}), "PrometheusRule")
    stories = [story(case, promtool.rules(), "icap/other-license-sidecar", pods) for case in STORIES]
    assert any(look["exp_samples"] for it in stories for test in it["tests"] for look in test["promql_expr_test"])
    for look in (look for it in stories for test in it["tests"] for look in test["promql_expr_test"]):
        look["exp_samples"] = []
    play(stories, rule["spec"]["groups"], tmp_path)


@pytest.mark.parametrize("naming", ["fixed", "release"])
@pytest.mark.parametrize("monitor", ["pod", "service", "annotations"])
def test_every_selector_is_the_release_s(helm3: Helm, monitor: str, naming: str) -> None:
    """What the file leaves open is filled in everywhere, and the pattern for pods fits those of the Deployment."""
    objects = render(helm3, {"type": monitor, "rules": {"enabled": True}}, naming=naming)
    (rule,) = of(objects, "PrometheusRule")
    (deployment,) = [it for it in of(objects, "Deployment") if "md-icapsrv" in it["metadata"]["name"]]
    text = json.dumps(rule)
    assert '=~\\".+\\"' not in text
    assert '\\"license-sidecar\\",' not in text
    for one in rule["spec"]["groups"][0]["rules"]:
        for name, matchers in re.findall(r"\b(up|(?:mdlicense|kube)_[a-z_]+)(\{[^}]*\})", one["expr"]):
            assert 'namespace="icap"' in matchers, name
            assert (
                "job=" in matchers
                or "pod=" in matchers
                or name in ("kube_pod_status_phase", "kube_pod_deletion_timestamp")
            )
    (pattern,) = set(re.findall(r'pod=~\\"([^"]+)\\"', text))
    assert re.fullmatch(pattern, f"{deployment['metadata']['name']}-5d4b9c7f6c-x7k2p")
    assert not re.fullmatch(pattern, f"{deployment['metadata']['name']}-reclaim-29123456-x7k2p")


@pytest.mark.parametrize(
    ("monitoring", "apis", "there"),
    [
        ({}, APIS, True),
        ({}, (), False),
        ({"enabled": False}, APIS, False),
        ({"enabled": True}, APIS, True),
        ({"enabled": True}, (), True),
        ({"enabled": True, "type": "service"}, (), True),
        ({"enabled": True, "type": "annotations"}, (), False),
        ({"enabled": True, "rules": {"enabled": False}}, (), False),
        ({"rules": {"enabled": True}}, (), True),
        ({"enabled": False, "rules": {"enabled": True}}, (), True),
        ({"rules": {"enabled": False}}, APIS, False),
        ({"rules": {"enabled": "auto"}}, (APIS[0],), False),
        ({}, (GROUP,), True),
        ({}, (GROUP, APIS[0]), False),
    ],
)
def test_rules_are_there_where_they_are_wanted_and_understood(
    helm3: Helm, monitoring: dict[str, Any], apis: tuple[str, ...], there: bool
) -> None:
    """`auto` looks whether the cluster knows PrometheusRules, or goes with a monitor that was asked for in any case."""
    assert bool(of(render(helm3, monitoring, apis), "PrometheusRule")) is there


@pytest.mark.parametrize(
    ("monitoring", "apis", "made"),
    [
        ({}, (), []),
        ({}, (GROUP,), ["PodMonitor"]),
        ({}, APIS, ["PodMonitor"]),
        ({}, (GROUP, *APIS), ["PodMonitor"]),
        ({}, (APIS[1],), ["ServiceMonitor"]),
        ({}, (GROUP, APIS[1]), ["ServiceMonitor"]),
        ({}, (GROUP, APIS[2]), []),
        ({"enabled": True}, (APIS[1],), ["ServiceMonitor"]),
        ({"enabled": True}, (), ["PodMonitor"]),
        ({"type": "service"}, (GROUP,), ["ServiceMonitor"]),
        ({"type": "service"}, (APIS[0],), []),
        ({"type": "pod"}, (APIS[1],), []),
        ({"type": "annotations"}, (GROUP,), []),
    ],
)
def test_the_monitor_is_of_a_kind_that_the_cluster_knows(
    helm3: Helm, monitoring: dict[str, Any], apis: tuple[str, ...], made: list[str]
) -> None:
    """`auto` takes what is there; the group alone, as it is told to `helm template`, is all of its kinds."""
    objects = render(helm3, monitoring, apis)
    assert [it["kind"] for it in of(objects, "PodMonitor") + of(objects, "ServiceMonitor")] == made
    if made:
        assert job_of(objects)


def test_rules_carry_the_labels_and_the_runbook_that_were_asked_for(helm3: Helm) -> None:
    """The labels by which a Prometheus finds rules, and links to where the runbook is kept."""
    rules = {"labels": {"release": "prometheus"}, "runbookUrl": "https://runbooks.example.com/licence"}
    (rule,) = of(render(helm3, {"rules": rules}), "PrometheusRule")
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    links = [one["annotations"]["runbook_url"] for one in rule["spec"]["groups"][0]["rules"]]
    assert links == [f"https://runbooks.example.com/licence#{name.lower()}" for name in promtool.rules()]


def test_without_an_address_there_is_no_link_but_the_place(helm3: Helm) -> None:
    """Every alert has its `runbook_url` all the same, as it was agreed: the entry in the project's pages."""
    (rule,) = of(render(helm3, {}), "PrometheusRule")
    annotations = [one["annotations"] for one in rule["spec"]["groups"][0]["rules"]]
    assert [it["runbook_url"] for it in annotations] == [f"docs/runbook.md#{name.lower()}" for name in promtool.rules()]
    assert {name for it in annotations for name in it} == {"summary", "description", "runbook_url"}


@pytest.mark.parametrize("length", [1, 36, 37, 43, 44, 53])
def test_pods_are_known_by_names_that_kubernetes_cut(helm3: Helm, length: int) -> None:
    """The name of a pod is that of its ReplicaSet, cut at 58 characters, and five more: the hash must not be lost."""
    monitoring = {"type": "annotations", "rules": {"enabled": True}}
    values = yaml.safe_dump(MINIMAL | {"naming": "release", "monitoring": monitoring})
    objects = load(helm3.template(values=values, release="r" * length, namespace="icap"))
    (deployment,) = of(objects, "Deployment")
    (rule,) = of(objects, "PrometheusRule")
    (pattern,) = set(re.findall(r'pod=~\\"([^"]+)\\"', json.dumps(rule)))
    assert re.fullmatch(pattern, f"{deployment['metadata']['name']}-5d4b9c7f6c-"[:58] + "x7k2p")


def test_an_alert_can_be_left_out_and_a_wrong_name_is_told(helm3: Helm) -> None:
    """Whoever runs as many pods as seats leaves one alert out; a typo would leave out nothing, so it is an error."""
    (rule,) = of(render(helm3, {"rules": {"disabled": ["LicenseSeatsNearlyUsed"]}}), "PrometheusRule")
    kept = [one["alert"] for one in rule["spec"]["groups"][0]["rules"]]
    assert kept == [name for name in promtool.rules() if name != "LicenseSeatsNearlyUsed"]
    assert not of(render(helm3, {"rules": {"disabled": list(promtool.rules())}}), "PrometheusRule")
    values = yaml.safe_dump(MINIMAL | {"monitoring": {"rules": {"enabled": True, "disabled": ["LicenseSeatsNearly"]}}})
    refusal = helm3.refusal(values)
    assert 'monitoring.rules.disabled: there is no alert "LicenseSeatsNearly"; there are LicenseNotActive, ' in refusal


def test_the_dashboard_is_one_config_map_on_request(helm3: Helm) -> None:
    """Off by default; switched on it is the file itself, where and labelled as Grafana's sidecar looks for it."""
    maps = [it for it in of(render(helm3, {}), "ConfigMap") if "license-dashboard" in it["metadata"]["name"]]
    assert maps == []
    dashboard = {"enabled": True, "namespace": "grafana", "labels": {"folder": "x"}, "annotations": {"f": "Licences"}}
    objects = render(helm3, {"dashboard": dashboard})
    (made,) = [it for it in of(objects, "ConfigMap") if "license-dashboard" in it["metadata"]["name"]]
    meta = made["metadata"]
    assert (meta["namespace"], meta["labels"]["folder"], meta["annotations"]["f"]) == ("grafana", "x", "Licences")
    assert meta["labels"]["grafana_dashboard"] == "1"
    assert json.loads(made["data"]["license-sidecar.json"]) == json.loads(promtool.DASHBOARD.read_text())
