"""The Jobs around the life of a release: the writer of Secrets, the drain, the import, the CronJob."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from sidecar.cli.plan_file import read
from tests.chart.conftest import obtain
from tests.chart.helm import CHART
from tests.chart.manifests import Manifest, environment, events, name, weight
from tests.chart.rules import plan
from tests.chart.test_render import CI, TESTED, manifest_of
from tests.chart.test_render_components import of_ci
from tests.chart.test_render_vendor_pains import NEW, good, rendered


@pytest.mark.parametrize(
    ("values", "there"),
    [
        ("replicas: 1", False),
        ("replicas: 0", True),
        ("replicas: null", True),
        ("autoscaling: {enabled: true}", False),
        ("autoscaling: {enabled: true, minReplicas: 0, metrics: [{type: External, external: {}}]}", True),
        ("reclaimCronJob: {enabled: true}", True),
        ("{replicas: 0, reclaimCronJob: {enabled: false}}", False),
        ("{replicas: 0, mode: observe}", False),
    ],
)
def test_the_cron_job_reclaims_where_there_may_be_no_pod(values: str, there: bool) -> None:
    """As long as a pod runs, its sidecar does it; two runs never overlap, and a run that hangs ends."""
    jobs = good(values).of("CronJob")
    assert len(jobs) == int(there)
    for it in jobs:
        assert it["spec"]["concurrencyPolicy"] == "Forbid"
        assert it["spec"]["jobTemplate"]["spec"]["activeDeadlineSeconds"] == 300
        pod = it["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        assert pod["serviceAccountName"] == "rel-license-sidecar"
        assert pod["containers"][0]["args"] == ["reclaim", "--once"]


def test_init_secrets_is_told_what_to_see_to() -> None:
    """The plan names each Secret with its kind; what was given by value lies beside it, by Secret and entry."""
    manifest = rendered(NEW)
    planned = yaml.safe_load(manifest.one("ConfigMap", "rel-init-secrets")["data"]["plan.yaml"])
    assert (planned["release"], planned["chart"]) == ("rel", "md-icapsrv")
    assert {it["name"]: it["kind"] for it in planned["secrets"]} == {
        "mdicapsrv-api-key": "api-key",
        "mdicapsrv-cred": "credentials",
        "mdicapsrv-license-key": "license-key",
        "mdicapsrv-postgres-cred": "database-credentials",
    }
    assert set(manifest.one("Secret")["stringData"]) == {
        "mdicapsrv-license-key.value",
        "mdicapsrv-postgres-cred.user",
        "mdicapsrv-postgres-cred.password",
    }
    job = manifest.one("Job", "rel-init-secrets")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["init-secrets", "--plan=/etc/license-sidecar/plan.yaml", "--given=/run/secrets/given"]
    assert events(job) == {"pre-install", "pre-upgrade"}


def test_former_keys_are_handed_over_one_a_line() -> None:
    """`previous` is the file that the sidecar reads."""
    given = of_ci("new-secrets").one("Secret")["stringData"]["mdicapsrv-license-key.previous"]
    assert given.splitlines() == ["FAKE-CI00-ONLY-NOT0-REAL-0000-OLD1", "FAKE-CI00-ONLY-NOT0-REAL-0000-OLD2"]


def test_blanks_are_no_key() -> None:
    """A file with nothing but a line's end, given by --set-file, overwrites no stored key: it is like no key at all."""
    values = 'license: {key: " \\n"}\napp: {credentials: {user: operator, password: fake}}'
    text = obtain(4).template(CHART / "ci" / "new-secrets-values.yaml", values=values, more=("--is-upgrade",))
    given = Manifest(text).one("Secret")["stringData"]
    assert "mdicapsrv-license-key.previous" in given
    assert "mdicapsrv-license-key.value" not in given


def test_without_anything_to_write_there_is_no_writer() -> None:
    """With existing Secrets everywhere there is neither Job nor Role, so --no-hooks and plain kubectl work."""
    manifest = of_ci("existing-secrets")
    assert plan(manifest) == []
    assert [name(it) for it in manifest.objects if events(it) & {"pre-install", "pre-upgrade"}] == []


