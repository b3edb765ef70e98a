"""Every file of values in ``ci/``, on every Kubernetes that counts, by both Helms: renders are valid and make sense."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import pytest
import yaml
from kubernetes_validate import SchemaNotFoundError

from tests.chart import rules
from tests.chart.conftest import obtain
from tests.chart.helm import CHART, VERSIONS
from tests.chart.manifests import Manifest, events, name

CI: Final = sorted((CHART / "ci").glob("*-values.yaml"))
OLDEST, NATIVE, TESTED = "1.27.0", "1.29.0", "1.34.0"
NEWEST: Final = kubernetes_validate.latest_version()
VERSIONS_OF_KUBERNETES: Final = (OLDEST, NATIVE, TESTED, NEWEST)
FOREIGN_KINDS: Final = {"PodMonitor", "ServiceMonitor", "PrometheusRule", "HTTPRoute", "CiliumNetworkPolicy"}
"""Custom resources: the API's own schemas do not know them."""
UNKNOWN: Final = "no schema for this kind"
KEY_OF_CI: Final = "FAKE-CI00-"


@cache
def render(major: int, values: Path, kubernetes: str) -> str:
    """Return what Helm makes of a file of values."""
    return obtain(major).template(values, kubernetes=kubernetes)


@cache
def manifest_of(major: int, values: Path, kubernetes: str) -> Manifest:
    """Return the same as objects, read once for all tests."""
    return Manifest(render(major, values, kubernetes))


@cache
def fault_of(text: str, kubernetes: str) -> str:
    """Return what the API's schema says against an object; asked once, for most objects are alike in most renders."""
    try:
        kubernetes_validate.validate(json.loads(text), ".".join(kubernetes.split(".")[:2]), strict=True)
    except SchemaNotFoundError:
        return UNKNOWN
    except kubernetes_validate.ValidationError as fault:
        return f"{'.'.join(str(it) for it in fault.path)}: {fault.message}"
    return ""


def external(values: Path) -> frozenset[str]:
    """Return the names that a file of values says are somebody else's."""

    def names(it: Any) -> Iterator[str]:
        if isinstance(it, dict):
            for key, value in it.items():
                if isinstance(value, str) and key in NAMES_OTHERS and value:
                    yield value
                yield from names(value)

    given = yaml.safe_load(values.read_text(encoding="utf-8"))
    account = given.get("serviceAccount", {}).get("name")
    return frozenset(names(given)) | ({account} if account else frozenset())


NAMES_OTHERS: Final = frozenset({"existingSecret", "existingConfigMap", "existingClaim", "certSecret", "certKeySecret"})
"""Keys of values under which the name of a foreign object stands."""


@pytest.fixture(params=VERSIONS_OF_KUBERNETES, ids=lambda it: f"kubernetes-{it}")
def kubernetes(request: pytest.FixtureRequest) -> str:
    """Return a version of Kubernetes."""
    return str(request.param)


@pytest.fixture(params=CI, ids=lambda it: it.name.removesuffix("-values.yaml"))
def values(request: pytest.FixtureRequest) -> Path:
    """Return a file of values."""
    return Path(request.param)


@pytest.fixture(params=VERSIONS, ids=lambda it: f"helm-{it}")
def major(request: pytest.FixtureRequest) -> int:
    """Return a version of Helm."""
    return int(request.param)


def test_two_renders_are_the_same_bytes(major: int, values: Path, kubernetes: str) -> None:
    """Nothing random, nothing that depends on a cluster: GitOps sees no change where there is none."""
    again = obtain(major).template(values, kubernetes=kubernetes)
    assert again == render(major, values, kubernetes)
    assert "kind: Deployment" in again


def test_the_api_knows_every_field(major: int, values: Path, kubernetes: str) -> None:
    """Every object is valid by the strict schema of that Kubernetes: no field is misspelt, none is too new."""
    manifest = manifest_of(major, values, kubernetes)
    assert len(manifest.objects) > 3
    faults = {name(it): fault_of(json.dumps(it), kubernetes) for it in manifest.objects}
    expected = {name(it): UNKNOWN for it in manifest.of(*FOREIGN_KINDS)}
    assert {it: fault for it, fault in faults.items() if fault} == expected


