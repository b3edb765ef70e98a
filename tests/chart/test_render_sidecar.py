"""The sidecar beside the app: its two forms, its settings, its times, its rights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from sidecar.config import SETTINGS, Surroundings, load
from tests.chart.conftest import obtain
from tests.chart.helm import CHART, ROOT
from tests.chart.manifests import Manifest, PodTemplate, environment, events
from tests.chart.test_render import CI, TESTED, manifest_of
from tests.chart.test_render_messages import GOOD
from tests.chart.test_render_vendor_pains import good, rendered

CERTIFICATE: Final = "-----BEGIN CERTIFICATE-----\nZmFrZQ==\n-----END CERTIFICATE-----\n"
DOCUMENTED: Final = {
    it["metadata"]["name"]: it["rules"]
    for it in yaml.safe_load_all((ROOT / "docs" / "kubernetes-roles.yaml").read_text(encoding="utf-8"))
}
"""The Roles of the docs, which a test derives from what a real API server was asked."""


def commands(manifest: Manifest) -> list[tuple[PodTemplate, dict[str, Any]]]:
    """Return the containers that run a command of the sidecar's which reads its settings."""
    found = [(pods, it) for pods in manifest.pods() for it in pods.containers]
    return [(pods, it) for pods, it in found if "LICENSE_SIDECAR_MODE" in environment(it)]


def surroundings(container: dict[str, Any], folder: Path) -> Surroundings:
    """Return a container's environment, with what the kubelet would fill in, and mounted files that are there."""
    variables: dict[str, str] = {}
    for name, value in environment(container).items():
        given = value if isinstance(value, str) else f"from-{name.lower().replace('_', '-')}"
        if name.endswith("_FILE"):
            mounts = [it["mountPath"] for it in container["volumeMounts"]]
            assert any(given.startswith(f"{it}/") for it in mounts), f"{name} is not mounted"
            file = folder / Path(given).name
            file.write_text(CERTIFICATE, encoding="utf-8")
            given = str(file)
        variables[name] = given
    return Surroundings(environ=variables, host_name="other")


@pytest.mark.parametrize("values", CI, ids=lambda it: it.name.removesuffix("-values.yaml"))
@pytest.mark.parametrize("kubernetes", ["1.28.0", TESTED])
def test_the_sidecar_understands_its_environment(values: Path, kubernetes: str, tmp_path: Path) -> None:
    """Every variable is a setting that exists, with a value that it takes; nothing is left to a guess."""
    known = {it.environment for it in SETTINGS.values()}
    found = commands(manifest_of(4, values, kubernetes))
    assert "run" in [word for _, it in found for word in it["args"]]
    for pods, container in found:
        assert {it for it in environment(container) if it.startswith("LICENSE_SIDECAR_")} - known == set()
        config = load(surroundings=surroundings(container, tmp_path))
        assert [it for it in config.warnings if "rel-mock-activation" not in it] == []
        assert (config.pod.name, config.pod.namespace, config.pod.release) == (
            "from-pod-name",
            "from-pod-namespace",
            "rel",
        )
        assert config.ledger.kind == "kubernetes", pods.name
        if container["args"] == ["run"]:
            assert config.shutdown.budget + config.shutdown.drain < pods.spec["terminationGracePeriodSeconds"]


def test_settings_reach_the_sidecar_as_they_were_written() -> None:
    """Large numbers stay numbers, booleans words, lists lists; the chart's own log format can be changed."""
    lists = "readiness: {require: [license, engines]}"
    others = "reclaim: {rate: 1000000, enabled: false}, heartbeat: {grace: 48h}, log: {format: text}"
    settings = f"{{{others}, {lists}}}"
    variables = environment(good(f"sidecar: {{settings: {settings}}}").app.container("license-sidecar"))
    assert variables["LICENSE_SIDECAR_RECLAIM_RATE"] == "1000000"
    assert variables["LICENSE_SIDECAR_RECLAIM_ENABLED"] == "false"
    assert variables["LICENSE_SIDECAR_HEARTBEAT_GRACE"] == "48h"
    assert variables["LICENSE_SIDECAR_LOG_FORMAT"] == "text"
    assert variables["LICENSE_SIDECAR_READINESS_REQUIRE"] == "license,engines"