def test_rights_stand_before_the_job_that_needs_them() -> None:
    """Account and Role come first, then the binding, then the Job; at the end all of it is gone."""
    for file, job in (
        ("new-secrets", "rel-init-secrets"),
        ("new-secrets", "rel-drain"),
        ("adoption", "rel-license-import"),
    ):
        manifest = of_ci(file)
        weights = {it["kind"]: weight(it) for it in manifest.objects if it["metadata"]["name"] == job}
        assert weights["ServiceAccount"] <= weights["Role"] < weights["RoleBinding"] < weights["Job"]


def test_an_uninstall_drains_first() -> None:
    """One Job scales to 0, waits and reclaims, within what Helm waits for; a lost key does not hold it up."""
    manifest = good("replicas: 2")
    job = manifest.one("Job", "rel-drain")
    assert events(job) == {"pre-delete"}
    assert job["spec"]["activeDeadlineSeconds"] == 240
    pod = job["spec"]["template"]["spec"]
    assert pod["containers"][0]["args"] == ["drain", "--workload=deployment/md-icapsrv", "--timeout=210s"]
    assert next(it for it in pod["volumes"] if it["name"] == "license-key")["secret"]["optional"] is True
    scale = manifest.one("Role", "rel-drain")["rules"][0]
    assert (scale["resources"], scale["resourceNames"]) == (["deployments/scale"], ["md-icapsrv"])
    assert scale["verbs"] == ["get", "patch"]


@pytest.mark.parametrize(("all_of_it", "own"), [(30, 15), (60, 30), (90, 60), (600, 570)])
def test_the_drain_ends_before_its_job_is_ended(all_of_it: int, own: int) -> None:
    """A Job at its deadline has failed, and a failed hook keeps the release: the program must end first and say 0."""
    spec = good(f"hooks: {{drain: {{timeoutSeconds: {all_of_it}}}}}").one("Job", "rel-drain")["spec"]
    assert spec["activeDeadlineSeconds"] == all_of_it
    assert spec["template"]["spec"]["containers"][0]["args"][-1] == f"--timeout={own}s"


@pytest.mark.parametrize("ca", ["pem: PEM", "existingSecret: mine", "existingConfigMap: mine"])
def test_a_lost_authority_does_not_hold_up_an_uninstall(ca: str) -> None:
    """Neither the key nor the authority must be there for the drain's pod to start; for the pods of the app it must."""
    manifest = good(f"activation: {{ca: {{{ca}}}}}")

    def source(pod: dict[str, Any]) -> dict[str, Any]:
        volume = next(it for it in pod["volumes"] if it["name"] == "activation-ca")
        found: dict[str, Any] = volume.get("secret") or volume["configMap"]
        return found

    assert source(manifest.one("Job", "rel-drain")["spec"]["template"]["spec"])["optional"] is True
    assert "optional" not in source(manifest.app.spec)


EXTRAS: Final = """
replicas: 0
adoption: {fromVendor: true}
hostAliases: [{ip: 192.0.2.1, hostnames: [activation.example.com]}]
sidecar:
  extraEnv: [{name: SSL_CERT_FILE, value: "/extra/{{ .Release.Name }}.pem"}]
  extraVolumeMounts: [{name: "{{ .Release.Name }}-ca", mountPath: /extra}, {name: more, mountPath: /more}]
extraVolumes:
  - {name: "{{ .Release.Name }}-ca", secret: {secretName: ca}}
  - {name: more, projected: {sources: [{configMap: {name: more}}]}}
  - {name: of-the-app, secret: {secretName: big}}
extraVolumeMounts: [{name: of-the-app, mountPath: /big}]
"""


@pytest.mark.parametrize("owner", ["Job/rel-drain", "Job/rel-license-import", "CronJob/rel-license-reclaim"])
def test_a_job_that_asks_the_activation_server_has_what_the_sidecar_has(owner: str) -> None:
    """Variables with the files that they speak of, and hosts; what may be missing must not keep it from starting."""
    pods = next(it for it in good(EXTRAS).pods() if it.name == owner)
    assert pods.spec["hostAliases"] == [{"ip": "192.0.2.1", "hostnames": ["activation.example.com"]}]
    assert environment(pods.containers[0])["SSL_CERT_FILE"] == "/extra/rel.pem"
    mounts = {it["name"]: it["mountPath"] for it in pods.containers[0]["volumeMounts"]}
    assert (mounts["rel-ca"], mounts["more"]) == ("/extra", "/more")
    volumes = {it["name"]: it for it in pods.spec["volumes"]}
    assert volumes["rel-ca"]["secret"] == {"secretName": "ca", "optional": True}
    assert volumes["more"]["projected"]["sources"] == [{"configMap": {"name": "more", "optional": True}}]
    assert "of-the-app" not in volumes
    app = {it["name"]: it for it in good(EXTRAS).app.spec["volumes"]}
    assert app["rel-ca"]["secret"] == {"secretName": "ca"}


