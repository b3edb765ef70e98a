"""From the vendor's chart to ours, as docs/migration.md tells: in place, and by the overlay for their unmodified chart.

The release that is taken over is that of a small chart of our own which looks like theirs (``vendor``).
"""

from __future__ import annotations

import json
import re
import secrets
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.activation import Activation, Key
from tests.chart.helm import CHART, ROOT, Helm
from tests.chart.kubelet.kubelet import Kubelet
from tests.chart.release import Release, bind_claims, values
from tests.cluster.control_plane.plane import ControlPlane

VENDOR = Path(__file__).parent / "vendor"
API_KEY = "a1b2c3" * 6
KEPT = ("mdicapsrv-api-key", "mdicapsrv-cred", "mdicapsrv-license-key")


@pytest.fixture
def namespace_of_theirs(kubelet: Kubelet) -> Any:
    """Make a namespace that enforces nothing: the vendor's pods would not be admitted elsewhere."""
    name = kubelet.admin.create_namespace()
    yield name
    kubelet.admin.delete_namespace(name)


@pytest.fixture
def theirs(helm3: Helm, own_control_plane: ControlPlane, kubelet: Kubelet, namespace_of_theirs: str) -> Release:
    """Return a release of theirs, not installed yet."""
    return Release(helm3, own_control_plane, kubelet, namespace_of_theirs, name="icap", chart=VENDOR)


def their_values(activation: Activation, key: Key, replicas: int, **more: Any) -> dict[str, Any]:
    """Return values with which their app activates itself."""
    reference = {"secretKeyRef": {"name": "mdicapsrv-license-key", "key": "value"}}
    env = [
        {"name": "STAND_IN_ACTIVATION_URL", "value": activation.url},
        {"name": "LICENSE_KEY", "valueFrom": reference},
        {"name": "LICENSING_CLEANUP", "value": "true"},
    ]
    component = {"replicas": replicas, "env": env, **more.pop("component", {})}
    return {"licenseKey": key.text, "apiKey": API_KEY, "password": "made-up", "component": component, **more}


def deployment_ids(release: Release) -> dict[str, str]:
    """Return the deployment ID of each pod, as its app told it."""
    told = {}
    for pod in release.names():
        found = re.search(r'"deployment_id": "(\w+)"', release.kubelet.log(release.namespace, pod, "md-icapsrv"))
        assert found is not None
        told[pod] = found[1]
    return told


def leak(activation: Activation, key: Key) -> str:
    """Let a pod of theirs die: its seat stays taken."""
    deployment_id = "MSIC" + secrets.token_hex(16)
    activation.take(key, deployment_id)
    return deployment_id


def annotate(release: Release, resource: str, name: str) -> None:
    """Do step 2 of the guide: what Helm must not delete is marked."""
    mark = {"metadata": {"annotations": {"helm.sh/resource-policy": "keep"}}}
    release.admin.patch(resource, name, mark, release.namespace)


def test_in_place_and_back(theirs: Release, activation: Activation) -> None:
    """Key, credentials, selector, data stay; old leaks are free before new pods need seats; the living keep theirs."""
    key = activation.key(4)
    theirs.run_unready("install", their_values(activation, key, 2, claim=True))
    bind_claims(theirs)
    theirs.until_rolled_out()
    living = deployment_ids(theirs)
    leaks = {leak(activation, key) for _ in range(2)}
    assert activation.used(key) == {*living.values(), *leaks}
    listed = {
        **{f"md-icapsrv-gone-{number}": it for number, it in enumerate(leaks)},
        "md-icapsrv-never": "null",
        **living,
    }
    theirs.admin.create("secrets", {"metadata": {"name": "mdicap-licensing"}, "stringData": listed}, theirs.namespace)
    before = {name: theirs.secret(name) for name in KEPT}
    workload = theirs.admin.get("deployments", "md-icapsrv", theirs.namespace)
    for name in (*KEPT, "mdicap-licensing"):
        annotate(theirs, "secrets", name)
    annotate(theirs, "persistentvolumeclaims", "vendor-data")

    theirs.chart = CHART
    ours = values(
        activation,
        None,
        {
            "adoption": {"fromVendor": True},
            "license": {"seats": 4},
            "replicas": 2,
            "app": {"securityProfile": "vendor"},
            # Not as existingClaim: with a claim that is in one of two revisions only, Helm cannot roll back.
            "persistence": {
                "enabled": True,
                "claimName": "vendor-data",
                "size": "1Gi",
                "accessModes": ["ReadWriteMany"],
            },
        },
    )
    theirs.upgrade(ours, "--reset-values")

    assert {name: theirs.secret(name) for name in KEPT} == before
    after = theirs.admin.get("deployments", "md-icapsrv", theirs.namespace)
    assert after["metadata"]["uid"] == workload["metadata"]["uid"]
    assert after["spec"]["selector"] == workload["spec"]["selector"] == {"matchLabels": {"app": "md-icapsrv"}}
    assert theirs.admin.get("persistentvolumeclaims", "vendor-data", theirs.namespace)["status"]["phase"] == "Bound"
    assert theirs.secret("mdicap-licensing") == listed
    now = deployment_ids(theirs)
    assert activation.used(key) == set(now.values())
    assert len(theirs.leases()) == 2
    order = [(it["operation"], it["deployment"]) for it in activation.journal(key)]
    first_of_ours = min(order.index(("activation", it)) for it in now.values())
    for it in leaks:
        assert order.index(("deactivation", it)) < first_of_ours
        assert order.count(("deactivation", it)) == 1
    # The vendor's container gives its own seat back when it ends: nobody did that for it.
    assert [order.count(("deactivation", it)) for it in living.values()] == [1, 1]

    theirs.run("rollback", "icap", "1", "--wait", "--timeout=180s")
    theirs.until_rolled_out()
    theirs.until("seats of their own", lambda: activation.used(key) == set(deployment_ids(theirs).values()))
    assert len(activation.used(key)) == 2
    assert {name: theirs.secret(name) for name in KEPT} == before
    # The rights go while the pods still end: their seats are free, but a record may stay that means nothing any more.
    recorded = {it["metadata"]["annotations"]["license-sidecar/deployment-id"] for it in theirs.leases()}
    assert recorded <= set(now.values())