@pytest.mark.parametrize(
    ("mode", "kubernetes", "native"),
    [
        ("auto", "1.27.0", False),
        ("auto", "1.28.99", False),
        ("auto", "1.29.0", True),
        ("auto", "v1.29.3-eks-1a2b3c4", True),
        ("auto", "1.30.1-gke.100", True),
        ("container", "1.34.0", False),
        ("native", "1.29.0", True),
    ],
)
def test_where_the_sidecar_is_a_native_one(mode: str, kubernetes: str, native: bool) -> None:
    """From 1.29 on, vendor versions too; a switch is for nodes that lag. It is there exactly once."""
    text = obtain(4).template(
        CHART / "ci" / "existing-secrets-values.yaml", values=f"sidecar: {{mode: {mode}}}", kubernetes=kubernetes
    )
    spec = Manifest(text).app.spec
    started = [it for it in spec.get("initContainers", []) if it["name"] == "license-sidecar"]
    beside = [it for it in spec["containers"] if it["name"] == "license-sidecar"]
    assert (len(started), len(beside)) == ((1, 0) if native else (0, 1))
    assert [it.get("restartPolicy") for it in started + beside] == (["Always"] if native else [None])


@pytest.mark.parametrize("mode", ["native", "container"])
def test_the_seat_is_given_back_within_the_grace_period(mode: str) -> None:
    """All that must happen after SIGTERM fits; in container mode the sidecar itself waits for the app."""
    values = f"{{sidecar: {{mode: {mode}, shutdownBudgetSeconds: 7}}, app: {{preStopSeconds: 3, stopSeconds: 11}}}}"
    pods = good(values).app
    variables = environment(pods.container("license-sidecar"))
    assert variables["LICENSE_SIDECAR_SHUTDOWN_BUDGET"] == "7"
    assert variables.get("LICENSE_SIDECAR_SHUTDOWN_DRAIN") == (None if mode == "native" else "14")
    assert pods.spec["terminationGracePeriodSeconds"] == 3 + 11 + 7 + 5


def test_the_folder_for_the_wish_to_restart_is_read_only_for_the_app() -> None:
    """The app cannot forge or remove what its own liveness probe looks at."""
    pods = rendered((CHART / "ci" / "new-secrets-values.yaml").read_text(encoding="utf-8")).app
    mounts = {
        it["name"]: next(m for m in it["volumeMounts"] if m["mountPath"] == "/run/license-sidecar")
        for it in pods.containers
    }
    assert mounts["md-icapsrv"]["readOnly"] is True
    assert "readOnly" not in mounts["license-sidecar"]
    assert mounts["md-icapsrv"]["name"] == mounts["license-sidecar"]["name"]


def test_the_token_is_short_lived() -> None:
    """It is the projected one, renewed every hour."""
    volume = next(it for it in good("replicas: 1").app.spec["volumes"] if it["name"] == "license-sidecar-token")
    token = next(it["serviceAccountToken"] for it in volume["projected"]["sources"] if "serviceAccountToken" in it)
    assert token == {"path": "token", "expirationSeconds": 3607}


def rules(manifest: Manifest, namespace: str) -> list[dict[str, Any]]:
    """Return the sidecar's rights in a namespace."""
    roles = [it for it in manifest.of("Role") if not events(it) and it["metadata"]["namespace"] == namespace]
    return [rule for it in roles for rule in it["rules"]]


def test_its_rights_are_the_documented_ones() -> None:
    """What was derived from a real API server's audit log is what the chart gives, wherever the ledger is."""
    at_home, ledger, look = (DOCUMENTED[f"license-sidecar{it}"] for it in ("", "-ledger", "-look"))
    assert rules(good("replicas: 1"), "ns") == at_home + ledger
    shared = good("ledger: {namespace: licences, readPodsIn: [a, licences, ns]}")
    assert rules(shared, "ns") == at_home
    assert rules(shared, "licences") == look + ledger
    assert rules(shared, "a") == look
    assert {it["metadata"]["namespace"] for it in shared.of("RoleBinding") if not events(it)} == {"ns", "licences", "a"}
    for binding in shared.of("RoleBinding"):
        assert [it["namespace"] for it in binding["subjects"]] == ["ns"]


