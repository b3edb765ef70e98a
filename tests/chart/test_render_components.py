"""The components around the workload, one by one: what each is for, and what it must not be."""

from __future__ import annotations

import pytest

from tests.chart.conftest import obtain
from tests.chart.helm import CHART
from tests.chart.manifests import Manifest, environment, name
from tests.chart.test_render import TESTED, manifest_of
from tests.chart.test_render_vendor_pains import good


def of_ci(file: str) -> Manifest:
    """Return the render of a file in ci/."""
    return manifest_of(4, CHART / "ci" / f"{file}-values.yaml", TESTED)


def test_the_autoscaler_looks_at_the_app_alone() -> None:
    """The sidecar idles: in an average over the pod it would keep the app from being scaled up."""
    scaler = of_ci("autoscaling").one("HorizontalPodAutoscaler")["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 10)
    resource = scaler["metrics"][0]["containerResource"]
    assert (resource["name"], resource["container"]) == ("cpu", "md-icapsrv")


@pytest.mark.parametrize(
    ("values", "there"),
    [
        ("replicas: 1", False),
        ("replicas: 0", False),
        ("replicas: 2", True),
        ("replicas: null", True),
        ("autoscaling: {enabled: true, maxReplicas: 1}", False),
        ("autoscaling: {enabled: true, maxReplicas: 2}", True),
        ("{replicas: 2, podDisruptionBudget: {enabled: false}}", False),
    ],
)
def test_a_disruption_budget_is_there_for_several_pods(values: str, there: bool) -> None:
    """For a single pod it would block every drain; and a pod without a licence never does."""
    budgets = good(values).of("PodDisruptionBudget")
    assert len(budgets) == int(there)
    for it in budgets:
        assert (it["spec"]["maxUnavailable"], it["spec"]["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")


def test_the_embedded_database_has_what_the_app_is_told() -> None:
    """Host, user, password and name agree; the password is a file for the database."""
    manifest = of_ci("new-secrets")
    variables = environment(manifest.app.container("md-icapsrv"))
    database = next(it for it in manifest.pods() if it.owner["kind"] == "StatefulSet")
    assert variables["DB_HOST"] == manifest.one("Service", "rel-postgres")["metadata"]["name"]
    theirs = environment(database.container("postgres"))
    assert theirs["POSTGRES_DB"] == variables["MDICAPSRV_DB_NAME"]
    assert theirs["POSTGRES_USER"] == variables["DB_USER"]
    assert "POSTGRES_PASSWORD" not in theirs
    assert variables["DB_PWD"]["secretKeyRef"]["name"] == "mdicapsrv-postgres-cred"
    assert all(probe in database.container("postgres") for probe in ("startupProbe", "readinessProbe", "livenessProbe"))


def test_the_mock_knows_the_key_and_the_sidecar_the_mock() -> None:
    """For a trial a key is enough; it is told to the mock in a file, with as many seats as were said."""
    manifest = of_ci("stand-in")
    sidecar = environment(manifest.app.container("license-sidecar"))
    assert sidecar["LICENSE_SIDECAR_ACTIVATION_URL"] == "http://rel-mock-activation.ns.svc:8480"
    assert manifest.one("Service", "rel-mock-activation")["spec"]["ports"][0]["port"] == 8480
    mock = next(it for it in manifest.pods() if it.name == "Deployment/rel-mock-activation")
    assert mock.container("keys")["command"][-1] == "2"
    app = manifest.app.container("md-icapsrv")
    assert app["command"] == ["mock-activation"]
    assert app["image"] == manifest.app.container("license-sidecar")["image"]


def test_extras_reach_the_pod() -> None:
    """What a user puts in besides is there, and templates in it are carried out."""
    manifest = of_ci("extras")
    assert {"name": "EXAMPLE", "value": "rel"} in manifest.app.container("md-icapsrv")["env"]
    assert [it["name"] for it in manifest.app.containers] == ["first", "license-sidecar", "md-icapsrv", "shipper"]
    assert {it["metadata"]["name"] for it in manifest.of("ConfigMap")} >= {"rel-extra", "rel-extra-text"}
    assert manifest.app.spec["priorityClassName"] == "high"
    assert manifest.app.labels["tier"] == "edge"
    jobs = [it for it in manifest.pods() if it.owner["kind"] == "Job"]
    assert jobs
    for it in jobs:
        assert it.labels["tier"] == "job"
        assert it.spec["tolerations"] == manifest.app.spec["tolerations"]
    assert all(it["metadata"]["labels"]["team"] == "security" for it in manifest.objects if "extra" not in name(it))


def test_the_products_own_switches_reach_it() -> None:
    """Each under the product's name; what is secret comes from Secrets."""
    pods = of_ci("product").app
    variables = environment(pods.container("md-icapsrv"))
    assert variables["AUDIT_DATA_RETENTION"] == "30"
    assert variables["HISTORY_DATA_RETENTION"] == "14"
    assert variables["ENABLE_HEALTHCHECK"] == "false"
    assert variables["ICAP_TRUST_CERTS_PATH"] == "/opt/trust-certs"
    assert variables["ICAP_CONF_JSON"]["configMapKeyRef"]["key"] == "ICAP_CONF_JSON"
    assert variables["IGNITION_JSON"]["secretKeyRef"]["name"] == "icap-ignition"
    assert variables["FAKE_IMPORT_PASSWORD"]["secretKeyRef"] == {"name": "icap-import", "key": "password"}
    assert variables["ACCEPT_EULA"] == "true"
    assert pods.container("md-icapsrv")["securityContext"]["readOnlyRootFilesystem"] is False
    assert pods.container("md-icapsrv")["securityContext"]["runAsNonRoot"] is True
    assert "securityContext" not in good("replicas: 1").app.container("md-icapsrv")
    assert "securityContext" not in good("replicas: 1").app.spec


def test_a_capability_more_drops_the_others_all_the_same() -> None:
    """The user's security context is laid over the profile's map by map, and a false of theirs counts."""
    given = "{capabilities: {add: [NET_BIND_SERVICE]}, seccompProfile: {type: Localhost, localhostProfile: p.json}"
    app = f"app: {{securityProfile: restricted, securityContext: {given}, runAsNonRoot: false}}}}"
    assert good(app).app.container("md-icapsrv")["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]},
        "runAsNonRoot": False,
        "seccompProfile": {"type": "Localhost", "localhostProfile": "p.json"},
    }
    app = "app: {podSecurityContext: {seccompProfile: {localhostProfile: p.json}, runAsUser: 1000}}"
    spec = Manifest(obtain(4).template(CHART / "ci" / "stand-in-values.yaml", values=app)).app.spec
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault", "localhostProfile": "p.json"}
    assert (spec["securityContext"]["runAsUser"], spec["securityContext"]["runAsGroup"]) == (1000, 65532)


def test_a_strategy_that_surges_not() -> None:
    """A pod more is a seat more: none by default; Recreate carries no numbers, which the API would refuse."""
    assert good("replicas: 2").app.owner["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    assert good("strategy: {type: Recreate}").app.owner["spec"]["strategy"] == {"type": "Recreate"}


def test_the_platform_may_choose_the_users() -> None:
    """With null no number is rendered, in any pod of ours; that none of them is root stays."""
    manifest = of_ci("platform-user")
    for pods in manifest.pods():
        for security in (pods.spec["securityContext"], *(it["securityContext"] for it in pods.containers)):
            assert security["runAsNonRoot"] is True
            assert {"runAsUser", "runAsGroup", "fsGroup"} & set(security) == set()
    assert "--licensed" in manifest.app.container("md-icapsrv")["args"]
    assert "--licensed" not in of_ci("stand-in").app.container("md-icapsrv")["args"]