def test_it_makes_sense(major: int, values: Path, kubernetes: str) -> None:
    """Mounts, selectors, ports, references and names resolve; our own containers are restricted; hooks clean up."""
    manifest = manifest_of(major, values, kubernetes)
    given = yaml.safe_load(values.read_text(encoding="utf-8"))
    foreign = {it["name"] for key in ("extraContainers", "extraInitContainers") for it in given.get(key, [])}
    mock = given.get("mockActivation", {})
    is_ours = mock.get("enabled") and mock.get("standInApp", True)
    faults = [fault for rule in rules.PLAIN for fault in rule(manifest)]
    faults += rules.references_resolve(manifest, external(values))
    vendor = frozenset(foreign if is_ours else {*foreign, "md-icapsrv"})
    numbered = given.get("sidecar", {}).get("runAsUser", 1) is not None
    faults += rules.own_containers_are_restricted(manifest, vendor, numbered=numbered)
    assert faults == []


def test_the_key_stands_in_no_object_that_stays(major: int, values: Path, kubernetes: str) -> None:
    """A key given by value travels in the hook Secret alone; no template renders a Secret of its own."""
    manifest = manifest_of(major, values, kubernetes)
    assert [name(it) for it in manifest.of("Secret") if not events(it)] == []
    holders = [name(it) for it in manifest.objects if KEY_OF_CI in json.dumps(it)]
    expected = KEY_OF_CI in values.read_text(encoding="utf-8")
    assert holders == (["Secret/rel-init-secrets"] if expected else [])


def test_the_key_comes_from_a_secret_that_somebody_sees_to(values: Path) -> None:
    """The mount is optional, for a sidecar tells better of a key that is missing: its name must be right anyway."""
    manifest = manifest_of(4, values, TESTED)
    mounted = {
        volume["secret"]["secretName"]
        for pods in manifest.pods()
        for volume in pods.spec.get("volumes") or []
        if volume["name"] == "license-key"
    }
    known = {it["name"] for it in rules.plan(manifest)} | external(values)
    assert mounted <= known
    online = yaml.safe_load(values.read_text(encoding="utf-8")).get("mode", "online") == "online"
    assert len(mounted) == int(online)


@pytest.mark.parametrize("values", CI, ids=lambda it: it.name.removesuffix("-values.yaml"))
def test_lint_is_clean(major: int, values: Path) -> None:
    """`helm lint --strict` has nothing to say."""
    said = obtain(major).run("lint", "--strict", str(CHART), "--values", str(values), "--kube-version", TESTED)
    assert "0 chart(s) failed" in said
    assert "[WARNING]" not in said


def test_both_helms_render_the_same(values: Path) -> None:
    """Who moves from Helm 3 to 4 sees no change."""
    one, other = (manifest_of(major, values, TESTED).objects for major in VERSIONS)
    assert sorted(map(json.dumps, one)) == sorted(map(json.dumps, other))


def test_there_are_enough_files_of_values() -> None:
    """At least fifteen, and every template of the chart appears in one of their renders."""
    assert len(CI) >= 15
    seen = {line.split("/", 1)[1] for it in CI for line in render(4, it, TESTED).splitlines() if "# Source: " in line}
    templates = {f"templates/{it.name}" for it in (CHART / "templates").glob("*.yaml")}
    assert templates - seen == set()


def test_a_kubernetes_that_is_too_old_is_refused() -> None:
    """Before 1.27 Helm says so."""
    assert "requires kubeVersion: >=1.27.0-0" in obtain(3).refusal("acceptEula: true", kubernetes="1.26.9")


def test_the_schemas_notice_a_field_that_is_too_new() -> None:
    """The matrix can fail: 1.27 knows no native sidecar. And its end is newer than what the cluster tests run."""
    manifest = manifest_of(4, CHART / "ci" / "stand-in-values.yaml", NATIVE)
    native = json.dumps(manifest.app.owner)
    assert fault_of(native, NATIVE) == ""
    assert "restartPolicy" in fault_of(native, OLDEST)
    assert tuple(map(int, NEWEST.split(".")[:2])) > (1, 34)


@pytest.mark.parametrize("packer", VERSIONS, ids=lambda it: f"helm-{it}")
def test_the_package_is_the_chart(packer: int, tmp_path: Path) -> None:
    """What is published renders as the folder does; the values of the tests stay at home."""
    values = CHART / "ci" / "stand-in-values.yaml"
    obtain(packer).run("package", str(CHART), "--destination", str(tmp_path))
    (package,) = tmp_path.iterdir()
    with tarfile.open(package) as archive:
        files = {it.removeprefix("md-icapsrv/") for it in archive.getnames()}
    assert {"Chart.yaml", "values.schema.json", "README.md", "files/alerts.yaml", "templates/NOTES.txt"} <= files
    assert [it for it in files if it.startswith("ci/")] == []
    words = ["template", "rel", str(package), "--namespace", "ns", "--kube-version", TESTED, "--values", str(values)]
    assert obtain(packer).run(*words) == render(packer, values, TESTED)