def test_in_place_over_the_placeholder(theirs: Release, activation: Activation) -> None:
    """An upgrade of theirs has overwritten the key: ours is given it again, and the placeholder is no former key."""
    key = activation.key(1)
    given = their_values(activation, key, 1)
    theirs.install(given)
    theirs.run_unready("upgrade", {**given, "licenseKey": "<SET_LICENSE_KEY_HERE>"})
    assert theirs.secret("mdicapsrv-license-key") == {"value": "<SET_LICENSE_KEY_HERE>"}
    for name in KEPT:
        annotate(theirs, "secrets", name)
    theirs.chart = CHART
    theirs.upgrade(
        values(activation, key, {"adoption": {"fromVendor": True}, "app": {"securityProfile": "vendor"}}),
        "--reset-values",
    )
    assert theirs.secret("mdicapsrv-license-key") == {"value": key.text}
    assert activation.used(key) == set(deployment_ids(theirs).values())


def overlay(activation: Activation) -> dict[str, Any]:
    """Return the overlay, filled in as its head says, at a pace that suits a test."""
    text = (ROOT / "examples" / "vendor-overlay.yaml").read_text(encoding="utf-8")
    filled_in = {
        "COMPONENT": "component",
        "REGISTRY": "registry.invalid",
        "SERVICE_ACCOUNT": "md-icapsrv",
        "SEATS": "2",
    }
    for placeholder, value in filled_in.items():
        assert placeholder in text
        text = re.sub(rf"\b{placeholder}\b", value, text)
    made: dict[str, Any] = yaml.safe_load(text)
    component = made["component"]
    component["env"].append({"name": "STAND_IN_ACTIVATION_URL", "value": activation.url})
    settings = {"ACTIVATION_URL": activation.url, "LEASE_RENEW": "1s", "LEASE_DURATION": "4s", "HEARTBEAT_APP": "1s"}
    (sidecar,) = component["initContainers"]
    sidecar["env"] += [{"name": f"LICENSE_SIDECAR_{name}", "value": value} for name, value in settings.items()]
    return made


def test_the_overlay(theirs: Release, activation: Activation) -> None:
    """Their chart with the overlay: seats are recorded, taken, given back, and reclaimed when a pod dies."""
    key = activation.key(2)
    secret = {"metadata": {"name": "icap-license"}, "stringData": {"value": key.text}}
    theirs.admin.create("secrets", secret, theirs.namespace)
    made = overlay(activation)
    theirs.install({**made, "apiKey": API_KEY, "component": {**made["component"], "replicas": 2}})
    theirs.until("two seats", lambda: len(activation.used(key)) == 2)
    assert len(theirs.leases()) == 2
    (victim, *_) = sorted(theirs.names())
    assert key.text not in json.dumps(theirs.pods())
    lost = deployment_ids(theirs)[victim]
    theirs.kubelet.kill(theirs.namespace, victim)
    theirs.admin.force_delete_pod(theirs.namespace, victim)
    theirs.until("the seat of the dead", lambda: lost not in activation.used(key))
    theirs.until_ready(2)
    assert len(activation.used(key)) == 2
    theirs.admin.patch("deployments", "md-icapsrv", {"spec": {"replicas": 0}}, theirs.namespace)
    theirs.until("the end", lambda: not activation.used(key) and not theirs.leases())