def test_the_drain_reaches_a_ledger_elsewhere() -> None:
    """Its rights on seat records are where these are, and go away with it."""
    roles = [it for it in of_ci("shared-ledger").of("Role") if events(it) == {"pre-delete"}]
    assert {it["metadata"]["namespace"]: [r["resources"] for r in it["rules"]] for it in roles} == {
        "ns": [["deployments/scale"], ["pods"], ["events"]],
        "licences": [["leases"]],
    }


def test_adoption_releases_what_the_vendors_automation_left() -> None:
    """After the key is there and before the new pods come; where there is nothing left behind it does nothing."""
    manifest = of_ci("adoption")
    job = manifest.one("Job", "rel-license-import")
    assert weight(manifest.one("Job", "rel-init-secrets")) < weight(job) < 0
    pod = job["spec"]["template"]["spec"]
    assert pod["containers"][0]["args"] == ["import", "/run/secrets/vendor", "--apply"]
    vendor = next(it for it in pod["volumes"] if it["name"] == "vendor")["secret"]
    assert (vendor["secretName"], vendor["optional"]) == ("mdicap-licensing", True)
    claim = manifest.one("PersistentVolumeClaim")["metadata"]
    assert (claim["name"], claim["annotations"]["helm.sh/resource-policy"]) == ("vendor-data", "keep")


def test_in_place_the_vendors_objects_are_the_same() -> None:
    """Names and selector are the vendor's, so that `helm upgrade` changes its objects instead of making others."""
    manifest = good("{ingress: {enabled: true}}")
    assert manifest.app.owner["metadata"]["name"] == "md-icapsrv"
    assert manifest.app.owner["spec"]["selector"] == {"matchLabels": {"app": "md-icapsrv"}}
    assert manifest.one("Service", "md-icapsrv")["spec"]["selector"] == {"app": "md-icapsrv"}
    assert {it["name"] for it in plan(rendered(NEW))} == {
        "mdicapsrv-api-key",
        "mdicapsrv-cred",
        "mdicapsrv-license-key",
        "mdicapsrv-postgres-cred",
    }


@pytest.mark.parametrize("values", [it for it in CI if plan(manifest_of(4, it, TESTED))], ids=lambda it: it.name)
def test_init_secrets_reads_what_it_is_handed(values: Path, tmp_path: Path) -> None:
    """The command's own reader takes every plan that is rendered, with the values that lie beside it."""
    manifest = manifest_of(4, values, TESTED)
    job = next(it for it in manifest.pods() if it.owner["metadata"]["name"].endswith("init-secrets"))
    arguments = dict(it.lstrip("-").split("=") for it in job.containers[0]["args"][1:])
    file = tmp_path / Path(arguments["plan"]).name
    file.write_text(manifest.one("ConfigMap", "rel-init-secrets")["data"]["plan.yaml"], encoding="utf-8")
    folder = tmp_path / "given"
    folder.mkdir()
    given = manifest.of("Secret")[0]["stringData"] if "given" in arguments else {}
    for entry, value in given.items():
        (folder / entry).write_text(value, encoding="utf-8")
    found = read(file, folder if given else None)
    assert found.release == "rel"
    assert {it.name for it in found.secrets} == {it["name"] for it in plan(manifest)}
    assert sum(len(it.given) for it in found.secrets) == len(given)
    assert all(it.labels["app.kubernetes.io/instance"] == "rel" for it in found.secrets)


def test_what_a_hook_has_to_say_is_seen() -> None:
    """A Job is gone when it is done: Helm prints its log before, and a failed pod is kept until then, not restarted."""
    printed = {}
    for file in ("adoption", "new-secrets"):
        for job in of_ci(file).of("Job"):
            printed[job["metadata"]["name"]] = job["metadata"]["annotations"]["helm.sh/hook-output-log-policy"]
            assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"
            assert job["spec"]["activeDeadlineSeconds"] < 300
    assert printed == {
        "rel-init-secrets": "hook-failed",
        "rel-license-import": "hook-succeeded,hook-failed",
        "rel-drain": "hook-succeeded,hook-failed",
    }