def test_somebody_else_may_see_to_the_rights() -> None:
    """With rbac.create and serviceAccount.create off none of them is rendered, and the named account is used."""
    manifest = good("{rbac: {create: false}, serviceAccount: {create: false, name: mine}}")
    assert [it for it in manifest.of("Role", "RoleBinding", "ServiceAccount") if not events(it)] == []
    assert manifest.app.spec["serviceAccountName"] == "mine"


def test_an_installer_may_do_without_making_roles() -> None:
    """Hooks bring Roles of their own; without the drain and with Secrets of one's own there is none to be made."""
    values = "{rbac: {create: false}, app: {apiKey: {existingSecret: a}, credentials: {existingSecret: b}}"
    assert {it["metadata"]["name"] for it in good(f"{values}}}").of("Role")} == {"rel-drain"}
    assert good(f"{values}, hooks: {{drain: {{enabled: false}}}}}}").of("Role", "RoleBinding") == []


def test_releases_that_share_a_ledger_share_no_role() -> None:
    """`team-a` with `icap` and `team` with `a-icap` put their own into one namespace, and so do their hooks."""
    values = "{ledger: {namespace: licences}, monitoring: {dashboard: {enabled: true, namespace: licences}}}"
    text = yaml.safe_dump(yaml.safe_load(GOOD) | yaml.safe_load(values))
    found = [
        (it["kind"], it["metadata"]["name"])
        for release, namespace in (("icap", "team-a"), ("a-icap", "team"), ("x" * 50, "team-a"), ("x" * 50, "team-b"))
        for it in Manifest(obtain(4).template(values=text, release=release, namespace=namespace)).objects
        if it["metadata"]["namespace"] == "licences"
    ]
    assert len(found) == 4 * (2 + 2 + 1)
    assert len(set(found)) == len(found)
    assert all(len(name) <= 63 for _, name in found)


def test_a_namespace_that_is_named_twice_gets_one_role() -> None:
    """An object that stands twice in a render is refused by Helm or overwrites the other."""
    roles = [it for it in good("ledger: {readPodsIn: [a, a, ns, ns]}").of("Role") if not events(it)]
    assert [it["metadata"]["namespace"] for it in roles] == ["ns", "a"]


def test_without_licences_to_take_there_is_no_key() -> None:
    """Where a licence server hands them out, or nobody does, no key is mounted, asked for, or drained."""
    for values in ("{mode: observe, olms: {url: 'https://o'}}", "mode: 'off'"):
        manifest = good(values)
        assert "license-key" not in json.dumps(manifest.app.spec["volumes"])
        assert [it for it in manifest.of("Job") if "drain" in it["metadata"]["name"]] == []
        assert environment(manifest.app.container("license-sidecar"))["LICENSE_SIDECAR_MODE"] in {"observe", "off"}


def test_images_by_digest_and_from_a_mirror() -> None:
    """A digest wins over a tag, the mirror stands in front of every image."""
    digest = "sha256:" + "0" * 64
    values = f"{{sidecar: {{image: {{digest: '{digest}', tag: x}}}}, global: {{imageRegistry: r.example.com/m}}}}"
    manifest = good(values)
    assert manifest.app.container("license-sidecar")["image"] == f"r.example.com/m/license-sidecar@{digest}"
    images = {it["image"] for pods in manifest.pods() for it in pods.containers}
    assert all(it.startswith("r.example.com/m/") for it in images)


def test_its_version_is_the_charts_unless_said_otherwise() -> None:
    """The image of the sidecar follows appVersion."""
    version = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))["appVersion"]
    assert good("replicas: 1").app.container("license-sidecar")["image"] == f"license-sidecar:{version}"
